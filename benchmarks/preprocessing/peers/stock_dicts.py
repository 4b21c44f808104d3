"""Stock tf.Transform as its guide shows it: rows as dicts, analysed, transformed, written by Beam."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.csv
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.metrics import Metrics
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from benchmarks.preprocessing.peers import job
from benchmarks.preprocessing.peers.stock_tft import (
    FEATURE_SPEC,
    in_memory_runner,
    preprocessing_fn,
)

__all__ = ["preprocess"]

_NUMBERS: dict[str, Callable[[str], float]] = {"age": float, "price": float, "label": int}


def preprocess(source: Path, output: Path, workers: int, ready: Any) -> dict[str, int]:
    """Does the job; returns its row counts."""
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(FEATURE_SPEC))
    pipeline = beam.Pipeline(options=in_memory_runner())
    with tempfile.TemporaryDirectory() as temporary, tft_beam.Context(temp_dir=temporary):
        rows = pipeline | "Read" >> _read(source) | "Count" >> beam.Map(_counted, "rows_in")
        train, held_out, test = rows | "Split" >> beam.Partition(_split, len(job.SPLITS))
        (transformed, transformed_metadata), transform_fn = (
            train,
            metadata,
        ) | "AnalyseAndTransform" >> tft_beam.AnalyzeAndTransformDataset(preprocessing_fn)
        splits = {"train": transformed}
        for split, raw in (("eval", held_out), ("test", test)):
            splits[split], _ = ((raw, metadata), transform_fn) | f"Transform[{split}]" >> (
                tft_beam.TransformDataset()
            )
        coder = tft.coders.ExampleProtoCoder(transformed_metadata.schema)
        for split, dataset in splits.items():
            _ = (
                dataset
                | f"Encode[{split}]" >> beam.Map(coder.encode)
                | f"CountWritten[{split}]" >> beam.Map(_counted, "rows_out")
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


def _read(source: Path) -> beam.PTransform:
    if source.suffix == ".parquet":
        return beam.io.ReadFromParquet(str(source), columns=list(job.COLUMNS)) | "Present" >> (
            beam.Map(_present)
        )
    header = tuple(pyarrow.csv.open_csv(source).schema.names)
    return beam.io.ReadFromText(str(source), skip_header_lines=1) | "Parse" >> (
        beam.FlatMap(_parsed, header)
    )


def _parsed(line: str, header: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for fields in csv.reader([line]):
        row: dict[str, Any] = dict(zip(header, fields, strict=True))
        for name, number in _NUMBERS.items():
            row[name] = number(row[name]) if row[name] else None
        yield _present(row)


def _present(row: dict[str, Any]) -> dict[str, Any]:
    row["age"] = [] if row["age"] is None else [row["age"]]
    return row


def _split(row: dict[str, Any], _: int) -> int:
    return job.split_of(row["review_id"].encode())


def _counted(element: Any, name: str) -> Any:
    Metrics.counter("benchmark", name).inc()
    return element


if __name__ == "__main__":
    job.run(preprocess, __doc__)
