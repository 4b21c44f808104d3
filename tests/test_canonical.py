"""Canonical values: each is exact or a fault, and neither depends on the values beside it."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skewless.schemas import parse
from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.rows.reasons import Faults
from skewless.schemas.spec.features import Kind

SPEC = parse({"name": "t", "features": {"x": {"type": "numeric"}}})
CELLS = st.one_of(
    st.text("0123456789+-.eExX_() nafi١²", max_size=12),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(width=32).map(str),
    st.sampled_from(["0x1F", "-0X1f", "nan(1)", "1e999999", "1e-999999", "1e18", "9e18", "1e19"]),
)


def values_of(array: pa.Array, kind: Kind, **column: Any) -> tuple[list[Any], Faults]:
    values, faults = canonical(array, RawColumn("x", kind, **column), SPEC)
    values.validate(full=True)
    return values.to_pylist(), faults


def exact_integer(text: str) -> int | None:
    """What the text is worth, by exact fractions; None where it is no whole number of 64 bits."""
    try:
        if "_" in text or "/" in text or abs(decimal.Decimal(text).adjusted()) > 100:
            return None
        number = Fraction(text.strip())
    except (ValueError, ArithmeticError):
        return None
    whole = number.denominator == 1 and -(2**63) <= number < 2**63
    return int(number) if whole else None


@given(st.lists(CELLS, max_size=6), st.integers(0, 6))
@example(["0x1F", "7"], 1)
@example(["1e999999", "7"], 1)
def test_neighbours_decide_nothing(cells: list[str], cut: int) -> None:
    for kind in ("int64", "float32"):
        values, faults = values_of(pa.array(cells, pa.string()), kind)  # type: ignore[arg-type]
        parts = [values_of(pa.array(p, pa.string()), kind) for p in (cells[:cut], cells[cut:])]  # type: ignore[arg-type]
        assert repr(parts[0][0] + parts[1][0]) == repr(values)
        shifted = {at + len(cells[:cut]): reason for at, reason in parts[1][1].items()}
        assert {**parts[0][1], **shifted} == faults


@pytest.mark.parametrize("text", ["10000000000000000000.000000001", "0." + "1" * 38, "1" * 38])
def test_a_decimal_keeps_all_its_digits_as_text(text: str) -> None:
    kind = pa.decimal256(76, len(text.partition(".")[2]) + 1)
    assert values_of(pa.array([decimal.Decimal(text)], kind), "string") == ([text], {})


@given(CELLS)
def test_an_integer_is_its_exact_value_or_a_fault(cell: str) -> None:
    (value,), faults = values_of(pa.array([cell]), "int64")
    if not cell.strip():
        assert (value, faults) == (None, {})
    else:
        assert value == exact_integer(cell)
        assert (value is None) == bool(faults)


@given(CELLS)
def test_a_number_is_pythons_float_or_a_fault(cell: str) -> None:
    (value,), faults = values_of(pa.array([cell]), "float32")
    try:
        expected = math.nan if "_" in cell or not cell.strip() else float(cell)
    except ValueError:
        expected = math.nan
    with np.errstate(over="ignore"):
        narrow = float(np.float32(expected))
    assert value == (narrow if math.isfinite(narrow) else None)
    if value is not None:
        assert not faults


def test_whole_numbers_that_no_double_holds() -> None:
    big = pa.array([2**62 + 1, -(2**63), None])
    assert values_of(big, "float32") == ([float(2**62), float(-(2**63)), None], {})
    assert values_of(big, "int64") == ([2**62 + 1, -(2**63), None], {})
    assert values_of(big, "string") == ([str(2**62 + 1), str(-(2**63)), None], {})
    values, faults = values_of(pa.array([2**64 - 1, 5], pa.uint64()), "int64")
    assert values == [None, 5]
    assert "expected an integer within 64 bits" in faults[0]


@pytest.mark.parametrize(
    "kind",
    [
        pa.date32(),
        pa.date64(),
        pa.timestamp("s"),
        pa.timestamp("us"),
        pa.timestamp("us", "UTC"),
        pa.duration("s"),
        pa.time64("us"),
    ],
    ids=str,
)
def test_a_time_that_python_cannot_hold_is_a_fault_of_its_own(kind: pa.DataType) -> None:
    wide = pa.int32() if kind.bit_width == 32 else pa.int64()
    stored = pa.array([0, 2 ** (kind.bit_width - 2), None], wide).view(kind)
    values, faults = values_of(stored, "string")
    assert values[0] == values_of(stored[:1], "string")[0][0] is not None
    assert values[1:] == [None, None]
    assert list(faults) == [1]
    assert str(2 ** (kind.bit_width - 2)) in faults[1]
    assert "write it as text" in faults[1]


def test_an_unknown_time_zone_is_a_fault_of_each_value() -> None:
    times = pa.array([0, None, 1], pa.timestamp("us", "Mars/Base"))
    values, faults = values_of(times, "string")
    assert values == [None] * 3
    assert list(faults) == [0, 2]
    assert "Mars/Base" in faults[0]


@pytest.mark.parametrize("wide", [False, True])
def test_text_that_is_not_utf8_whatever_its_type_says(wide: bool) -> None:
    raw = pa.array([b"fine", b"\xff\xfe", None], pa.large_binary() if wide else pa.binary())
    kind = pa.LargeStringArray if wide else pa.StringArray
    valid, offsets, data = raw.buffers()
    values, faults = values_of(kind.from_buffers(3, offsets, data, valid), "string")
    assert values == ["fine", None, None]
    assert faults == {1: "not UTF-8: invalid start byte at byte 0"}


TEXTS = pa.array(["a", "b", None, "a"])
LISTS = [["a", "b"], None, [None], []]


@pytest.mark.parametrize(
    "layout",
    [
        TEXTS.cast(pa.string_view()),
        TEXTS.cast(pa.large_string()),
        TEXTS.cast(pa.binary()).cast(pa.binary_view()),
        TEXTS.dictionary_encode(),
        pc.run_end_encode(TEXTS),
    ],
    ids=lambda array: str(array.type)[:20],
)
def test_every_layout_of_text(layout: pa.Array) -> None:
    assert values_of(layout, "string") == (["a", "b", None, "a"], {})


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.string()),
        pa.list_view(pa.string()),
        pa.large_list_view(pa.string()),
        pa.list_(pa.string_view()),
    ],
    ids=str,
)
def test_every_layout_of_lists(kind: pa.DataType) -> None:
    found = values_of(pa.array(LISTS, kind), "string", multivalued=True)
    assert found == ([["a", "b"], None, [], []], {})


@pytest.mark.parametrize(
    "kind",
    [pa.decimal32(5, 2), pa.decimal64(9, 2), pa.decimal128(20, 2), pa.decimal256(60, 2)],
    ids=str,
)
def test_decimals(kind: pa.DataType) -> None:
    numbers = pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00"), None], kind)
    assert values_of(numbers, "string") == (["1.5", "2", None], {})
    assert values_of(numbers, "float32") == ([1.5, 2.0, None], {})
    values, faults = values_of(numbers, "int64")
    assert values == [None, 2, None]
    assert list(faults) == [0]


def test_half_floats() -> None:
    halves = pa.array(np.array([0.1, 2.0], np.float16))
    assert values_of(halves, "string") == (["0.1", "2"], {})
    assert values_of(halves, "float32")[0] == [float(np.float16(0.1)), 2.0]
    assert values_of(halves[1:], "int64") == ([2], {})
