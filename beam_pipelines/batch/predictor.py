"""The predicting stage: each work unit is read, sent through the model and written in one place.

Rows take the road of preprocessing (read, check, reject) and go through a signature in the worker
that read them: 1,024 at a time on several threads, since most of the graph's operations use one
core each, while the next rows are read and encoded. Beam's RunInference took as long given whole
batches (3.4 against 3.3 s for 163,000 rows of 13 columns) and longer given rows to batch (4.1 s),
and would part the predictions from the row account; so the signature is called directly.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from skewless.beam_pipelines.batch.plan import Planned
from skewless.beam_pipelines.records.accounting import UnitAccount
from skewless.beam_pipelines.records.outcome import Outcome, leave_outcome, taken_outcome
from skewless.beam_pipelines.records.parts import (
    Part,
    create,
    finished,
    make_sink_folders,
    new_path,
)
from skewless.beam_pipelines.records.sinks import RejectedSink
from skewless.beam_pipelines.records.write_rows import ACCOUNTS, PARTS
from skewless.beam_pipelines.rows.first_rows import check_spellings
from skewless.beam_pipelines.rows.read_rows import Rows, rows_of
from skewless.beam_pipelines.running.beam_internals import job_pipeline
from skewless.beam_pipelines.running.job_progress import Tally, progress_of, tally_in, watched
from skewless.beam_pipelines.running.tagged import tagged
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.place import at_rows, tells_its_place
from skewless.schemas.records.exported_files import check_exported
from skewless.schemas.records.layout import ASSETS, EXTRA, SPEC
from skewless.schemas.rows.reasons import kind_of
from skewless.schemas.rows.row_encoding import examples
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.storage.between.files import folder_at_hand, hand_on_folder, inside

__all__ = ["PLACES", "predicted"]

_PREDICTING = "predicting"
# The columns that say which row a prediction is of.
PLACES = ("key", "file", "row")
# Always cut alike, whatever the threads: float32 sums may round otherwise in another batch.
_BATCH = 1024
_THREADS = 4
Outputs = dict[str, np.ndarray]


def predicted(
    job: Planned, model: Path, shared: str, format: str, signature: str = "serving_default"
) -> Outcome:
    """Runs the pipeline: predictions lie in files that the outcome names.

    Args:
      job: What to read; columns that its spec keeps stand beside the predictions.
      model: What `skewless export` left.
      shared: The path or URI of what workers and command share.
      format: `parquet` or `jsonl`.
      signature: What rows go through, one of those that take `examples`.

    Raises:
      DataError: If categories of the first rows are written otherwise than those trained on.
    """
    check_spellings(job.spec, job.units, load(model / EXTRA / SPEC), model / ASSETS)
    make_sink_folders(shared)
    tally = tally_in(inside(shared, "progress"))
    handed = hand_on_folder(model, shared)
    predict = _Predict(job.spec, handed, signature, shared, format, tally)
    with watched(tally, job.units, [_PREDICTING]), job_pipeline(job.options) as pipeline:
        written = (
            pipeline
            | "WorkUnits" >> beam.Create(job.units)
            | "Spread" >> beam.Reshuffle()
            | "Predict" >> beam.ParDo(predict).with_outputs(PARTS, ACCOUNTS)
        )
        leave_outcome(pipeline, shared, **{tag: written[tag] for tag in (PARTS, ACCOUNTS)})
    if tally is not None:
        shutil.rmtree(tally.directory)
    return taken_outcome(shared)


class _Predict(beam.DoFn):
    """Work units to files of predictions and accounts."""

    def __init__(
        self, spec: Spec, model: str, called: str, directory: str, format: str, tally: Tally | None
    ) -> None:
        self._spec = spec
        self._tally = tally
        self._model, self._called = model, called
        self._directory = directory
        self._format = format
        self._signature: Any = None

    def setup(self) -> None:
        """Checks and loads the model once a worker, which may see another copy of it."""
        import tensorflow as tf

        model = folder_at_hand(self._model)
        if check_exported(model)["needs_tensorflow_text"]:
            import tensorflow_text  # noqa: F401 - registers the graph's ops

        self._loaded = tf.saved_model.load(model)
        self._signature = self._loaded.signatures[self._called]
        self._threads = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1))

    def teardown(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(cancel_futures=True)

    def start_bundle(self) -> None:
        """Opens fresh sinks."""
        self._predictions = _PredictionSink(self._directory, self._format, self._spec.keep)
        self._rejected = RejectedSink(self._directory)
        self._accounts: list[UnitAccount] = []
        self._progress = progress_of(_PREDICTING, self._tally)

    @tells_its_place
    def process(self, unit: WorkUnit) -> Iterator[Any]:
        """Predicts one unit, reading ahead by one stretch of rows."""
        entry = UnitAccount(unit.order, unit.file)
        ahead: tuple[Rows, list[Future[Outputs]]] | None = None
        for rows in rows_of(unit, self._spec):
            entry.read += rows.read
            entry.rejected += len(rows.rejected)
            entry.reasons.update((r.column, kind_of(r.reason)) for r in rows.rejected)
            self._rejected.write(rows.rejected)
            self._progress.advance(rows.read)
            begun = self._begin(rows)
            if ahead is not None:
                self._finish(*ahead, entry)
            ahead = (rows, begun)
        if ahead is not None:
            self._finish(*ahead, entry)
        self._progress.finish(unit, entry.read)
        self._accounts.append(entry)
        return iter(())

    def _begin(self, rows: Rows) -> list[Future[Outputs]]:
        encoded = examples(rows.columns, self._spec) if rows.columns.num_rows else []
        return [
            self._threads.submit(self._call, encoded[first : first + _BATCH])
            for first in range(0, len(encoded), _BATCH)
        ]

    def _call(self, encoded: list[bytes]) -> Outputs:
        import tensorflow as tf

        outputs = self._signature(examples=tf.constant(encoded))
        return {name: value.numpy() for name, value in outputs.items()}

    def _finish(self, rows: Rows, begun: list[Future[Outputs]], entry: UnitAccount) -> None:
        if not begun:
            return
        at_rows(rows.numbers)  # Rows after them are in hand already.
        found = [future.result() for future in begun]
        outputs = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        self._predictions.write(rows, outputs)
        entry.written += rows.columns.num_rows

    def finish_bundle(self) -> Iterator[Any]:
        """Closes the sinks and reports what they hold."""
        for part in self._predictions.close() + self._rejected.close():
            yield tagged(PARTS, part)
        for entry in self._accounts:
            yield tagged(ACCOUNTS, entry)


class _PredictionSink:
    """Keys, carried columns and predictions of a bundle, in one file."""

    def __init__(self, directory: str, format: str, carried: Sequence[str]) -> None:
        self._directory = directory
        self._path = new_path(directory, "records")
        self._carried = carried
        self._format = format
        self._stream: Any = None
        self._writer: pa.parquet.ParquetWriter | None = None
        self._rows = 0

    def write(self, rows: Rows, outputs: Outputs) -> None:
        """Appends [rows] keys, places and outputs; an output of width 1 becomes a plain number."""
        places = (rows.keys, pa.array([rows.unit.file] * len(rows.keys)), pa.array(rows.numbers))
        columns = {
            **dict(zip(PLACES, places, strict=True)),
            **{name: rows.columns.column(name) for name in self._carried},
            **{name: _column(outputs[name]) for name in sorted(outputs)},
        }
        table = pa.table(columns)
        if self._stream is None:
            self._stream = create(self._path)
            if self._format == "parquet":
                self._writer = pa.parquet.ParquetWriter(self._stream, table.schema)
        if self._writer is not None:
            self._writer.write_table(table)
        else:
            for row in table.to_pylist():
                self._stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._rows += table.num_rows

    def close(self) -> list[Part]:
        """Closes the file and returns it, if there is one."""
        if self._stream is None:
            return []
        if self._writer is not None:
            self._writer.close()
        self._stream.close()
        return [finished(Part("records", "", self._path, self._rows), self._directory)]


def _column(values: np.ndarray) -> pa.Array:
    if values.dtype == object:
        values = np.vectorize(lambda text: text.decode("utf-8", "replace"), otypes=[object])(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 2 or values.dtype == object:
        return pa.array(values if values.ndim == 1 else values.tolist())
    ends = np.arange(len(values) + 1, dtype=np.int32) * np.int32(values.shape[1])
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values.ravel()))
