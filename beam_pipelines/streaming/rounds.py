"""A round of a stream on this machine: one bounded pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import apache_beam as beam

from skewless.beam_pipelines.running.beam_internals import job_pipeline
from skewless.beam_pipelines.running.left_behind import leave, take
from skewless.beam_pipelines.running.local_runner import BeamOptions, completed_options
from skewless.beam_pipelines.streaming.segments import StreamJob
from skewless.schemas.storage.between.files import inside

__all__ = ["Done", "run_round"]

# By file or partition, closed ranges of record numbers, sorted.
Done: TypeAlias = dict[str, list[list[int]]]


def run_round(
    job: StreamJob, work: Sequence[Any], write: beam.DoFn, options: BeamOptions
) -> list[dict[str, Any]]:
    """Does a round's work by workers.

    Args:
      job: Whose directory, or URI, workers and command share.
      work: Descriptors, one for a worker at a time.
      write: Yields dataclasses of numbers and names for each.
      options: Beam's.

    Returns:
      The fields of all that was yielded.
    """
    outcome = inside(job.pending, "round")
    if not job.shared:
        Path(job.pending).mkdir(parents=True, exist_ok=True)
    # What came since the last round is little, and threads keep their graphs for the next.
    with job_pipeline(completed_options(options, units=len(work), brief=True)) as pipeline:
        done = (
            pipeline
            | "Work" >> beam.Create(work)
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.ParDo(write)
        )
        leave(pipeline, outcome, _document, done=done)
    documents: list[dict[str, Any]] = take(outcome)
    return documents


def _document(done: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in done]
