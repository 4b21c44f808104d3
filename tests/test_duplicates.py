"""Of the valid rows with one key, the first in the order of --input is kept."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from apache_beam import Create, Pipeline
from apache_beam.testing.util import assert_that
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis.duplicates import FindDuplicates, _KeysOfUnits, _later_rows
from skewless.beam_pipelines.running.local_runner import LOCAL_RUNNER
from skewless.beam_pipelines.sources import plan
from skewless.schemas import parse
from tests.test_analysis_cache import bundle, by_partition

SPEC = parse(
    {
        "name": "notes",
        "key": "id",
        "features": {"grade": {"type": "numeric", "required": True}},
    }
)


def csv(path: Path, rows: list[tuple[str, str]]) -> str:
    path.write_text("id,grade\n" + "".join(f"{key},{grade}\n" for key, grade in rows))
    return str(path)


def test_later_rows_are_left_out_across_files_and_invalid_ones_do_not_count(tmp_path: Path) -> None:
    first = csv(tmp_path / "b.csv", [("x", "bad"), ("y", "1"), ("y", "2"), ("z", "3")])
    second = csv(tmp_path / "a.csv", [("z", "4"), ("x", "5"), ("x", "6"), ("w", "7")])
    units = plan([first, second], SPEC)

    def matches(found: list[dict[int, np.ndarray]]) -> None:
        # The first row of x is not valid, so the second file's first x is kept.
        assert [{order: rows.tolist() for order, rows in entry.items()} for entry in found] == [
            {0: [3], 1: [1, 3]}
        ]

    with Pipeline(runner=LOCAL_RUNNER) as pipeline:
        assert_that(
            pipeline | Create(units) | FindDuplicates(SPEC, str(tmp_path / "temporary")), matches
        )


def test_distinct_keys_leave_an_empty_answer(tmp_path: Path) -> None:
    units = plan([csv(tmp_path / "a.csv", [("x", "1"), ("y", "2")])], SPEC)

    def matches(found: list[dict[int, np.ndarray]]) -> None:
        assert found == [{}]

    with Pipeline(runner=LOCAL_RUNNER) as pipeline:
        assert_that(
            pipeline | Create(units) | FindDuplicates(SPEC, str(tmp_path / "temporary")), matches
        )


@settings(max_examples=25)
@given(
    files=st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_any_arrival_order_gives_the_answer_of_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]], order: Random
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    inputs = [
        csv(folder / f"{place}.csv", [(key, "1") for key in keys])
        for place, keys in enumerate(files)
    ]
    seen: set[str] = set()
    expected = set()
    for place, keys in enumerate(files):
        for row, key in enumerate(keys, 1):
            if key in seen:
                expected.add((place, row))
            seen.add(key)
    units = plan(inputs, SPEC)
    order.shuffle(units)
    bundles = [units[:1], units[1:]]
    runs = [
        run
        for some in bundles
        for run in bundle(_KeysOfUnits(SPEC, str(folder / "keys"), partitions=3), some)
    ]
    order.shuffle(runs)
    found = [
        (unit, int(row))
        for partition in by_partition(runs).items()
        for unit, rows in _later_rows(partition)
        for row in rows
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected
