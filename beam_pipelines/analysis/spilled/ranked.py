"""The values that a vocabulary may take, best first: by descending count, ties by descending bytes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.analysis.spilled.runs import Run, read_blocks, write_blocks

__all__ = ["Ranked", "Ranking", "Wanted", "best_first"]

_ORDER = [("count", "descending"), ("token", "descending")]
# Values held and sorted at once, at least; a vocabulary with more room holds twice what it takes.
_MOST_HELD = 1 << 18
_LARGEST_HELD = 1 << 21


@dataclass(frozen=True)
class Wanted:
    """Which counted values may enter a vocabulary.

    Attributes:
      most: How many at most; None for all.
      min_count: How often each must occur.
      known: [known] large_binary, those that it has already.
    """

    most: int | None = None
    min_count: int = 1
    known: pa.Array | None = None


@dataclass(frozen=True)
class Ranked:
    """What one partition offers to a vocabulary.

    Attributes:
      owner: The vocabulary's place among the spec's.
      runs: Each sorted, best first; what cannot be among the `most` is left out.
      wanted: How many values there were that occur often enough.
    """

    owner: int
    runs: tuple[Run, ...]
    wanted: int


class Ranking:
    """Sorts one partition's values of one vocabulary, and forgets those that have no chance."""

    def __init__(self, wanted: Wanted, directory: str) -> None:
        """Begins with nothing.

        Args:
          wanted: What may enter.
          directory: Where sorted values are written.
        """
        self._wanted = wanted
        self._directory = directory
        self._held: list[pa.Table] = []
        self._rows = self._count = 0
        self._runs: list[Run] = []
        # The least of the `most` best so far.
        self._bar: tuple[int, bytes] | None = None
        most = wanted.most
        self._cuts = most is not None and 2 * most <= _LARGEST_HELD
        self._room = max(_MOST_HELD, 2 * (most or 0)) if self._cuts else _LARGEST_HELD

    def add(self, values: pa.Table) -> None:
        """Adds [values] tokens and their counts, none of them added before."""
        if self._wanted.min_count > 1:
            values = values.filter(pc.greater_equal(values["count"], self._wanted.min_count))
        if self._wanted.known is not None and len(values):
            values = values.filter(
                pc.invert(pc.is_in(values["token"], value_set=self._wanted.known))
            )
        self._count += len(values)
        if self._bar is not None:
            count, token = self._bar
            tied = pc.and_(
                pc.equal(values["count"], count),
                pc.greater(values["token"], pa.scalar(token, pa.large_binary())),
            )
            values = values.filter(pc.or_(pc.greater(values["count"], count), tied))
        if not len(values):
            return
        self._held.append(values)
        self._rows += len(values)
        if self._rows >= self._room:
            self._settle()

    def close(self, owner: int) -> Ranked:
        """Returns what is offered to the vocabulary of this owner."""
        if self._held:
            self._write(self._best())
        return Ranked(owner, tuple(self._runs), self._count)

    def _best(self) -> pa.Table:
        table = pa.concat_tables(self._held).combine_chunks()
        order = pc.sort_indices(table, sort_keys=_ORDER)
        return table.take(order[: self._wanted.most])

    def _settle(self) -> None:
        best = self._best()
        if self._cuts:
            self._held, self._rows = [best], len(best)
            if len(best) == self._wanted.most and len(best):
                last = best.slice(len(best) - 1).to_pylist()[0]
                self._bar = (last["count"], last["token"])
        else:
            self._write(best)
            self._held, self._rows = [], 0

    def _write(self, table: pa.Table) -> None:
        self._runs.append(write_blocks([table], table.schema, self._directory))


def best_first(offered: Sequence[Ranked]) -> Iterator[tuple[bytes, int]]:
    """Yields the tokens and counts that all partitions offer to one vocabulary, best first."""
    runs = [_entries(run) for ranked in offered for run in ranked.runs]
    for count, token in heapq.merge(*runs, reverse=True):
        yield token, count


def _entries(run: Run) -> Iterator[tuple[int, bytes]]:
    for block in read_blocks(run):
        yield from zip(block["count"].to_pylist(), block["token"].to_pylist(), strict=True)
