"""Events of runs in the order of users and times, however many one user has.

A run is sorted by `ORDER`. Unlike the merge of counted values, rows of one user may come in several tables:
memory holds a block of each run, and nothing of a user but what `skewless.beam_pipelines.histories.past` keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.analysis.spilled.merged import merged_by_few
from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run, read_blocks
from skewless.beam_pipelines.histories.events import SECOND, TIME

__all__ = ["in_order", "ordered"]

# More are first merged into fewer, in files again.
_MOST_OPEN = 128
_ORDER = (KEY, SECOND, TIME)


def in_order(events: pa.Table) -> pa.Table:
    """Returns [events] sorted by user and time, as runs of them are."""
    keys = [(name, "ascending") for name in _ORDER]
    return events.take(pc.sort_indices(events, sort_keys=keys)).combine_chunks()


def ordered(runs: Sequence[Run]) -> Iterator[pa.Table]:
    """Yields the events of all runs, table by table, sorted by user and time."""
    return merged_by_few(runs, _merged, _MOST_OPEN)


def _merged(runs: Sequence[Run]) -> Iterator[pa.Table]:
    cursors = [_Cursor(run) for run in runs]
    while cursors:
        # All that is not above the least of the last events held is at hand, but for some that equal it.
        bound = min(cursor.last for cursor in cursors)
        parts = [cursor.taken(bound) for cursor in cursors]
        yield in_order(pa.concat_tables([part for part in parts if len(part)]))
        cursors = [cursor for cursor in cursors if cursor.refilled()]


class _Cursor:
    """A place in a run: the events that were read and not taken yet, at least one."""

    def __init__(self, run: Run) -> None:
        self._blocks = read_blocks(run)
        self._use(next(self._blocks))

    def _use(self, table: pa.Table) -> None:
        self._table = table
        self._columns = [table[name].to_numpy() for name in _ORDER]

    @property
    def last(self) -> tuple[int, ...]:
        """User and time of the last event held."""
        return tuple(int(column[-1]) for column in self._columns)

    def taken(self, bound: tuple[int, ...]) -> pa.Table:
        """Removes and returns the events up to a bound, it included."""
        begin, end = 0, len(self._table)
        for column, value in zip(self._columns, bound, strict=True):
            here = column[begin:end]
            wanted = here.dtype.type(value)
            begin, end = (
                begin + int(np.searchsorted(here, wanted, "left")),
                begin + int(np.searchsorted(here, wanted, "right")),
            )
        taken = self._table.slice(0, end)
        self._use(self._table.slice(end))
        return taken

    def refilled(self) -> bool:
        """Reads on where nothing is held; whether there is something now."""
        if not len(self._table):
            more = next(self._blocks, None)
            if more is None:
                return False
            self._use(more)
        return True
