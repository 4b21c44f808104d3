"""Sorted runs merged into one stream: memory holds two blocks of each run, however long they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run, read_blocks, write_blocks
from skewless.schemas.storage.between.files import forget

__all__ = ["merged", "merged_by_few"]

# More are first merged into fewer, in files again.
_MOST_OPEN = 128
Combine = Callable[[pa.Table], pa.Table]


def _as_it_is(table: pa.Table) -> pa.Table:
    return table


def merged(runs: Sequence[Run], combine: Combine = _as_it_is) -> Iterator[pa.Table]:
    """Yields all rows of the runs by rising key; those of one key come in one table.

    Args:
      runs: Of one schema.
      combine: Given each table before it goes on; may make fewer rows of those of one key. Where
        there are many runs it is given what it made of some of them again.
    """
    return merged_by_few(runs, lambda some: _merged(some, combine), _MOST_OPEN)


def merged_by_few(
    runs: Sequence[Run], merge: Callable[[Sequence[Run]], Iterator[pa.Table]], most: int
) -> Iterator[pa.Table]:
    """Yields what `merge` makes of all runs; more than `most` first become fewer, in files again.

    Args:
      runs: Of one schema.
      merge: Merges runs, all open at once, and what it made of some of them.
      most: How many may be open at once.
    """
    made: list[Run] = []
    try:
        while len(runs) > most:
            fewer = []
            for begin in range(0, len(runs), most):
                some = runs[begin : begin + most]
                schema = next(read_blocks(some[0])).schema
                fewer.append(write_blocks(merge(some), schema, os.path.dirname(some[0].path)))
                made.append(fewer[-1])
            runs = fewer
        yield from merge(runs)
    finally:
        for run in made:
            forget(run.path)


def _merged(runs: Sequence[Run], combine: Combine) -> Iterator[pa.Table]:
    cursors = [_Cursor(run) for run in runs]
    while cursors:
        # What has a key below this one, or this one and no run goes on with it, is all there.
        bound = min(
            (cursor.last_key for cursor in cursors if not cursor.ended),
            default=None,
        )
        parts = [cursor.take_below(bound) for cursor in cursors]
        found = pa.concat_tables([part for part in parts if len(part)] or parts[:1])
        if len(found):
            found = found.combine_chunks()
            order = np.argsort(found[KEY].to_numpy(), kind="stable")
            yield combine(found.take(pa.array(order)))
        for cursor in cursors:
            cursor.refill(bound)
        cursors = [cursor for cursor in cursors if len(cursor.table)]


class _Cursor:
    """A place in a run.

    Attributes:
      table: The rows that were read and not taken yet.
      ended: Whether these are the run's last.
    """

    def __init__(self, run: Run) -> None:
        self._blocks = read_blocks(run)
        self._next = next(self._blocks, None)
        assert self._next is not None
        self._use(self._next)
        self._advance()

    def _use(self, table: pa.Table) -> None:
        self.table = table
        self._keys = table[KEY].to_numpy()

    def _advance(self) -> None:
        self._next = next(self._blocks, None)
        self.ended = self._next is None

    @property
    def last_key(self) -> np.uint64:
        return self._keys[-1]

    def take_below(self, bound: np.uint64 | None) -> pa.Table:
        """Removes and returns the rows with keys below a bound, or all."""
        count = len(self._keys) if bound is None else int(np.searchsorted(self._keys, bound))
        taken = self.table.slice(0, count)
        self._use(self.table.slice(count))
        return taken

    def refill(self, bound: np.uint64 | None) -> None:
        """Reads on where what is held limits the merge, or soon will."""
        if self._next is None:
            return
        if self.last_key == bound or len(self.table) < len(self._next) // 2:
            self._use(pa.concat_tables([self.table, self._next]))
            self._advance()
