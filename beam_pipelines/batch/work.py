"""The work of a batch job within a pipeline: its units, what they leave out, and their rows' histories."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton

from skewless.beam_pipelines.analysis.cache import AnalysisCache
from skewless.beam_pipelines.analysis.duplicates import FindDuplicates
from skewless.beam_pipelines.analysis.spilled.runs import partition_count
from skewless.beam_pipelines.histories.left import LeftPasts
from skewless.beam_pipelines.histories.stage import BuildHistories
from skewless.beam_pipelines.running.beam_internals import job_pipeline
from skewless.beam_pipelines.running.job_progress import Tally
from skewless.beam_pipelines.running.left_behind import leave, take
from skewless.beam_pipelines.sources import WorkUnit
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.files import inside

__all__ = ["Work", "units_with_past"]

_FILE = "histories_of_units"


@dataclasses.dataclass(frozen=True)
class Work:
    """The units of a job.

    Attributes:
      spec: The declaration.
      units: What it reads.
      directory: What workers leave for one another lies here, a path or URI.
      cache: What earlier jobs have kept.
      tally: Where workers count.
      earlier: What an earlier batch left of its users, which histories go on from.
    """

    spec: Spec
    units: Sequence[WorkUnit]
    directory: str
    cache: AnalysisCache | None = None
    tally: Tally | None = None
    earlier: LeftPasts | None = None

    @property
    def partitions(self) -> int:
        """In how many partitions its rows are compared."""
        return partition_count(len(self.units))

    def begun(self, pipeline: beam.Pipeline) -> tuple[beam.PCollection, AsSingleton]:
        """Returns its units, and by their order the record numbers that are duplicates."""
        # Without the reshuffle all units would be one bundle, on one worker.
        work = pipeline | "WorkUnits" >> beam.Create(self.units) | "Spread" >> beam.Reshuffle()
        find = FindDuplicates(self.spec, self.directory, self.partitions, self.cache, self.tally)
        duplicates = (
            work | "FindDuplicates" >> find
            if self.spec.key is not None
            else pipeline | "NoDuplicates" >> beam.Create([{}])
        )
        return work, AsSingleton(duplicates)

    def with_past(self, work: beam.PCollection, duplicates: AsSingleton) -> beam.PCollection:
        """Returns the units with their rows' histories, where the spec has some."""
        return self.with_past_left(work, duplicates, None)[0]

    def with_past_left(
        self, work: beam.PCollection, duplicates: AsSingleton, shared: str | None
    ) -> tuple[beam.PCollection, beam.PCollection | None]:
        """Returns the units with their rows' histories, and the parts of what is left for later jobs.

        Args:
          work: The units.
          duplicates: Record numbers to leave out.
          shared: Where parts are left, a path or URI; None leaves none.
        """
        if not histories_of(self.spec.features):
            return work, None
        build = BuildHistories(
            self.spec,
            self.directory,
            self.partitions,
            duplicates,
            self.tally,
            shared,
            self.earlier,
        )
        found = work | "BuildHistories" >> build
        return found["units"], found["parts"]


def units_with_past(
    spec: Spec,
    units: Sequence[WorkUnit],
    options: PipelineOptions,
    shared: str,
    earlier: LeftPasts | None = None,
) -> list[WorkUnit]:
    """Returns units with their rows' histories, by a job that does nothing else.

    Args:
      spec: The declaration.
      units: What to read.
      options: Beam's.
      shared: The path or URI of what workers and command share; histories lie there as long as it does.
      earlier: What an earlier batch left of its users, which they go on from.

    Raises:
      DataError: If a file cannot be read on, or workers do not see what is shared.
    """
    work = Work(spec, units, shared, earlier=earlier)
    path = inside(shared, _FILE)
    with job_pipeline(options) as pipeline:
        past = work.with_past(*work.begun(pipeline))
        leave(pipeline, path, _document, units=past)
    found = dict(take(path))
    return [
        dataclasses.replace(unit, past=tuple(tuple(run) for run in found[unit.order]))
        for unit in units
    ]


def _document(units: Sequence[WorkUnit]) -> list[Any]:
    return [[unit.order, unit.past] for unit in units]
