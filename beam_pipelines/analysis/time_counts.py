"""Counts of times in bounded memory, and the boundaries between them that shares of rows ask for.

Times are counted exactly while they are few; of more, neighbours are counted together, and the
stretches that hold a boundary are counted again, alone. So a boundary is exact whatever the number
of rows, and the same in any order of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["EVERYTHING", "Stretch", "TimeCounts", "boundary", "counted"]

# 64 MiB of begins and counts.
_MOST = 1 << 22
_LEAST, _GREATEST = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Stretch:
    """The times in [begin, end), and how many rows have an earlier one."""

    begin: int
    end: int
    before: int


EVERYTHING = Stretch(_LEAST, _GREATEST, 0)


@dataclass(eq=False)
class TimeCounts:
    """How often each time occurs, or the times of each 2**dropped microseconds.

    Two are told apart always: times before and after 1970 never meet.

    Attributes:
      most: So many are told apart at most.
      dropped: How many low bits of a time are not told apart.
      begins: [count] int64, rising: times without those bits.
      counts: [count] int64.
    """

    most: int = _MOST
    dropped: int = 0
    begins: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def rows(self) -> int:
        """How many times were counted."""
        return int(self.counts.sum())

    def add(self, times: np.ndarray) -> None:
        """Adds [rows] int64 times."""
        self._add(times >> self.dropped, np.ones(len(times), np.int64))

    def merge(self, other: TimeCounts) -> None:
        """Adds what another has counted."""
        self._drop(max(self.dropped, other.dropped))
        self._add(other.begins >> (self.dropped - other.dropped), other.counts)

    def _add(self, begins: np.ndarray, counts: np.ndarray) -> None:
        self.begins, places = np.unique(np.append(self.begins, begins), return_inverse=True)
        total = np.zeros(len(self.begins), np.int64)
        np.add.at(total, places, np.append(self.counts, counts))
        self.counts = total
        while len(self.begins) > self.most:
            self._drop(self.dropped + 1)

    def _drop(self, bits: int) -> None:
        if bits == self.dropped:
            return
        begins, self.begins = self.begins >> (bits - self.dropped), np.zeros(0, np.int64)
        counts, self.counts = self.counts, np.zeros(0, np.int64)
        self.dropped = bits
        self._add(begins, counts)


def boundary(counts: TimeCounts, stretch: Stretch, rank: float) -> int | Stretch | None:
    """Returns the time that as nearly `rank` rows as can be come before.

    Of two that are as near the earlier; but never one with no row before it.

    Args:
      counts: Of the times in the stretch.
      stretch: Where the time lies.
      rank: Rows that should have an earlier time.

    Returns:
      The time; or the stretch to count alone to find it; None if all rows come before.
    """
    before: np.ndarray = stretch.before + np.append(0, np.cumsum(counts.counts))
    if counts.dropped:
        place = int(np.clip(np.searchsorted(before, rank, "right") - 1, 0, len(counts.begins) - 1))
        begin = int(counts.begins[place]) << counts.dropped
        return Stretch(begin, begin + (1 << counts.dropped), int(before[place]))
    distances = np.abs(before - rank)
    if not stretch.before:
        distances[0] = np.inf
    place = int(np.argmin(distances))
    if place < len(counts.begins):
        return int(counts.begins[place])
    return None if stretch.end == _GREATEST else stretch.end


def counted(times: np.ndarray, stretches: Sequence[Stretch]) -> list[TimeCounts]:
    """Returns the counts of [rows] int64 times, by stretch."""
    found = []
    for stretch in stretches:
        counts = TimeCounts()
        counts.add(times[(times >= stretch.begin) & (times < stretch.end)])
        found.append(counts)
    return found
