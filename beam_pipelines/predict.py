"""Batch prediction: raw files through an exported model, on Beam.

opened -> planned -> predicted -> accounted -> summary -> committed
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skewless.beam_pipelines import arguments
from skewless.beam_pipelines.batch.accounted import accounted
from skewless.beam_pipelines.batch.cut import cut
from skewless.beam_pipelines.batch.plan import opened_input
from skewless.beam_pipelines.batch.predictor import PLACES, predicted
from skewless.beam_pipelines.running.dataflow import is_on_dataflow
from skewless.beam_pipelines.running.local_runner import (
    BeamOptions,
    completed_options,
    may_be_apart,
    pipeline_options,
)
from skewless.beam_pipelines.running.output_directory import OutputDirectory
from skewless.schemas.ending import run_module
from skewless.schemas.errors import UsageError
from skewless.schemas.records.exported_files import check_exported
from skewless.schemas.records.layout import EXTRA, SPEC
from skewless.schemas.spec.spec import Spec, load

__all__ = ["MARKER", "execute", "predict", "run"]

MARKER = "predictions.json"


def predict(
    model: str | Path,
    inputs: Sequence[str],
    output: str | Path,
    *,
    format: str = "parquet",
    carry: Sequence[str] = (),
    max_rejected: float = 0.01,
    overwrite: bool = False,
    options: BeamOptions = (),
) -> dict[str, Any]:
    """Predicts every row of the input files.

    Args:
      model: What `skewless export` left.
      inputs: Globs, in any format that `preprocess` reads; a label is not needed.
      output: The directory to leave: part files of key and predictions, rejected/, a summary.
      format: `parquet` or `jsonl`.
      carry: Columns of the input to stand beside the predictions: as the model reads them where it
        does, as text otherwise.
      max_rejected: The largest share of rejected rows that still counts as success.
      overwrite: Replaces a finished output.
      options: Beam's options.

    Returns:
      What `predictions.json` holds.

    Raises:
      UsageError: If the model is not one of ours, the output is finished already, or a column to
        carry has the name of another of the predictions.
      DataError: If a file of the model is not as exported, an input has no such column or has
        categories written otherwise than the training rows, or too many rows are rejected.
      AccountingError: If the runner lost rows.
    """
    begin = time.monotonic()
    check_exported(model)
    spec = _carrying(load(Path(model) / EXTRA / SPEC), carry)
    opened = opened_input(spec, inputs, completed_options(options), serving=True)
    endings = {"records": f".{format}", "rejected": ".jsonl"}
    with OutputDirectory(output, overwrite=overwrite, marker=MARKER) as directory:
        shared = directory.shared(
            apart=may_be_apart(opened.options), paths=not is_on_dataflow(opened.options)
        )
        job = cut(opened, shared)
        outcome = predicted(job, Path(model).absolute(), shared, format)
        rows = accounted(job.units, outcome, directory, endings, max_rejected)
        seconds = time.monotonic() - begin
        summary = {
            "model": str(model),
            "rows": rows.rows.model_dump(),
            "files": [path for path, part in rows.files if part.kind == "records"],
            "runner": job.runner,
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows.rows.written / seconds, 1),
        }
        (directory.staging / MARKER).write_text(
            json.dumps(summary, indent=2) + "\n", encoding="utf-8"
        )
        directory.commit()
    return summary


def _carrying(spec: Spec, carry: Sequence[str]) -> Spec:
    """Returns the spec that keeps these columns; those kept for slices play no part here."""
    for name in carry:
        if name in PLACES:
            raise UsageError(
                f"--carry: {name!r} is the name of a column of the predictions themselves; "
                "rename the input's"
            )
    return spec.model_copy(update={"keep": tuple(dict.fromkeys(carry))})


def execute(known: argparse.Namespace, beam_arguments: Sequence[str]) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    summary = predict(
        known.model,
        known.input,
        known.output,
        format=known.format,
        carry=[name for names in known.carry for name in names.split(",") if name],
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
