"""Counts of float32 bit patterns: a multiset of numbers, exact until it outgrows a bound.

Quantiles come from counts of whole bit patterns, so they are values that occurred, at exactly the
rank asked for, while no more than `most_bins` distinct values do. Beyond that the fewest low bits
of the pattern are dropped that bring its bins under the bound.

How many that are follows from the multiset alone, whatever the order of values, the batches they
came in and the shape of the tree that merged them. Let D(M) be the least d for which the values of
M, cut by d bits, fall into at most `most_bins` bins. Fewer values never have more bins, and a
coarser cut never has more than a finer one. So counts of a part P of M have dropped D(P) <= D(M)
bits: by induction none on the way has dropped more than D(M), the last one holds all of M, and it
drops further only while it has too many bins; so it stops at D(M). Cutting by a bits and then by b
is cutting by a + b, so its counts are those of M itself, cut by D(M). Counts made under different
bounds merge under the smaller one, for which the same holds.

With d bits dropped a quantile is off by less than 2**(d - 23) of itself, towards zero (of the
least normal number, where it is smaller than that). Values of E different signs and exponents have
at most E * 2**(23 - d) bins, so that is at most 2 * E / most_bins: with a million bins, values of
one sign between 1 and 1,000 (E = 10) are within 2e-5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from skewless.schemas.spec.spec import Spec

__all__ = ["MOST_BINS", "PatternCounts", "bins_allowed"]

MOST_BINS = 1 << 20
# Of all columns together, at 12 bytes a bin: 200 MB for each analysis under way.
_ALL_BINS = 1 << 24
_LEAST_BINS = 1 << 14
# So many patterns, or half as many as there are bins, are gathered and then counted at once.
_GATHERED = 1 << 14
_SIGN = np.uint32(0x80000000)


def bins_allowed(spec: Spec) -> int:
    """Returns how many bins one column may have: fewer where there are many columns."""
    features = spec.features.values()
    columns = 1 + sum(
        feature.width for feature in features if feature.is_number or feature.numbers_of_step
    )
    return max(_LEAST_BINS, min(MOST_BINS, _ALL_BINS // columns))


@dataclass(eq=False)
class PatternCounts:
    """How often each bit pattern of a finite float32 occurs.

    Attributes:
      most_bins: So many bins are kept at most.
    """

    most_bins: int = MOST_BINS
    _dropped: int = 0
    _bins: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint32))
    _counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    _gathered: list[np.ndarray] = field(default_factory=list)
    _waiting: int = 0

    def add(self, values: np.ndarray) -> None:
        """Adds [count] finite float32 values, no negative zero among them."""
        bits = values.view(np.uint32)
        self._gathered.append(np.where(bits & _SIGN, ~bits, bits | _SIGN))
        self._waiting += values.size
        if self._waiting >= max(_GATHERED, len(self._bins) // 2):
            self._settle()

    def merge(self, other: PatternCounts) -> None:
        """Adds everything that another has counted."""
        self.most_bins = min(self.most_bins, other.most_bins)
        self._settle()
        self._add_bins(other.bins, other.counts, other.dropped)

    @property
    def dropped(self) -> int:
        """The low bits of each pattern that are not kept; 0 while quantiles are exact."""
        self._settle()
        return self._dropped

    @property
    def relative_error(self) -> float:
        """By how much of itself a quantile may be off, towards zero; 0 while it is exact."""
        return math.ldexp(1.0, self.dropped - 23) if self.dropped else 0.0

    @property
    def bins(self) -> np.ndarray:
        """[bins] uint32, rising: the patterns that occur, in the order of values, less `dropped`."""
        self._settle()
        return self._bins

    @property
    def counts(self) -> np.ndarray:
        """[bins] int64, how many values are in each of `bins`."""
        self._settle()
        return self._counts

    def values(self) -> np.ndarray:
        """Returns [bins] float64, rising: of each of `bins` the value nearest to zero."""
        return _values(self.bins, self._dropped)

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Returns for each share the value at rank ceil(share * count), counted from 1.

        Exactly that value, as sorting finds it, while `dropped` is 0; else within
        `relative_error`. 0 when there is no value.
        """
        cumulative = np.cumsum(self.counts)
        if not len(cumulative):
            return [0.0] * len(shares)
        count = int(cumulative[-1])
        ranks = [
            max(1, math.ceil(Fraction(share).limit_denominator(1_000_000) * count))
            for share in shares
        ]
        places = np.searchsorted(cumulative, np.array(ranks, np.int64))
        found: list[float] = _values(self._bins[places], self._dropped).tolist()
        return found

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        return self.__dict__

    def _settle(self) -> None:
        """Counts the patterns gathered."""
        if self._gathered:
            patterns = np.sort(np.concatenate(self._gathered))
            self._gathered, self._waiting = [], 0
            starts = _starts(patterns)
            self._add_bins(patterns[starts], np.diff(starts, append=patterns.size), 0)

    def _add_bins(self, bins: np.ndarray, counts: np.ndarray, dropped: int) -> None:
        """Adds rising bins and their counts, then drops the fewest bits that the bound asks for."""
        most = max(self._dropped, dropped)
        own = _cut(self._bins, self._counts, most - self._dropped)
        found, totals = _united(*own, *_cut(bins, counts, most - dropped))
        more = _bits_to_drop(found, self.most_bins)
        self._bins, self._counts = _cut(found, totals, more)
        self._dropped = most + more


def _starts(rising: np.ndarray) -> np.ndarray:
    """Returns where each different one of rising numbers begins."""
    return np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))


def _values(bins: np.ndarray, dropped: int) -> np.ndarray:
    """Returns [bins] float64 values of float32 patterns that lack low bits."""
    ordered = bins << np.uint32(dropped)
    ordered = np.where(ordered < _SIGN, ordered | np.uint32((1 << dropped) - 1), ordered)
    bits = np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered).astype(np.uint32)
    return bits.view(np.float32).astype(np.float64)


def _united(
    bins: np.ndarray, counts: np.ndarray, more: np.ndarray, more_counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bins of both, rising, and their counts; none of the arrays is altered."""
    if not len(bins):
        return more, more_counts
    places = np.searchsorted(bins, more)
    known = bins[np.minimum(places, len(bins) - 1)] == more
    counts = counts.copy()
    counts[places[known]] += more_counts[known]
    if known.all():
        return bins, counts
    new = places[~known]
    return np.insert(bins, new, more[~known]), np.insert(counts, new, more_counts[~known])


def _cut(bins: np.ndarray, counts: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns bins without `bits` more low bits, those that are then equal together."""
    if not bits or not len(bins):
        return bins, counts
    bins = bins >> np.uint32(bits)
    starts = _starts(bins)
    return bins[starts], np.add.reduceat(counts, starts)


def _bits_to_drop(bins: np.ndarray, most: int) -> int:
    """Returns the fewest low bits without which rising bins are at most `most` different ones."""
    if len(bins) <= most:
        return 0
    # Neighbours become one once every bit is gone in which they differ.
    _, differing = np.frexp((bins[1:] ^ bins[:-1]).astype(np.float64))
    return int(np.sort(differing)[len(differing) - most])
