"""Edges in time of splits by shares: the oldest rows train, the newest test.

Only the column of times is read. Rows of files that are given a split (`--input test=…`) count for
nothing; rows that are rejected or left out as duplicates later on do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from skewless.beam_pipelines.analysis.time_counts import (
    EVERYTHING,
    Stretch,
    TimeCounts,
    boundary,
    counted,
)
from skewless.beam_pipelines.running.beam_internals import job_pipeline
from skewless.beam_pipelines.running.left_behind import leave, take
from skewless.beam_pipelines.sources import WorkUnit, read, written_as
from skewless.beam_pipelines.sources.place import at_column, tells_its_place
from skewless.schemas.errors import DataError
from skewless.schemas.rows.canonical import canonical, without_missing
from skewless.schemas.rows.raw_columns import RowColumns
from skewless.schemas.rows.times.columns import times_of
from skewless.schemas.rows.times.parsing import NO_TIME
from skewless.schemas.rows.times.words import as_iso
from skewless.schemas.spec.spec import Spec
from skewless.schemas.spec.splits import Split
from skewless.schemas.storage.between.files import inside

__all__ = ["with_time_edges"]

_FILE = "times"
_Counts = list[TimeCounts]


def with_time_edges(
    spec: Spec, units: Sequence[WorkUnit], options: PipelineOptions, shared: str
) -> Spec:
    """Returns the spec with the times that its shares of time come to; itself where it has none.

    Args:
      spec: The declaration.
      units: What the job reads.
      options: Beam's.
      shared: The path or URI of what workers and command share.

    Raises:
      DataError: If no row holds a time.
    """
    open_units = [unit for unit in units if unit.split is None]
    if not spec.split.needs_edges or not open_units:
        return spec
    everything = _count(spec, open_units, options, shared, [EVERYTHING])[0]
    if not everything.rows:
        raise DataError(
            f"split.time: no row holds a time in column {spec.split.time!r}; name another column, or "
            "give its values as ISO 8601"
        )
    rows, shares = everything.rows, spec.split.shares
    found = {
        rank: boundary(everything, EVERYTHING, rank)
        for rank in (rows * shares["train"], rows * (shares["train"] + shares["eval"]))
    }
    while stretches := {rank: place for rank, place in found.items() if isinstance(place, Stretch)}:
        counts = _count(spec, open_units, options, shared, list(stretches.values()))
        for (rank, stretch), there in zip(stretches.items(), counts, strict=True):
            found[rank] = boundary(there, stretch, rank)
    edges = [edge for edge in found.values() if not isinstance(edge, Stretch)]
    return spec.model_copy(update={"split": _resolved(spec.split, edges[0], edges[-1])})


def _resolved(split: Split, after_train: int | None, after_eval: int | None) -> Split:
    def text(edge: int | None) -> str | None:
        return None if edge is None else as_iso(edge)

    return Split(
        train=split.train,
        eval=split.eval,
        test=split.test,
        time=split.time,
        eval_from=text(after_train) if split.eval else None,
        test_from=text(after_eval if split.eval else after_train) if split.test else None,
    )


def _count(
    spec: Spec,
    units: Sequence[WorkUnit],
    options: PipelineOptions,
    shared: str,
    stretches: Sequence[Stretch],
) -> _Counts:
    path = inside(shared, _FILE)
    with job_pipeline(options) as pipeline:
        counts = (
            pipeline
            | "WorkUnits" >> beam.Create(units)
            | "Spread" >> beam.Reshuffle()
            | "CountTimes" >> beam.FlatMap(_counted, spec, stretches)
            | "MergeTimes" >> beam.CombineGlobally(_MergeTimes(len(stretches)))
        )
        leave(pipeline, path, _document, merged=counts)
    return [
        TimeCounts(most, dropped, np.array(begins, np.int64), np.array(counts, np.int64))
        for most, dropped, begins, counts in take(path)
    ]


@tells_its_place
def _counted(unit: WorkUnit, spec: Spec, stretches: Sequence[Stretch]) -> Iterator[_Counts]:
    name = str(spec.split.time)
    column = RowColumns(spec).wanted[name]
    assert column.time_unit is not None
    for batch in read(unit, spec, {name: column}):
        at_column(name)
        texts, _ = canonical(batch.table.column(name), column, spec, written_as(unit, spec))
        held = without_missing(texts.cast(pa.string()), spec.missing_values)
        times = times_of(held, column.time_unit)
        yield counted(times[times != NO_TIME], stretches)
    at_column(None)


def _document(merged: Sequence[_Counts]) -> list[Any]:
    [counts] = merged
    return [
        [entry.most, entry.dropped, entry.begins.tolist(), entry.counts.tolist()]
        for entry in counts
    ]


class _MergeTimes(beam.CombineFn):
    """One set of counts of all workers', by stretch."""

    def __init__(self, stretches: int) -> None:
        self._stretches = stretches

    def create_accumulator(self) -> _Counts:
        return [TimeCounts() for _ in range(self._stretches)]

    def add_input(self, accumulator: _Counts, found: _Counts) -> _Counts:
        for total, more in zip(accumulator, found, strict=True):
            total.merge(more)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Counts]) -> _Counts:
        total = self.create_accumulator()
        for accumulator in accumulators:
            self.add_input(total, accumulator)
        return total

    def extract_output(self, accumulator: _Counts) -> _Counts:
        return accumulator
