"""Rows against records, on arrays alone: what must agree, and everything that must be noticed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.model.parity.matching import Side, compare, key_digest
from skewless.model.parity.report import Report

Rows = list[tuple[str, int, float]]
NAMES = ["id", "x"]


def side(rows: Rows, batch: int = 3) -> Side:
    def batches() -> Iterator[tuple[list[bytes], dict[str, np.ndarray]]]:
        for begin in range(0, len(rows), batch):
            part = rows[begin : begin + batch]
            yield (
                [key.encode() for key, _, _ in part],
                {
                    "id": np.array([[number, 7] for _, number, _ in part], np.int64),
                    "x": np.array([x for _, _, x in part], np.float32),
                },
            )
        yield [], {"id": np.zeros((0, 2), np.int64), "x": np.zeros(0, np.float32)}

    return batches


def report_of(
    served: Rows,
    stored: Rows,
    *,
    unique_keys: bool = True,
    rejected: tuple[str, ...] = (),
    whole: bool = True,
) -> Report:
    return compare(
        side(served),
        side(stored),
        NAMES,
        unique_keys=unique_keys,
        rejected={key_digest(key.encode()) for key in rejected},
        whole=whole,
    )


ROWS: Rows = [("a", 1, 0.5), ("b", 2, 0.25), ("c", 3, -1.0), ("d", 4, 9.0)]


def test_agreement_in_any_order() -> None:
    report = report_of(ROWS, ROWS[::-1])
    assert report.passed
    assert (report.rows, report.matched, report.records) == (4, 4, 4)
    assert (report.features, report.values) == (2, 4 * 3)


@pytest.mark.parametrize(
    ("served", "feature", "record", "value"),
    [
        (("c", 5, -1.0), "id", "[3 7]", "[5 7]"),
        (("c", 3, -1.00001), "x", "-1.0", "-1.00001"),
        (("c", 3, float("nan")), "x", "-1.0", "nan"),
    ],
)
def test_a_differing_value_is_named(
    served: tuple[str, int, float], feature: str, record: str, value: str
) -> None:
    report = report_of([*ROWS[:2], served, ROWS[3]], ROWS)
    assert not report.passed
    assert (report.matched, report.mismatches, report.unmatched_records) == (3, 1, 0)
    (difference,) = report.differences
    assert (difference.key, difference.feature) == ("c", feature)
    assert (difference.record, difference.served) == (record, value)
    assert "PARITY FAILS" in str(report)
    assert "key 'c'" in str(report)


def test_floats_may_differ_by_the_tolerance() -> None:
    report = report_of([*ROWS[:3], ("d", 4, 9.000001)], ROWS)
    assert report.passed
    assert (report.matched, report.within_tolerance) == (3, 1)


def test_a_lost_record_is_noticed_unless_rejected() -> None:
    report = report_of(ROWS, ROWS[1:])
    assert not report.passed
    assert report.mismatches == 1
    assert (report.differences[0].key, report.differences[0].feature) == ("a", "(row)")
    report = report_of(ROWS, ROWS[1:], rejected=("a",))
    assert report.passed
    assert report.extra == 1


def test_a_record_without_a_row_is_noticed_only_in_a_whole_input() -> None:
    report = report_of(ROWS[1:], ROWS)
    assert not report.passed
    assert report.unmatched_records == 1
    assert report_of(ROWS[1:], ROWS, whole=False).passed


def test_the_first_row_of_a_declared_key_wins() -> None:
    again: Rows = [("a", 8, 8.0), ("b", 2, 0.25)]
    report = report_of([*ROWS, *again], ROWS)
    assert report.passed
    assert (report.rows, report.duplicate, report.matched) == (6, 2, 4)
    assert not report_of([again[0], *ROWS], ROWS).passed


def test_equal_rows_without_a_key_are_counted() -> None:
    """A record lost among its equals must not hide behind them."""
    rows: Rows = [("h", 1, 0.5)] * 3
    assert report_of(rows, rows, unique_keys=False).passed
    lost = report_of(rows, rows[:2], unique_keys=False)
    assert not lost.passed
    assert (lost.matched, lost.mismatches) == (2, 1)
    more = report_of(rows[:2], rows, unique_keys=False)
    assert not more.passed
    assert more.unmatched_records == 1


def test_one_of_equal_rows_that_differs_is_paired_with_what_is_left() -> None:
    rows: Rows = [("h", 1, 0.5)] * 3
    report = report_of(rows, [*rows[:2], ("h", 1, 0.75)], unique_keys=False)
    assert (report.matched, report.mismatches, report.unmatched_records) == (2, 1, 0)
    assert report.differences[0].record == "0.75"


def test_nothing_replayed_proves_nothing() -> None:
    assert not report_of([], []).passed
    assert not report_of([], ROWS, whole=False).passed


def test_many_differences_show_the_first_few() -> None:
    served: Rows = [(f"k{i}", i, 0.0) for i in range(50)]
    stored: Rows = [(f"k{i}", i + 1, 0.0) for i in range(50)]
    report = report_of(served, stored)
    assert report.mismatches == 50
    assert len(report.differences) == 10


def test_more_differing_rows_than_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skewless.model.parity.matching._HELD", 7)
    served: Rows = [(f"k{i}", i, 1.0 + (i % 2) * 1e-7) for i in range(50)]
    stored: Rows = [(f"k{i}", i, 1.0) for i in range(50)]
    report = report_of(served, stored)
    assert report.passed
    assert (report.matched, report.within_tolerance) == (25, 25)


CELLS = st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.sampled_from([0.0, 1.0]))


@given(st.lists(CELLS, min_size=1, max_size=12), st.randoms())
def test_multisets_agree_exactly_when_equal(rows: Rows, random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    report = report_of(rows, shuffled, unique_keys=False)
    assert report.passed
    assert report.matched == len(rows)
    position = random.randrange(len(rows))  # type: ignore[attr-defined]
    key, number, x = shuffled[position]
    changed = [*shuffled[:position], (key, number + 10, x), *shuffled[position + 1 :]]
    report = report_of(rows, changed, unique_keys=False)
    assert (report.passed, report.matched, report.mismatches) == (False, len(rows) - 1, 1)
    dropped = shuffled[:position] + shuffled[position + 1 :]
    report = report_of(rows, dropped, unique_keys=False)
    assert (report.passed, report.mismatches) == (False, 1)
