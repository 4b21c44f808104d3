"""Histograms of statistics.json, against the rows they were counted from."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.csv
import pytest

from skewless.beam_pipelines.statistics.histograms import _counts, _edges
from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary
from tests.conftest import DataSet


@pytest.fixture(scope="module")
def statistics(shop: DataSet) -> dict:
    return json.loads((shop.directory / "statistics.json").read_text())


def test_every_value_is_in_a_bin_or_counted_as_another(statistics: dict) -> None:
    for entry in statistics["splits"].values():
        for name, feature in entry["features"].items():
            if "histogram" in feature:
                held = feature["rows"] - feature["missing"]
                assert sum(feature["histogram"]["counts"]) == held, name
            if "lengths" in feature:
                assert sum(feature["lengths"]["counts"]) == feature["rows"], name
    assert {"histogram", "frequent", "lengths"} <= {
        key for feature in statistics["features"].values() for key in feature
    }


def test_splits_have_the_same_bins_and_values(statistics: dict) -> None:
    train, held = (
        statistics["splits"]["train"]["features"],
        statistics["splits"]["eval"]["features"],
    )
    for name, feature in train.items():
        for key in ("histogram", "lengths"):
            if key in feature:
                assert feature[key]["edges"] == held[name][key]["edges"]
        if "frequent" in feature:
            assert [entry["value"] for entry in feature["frequent"]] == [
                entry["value"] for entry in held[name]["frequent"]
            ]


def test_frequent_values_are_the_rows_own(shop: DataSet, statistics: dict) -> None:
    rows = pyarrow.csv.read_csv(shop.source)
    users = [user for user in rows["user"].to_pylist() if user != "?"]
    splits = statistics["splits"]
    counted: dict[str, int] = {}
    for entry in splits.values():
        for item in entry["features"]["user"]["frequent"]:
            counted[item["value"]] = counted.get(item["value"], 0) + item["count"]
    others = sum(
        entry["features"]["user"]["others"] + entry["features"]["user"]["out_of_vocabulary"]
        for entry in splits.values()
    )
    assert counted == {user: users.count(user) for user in counted}
    assert sum(counted.values()) + others == len(users)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).normal(size=5_000),
        np.random.default_rng(1).lognormal(0, 4, 5_000),
        np.repeat([0.0, 1e6], [4_990, 10]),
        np.array([3.0, 5.0, 5.0]),
        np.full(10, 7.0),
        np.concatenate([np.zeros(4_000), np.random.default_rng(2).random(300) * 1e5]),
    ],
    ids=["normal", "long tail", "two values", "few", "one value", "zeros and a tail"],
)
def test_bins_hold_all_values_and_rise(values: np.ndarray) -> None:
    numbers = NumericSummary()
    numbers.add(values.astype(np.float32))
    edges = _edges(numbers)
    assert (np.diff(edges) > 0).all()
    if len(edges) > 1:
        counts = _counts(numbers, edges)
        assert sum(counts) == len(values)
        assert min(counts[0], counts[-1]) > 0
        inside = np.clip(values, edges[0], edges[-1])
        assert np.abs(np.histogram(inside, edges)[0] - counts).sum() < 0.02 * len(values)
        assert max(counts) < 0.97 * len(values) or len(np.unique(values)) < 5 or len(counts) > 5
    else:
        assert len(np.unique(values)) == 1
