"""Exact, order-independent summaries of float32 columns.

Floating-point addition depends on its order, so a mean summed by two workers may differ in its
last bit from one summed by a single worker, and records with it. Here a float32 is taken apart
into an integer mantissa and an exponent, mantissas are summed per exponent as integers, and the
mean and variance are rounded once, at the end.

Quantiles come from a histogram on the float32 bit pattern, cut to sign, exponent and 13 bits of
mantissa: log-linear bins as in HDR Histogram (Tene) and DDSketch (Masson et al. 2019), with a
relative error below 2**-13. Integers below 2**14 in magnitude have a bin of their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

__all__ = ["NumericSummary", "SummaryCoder"]

_DROPPED_BITS = 10
_SIGN = np.uint32(0x80000000)
# np.frexp gives m * 2**e with |m| < 1; m * 2**24 is an integer for every float32, and the
# smallest e of a subnormal float32 is -148.
_MANTISSA_BITS = 24
_OFFSET = 160
_EXPONENTS = 320


@dataclass
class NumericSummary:
    """Count, exact sums and histogram of the finite values seen; NaN counts as missing.

    Attributes:
      rows: Values seen, missing ones too.
      count: Finite values seen.
      total: Sum of values, in units of 2**-(_OFFSET + 24).
      squares: Sum of squares, in units of the square of that.
      low, high: The least and greatest value; infinities of either sign when there is none.
      bins: [bins] uint32, sorted; the cut bit patterns seen.
      counts: [bins] int64, values in each bin.
    """

    rows: int = 0
    count: int = 0
    total: int = 0
    squares: int = 0
    low: float = math.inf
    high: float = -math.inf
    bins: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint32))
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, values: np.ndarray) -> None:
        """Adds [count] float32 values; those that are not finite count as missing."""
        self.rows += values.size
        # + 0.0 makes one zero of two; which of them came first must not show.
        values = values[np.isfinite(values)].astype(np.float32, copy=False) + np.float32(0.0)
        if not values.size:
            return
        self.count += values.size
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        mantissas, exponents = np.frexp(values.astype(np.float64))
        integers = np.ldexp(mantissas, _MANTISSA_BITS).astype(np.int64)
        places = exponents.astype(np.int64) + _OFFSET
        self.total += _shifted_sum(places, integers)
        squares = integers * integers
        low_half = squares & ((1 << _MANTISSA_BITS) - 1)
        self.squares += _shifted_sum(2 * places, low_half)
        self.squares += _shifted_sum(2 * places, squares >> _MANTISSA_BITS) << _MANTISSA_BITS
        bins, counts = np.unique(_bins(values), return_counts=True)
        self._add_bins(bins, counts)

    def merge(self, other: NumericSummary) -> None:
        """Adds everything that another summary has seen."""
        self.rows += other.rows
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self._add_bins(other.bins, other.counts)

    def _add_bins(self, bins: np.ndarray, counts: np.ndarray) -> None:
        merged, inverse = np.unique(np.concatenate([self.bins, bins]), return_inverse=True)
        totals = np.zeros(merged.size, np.int64)
        np.add.at(totals, inverse, np.concatenate([self.counts, counts]))
        self.bins, self.counts = merged, totals

    @property
    def mean(self) -> float:
        """The mean, rounded once; 0 when there is no value."""
        if not self.count:
            return 0.0
        return float(Fraction(self.total, self.count << (_OFFSET + _MANTISSA_BITS)))

    @property
    def standard_deviation(self) -> float:
        """The population standard deviation; 0 when there is no value."""
        if not self.count:
            return 0.0
        unit = 1 << (2 * (_OFFSET + _MANTISSA_BITS))
        variance = Fraction(
            self.squares * self.count - self.total * self.total, self.count * self.count * unit
        )
        return math.sqrt(float(variance))

    def values(self) -> np.ndarray:
        """Returns [bins] float64, rising: the value that stands for each of `bins`."""
        values = _bin_values(self.bins).astype(np.float64)
        return np.clip(values, self.low, self.high) if len(values) else values

    def quantile(self, share: float) -> float:
        """Returns the bin value at rank ceil(share * count); 0 when there is no value."""
        if not self.count:
            return 0.0
        rank = max(1, math.ceil(Fraction(share).limit_denominator(1_000_000) * self.count))
        place = int(np.searchsorted(np.cumsum(self.counts), rank))
        value = float(_bin_values(self.bins[place : place + 1])[0])
        return min(max(value, self.low), self.high)


def merged(summaries: Iterable[NumericSummary]) -> NumericSummary:
    """Returns one summary of everything that all of them have seen."""
    result = NumericSummary()
    for summary in summaries:
        result.merge(summary)
    return result


def _shifted_sum(places: np.ndarray, integers: np.ndarray) -> int:
    """Returns sum(integers << places) exactly; float64 holds each place's sum below 2**53."""
    total = 0
    for begin in range(0, integers.size, 1 << 24):
        part = slice(begin, begin + (1 << 24))
        sums = np.bincount(places[part], weights=integers[part], minlength=_EXPONENTS)
        for place in np.flatnonzero(sums):
            total += int(sums[place]) << int(place)
    return total


def _bins(values: np.ndarray) -> np.ndarray:
    bits = values.view(np.uint32)
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return ordered >> _DROPPED_BITS


def _bin_values(bins: np.ndarray) -> np.ndarray:
    negative = bins < (_SIGN >> _DROPPED_BITS)
    ordered = bins.astype(np.uint32) << np.uint32(_DROPPED_BITS)
    ordered = np.where(negative, ordered | np.uint32((1 << _DROPPED_BITS) - 1), ordered)
    bits = np.where(ordered & _SIGN, ordered ^ _SIGN, ~ordered).astype(np.uint32)
    return bits.view(np.float32)


class SummaryCoder:
    """A list of summaries as JSON, for tf.Transform's analyzer cache."""

    def encode_cache(self, accumulator: list[NumericSummary]) -> bytes:
        """Returns the summaries as JSON bytes."""
        return json.dumps(
            [
                {
                    **{name: getattr(summary, name) for name in ("rows", "count")},
                    "total": str(summary.total),
                    "squares": str(summary.squares),
                    "range": [summary.low, summary.high],
                    "bins": summary.bins.tolist(),
                    "counts": summary.counts.tolist(),
                }
                for summary in accumulator
            ]
        ).encode()

    def decode_cache(self, encoded_accumulator: bytes) -> list[NumericSummary]:
        """Returns the summaries that `encode_cache` wrote."""
        return [
            NumericSummary(
                rows=entry["rows"],
                count=entry["count"],
                total=int(entry["total"]),
                squares=int(entry["squares"]),
                low=entry["range"][0],
                high=entry["range"][1],
                bins=np.array(entry["bins"], np.uint32),
                counts=np.array(entry["counts"], np.int64),
            )
            for entry in json.loads(encoded_accumulator)
        ]
