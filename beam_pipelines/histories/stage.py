"""The stage that builds histories: work units go in, and come out with what their rows' pasts lie in.

    rows -> events by user, as sorted runs -> each user's rows by time -> lists by unit -> units

The rows are those that will be written: sound ones, of which duplicates are left out. Events go to the
partition of their user; memory holds some blocks of its runs, however many rows one user has. What an earlier
batch left of its users stands among them, as events that have a time and a value and get no list.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.utils.windowed_value import WindowedValue

from skewless.beam_pipelines.analysis.spilled.merged import merged
from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run, write_runs, write_segments
from skewless.beam_pipelines.histories.events import PLACE, events_of, order_of, place_of
from skewless.beam_pipelines.histories.left import LeftPasts, leaving_pasts
from skewless.beam_pipelines.histories.ordered import in_order, ordered
from skewless.beam_pipelines.histories.past import NOWHERE, pasts
from skewless.beam_pipelines.records.parts import Part
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.running.job_progress import Tally, progress_of
from skewless.beam_pipelines.running.tagged import at_the_end
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.files import folder_at_hand, forget, hand_on_folder

__all__ = ["GATHERING", "BuildHistories"]

GATHERING = "gathering histories"
# What one worker holds before it writes a run.
_MOST_EVENTS = 1 << 19
_LEFT = "left"
_Partition = tuple[str, int]
_Past = tuple[int, tuple[str, str, int, int]]


class BuildHistories(beam.PTransform):
    """[work units] -> `units`, the same with `past`, and `parts`, the files of what is left."""

    def __init__(
        self,
        spec: Spec,
        directory: str,
        partitions: int,
        duplicates: Any,
        tally: Tally | None = None,
        shared: str | None = None,
        earlier: LeftPasts | None = None,
    ) -> None:
        """Prepares the steps.

        Args:
          spec: The declaration.
          directory: Where runs are written, seen by all workers.
          partitions: How many partitions users fall into.
          duplicates: The side input of record numbers to leave out, by unit order.
          tally: Where workers count.
          shared: Where each user's newest values are left; None leaves none.
          earlier: What an earlier batch left of its users, which histories go on from.
        """
        super().__init__()
        self._spec = spec
        self._directory = os.path.join(directory, "histories")
        self._partitions = partitions
        self._duplicates = duplicates
        self._tally = tally
        self._shared = shared
        self._earlier = earlier

    def expand(self, units: beam.PCollection) -> dict[str, beam.PCollection]:
        gather = _GatherEvents(self._spec, self._directory, self._partitions, self._tally)
        events = units | "GatherEvents" >> beam.ParDo(gather, self._duplicates)
        if self._earlier is not None:
            earlier = units.pipeline | "EarlierPasts" >> self._gather_earlier(self._earlier)
            events = (events, earlier) | "AllEvents" >> beam.Flatten()
        listed = (
            events
            | "GroupByUsers" >> beam.GroupByKey()
            | "ListPasts"
            >> beam.FlatMap(_listed, self._spec, self._directory, self._shared).with_outputs(
                _LEFT, main="past"
            )
        )
        keyed = units | "ByOrder" >> beam.Map(lambda unit: (unit.order, unit))
        with_past = (
            {"units": keyed, "past": listed["past"]}
            | "GroupByUnit" >> beam.CoGroupByKey()
            | "UnitsWithPast" >> beam.FlatMap(_with_past)
        )
        return {"units": with_past, "parts": listed[_LEFT]}

    def _gather_earlier(self, earlier: LeftPasts) -> beam.PTransform:
        folder = hand_on_folder(earlier.path, self._directory)
        return (
            beam.Create(earlier.files())
            | "SpreadFiles" >> beam.Reshuffle()
            | "GatherEarlierEvents"
            >> beam.FlatMap(_earlier_events, earlier, folder, self._directory, self._partitions)
        )


class _GatherEvents(beam.DoFn):
    """Work units to runs of events, by feature and partition."""

    def __init__(self, spec: Spec, directory: str, partitions: int, tally: Tally | None) -> None:
        self._spec = spec
        self._directory = directory
        self._partitions = partitions
        self._tally = tally

    def start_bundle(self) -> None:
        """Begins with nothing."""
        self._waiting: dict[str, list[pa.Table]] = {}
        self._events = 0
        self._progress = progress_of(GATHERING, self._tally)

    @tells_its_place
    def process(
        self, unit: WorkUnit, duplicates: dict[int, np.ndarray]
    ) -> Iterator[tuple[_Partition, Run]]:
        """Gathers the events of one unit's rows."""
        read = 0
        for rows in rows_of(unit, self._spec, duplicates=duplicates.get(unit.order)):
            places = place_of(unit.order, rows.numbers)
            for name, history in histories_of(self._spec.features).items():
                events = events_of(history, self._spec, rows.columns, places)
                self._waiting.setdefault(name, []).append(events)
                self._events += len(events)
            if self._events >= _MOST_EVENTS:
                yield from self._written()
            read += rows.read
            self._progress.advance(rows.read)
        self._progress.finish(unit, read)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Writes what waits."""
        for run in self._written():
            yield at_the_end(run)

    def _written(self) -> Iterator[tuple[_Partition, Run]]:
        for name, tables in self._waiting.items():
            events = pa.concat_tables(tables)
            if len(events):
                yield from _runs(name, events, self._directory, self._partitions)
        self._waiting, self._events = {}, 0


def _runs(
    name: str, events: pa.Table, directory: str, partitions: int
) -> Iterator[tuple[_Partition, Run]]:
    """Writes events of a history, one at least, as a run for each partition of users."""
    # Runs are sorted by the first half of a user's hash; what is sorted already stays so within.
    events = in_order(events)
    of_users = (events[KEY].to_numpy() % np.uint64(partitions)).astype(np.int64)
    for partition, run in write_runs(events, of_users, directory):
        yield (name, partition), run


def _earlier_events(
    file: str, earlier: LeftPasts, folder: str, directory: str, partitions: int
) -> Iterator[tuple[_Partition, Run]]:
    """Yields the runs of one file of what an earlier batch left."""
    here = dataclasses.replace(earlier, path=Path(folder_at_hand(folder)))
    for name, events in here.events(file):
        nowhere = pa.array(np.full(len(events), NOWHERE))
        yield from _runs(name, events.append_column(PLACE, nowhere), directory, partitions)


def _listed(
    grouped: tuple[_Partition, Iterable[Run]], spec: Spec, directory: str, shared: str | None = None
) -> Iterator[_Past | beam.pvalue.TaggedOutput]:
    """Yields where the pasts of each unit's rows lie, of one feature and partition, and what is left after them."""
    (name, _), runs = grouped
    length = histories_of(spec.features)[name].length
    spilled = []
    parts: list[Part] = []
    with contextlib.ExitStack() as stack:
        leave = None if shared is None else stack.enter_context(leaving_pasts(name, shared, parts))
        for table in pasts(ordered(list(runs)), length, leave):
            one = np.zeros(len(table), np.int64)
            spilled += [run for _, run in write_runs(table, one, directory)]
    for part in parts:
        yield beam.pvalue.TaggedOutput(_LEFT, part)
    if not spilled:
        return
    by_place = merged(spilled)
    segments = write_segments(by_place, lambda table: order_of(table[KEY].to_numpy()), directory)
    for run in spilled:
        forget(run.path)
    for order, run in segments:
        yield order, (name, run.path, run.begin, run.end)


def _with_past(grouped: tuple[int, dict[str, Iterable[Any]]]) -> Iterator[WorkUnit]:
    found = grouped[1]
    past = tuple(sorted(found["past"]))
    for unit in found["units"]:
        yield dataclasses.replace(unit, past=past)
