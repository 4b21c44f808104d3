"""Summaries are exact, and the same however rows are grouped and ordered."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis.numeric_constants import numeric_constants
from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary, SummaryCoder, merged
from skewless.beam_pipelines.statistics.pattern_counts import MOST_BINS, bins_allowed
from skewless.schemas.spec.spec import parse

_FLOATS = st.lists(st.floats(width=32, allow_infinity=True, allow_nan=True), max_size=60)


def summary_of(values: list[float]) -> NumericSummary:
    summary = NumericSummary()
    summary.add(np.array(values, np.float32))
    return summary


def same(left: NumericSummary, right: NumericSummary) -> bool:
    return SummaryCoder().encode_cache([left]) == SummaryCoder().encode_cache([right])


@given(values=_FLOATS, data=st.data())
def test_grouping_and_order_change_nothing(values: list[float], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(values))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))
    parts = [
        summary_of(shuffled[a:b]) for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True)
    ]
    assert same(merged(parts), summary_of(values))


@given(values=_FLOATS)
def test_mean_and_deviation_are_rounded_once(values: list[float]) -> None:
    present = [Fraction(value) for value in values if math.isfinite(value)]
    summary = summary_of(values)
    assert (summary.rows, summary.count) == (len(values), len(present))
    if present:
        mean = sum(present) / len(present)
        variance = sum((value - mean) ** 2 for value in present) / len(present)
        assert summary.mean == float(mean)
        assert summary.standard_deviation == math.sqrt(float(variance))


def ranked(values: np.ndarray, share: float) -> float:
    """The value at rank ceil(share * count) of the sorted float32 values."""
    rank = max(1, math.ceil(Fraction(share).limit_denominator(1_000_000) * values.size))
    return float(np.sort(values.astype(np.float32))[rank - 1])


def columns_of_numbers() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    return {
        "longitudes": -87.6 + random.normal(0, 0.05, 30_000).round(6),
        "epoch seconds": random.integers(1_600_000_000, 1_700_000_000, 30_000),
        "years": random.integers(1900, 2027, 30_000),
        "prices": random.normal(100, 15, 30_000).round(2),
        "ties": np.repeat([0.0, 1.0, 2.5, -3.0], [20_000, 5_000, 4_000, 1_000]),
        "a million": random.permutation(np.arange(1_000_000, dtype=np.uint32) + 0x3F800000).view(
            np.float32
        ),
        "subnormals and zeros": np.array([-0.0, 0.0, 1e-45, -1e-45, 3e-39, 1.0]),
        "one": np.array([-87.65]),
    }


COLUMNS = columns_of_numbers()


@pytest.mark.parametrize("name", COLUMNS)
def test_bucket_boundaries_are_the_ranked_values(name: str) -> None:
    values = np.concatenate([COLUMNS[name].astype(np.float32), [np.nan, np.inf, -np.inf]])
    summary = merged(summary_of(part) for part in np.array_split(values.astype(np.float32), 9))
    constants = numeric_constants([summary], 10)
    shares = [bucket / 10 for bucket in range(1, 10)]
    expected = [ranked(COLUMNS[name], share) for share in shares]
    assert constants.boundaries[0].tolist() == expected
    assert constants.median.tolist() == [ranked(COLUMNS[name], 0.5)]
    assert summary.patterns.dropped == 0
    if name == "longitudes":
        # Each of ten buckets holds a tenth of the rows.
        places = np.searchsorted(constants.boundaries[0], COLUMNS[name].astype(np.float32), "right")
        assert np.ptp(np.bincount(places, minlength=10)) < 30


def test_no_value_has_quantiles_of_zero() -> None:
    assert summary_of([]).quantiles([0.1, 0.9]) == [0.0, 0.0]
    assert summary_of([math.nan]).quantile(0.5) == 0.0


@given(
    values=st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False)
        | st.floats(99, 101, width=32)
        | st.sampled_from([0.0, -0.0, 1.0]),
        min_size=1,
        max_size=200,
    ),
    data=st.data(),
)
def test_bits_dropped_follow_from_the_values_alone(
    values: list[float], data: st.DataObject
) -> None:
    most = 16
    numbers = np.array(values, np.float32) + np.float32(0)
    shuffled = data.draw(st.permutations(numbers.tolist()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=5)))
    parts = []
    for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True):
        part = NumericSummary.bounded(data.draw(st.sampled_from([most, 64])))
        part.add(np.array(shuffled[a:b], np.float32))
        parts.append(part)
    parts.append(NumericSummary.bounded(most))
    while len(parts) > 1:  # any tree
        taken = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        parts[data.draw(st.integers(0, len(parts) - 1))].merge(taken)
    whole = NumericSummary.bounded(most)
    whole.add(numbers)
    assert same(parts[0], whole)
    # The fewest bits: the patterns counted by Python, cut one bit less, are too many.
    bits = [int(pattern) for pattern in numbers.view(np.uint32)]
    patterns = {b ^ 0xFFFFFFFF if b >> 31 else b | 1 << 31 for b in bits}
    dropped = whole.patterns.dropped
    assert len({pattern >> dropped for pattern in patterns}) == len(whole.counts) <= most
    assert dropped == 0 or len({pattern >> dropped - 1 for pattern in patterns}) > most


@given(values=st.lists(st.floats(-(2.0**20), 2.0**20, width=32), min_size=1, max_size=300))
def test_quantiles_are_within_the_stated_error(values: list[float]) -> None:
    summary = NumericSummary.bounded(1 << 6)
    numbers = np.array(values, np.float32)
    summary.add(numbers)
    shares = [0.01, 0.25, 0.5, 0.9]
    for share, found in zip(shares, summary.quantiles(shares), strict=True):
        exact = ranked(numbers, share)
        room = max(abs(exact), float(np.finfo(np.float32).tiny))
        assert abs(found - exact) <= summary.patterns.relative_error * room
        assert abs(found) <= abs(exact)
    exponents = {(v < 0, math.frexp(v)[1]) for v in numbers.astype(float).tolist() if v}
    if summary.patterns.dropped and np.all(np.abs(numbers[numbers != 0]) >= 2.0**-126):
        assert summary.patterns.relative_error <= 2 * (len(exponents) + 1) / (1 << 6)


def test_many_columns_share_the_bins() -> None:
    def allowed(columns: int) -> int:
        features = {f"x{i}": {"type": "numeric"} for i in range(columns)}
        return bins_allowed(parse({"name": "t", "features": features}))

    assert allowed(1) == allowed(15) == MOST_BINS >= 10**6
    assert MOST_BINS > allowed(50) > allowed(500) > 2**14
    assert allowed(2_000) == 2**14


@given(values=_FLOATS)
def test_the_cache_coder_round_trips(values: list[float]) -> None:
    coder = SummaryCoder()
    encoded = coder.encode_cache([summary_of(values)])
    assert coder.encode_cache(coder.decode_cache(encoded)) == encoded
