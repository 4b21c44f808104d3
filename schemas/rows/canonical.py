"""Canonical values: one raw column to UTF-8 strings, int64 or float32, faults by position.

The whole column is converted at once; only where that fails is it done value by value. What a value
becomes never depends on the values beside it: texts that Arrow takes for numbers and Python does not
are looked at one by one as well.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.csv_format import UTF_8, CsvFormat, codec_of
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.rows.reasons import Reason
from skewless.schemas.rows.times.columns import in_microseconds, not_times
from skewless.schemas.rows.written_numbers import plain_numbers
from skewless.schemas.spec.spec import Spec

__all__ = ["Faults", "canonical", "canonical_type", "shown", "without_missing"]

_LARGEST = float(np.finfo(np.float32).max)
# Of an integer of 64 bits, less one.
_MOST_DIGITS = 18
_TIME_WANTED = {
    unit: "expected a time in the years 1 to 9999, as ISO 8601 (2026-03-01T12:30:00+01:00) or as "
    f"a number of {counted} since 1970"
    for unit, counted in {
        "auto": "seconds to nanoseconds", "s": "seconds", "ms": "milliseconds",
        "us": "microseconds", "ns": "nanoseconds",
    }.items()
}  # fmt: skip
_TIME_REMEDY = "; write it so, or name it in missing_values if it means no value"
Faults = dict[int, str]


def canonical_type(column: RawColumn) -> pa.DataType:
    scalar: pa.DataType = {"string": pa.string(), "int64": pa.int64(), "float32": pa.float32()}[
        column.kind
    ]
    return pa.list_(scalar) if column.multivalued else scalar


def canonical(
    raw: pa.Array, column: RawColumn, spec: Spec, written: CsvFormat | None = None
) -> tuple[pa.Array, Faults]:
    """Returns [rows] in the canonical type, null where a fault is reported.

    Args:
      raw: [rows] as read.
      column: What to read it as.
      spec: Says which texts mean missing.
      written: How delimited text is written, where it came from such.
    """
    raw = _plain_layout(raw)
    if pa.types.is_null(raw.type):
        return pa.nulls(len(raw), canonical_type(column)), {}
    lists = _is_list(raw.type)
    if column.multivalued:
        return _multivalued(raw if lists else _wrapped(raw), column, spec, written)
    if lists:
        raw, bad = _only_items(raw)
        array, more = _scalars(raw, column, spec, written)
        return array, {**more, **bad}
    return _scalars(raw, column, spec, written)


def _plain_layout(raw: pa.Array) -> pa.Array:
    """Returns the same values without dictionaries, runs or views."""
    if pa.types.is_dictionary(raw.type):
        raw = raw.dictionary_decode()
    if pa.types.is_run_end_encoded(raw.type):
        raw = pc.run_end_decode(raw)
    if isinstance(raw, pa.ExtensionArray):
        raw = raw.storage
    if pa.types.is_string_view(raw.type):
        return raw.cast(pa.large_string())
    if pa.types.is_binary_view(raw.type):
        return raw.cast(pa.large_binary())
    if pa.types.is_list_view(raw.type) or pa.types.is_large_list_view(raw.type):
        # pyarrow 21's cast of a view to a list loses its values.
        return pa.array(raw.to_pylist(), pa.list_(raw.type.value_type))
    return raw


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _wrapped(raw: pa.Array) -> pa.Array:
    """Turns [rows] values into lists of one, missing values into missing lists."""
    present = pc.drop_null(raw)
    mask = raw.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(mask)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), present, mask=pa.array(~mask))


def _only_items(raw: pa.Array) -> tuple[pa.Array, Faults]:
    lengths = pc.fill_null(pc.list_value_length(raw), 0).to_numpy(zero_copy_only=False)
    bad: Faults = {
        int(at): Reason("expected one value", lengths[at]) for at in np.flatnonzero(lengths > 1)
    }
    ends = np.cumsum(lengths)
    where = pa.array(np.where(lengths == 1, ends - 1, 0), mask=lengths != 1, type=pa.int64())
    return pc.take(pc.list_flatten(raw), where), bad


def _multivalued(
    raw: pa.Array, column: RawColumn, spec: Spec, written: CsvFormat | None
) -> tuple[pa.Array, Faults]:
    lengths = pc.fill_null(pc.list_value_length(raw), 0).to_numpy(zero_copy_only=False)
    flat = pc.list_flatten(raw)
    single = RawColumn(column.name, column.kind)
    items, item_faults = canonical(flat, single, spec, written)
    owner = np.repeat(np.arange(len(raw)), lengths)
    bad: Faults = {}
    for at, reason in item_faults.items():
        bad.setdefault(int(owner[at]), reason)
    mask = raw.is_null().to_numpy(zero_copy_only=False)
    if column.kind == "float32":
        holds = np.zeros(len(raw), bool)
        holds[owner[items.is_valid().to_numpy(zero_copy_only=False)]] = True
        for at in np.flatnonzero(holds & (lengths != column.width)).tolist():
            bad.setdefault(at, Reason(f"expected {column.width} numbers", lengths[at]))
    elif items.null_count:
        # A list holds values only; a missing item is no item.
        valid = items.is_valid().to_numpy(zero_copy_only=False)
        lengths = np.bincount(owner[valid], minlength=len(raw))
        items = items.drop_null()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    array = pa.ListArray.from_arrays(pa.array(offsets), items, mask=pa.array(mask))
    return array, bad


def _scalars(
    raw: pa.Array, column: RawColumn, spec: Spec, written: CsvFormat | None
) -> tuple[pa.Array, Faults]:
    kind = raw.type
    if pa.types.is_null(kind):
        return pa.nulls(len(raw), canonical_type(RawColumn(column.name, column.kind))), {}
    if _is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind):
        nulls = pa.nulls(len(raw), canonical_type(RawColumn(column.name, column.kind)))
        held = np.flatnonzero(raw.is_valid().to_numpy(zero_copy_only=False))
        return nulls, {int(at): Reason("expected a plain value", kind) for at in held}
    bad: Faults = {}
    if (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        raw, bad = _decoded(raw, UTF_8 if written is None else written.encoding)
        kind = raw.type
    textual = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if textual and not _is_utf8(raw):
        raw, bad = _decoded(raw.cast(pa.large_binary()), UTF_8)
    if column.time_unit is not None:
        raw = in_microseconds(raw)
    if not textual and (column.kind == "string" or not _is_number(kind)):
        raw, bad = _as_text(raw)
        textual = True
    if column.kind == "string":
        texts = raw.cast(pa.string())
        return (texts, bad) if column.time_unit is None else _times(texts, column, spec, bad)
    if textual:
        raw = without_missing(raw.cast(pa.string()), spec.missing_values)
        if written is not None and not written.plain_numbers:
            raw, unread = plain_numbers(raw, written)
            bad = {**unread, **bad}
    parsed, more = (_integers if column.kind == "int64" else _numbers)(raw, textual)
    return parsed, {**more, **bad}


def _times(texts: pa.Array, column: RawColumn, spec: Spec, bad: Faults) -> tuple[pa.Array, Faults]:
    """Returns texts as they are, with faults where one is no time."""
    assert column.time_unit is not None
    held = without_missing(texts, spec.missing_values)
    unread = {
        int(at): Reason(_TIME_WANTED[column.time_unit], shown(held[int(at)].as_py()), _TIME_REMEDY)
        for at in not_times(held, column.time_unit)
    }
    return texts, {**unread, **bad}


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def _is_utf8(texts: pa.Array) -> bool:
    """Whether texts are what their type says: Parquet's are not checked when they are read."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _decoded(raw: pa.Array, encoding: str) -> tuple[pa.Array, Faults]:
    try:
        return raw.cast(pa.string()), {}
    except pa.ArrowInvalid:
        pass
    texts: list[str | None] = []
    bad: Faults = {}
    for at, value in enumerate(raw.to_pylist()):
        try:
            texts.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError as error:
            texts.append(None)
            name = "UTF-8" if codec_of(encoding) == UTF_8 else encoding
            bad[at] = f"not {name}: {error.reason} at byte {error.start}"
    return pa.array(texts, pa.string()), bad


def _as_text(raw: pa.Array) -> tuple[pa.Array, Faults]:
    """Returns numbers, booleans, dates and times as text, integral numbers without a fraction."""
    kind = raw.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return raw.cast(pa.string()), {}
    if pa.types.is_floating(kind):
        if pa.types.is_float64(kind):
            values = raw.fill_null(0.0).to_numpy(zero_copy_only=False)
            if bool(((np.abs(values) < 1e15) & (values == np.floor(values))).all()):
                return raw.cast(pa.int64()).cast(pa.string()), {}
        # The shortest text of a narrow number is found at its own precision.
        narrow = kind.to_pandas_dtype()
        texts = [
            None if v is None or math.isnan(v) else _float_text(narrow(v)) for v in raw.to_pylist()
        ]
        return pa.array(texts, pa.string()), {}
    if pa.types.is_decimal(kind):
        return pa.array(
            [None if v is None else _decimal_text(v) for v in raw.to_pylist()], pa.string()
        ), {}
    try:
        values = raw.to_pylist()
    except (ValueError, ArithmeticError, LookupError, pa.ArrowException):
        return _times_one_by_one(raw)
    return pa.array([_iso(value) for value in values], pa.string()), {}


def _times_one_by_one(raw: pa.Array) -> tuple[pa.Array, Faults]:
    texts: list[str | None] = []
    bad: Faults = {}
    for at, scalar in enumerate(raw):
        try:
            texts.append(_iso(scalar.as_py()))
        except (ValueError, ArithmeticError, LookupError, pa.ArrowException):
            texts.append(None)
            bad[at] = Reason(
                "expected a time in the years 1 to 9999, in whole microseconds and a known time zone",
                _unread(scalar),
                "; write it as text or as a number",
            )
    return pa.array(texts, pa.string()), bad


def _iso(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _unread(scalar: Any) -> str:
    """Returns a value that Python cannot hold as the number that it is stored as."""
    kind = scalar.type
    wide = pa.int32() if kind.bit_width == 32 else pa.int64()
    return f"{pa.array([scalar], kind).view(wide)[0].as_py()} ({kind})"


def _float_text(value: Any) -> str:
    if float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    return str(value)


def _decimal_text(value: Decimal) -> str:
    return str(int(value)) if value == value.to_integral_value() else format(value.normalize(), "f")


def without_missing(texts: pa.Array, missing_values: Iterable[str]) -> pa.Array:
    """Returns trimmed texts, null where a text means that there is no value."""
    trimmed = pc.utf8_trim_whitespace(texts)
    nothing = pc.is_in(
        trimmed, value_set=pa.array(["", *(text.strip() for text in missing_values)], pa.string())
    )
    return pc.if_else(nothing, pa.scalar(None, pa.string()), trimmed)


def _numbers(raw: pa.Array, textual: bool) -> tuple[pa.Array, Faults]:
    bad: Faults = {}
    if textual:
        raw, bad = _parsed(raw, pa.float64(), _float)
    elif pa.types.is_boolean(raw.type):
        raw = raw.cast(pa.int8())
    # Whole numbers beyond 2**53 are rounded; float32 does not hold them anyway.
    values = raw.cast(pa.float64(), safe=False).fill_null(math.nan).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    for at in np.flatnonzero(np.isinf(narrow)):
        bad[int(at)] = Reason(
            f"expected a finite number within float32 (±{_LARGEST:.3g})", f"{values[at]:g}"
        )
    return pa.array(narrow, pa.float32(), mask=~np.isfinite(narrow)), bad


def _integers(raw: pa.Array, textual: bool) -> tuple[pa.Array, Faults]:
    if textual:
        return _parsed(raw, pa.int64(), _integer)
    if pa.types.is_boolean(raw.type):
        return raw.cast(pa.int64()), {}
    if pa.types.is_floating(raw.type):
        raw = raw.cast(pa.float64())
        values = raw.fill_null(math.nan).to_numpy(zero_copy_only=False).astype(np.float64)
        raw = pa.array(values, mask=np.isnan(values))
    try:
        return raw.cast(pa.int64()), {}
    except pa.ArrowInvalid:
        return _one_by_one(raw, pa.int64(), _integer)


def _parsed(
    texts: pa.Array, kind: pa.DataType, parse: Callable[[Any], Any]
) -> tuple[pa.Array, Faults]:
    # Arrow alone knows 0x1F and nan(text).
    if not pc.any(pc.match_substring_regex(texts, r"[xX(]"), min_count=0).as_py():
        with contextlib.suppress(pa.ArrowInvalid):
            return texts.cast(kind), {}
    return _one_by_one(texts, kind, parse)


def _one_by_one(
    raw: pa.Array, kind: pa.DataType, parse: Callable[[Any], Any]
) -> tuple[pa.Array, Faults]:
    values: list[Any] = []
    bad: Faults = {}
    for at, value in enumerate(raw.to_pylist()):
        try:
            values.append(None if value is None else parse(value))
        except ValueError as error:
            values.append(None)
            bad[at] = error.args[0]
    return pa.array(values, kind), bad


def _float(value: Any) -> float:
    try:
        if isinstance(value, str) and "_" in value:
            raise ValueError
        return float(value)
    except ValueError:
        raise ValueError(Reason("expected a number", shown(value))) from None


def _integer(value: Any) -> int:
    try:
        if isinstance(value, str) and "_" in value:
            raise ValueError
        exact = Decimal(value)
        # Decided by the exponent: 1e999999 has a million digits.
        if exact.is_finite() and exact.adjusted() > _MOST_DIGITS:
            raise OverflowError
        if not exact.is_finite() or (exact and exact.adjusted() < 0) or exact != int(exact):
            raise ValueError
        if not -(2**63) <= exact < 2**63:
            raise OverflowError
    except OverflowError:
        raise ValueError(Reason("expected an integer within 64 bits", _as_number(value))) from None
    except (ValueError, ArithmeticError):
        raise ValueError(Reason("expected an integer", _as_number(value))) from None
    return int(exact)


def _as_number(value: Any) -> str:
    """Shows a number alike whether it came as one or as text, by which file or row ever."""
    text = str(value)
    try:
        float(text)
    except ValueError:
        return shown(value)
    return shown(value) if "_" in text else text if len(text) <= 80 else text[:80] + "…"


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
