"""Histories of a stream on this machine: lists that rows lack, built when their window is written.

A row sees rows of an earlier time in the panes that are in their places and in its own. What it sees is held in
`.histories.sqlite3` beside the windows; each pane names what it adds in a file of its own, which is put in its
place with it. So whatever is killed, what is held is what finished panes say, and each is added once.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run, write_runs
from skewless.beam_pipelines.histories.events import (
    PLACE,
    SECOND,
    TIME,
    VALUE,
    events_of,
    place_of,
)
from skewless.beam_pipelines.histories.held import HeldPasts
from skewless.beam_pipelines.histories.joined import PlacedLists
from skewless.beam_pipelines.histories.left import LeftPasts
from skewless.beam_pipelines.histories.ordered import in_order
from skewless.beam_pipelines.histories.past import pasts
from skewless.beam_pipelines.records.encoding import encode_records
from skewless.beam_pipelines.running.checked_file import (
    batch_section,
    json_section,
    read_batch_section,
    read_checked,
    read_json_section,
    write_checked,
)
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics, number_columns
from skewless.beam_pipelines.streaming.panes import SealedPane, kept_rows, sealed_folder
from skewless.beam_pipelines.streaming.segment_file import PENDING, read_segment
from skewless.beam_pipelines.streaming.segments import Segment, StreamJob, rewrite_segment
from skewless.schemas.errors import UsageError
from skewless.schemas.records.layout import PASTS
from skewless.schemas.records.records import is_diagnostic
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.spec.kinds.history import histories_of

__all__ = ["HELD", "StreamPasts"]

HELD = ".histories.sqlite3"
# Names of what was added that is no pane: the pasts of a data set, and sections of them.
_BATCH = "batch "
# Of how many users events are held at once.
_USERS = 8192


class StreamPasts:
    """What a stream's windows are given of the past, and leave to it."""

    def __init__(self, job: StreamJob) -> None:
        """Takes up what finished panes say."""
        self._job = job
        self._histories = histories_of(job.spec.features)
        lengths = {name: history.length for name, history in self._histories.items()}
        self._held = HeldPasts(Path(job.directory) / HELD, lengths)
        self._added: dict[str, pa.Table] = {}
        known = self._held.panes()
        self._begun = self._begun_with(known)
        missed = {
            manifest.id: Path(job.directory) / folder / PASTS
            for folder, manifest in finished_panes(job.directory)
            if manifest.id not in known
        }
        if any(_begun_of(path) != self._begun for path in missed.values()):
            _refuse(job.directory)
        if job.past is not None and _BATCH + job.past.id not in known:
            self._begin(job.past, known)
        for pane, path in missed.items():
            self._held.add(pane, _read(path))

    def _begun_with(self, known: Collection[str]) -> str | None:
        """Returns the data set whose pasts histories begin with, by what is held or what is asked for.

        Args:
          known: What was added to what is held.

        Raises:
          UsageError: If the two are not the same.
        """
        asked = None if self._job.past is None else self._job.past.id
        batches = {id for id in known if id.startswith(_BATCH)}
        whole = {id.removeprefix(_BATCH) for id in batches if "/" not in id}
        partly = {id.removeprefix(_BATCH).partition("/")[0] for id in batches} - whole
        if asked is None and not partly:
            return next(iter(whole), None)
        if (whole | partly) - {asked} or (asked not in whole and len(known) > len(batches)):
            _refuse(self._job.directory)
        return asked

    def _begin(self, past: LeftPasts, known: Collection[str]) -> None:
        """Adds the pasts of a data set; a section is added once, however often this is begun."""
        for name in past.files():
            for place, (history, events) in enumerate(past.events(name)):
                part = f"{_BATCH}{past.id}/{name}/{place}"
                if part not in known:
                    self._held.add(part, {history: events})
        self._held.add(_BATCH + past.id, {})

    def completed(
        self, window: int, segments: Sequence[Segment], earlier: Sequence[str]
    ) -> list[Segment]:
        """Returns a window's segments, written again with the lists that rows lack.

        Args:
          window: Its start.
          segments: What was gathered for its next pane.
          earlier: The ids of its earlier panes.
        """
        kept = kept_rows(self._job, window, segments, earlier)
        self._added = {name: self._events(name, kept) for name in self._histories}
        lists = {name: self._lists(name, events) for name, events in self._added.items()}
        return [self._with_lists(segment, order, lists) for order, (segment, _) in enumerate(kept)]

    def seal(self, pane: SealedPane) -> None:
        """Puts what the pane of the segments completed last adds into its folder."""
        _write(sealed_folder(self._job, pane) / PASTS, self._added, self._begun)

    def commit(self, pane: SealedPane) -> None:
        """Adds it to what is held, now that the pane is in its place."""
        self._held.add(pane.id, self._added)
        self._added = {}

    def _events(self, name: str, kept: Sequence[tuple[Segment, np.ndarray]]) -> pa.Table:
        """Returns the events of the rows that are written."""
        found = []
        for order, (segment, mask) in enumerate(kept):
            rows = np.flatnonzero(mask)
            columns = read_segment(segment.path).columns.take(pa.array(rows))
            found.append(
                events_of(self._histories[name], self._job.spec, columns, place_of(order, rows))
            )
        return pa.concat_tables(found)

    def _lists(self, name: str, events: pa.Table) -> PlacedLists:
        """Returns the lists of a window's rows, which lie in files."""
        folder = str(Path(self._job.directory) / PENDING / "pasts")
        runs: list[Run] = []
        for some in _by_users(in_order(events)):
            users = np.unique(
                np.stack([some[KEY].to_numpy(), some[SECOND].to_numpy()], axis=1), axis=0
            )
            held = self._held.events(name, users, events[VALUE].type)
            whole = in_order(pa.concat_tables([held.cast(some.schema), some]))
            for lists in pasts([whole], self._histories[name].length):
                runs += [
                    run for _, run in write_runs(lists, np.zeros(len(lists), np.int64), folder)
                ]
        return PlacedLists(runs)

    def _with_lists(
        self, segment: Segment, order: int, lists: Mapping[str, PlacedLists]
    ) -> Segment:
        contents = read_segment(segment.path)
        columns = contents.columns
        places = place_of(order, np.arange(len(contents.keys)))
        for name, placed in lists.items():
            at = columns.schema.get_field_index(name)
            field = columns.schema.field(at)
            # What a row holds itself stays.
            filled = pc.coalesce(columns.column(at), placed.of(places, field.type))
            columns = columns.set_column(at, field, filled)
        outputs = self._job.graph()(columns)
        statistics = SplitStatistics()
        if len(contents.keys):
            statistics.add(self._job.spec, columns, outputs)
        whole = replace(
            contents,
            statistics=statistics,
            columns=columns.select(number_columns(self._job.spec)),
            lengths={name: value for name, value in outputs.items() if is_diagnostic(name)},
        )
        return rewrite_segment(self._job, segment, whole, encode_records(outputs, contents.keys))


def _refuse(directory: str) -> NoReturn:
    raise UsageError(
        f"{directory}: its histories begin with other pasts than --histories-from says; give those that the "
        "stream was begun with, none where there were none, or choose another output"
    )


def _by_users(events: pa.Table) -> Iterator[pa.Table]:
    """Yields events, sorted by user, some users at a time; of one user all together."""
    if not len(events):
        return
    first, second = events[KEY].to_numpy(), events[SECOND].to_numpy()
    begins = np.flatnonzero(
        np.append(True, (first[1:] != first[:-1]) | (second[1:] != second[:-1]))
    )
    edges = [*begins[::_USERS].tolist(), len(events)]
    for begin, end in itertools.pairwise(edges):
        yield events.slice(begin, end - begin)


def _write(path: Path, added: Mapping[str, pa.Table], begun: str | None) -> None:
    head = list(added) if begun is None else {"histories": list(added), "begun": begun}
    sections: list[Any] = [json_section(head)]
    for events in added.values():
        valued = events.filter(events[VALUE].is_valid()).drop_columns(PLACE).combine_chunks()
        sections.append(batch_section(_as_batch(valued)))
    write_checked(path, PASTS, sections)


def _as_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [table[name].combine_chunks() for name in (KEY, SECOND, TIME, VALUE)],
        names=[KEY, SECOND, TIME, VALUE],
    )


def _head(path: Path) -> dict[str, Any]:
    if not path.is_file():  # Of a version whose streams built no histories.
        return {"histories": [], "begun": None}
    [section] = read_checked(path, PASTS, [0])
    head = read_json_section(section)
    return head if isinstance(head, dict) else {"histories": head, "begun": None}


def _begun_of(path: Path) -> str | None:
    """Returns the data set whose pasts a pane's stream began with."""
    begun: str | None = _head(path)["begun"]
    return begun


def _read(path: Path) -> dict[str, pa.Table]:
    histories: list[str] = _head(path)["histories"]
    if not histories:
        return {}
    sections = read_checked(path, PASTS, range(1, 1 + len(histories)))
    return {
        name: pa.Table.from_batches([read_batch_section(section)])
        for name, section in zip(histories, sections, strict=True)
    }
