"""Statistics, against values counted by hand, and the same from any cut of the rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.statistics.split_statistics import (
    IdStatistics,
    SplitStatistics,
    merge_statistics,
)
from skewless.schemas import parse

SPEC = parse(
    {
        "name": "s",
        "features": {
            "text": {"type": "text", "length": 3, "oov_buckets": 2},
            "user": {"type": "categorical"},
            "device": {"type": "categorical", "hash_buckets": 4},
            "age": {"type": "numeric"},
            "pair": {"type": "numeric", "columns": ["p", "q"]},
        },
        "label": {"column": "y", "type": "multiclass"},
    }
)
# IDs: 0 padding, 1 missing, 2 and 3 out of vocabulary for text, 2 alone for user.
COLUMNS = {
    "age": pa.array([10.0, 20.0, None, 40.0], pa.float32()),
    "p": pa.array([1.0, 1.0, 1.0, 1.0], pa.float32()),
    "q": pa.array([None, None, 2.0, 3.0], pa.float32()),
}
OUTPUTS = {
    "text": np.array([[4, 5, 4], [2, 4, 0], [0, 0, 0], [3, 0, 0]]),
    "__tokens__text": np.array([7, 2, 0, 1]),
    "user": np.array([3, 2, 1, 3]),
    "device": np.array([2, 3, 1, 5]),
    "__label__": np.array([0, 2, 2, 0]),
}


def added(rows: slice = slice(None)) -> SplitStatistics:
    statistics = SplitStatistics()
    batch = pa.RecordBatch.from_pydict(COLUMNS)[rows]
    statistics.add(SPEC, batch, {name: value[rows] for name, value in OUTPUTS.items()})
    return statistics


def test_counted_by_hand() -> None:
    summary = added().summary(SPEC)
    features = summary["features"]
    assert summary["rows"] == 4
    assert summary["label_counts"] == [2, 0, 2]
    text = features["text"]
    assert (text["rows"], text["missing"], text["distinct"]) == (4, 1, 4)
    assert text["oov_share"] == pytest.approx(2 / 6)
    assert text["truncated_share"] == pytest.approx(1 / 4)
    assert (text["length_quantiles"]["0.5"], text["length_quantiles"]["0.99"]) == (1, 7)
    user = features["user"]
    assert (user["missing"], user["distinct"]) == (1, 2)
    assert user["oov_share"] == pytest.approx(1 / 3)
    assert features["device"]["oov_share"] == 0.0
    age = features["age"]
    assert (age["rows"], age["missing"], age["min"], age["max"]) == (4, 1, 10.0, 40.0)
    assert age["mean"] == pytest.approx(70 / 3)
    assert age["standard_deviation"] == pytest.approx(np.std([10, 20, 40]))
    assert age["quantiles"]["0.5"] == 20.0
    assert (features["pair.q"]["missing"], features["pair.q"]["mean"]) == (2, 2.5)


def test_a_feature_without_values_has_no_range() -> None:
    summary = added(slice(2, 3)).summary(SPEC)["features"]
    assert summary["age"]["min"] is summary["age"]["max"] is None
    assert summary["text"]["oov_share"] == summary["user"]["oov_share"] == 0.0


@given(st.permutations([0, 1, 2, 3]), st.integers(0, 4))
def test_any_cut_and_order_gives_the_same(rows: list[int], cut: int) -> None:
    parts = [{"train": added(slice(row, row + 1))} for row in rows]
    left, right = merge_statistics(parts[:cut]), merge_statistics(parts[cut:])
    whole = merge_statistics([left, right])["train"]
    assert whole.summary(SPEC) == added().summary(SPEC)


@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=20))
def test_id_statistics_agree_with_a_plain_count(rows: list[list[int]]) -> None:
    width = 4
    ids = np.array([(row + [0] * width)[:width] for row in rows], np.int64).reshape(-1, width)
    tokens = np.array([len(row) for row in rows], np.int64)
    statistics = IdStatistics()
    statistics.add(ids, tokens)
    kept = [value for value in ids.reshape(-1).tolist() if value >= 2]
    summary = statistics.summary(1)
    assert summary["distinct"] == len(set(kept))
    assert summary["oov_share"] == (kept.count(2) / len(kept) if kept else 0.0)
    assert statistics.truncated == sum(len(row) > width for row in rows)
    assert summary["missing"] == sum(not row for row in rows)
