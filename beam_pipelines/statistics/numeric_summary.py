"""Exact, order-independent summaries of float32 columns.

Floating-point addition depends on its order, so a mean summed by two workers may differ in its
last bit from one summed by a single worker, and records with it. Here a float32 is taken apart
into an integer mantissa and an exponent, mantissas are summed per exponent as integers, and the
mean and variance are rounded once, at the end.

Quantiles come from counts of whole bit patterns (`pattern_counts`): exact, and order-independent too.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.statistics.pattern_counts import MOST_BINS, PatternCounts

__all__ = ["NumericSummary", "SummaryCoder"]

# np.frexp gives m * 2**e with |m| < 1; m * 2**24 is an integer for every float32, and the
# smallest e of a subnormal float32 is -148.
_MANTISSA_BITS = 24
_OFFSET = 160
_EXPONENTS = 320


@dataclass(eq=False)
class NumericSummary:
    """Count, exact sums and patterns of the finite values seen; NaN counts as missing.

    Attributes:
      rows: Values seen, missing ones too.
      count: Finite values seen.
      total: Sum of values, in units of 2**-(_OFFSET + 24).
      squares: Sum of squares, in units of the square of that.
      low, high: The least and greatest value; infinities of either sign when there is none.
      patterns: Counts of the values.
    """

    rows: int = 0
    count: int = 0
    total: int = 0
    squares: int = 0
    low: float = math.inf
    high: float = -math.inf
    patterns: PatternCounts = field(default_factory=PatternCounts)

    @classmethod
    def bounded(cls, most_bins: int = MOST_BINS) -> NumericSummary:
        """Returns an empty summary that keeps so many bins at most."""
        return cls(patterns=PatternCounts(most_bins))

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
        self.patterns.add(values)

    def merge(self, other: NumericSummary) -> None:
        """Adds everything that another summary has seen."""
        self.rows += other.rows
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.patterns.merge(other.patterns)

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

    @property
    def counts(self) -> np.ndarray:
        """[bins] int64, how many values each of `values()` stands for."""
        return self.patterns.counts

    def values(self) -> np.ndarray:
        """Returns [bins] float64, rising: the values that occur, or one for each bin of them."""
        values = self.patterns.values()
        return np.clip(values, self.low, self.high) if len(values) else values

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Returns the value at rank ceil(share * count) for each share; 0 when there is no value.

        Exact, or within `patterns.relative_error`.
        """
        found = self.patterns.quantiles(shares)
        return [min(max(value, self.low), self.high) for value in found] if self.count else found

    def quantile(self, share: float) -> float:
        """Returns the one quantile, as `quantiles` does."""
        return self.quantiles([share])[0]


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


class SummaryCoder:
    """A list of summaries as JSON: for the analysis cache, and from one job's worker to another."""

    def encode_cache(self, accumulator: list[NumericSummary]) -> bytes:
        """Returns the summaries as JSON bytes."""
        return json.dumps(
            [
                {
                    **{name: getattr(summary, name) for name in ("rows", "count")},
                    "total": str(summary.total),
                    "squares": str(summary.squares),
                    "range": [summary.low, summary.high],
                    "most_bins": summary.patterns.most_bins,
                    "dropped": summary.patterns.dropped,
                    "size": len(summary.patterns.bins),
                    "bins": _packed(summary.patterns.bins, "<u4"),
                    "counts": _packed(summary.patterns.counts, "<i8"),
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
                patterns=PatternCounts(
                    entry["most_bins"],
                    entry["dropped"],
                    _unpacked(entry["bins"], "<u4", entry["size"]),
                    _unpacked(entry["counts"], "<i8", entry["size"]),
                ),
            )
            for entry in json.loads(encoded_accumulator)
        ]


def _packed(numbers: np.ndarray, kind: str) -> str:
    packed = pa.compress(numbers.astype(kind).tobytes(), "zstd", asbytes=True)
    return base64.b64encode(packed).decode()


def _unpacked(packed: str, kind: str, size: int) -> np.ndarray:
    length = size * np.dtype(kind).itemsize
    whole = pa.decompress(base64.b64decode(packed), length, "zstd", asbytes=True)
    return np.frombuffer(whole, kind)
