"""Stock tf.Transform over record batches, with its own analysers and the C++ encoder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from apache_beam.metrics import Metrics
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig
from tfx_bsl.tfxio.tensor_representation_util import InferTensorRepresentationsFromSchema

from benchmarks.preprocessing.peers import job
from benchmarks.preprocessing.peers.stock_tft import (
    FEATURE_SPEC,
    in_memory_runner,
    preprocessing_fn,
)

__all__ = ["preprocess"]

# More than the 1,000 that TFXIO makes at most by default: fewer calls of the graph.
_BATCH_ROWS = 4_000
_ARROW_TYPES = {tf.string: pa.large_binary(), tf.float32: pa.float32(), tf.int64: pa.int64()}
_SCHEMA = pa.schema(
    [(name, pa.large_list(_ARROW_TYPES[kind.dtype])) for name, kind in FEATURE_SPEC.items()]
)


def preprocess(source: Path, output: Path, workers: int, ready: Any) -> dict[str, int]:
    """Does the job; returns its row counts."""
    config = TensorAdapterConfig(_SCHEMA, _representations())
    pipeline = beam.Pipeline(options=in_memory_runner())
    with tempfile.TemporaryDirectory() as temporary, tft_beam.Context(temp_dir=temporary):
        raw = (
            pipeline
            | "File" >> beam.Create([str(source)])
            | "Read" >> beam.ParDo(_Read()).with_outputs(*job.SPLITS)
        )
        (transformed, _), transform_fn = (
            raw["train"],
            config,
        ) | "AnalyseAndTransform" >> tft_beam.AnalyzeAndTransformDataset(
            preprocessing_fn, output_record_batches=True
        )
        splits = {"train": transformed}
        for split in ("eval", "test"):
            splits[split], _ = ((raw[split], config), transform_fn) | f"Transform[{split}]" >> (
                tft_beam.TransformDataset(output_record_batches=True)
            )
        for split, dataset in splits.items():
            _ = (
                dataset
                | f"Encode[{split}]" >> beam.ParDo(_Encode())
                | f"Write[{split}]"
                >> beam.io.WriteToTFRecord(
                    str(output / split / "part"), file_name_suffix=".tfrecord"
                )
            )
        _ = transform_fn | "WriteTransform" >> tft_beam.WriteTransformFn(str(output / "transform"))
        ready()
        result = pipeline.run()
        result.wait_until_finish()
    counters = result.metrics().query()["counters"]
    return {
        name: sum(c.committed for c in counters if c.key.metric.name == name)
        for name in ("rows_in", "rows_out")
    }


class _Read(beam.DoFn):
    """A file to record batches of its rows, by split; each compact, for a slice pickles it all."""

    def process(self, path: str) -> Iterator[Any]:
        for table in _tables(path):
            Metrics.counter("benchmark", "rows_in").inc(table.num_rows)
            keys = table["review_id"].to_pylist()
            splits = np.array([job.split_of(key.encode()) for key in keys])
            for place, split in enumerate(job.SPLITS):
                chosen = table.take(np.flatnonzero(splits == place))
                if chosen.num_rows:
                    yield beam.pvalue.TaggedOutput(split, _lists(chosen))


def _tables(path: str) -> Iterator[pa.Table]:
    if path.endswith(".parquet"):
        parquet = pa.parquet.ParquetFile(path)
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=list(FEATURE_SPEC)):
            yield pa.Table.from_batches([batch])
        return
    options = pyarrow.csv.ConvertOptions(
        column_types={
            name: pa.string() if kind.dtype == tf.string else _ARROW_TYPES[kind.dtype]
            for name, kind in FEATURE_SPEC.items()
        }
    )
    # About as many bytes as a batch's rows have.
    read = pyarrow.csv.ReadOptions(block_size=600 * _BATCH_ROWS)
    for batch in pyarrow.csv.open_csv(path, read, convert_options=options):
        yield pa.Table.from_batches([batch])


def _lists(table: pa.Table) -> pa.RecordBatch:
    arrays = []
    for field in _SCHEMA:
        values = table[field.name].combine_chunks()
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum(values.is_valid().to_numpy(zero_copy_only=False), out=offsets[1:])
        present = values.drop_null().cast(field.type.value_type)
        arrays.append(pa.LargeListArray.from_arrays(pa.array(offsets), present))
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _representations() -> dict[str, schema_pb2.TensorRepresentation]:
    return InferTensorRepresentationsFromSchema(schema_utils.schema_from_feature_spec(FEATURE_SPEC))


class _Encode(beam.DoFn):
    def setup(self) -> None:
        self._encoder = RecordBatchToExamplesEncoder()

    def process(self, element: tuple[pa.RecordBatch, dict[str, Any]]) -> list[bytes]:
        records: list[bytes] = self._encoder.encode(element[0])
        Metrics.counter("benchmark", "rows_out").inc(len(records))
        return records


if __name__ == "__main__":
    job.run(preprocess, __doc__)
