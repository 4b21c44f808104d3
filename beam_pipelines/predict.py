"""Batch prediction: raw files through an exported model, on Beam.

Rows take the road of preprocessing (read, check, reject) and go through `serving_default` in the
worker that read them: 1,024 at a time on several threads, since most of the graph's operations use
one core each, while the next rows are read and encoded. Beam's RunInference took as long given
whole batches (3.4 against 3.3 s for 163,000 rows of 13 columns) and longer given rows to batch
(4.1 s), and would part the predictions from the row account; so the signature is called directly.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton

from skewless.beam_pipelines import arguments
from skewless.beam_pipelines.records.accounting import UnitAccount, account, check_rejected, kind_of
from skewless.beam_pipelines.records.outcome import Outcome
from skewless.beam_pipelines.records.sinks import (
    SINK_FOLDERS,
    Part,
    RejectedSink,
    create,
    new_path,
    place,
)
from skewless.beam_pipelines.records.write_rows import ACCOUNTS, PARTS
from skewless.beam_pipelines.rows.read_rows import Rows, rows_of
from skewless.beam_pipelines.running.job_progress import Tally, Watch, progress_of
from skewless.beam_pipelines.running.local_runner import pipeline_options, runner_name
from skewless.beam_pipelines.running.output_directory import OutputDirectory
from skewless.beam_pipelines.running.tagged import tagged
from skewless.beam_pipelines.sources import WorkUnit, as_seen_from_anywhere, plan
from skewless.beam_pipelines.sources.place import at_rows, tells_its_place
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DataError
from skewless.schemas.records.exported_files import EXTRA, check_exported
from skewless.schemas.records.manifest import SPEC
from skewless.schemas.rows.row_encoding import examples
from skewless.schemas.spec.spec import Spec, load

__all__ = ["MARKER", "execute", "predict", "run"]

MARKER = "predictions.json"
_PREDICTING = "predicting"
_OUTCOME = "outcome"
# Always cut alike, whatever the threads: float32 sums may round otherwise in another batch.
_BATCH = 1024
_THREADS = 4
Outputs = dict[str, np.ndarray]


def predict(
    model: str | Path,
    inputs: Sequence[str],
    output: str | Path,
    *,
    format: str = "parquet",
    max_rejected: float = 0.01,
    overwrite: bool = False,
    options: PipelineOptions | None = None,
) -> dict[str, Any]:
    """Predicts every row of the input files.

    Args:
      model: What `skewless export` left.
      inputs: Globs, in any format that `preprocess` reads; a label is not needed.
      output: The directory to leave: part files of key and predictions, rejected/, a summary.
      format: `parquet` or `jsonl`.
      max_rejected: The largest share of rejected rows that still counts as success.
      overwrite: Replaces a finished output.
      options: Beam's options.

    Returns:
      What `predictions.json` holds.

    Raises:
      UsageError: If the model is not one of ours, or the output is finished already.
      DataError: If a file of the model is not as exported, or too many rows are rejected.
      AccountingError: If the runner lost rows.
    """
    begin = time.monotonic()
    options = options if options is not None else pipeline_options()
    check_exported(model)
    spec = load(Path(model) / EXTRA / SPEC)
    units = plan(inputs, spec, serving=True)
    if runner_name(options) != "DirectRunner":
        units = as_seen_from_anywhere(units)
    with OutputDirectory(output, overwrite=overwrite, marker=MARKER) as directory:
        for folder in SINK_FOLDERS:
            (directory.staging / folder).mkdir(parents=True)
        tally = Tally(str(directory.staging / "progress"))
        predictor = _Predict(
            spec, str(Path(model).absolute()), str(directory.staging), format, tally
        )
        with Watch(tally, units, [_PREDICTING]):
            _run_pipeline(predictor, units, directory.staging, options)
        shutil.rmtree(tally.directory)
        outcome = Outcome.read(directory.staging / _OUTCOME)
        rows = account(units, {}, outcome.accounts, outcome.parts)
        files = place(
            outcome.parts, directory.staging, {"records": f".{format}", "rejected": ".jsonl"}
        )
        beside = Path(f"{directory.path}.rejected")
        try:
            check_rejected(rows, outcome.accounts, max_rejected, str(beside))
        except DataError:
            directory.keep("rejected", beside)
            raise
        (directory.staging / _OUTCOME).unlink()
        seconds = time.monotonic() - begin
        summary = {
            "model": str(model),
            "rows": rows.model_dump(),
            "files": [path for path, part in files if part.kind == "records"],
            "runner": runner_name(options),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows.written / seconds, 1),
        }
        (directory.staging / MARKER).write_text(
            json.dumps(summary, indent=2) + "\n", encoding="utf-8"
        )
        directory.commit()
    return summary


def _run_pipeline(
    predictor: beam.DoFn, units: list[WorkUnit], staging: Path, options: PipelineOptions
) -> None:
    with beam.Pipeline(options=options) as pipeline:
        written = (
            pipeline
            | "WorkUnits" >> beam.Create(units)
            | "Spread" >> beam.Reshuffle()
            | "Predict" >> beam.ParDo(predictor).with_outputs(PARTS, ACCOUNTS)
        )
        gathered = {
            tag: AsSingleton(written[tag] | f"Gather[{tag}]" >> beam.combiners.ToList())
            for tag in (PARTS, ACCOUNTS)
        }
        _ = (
            pipeline
            | "Outcome" >> beam.Create([str(staging / _OUTCOME)])
            | "WriteOutcome" >> beam.Map(_write_outcome, **gathered)
        )


def _write_outcome(path: str, parts: Sequence[Part], accounts: Sequence[UnitAccount]) -> None:
    Outcome(parts, accounts).write(path)


class _Predict(beam.DoFn):
    """Work units to files of predictions and accounts."""

    def __init__(self, spec: Spec, model: str, directory: str, format: str, tally: Tally) -> None:
        self._spec = spec
        self._tally = tally
        self._model = model
        self._directory = directory
        self._format = format
        self._signature: Any = None

    def setup(self) -> None:
        """Checks and loads the model once a worker, which may see another copy of it."""
        import tensorflow as tf

        if check_exported(self._model)["needs_tensorflow_text"]:
            import tensorflow_text  # noqa: F401 - registers the graph's ops

        self._loaded = tf.saved_model.load(self._model)
        self._signature = self._loaded.signatures["serving_default"]
        self._threads = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1))

    def teardown(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(cancel_futures=True)

    def start_bundle(self) -> None:
        """Opens fresh sinks."""
        self._predictions = _PredictionSink(self._directory, self._format)
        self._rejected = RejectedSink(self._directory)
        self._accounts: list[UnitAccount] = []
        self._progress = progress_of(_PREDICTING, self._tally)

    @tells_its_place
    def process(self, unit: WorkUnit) -> Iterator[Any]:
        """Predicts one unit, reading ahead by one stretch of rows."""
        entry = UnitAccount(unit.order, unit.file)
        ahead: tuple[Rows, list[Future[Outputs]]] | None = None
        for rows in rows_of(unit, self._spec, serving=True):
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
    """Keys and predictions of a bundle, in one file."""

    def __init__(self, directory: str, format: str) -> None:
        self._path = new_path(directory, "records")
        self._format = format
        self._stream: Any = None
        self._writer: pa.parquet.ParquetWriter | None = None
        self._rows = 0

    def write(self, rows: Rows, outputs: Outputs) -> None:
        """Appends [rows] keys, places and outputs; an output of width 1 becomes a plain number."""
        columns = {
            "key": rows.keys,
            "file": pa.array([rows.unit.file] * len(rows.keys)),
            "row": pa.array(rows.numbers),
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
        return [Part("records", "", self._path, self._rows)]


def _column(values: np.ndarray) -> pa.Array:
    if values.dtype == object:
        values = np.vectorize(lambda text: text.decode("utf-8", "replace"), otypes=[object])(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    return pa.array(values) if values.ndim == 1 else pa.array(values.tolist())


def execute(known: argparse.Namespace, beam_arguments: Sequence[str]) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    summary = predict(
        known.model,
        known.input,
        known.output,
        format=known.format,
        max_rejected=known.max_rejected,
        overwrite=known.overwrite,
        options=pipeline_options(beam_arguments),
    )
    print(json.dumps(summary))
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.beam_pipelines.predict",
        arguments.predict,
        execute,
        argv,
        description=__doc__,
        beam=True,
    )


if __name__ == "__main__":
    raise SystemExit(run())
