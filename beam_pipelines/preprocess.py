"""The batch job: rows in, records, transform graph and manifest out.

    opened -> planned -> fitted and written -> accounted -> described -> committed

Each stage hands on a frozen dataclass; `skewless.beam_pipelines.batch` holds them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from skewless.beam_pipelines import arguments
from skewless.beam_pipelines.analysis.cache import AnalysisCache
from skewless.beam_pipelines.analysis.time_edges import with_time_edges
from skewless.beam_pipelines.batch.accounted import accounted
from skewless.beam_pipelines.batch.cut import cut
from skewless.beam_pipelines.batch.description import described, write_manifest
from skewless.beam_pipelines.batch.pipelines import StagedJob, fitted_and_written
from skewless.beam_pipelines.batch.plan import checked_fit, opened_input
from skewless.beam_pipelines.batch.said import result, summary, tell_dry_run
from skewless.beam_pipelines.histories.left import LeftPasts, open_pasts
from skewless.beam_pipelines.records.sinks import SHARD_BYTES, ShardFormat
from skewless.beam_pipelines.running.dataflow import is_on_dataflow
from skewless.beam_pipelines.running.laps import Laps
from skewless.beam_pipelines.running.local_runner import BeamOptions, may_be_apart, pipeline_options
from skewless.beam_pipelines.running.output_directory import OutputDirectory
from skewless.schemas.ending import run_module
from skewless.schemas.records.layout import MANIFEST, PASTS
from skewless.schemas.records.manifest import Manifest
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.staged import check_place
from skewless.schemas.storage.between.files import seen_by_all
from skewless.schemas.storage.known_as import as_known

__all__ = ["execute", "preprocess", "run"]

_ENDINGS = {"records": ".tfrecord", "raw": ".parquet", "rejected": ".jsonl", PASTS: ".pasts"}


def preprocess(
    spec: Spec,
    inputs: Sequence[str],
    output: str | Path,
    *,
    transform: str | Path | None = None,
    grow_from: str | Path | None = None,
    histories_from: str | Path | None = None,
    cache: str | Path | None = None,
    max_rejected: float = 0.01,
    overwrite: bool = False,
    compression: Literal["none", "gzip"] = "none",
    shard_bytes: int = SHARD_BYTES,
    rows_per_record: int = 1,
    options: BeamOptions = (),
) -> Manifest:
    """Turns rows into a records directory (docs/records.md).

    Args:
      spec: The declaration.
      inputs: Globs, each with an optional `train=`, `eval=` or `test=` before it.
      output: The directory to leave.
      transform: A fitted transform to apply instead of analysing the training split.
      grow_from: A fitted transform whose IDs and constants are kept; new entries come after the
        old ones of each vocabulary (beam_pipelines/analysis/grow.py).
      histories_from: The `pasts/` folder of records that these rows come after: their histories go on
        from those rows.
      cache: A directory that keeps what was found of each work unit for later jobs
        (beam_pipelines/analysis/cache.py); the result is the same without.
      max_rejected: The largest share of rejected rows that still counts as success.
      overwrite: Replaces a finished output.
      compression: `none` or `gzip`, of the records.
      shard_bytes: About how large a shard gets.
      rows_per_record: How many rows a record holds; more than one are faster to read and parse.
      options: Beam's options; those given as on a command line are completed: the local runner
        by default, with a process for each core where the work deserves it.

    Raises:
      UsageError: If the output is finished already, a glob matches nothing, the cache cannot be
        written, or both `transform` and `grow_from` are given.
      DataError: If the input cannot be used, or too many of its rows; if the transform is of
        another spec, or no vocabulary of it can grow.
      DatasetMismatchError: If `histories_from` is of other histories.
      AccountingError: If the runner lost rows; nothing is left at the output.
    """
    clock = Laps()
    check_place(Path(output), graph=True)
    fit = checked_fit(
        spec,
        transform=transform,
        grow_from=grow_from,
        overwritten=output if overwrite else None,
    )
    earlier = _pasts(spec, histories_from)
    opened = opened_input(spec, inputs, options)
    with OutputDirectory(output, overwrite=overwrite, marker=MANIFEST) as directory:
        apart = may_be_apart(opened.options)
        shared = directory.shared(apart=apart, paths=not is_on_dataflow(opened.options))
        job = cut(opened, shared)
        clock.end("plan")
        spec = with_time_edges(spec, job.units, job.options, shared)
        job = replace(job, spec=spec)
        shards = ShardFormat(shard_bytes, compression, rows_per_record)
        kept = AnalysisCache(seen_by_all(cache, apart=apart), spec) if cache is not None else None
        staged = StagedJob(job, fit, directory.staging, shared, shards, kept, earlier)
        outcome = fitted_and_written(staged)
        clock.end("pipeline")
        learning = fit.transform is None
        rows = accounted(job.units, outcome, directory, _ENDINGS, max_rejected, learning=learning)
        manifest = described(staged, outcome, rows, clock)
        write_manifest(staged, manifest)
        directory.commit()
    return manifest


def _pasts(spec: Spec, folder: str | Path | None) -> LeftPasts | None:
    return open_pasts(spec, folder, f"--histories-from {folder}") if folder else None


def execute(known: argparse.Namespace, beam_arguments: Sequence[str]) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    # Refuses what Beam does not know before any file is looked at.
    pipeline_options(beam_arguments)
    if known.dry_run:
        spec = load(known.spec)
        checked_fit(
            spec,
            transform=known.transform,
            grow_from=known.grow_from,
            overwritten=known.output if known.overwrite else None,
        )
        _pasts(spec, known.histories_from)
        tell_dry_run(spec, known.input, as_json=known.json)
        return 0
    manifest = preprocess(
        load(known.spec),
        known.input,
        known.output,
        transform=known.transform,
        grow_from=known.grow_from,
        histories_from=known.histories_from,
        cache=known.cache,
        max_rejected=known.max_rejected,
        overwrite=known.overwrite,
        compression=known.compression,
        rows_per_record=known.rows_per_record,
        options=beam_arguments,
    )
    print((result if known.json else summary)(manifest, as_known(known.output)))
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.beam_pipelines.preprocess",
        arguments.preprocess,
        execute,
        argv,
        description=__doc__,
        beam=True,
    )


if __name__ == "__main__":
    raise SystemExit(run())
