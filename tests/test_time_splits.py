"""Splits by time: shares and dates, ties together, the same whatever the order and the memory."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis.time_counts import (
    EVERYTHING,
    Stretch,
    TimeCounts,
    boundary,
    counted,
)
from skewless.beam_pipelines.batch.leaks import shared_entities
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.statistics.split_statistics import IdStatistics, SplitStatistics
from skewless.model.training.records import open_records
from skewless.schemas import load, parse
from skewless.schemas.errors import DataError, SpecError
from skewless.schemas.records.records import KEY


def found(parts: list[np.ndarray], rank: float, most: int) -> int | None:
    """Returns the boundary, as the job finds it: stretches are counted again until it is exact."""
    place: int | Stretch | None = EVERYTHING
    while isinstance(place, Stretch):
        total = TimeCounts(most)
        for part in parts:
            (counts,) = counted(part, [place])
            total.merge(counts)
        assert len(total.begins) <= most
        place = boundary(total, place, rank)
    return place


@settings(deadline=None)
@given(
    st.lists(st.integers(-(10**17), 10**17) | st.integers(-5, 5), min_size=1, max_size=60),
    st.floats(0.01, 1),
    st.sampled_from([2, 7, 1000]),
    st.randoms(),
)
@example([3] * 10 + [4], 0.5, 1000, None)
def test_the_boundary_is_the_nearest_and_ties_stay_together(
    times: list[int], share: float, most: int, random: Any
) -> None:
    rank = share * len(times)
    ordered = sorted(times)
    candidates = [place for place in range(1, len(ordered)) if ordered[place - 1] < ordered[place]]
    nearest = min([*candidates, len(ordered)], key=lambda place: (abs(place - rank), place))
    mixed = list(times)
    if random is not None:
        random.shuffle(mixed)
    parts = [np.array(mixed[begin::3], np.int64) for begin in range(3)]
    edge = found(parts, rank, most)
    assert (
        sum(time < edge for time in times) == nearest if edge is not None else nearest == len(times)
    )


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def splits_of(directory: Path) -> dict[str, str]:
    """Returns the split of each key."""
    records = open_records(directory)
    return {
        key.decode(): split
        for split in ("train", "eval", "test")
        if records.rows(split)
        for features, *_ in records.in_order(split, batch_size=64, with_key=True)
        for key in features[KEY].numpy()
    }


def spec_of(split: dict[str, Any]) -> Any:
    document = {"name": "t", "key": "k", "features": {"x": {"type": "numeric"}}, "split": split}
    return parse(document)


ROWS = [
    {"k": str(place), "x": place, "at": f"2026-01-{1 + place // 10:02}T{place % 10 // 5:02}:00Z"}
    for place in range(100)
]


def test_the_oldest_rows_train_and_the_spec_says_up_to_when(tmp_path: Path) -> None:
    rows = [*reversed(ROWS), {"k": "none", "x": 1}, {"k": "bad", "x": 1, "at": "soon"}]
    spec = spec_of({"time": "at", "train": 0.73, "eval": 0.12, "test": 0.15})
    inputs = [written(tmp_path / f"{part}.jsonl", rows[part::2]) for part in range(2)]
    manifest = preprocess(spec, inputs, tmp_path / "out", max_rejected=1.0)
    assert manifest.rows.rejected == 2
    assert splits_of(tmp_path / "out") == {
        row["k"]: "train" if place < 75 else "eval" if place < 85 else "test"
        for place, row in enumerate(ROWS)
    }
    resolved = load(tmp_path / "out" / "spec.yaml")
    assert resolved.split.eval_from == "2026-01-08T01:00:00+00:00"
    assert resolved.split.test_from == "2026-01-09T01:00:00+00:00"
    assert resolved.sha256() == spec.sha256() == manifest.spec_sha256
    # New rows under the resolved spec are split where the old ones were.
    later = [{"k": "late", "x": 1, "at": 1_800_000_000}, {"k": "early", "x": 1, "at": "2025-12-31"}]
    source = written(tmp_path / "later.jsonl", later)
    transform = tmp_path / "out" / "transform"
    preprocess(resolved, [source], tmp_path / "more", transform=transform)
    assert splits_of(tmp_path / "more") == {"late": "test", "early": "train"}
    rejected = "".join(path.read_text() for path in (tmp_path / "out" / "rejected").iterdir())
    assert "the time that splits rows is missing" in rejected and "got 'soon'" in rejected


def test_dates_split_where_they_say_and_no_row_with_a_time_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", ROWS)
    spec = spec_of({"time": "at", "eval_from": "2026-01-04", "test_from": "2026-01-06T02:00+01:00"})
    preprocess(spec, [source], tmp_path / "out")
    assert Counter(splits_of(tmp_path / "out").values()) == {"train": 30, "eval": 25, "test": 45}
    assert load(tmp_path / "out" / "spec.yaml").split == spec.split
    nothing = written(tmp_path / "none.jsonl", [{"k": "1", "x": 1}])
    with pytest.raises(DataError, match="no row holds a time in column 'at'"):
        preprocess(spec_of({"time": "at"}), [nothing], tmp_path / "none", max_rejected=1.0)


@pytest.mark.parametrize(
    ("split", "text"),
    [
        ({"time": "at", "by": "k"}, "'time' splits by itself"),
        ({"eval_from": "2026-01-01"}, "times of the column 'time'"),
        ({"time": "at", "eval_from": "soon"}, "expected a time as ISO 8601"),
        ({"time": "at", "eval_from": "2026-02-01", "test_from": "2026-01-01"}, "up to test_from"),
        ({"time": "x"}, "split.time: features.x reads column 'x' as float32"),
    ],
)
def test_what_a_spec_may_not_say_of_a_split_by_time(split: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(split)
    assert text in str(caught.value)


def test_a_random_split_that_shares_entities_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"k": str(place), "who": f"u{place % 60}", "at": f"2026-01-{1 + place % 28:02}"}
        for place in range(600)
    ]
    features = {"who": {"type": "categorical"}, "at": {"type": "timestamp"}}
    spec = parse({"name": "t", "key": "k", "features": features})
    preprocess(spec, [written(tmp_path / "rows.jsonl", rows)], tmp_path / "out")
    assert "of the held-out rows have a who that training rows have too" in caplog.text
    assert "split: {time: at, train: 0.8" in caplog.text


@pytest.mark.parametrize(
    ("split", "values", "shared"),
    [({}, 60, 0.9), ({}, 40, None), ({"by": "who"}, 60, None), ({"time": "at"}, 60, None)],
)
def test_what_is_an_entity_on_both_sides(
    split: dict[str, Any], values: int, shared: float | None
) -> None:
    spec = parse({"name": "t", "features": {"who": {"type": "categorical"}}, "split": split})
    train, held = SplitStatistics(rows=10 * values), SplitStatistics(rows=10)
    train.ids["who"] = IdStatistics(ids=np.array([0, 0, 0, *[10] * values]))
    held.ids["who"] = IdStatistics(ids=np.array([0, 0, 1, *[1] * 9]))
    found = shared_entities(spec, {"train": train, "test": held})
    assert found == ({} if shared is None else {"who": shared})
