"""Accounting fails whenever a unit, a row or a file is lost or repeated."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from skewless.beam_pipelines.records.accounting import UnitAccount, account, check_rejected
from skewless.beam_pipelines.records.parts import Part
from skewless.beam_pipelines.sources import WorkUnit
from skewless.schemas.errors import AccountingError, DataError, TooManyRejectedError
from skewless.schemas.records.manifest import Rows
from skewless.schemas.rows.reasons import undecompressed, unread

UNITS = [
    WorkUnit("a.csv", "csv", end=90, first_row=1, order=0),
    WorkUnit("a.csv", "csv", start=90, first_row=11, order=1),
    WorkUnit("b.csv", "csv", first_row=1, order=2),
]
ACCOUNTS = [
    UnitAccount(0, "a.csv", read=10, written=8, rejected=1, duplicate=1),
    UnitAccount(1, "a.csv", read=4, written=4),
    UnitAccount(2, "b.csv", read=3, written=3),
]
PARTS = [
    Part("records", "train", "r0", 12),
    Part("records", "eval", "r1", 3),
    Part("rejected", "", "j0", 1),
    Part("raw", "eval", "w0", 3),
]
COUNTED = {0: 10, 1: 4, 2: 3}


def test_what_adds_up_is_counted() -> None:
    rows = Rows(read=17, written=15, rejected=1, duplicate=1)
    assert account(UNITS, COUNTED, ACCOUNTS, PARTS) == rows
    assert account(UNITS, {}, ACCOUNTS, PARTS) == rows


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"accounts": ACCOUNTS[:2]}, "of 3 work units, 1 were not written exactly once"),
        ({"accounts": [*ACCOUNTS, ACCOUNTS[2]]}, "of 3 work units, 1 were not written exactly"),
        ({"parts": PARTS[1:]}, r"rows read 17 != written 3 \+ rejected 1 \+ duplicate 1"),
        ({"parts": [*PARTS, PARTS[1]]}, r"rows read 17 != written 18 \+"),
        ({"parts": [p for p in PARTS if p.kind != "rejected"]}, r"written 15 \+ rejected 0 \+"),
        ({"counted": {0: 10, 1: 4, 2: 5}}, "b.csv: 5 records were read for analysis, 3 for writ"),
        ({"counted": {0: 10, 1: 4}}, "analysis saw 2 of 3 work units"),
        (
            {"accounts": [replace(ACCOUNTS[0], read=9, written=7), *ACCOUNTS[1:]], "counted": {}},
            "a.csv: rows 1 to 10 were planned, 9 records were read",
        ),
    ],
)
def test_anything_lost_or_repeated_is_refused(broken: dict, message: str) -> None:
    given = {"counted": COUNTED, "accounts": ACCOUNTS, "parts": PARTS, **broken}
    with pytest.raises(AccountingError, match=message):
        account(UNITS, **given)


def test_an_input_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="the input holds no rows; check --input"):
        account(UNITS[2:], {}, [UnitAccount(2, "b.csv")], [])


def test_the_summary_of_rejections_counts_reasons_and_says_where_rows_are() -> None:
    rows = Rows(read=100, written=97, rejected=3, duplicate=0)
    reasons = Counter({("age", "expected a number"): 2, (None, "too many fields"): 1})
    accounts = [UnitAccount(0, "a.csv", read=100, rejected=3, reasons=reasons)]
    check_rejected(rows, accounts, 0.03, "out.rejected")
    with pytest.raises(TooManyRejectedError) as caught:
        check_rejected(rows, accounts, 0.029, "out.rejected")
    message = str(caught.value)
    assert "3 of 100 rows (3.0%) were rejected, more than --max-rejected 0.029 allows" in message
    assert message.index("2  age: expected a number") < message.index("1  row: too many fields")
    assert "out.rejected" in message


@pytest.mark.parametrize("reason", [undecompressed("it ends early"), unread("it ends in a record")])
def test_a_file_that_is_cut_off_is_refused_however_few_rows_it_rejects(reason: str) -> None:
    lost = Counter({(None, reason): 1})
    accounts = [UnitAccount(0, "a.csv.gz", read=1_254, written=1_253, rejected=1, reasons=lost)]
    rows = Rows(read=1_254, written=1_253, rejected=1, duplicate=0)
    with pytest.raises(TooManyRejectedError) as caught:
        check_rejected(rows, accounts, 0.99, "out.rejected")
    message = str(caught.value)
    assert f"a.csv.gz: {reason}\n" in message
    assert "--max-rejected 1; where each ends is in out.rejected" in message
    check_rejected(rows, accounts, 1, "out.rejected")


def test_a_job_of_which_every_row_is_rejected_tells_the_reasons_whatever_share_may_be() -> None:
    reasons = Counter({("age", "expected a number"): 3})
    accounts = [UnitAccount(0, "a.csv", read=3, rejected=3, reasons=reasons)]
    rows = Rows(read=3, written=0, rejected=3, duplicate=0)
    with pytest.raises(TooManyRejectedError) as caught:
        check_rejected(rows, accounts, 1, "out.rejected", learning=True)
    check_rejected(rows, accounts, 1, "out.rejected")
    message = str(caught.value)
    assert "3 of 3 rows (100.0%) were rejected, so none is left:\n" in message
    assert "3  age: expected a number" in message and message.endswith("out.rejected; mend them")
