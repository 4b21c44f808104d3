"""Canonical values: one raw column to UTF-8 strings, int64 or float32, faults by position.

The whole column is converted at once; only where that fails is it done value by value. What a value
becomes never depends on the values beside it. Values of each type as texts and as numbers: native/.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.csv_format import UTF_8, CsvFormat
from skewless.schemas.rows.native.layouts import plain_layout
from skewless.schemas.rows.native.numbers import integers, is_number, numbers
from skewless.schemas.rows.native.texts import as_text, decoded, is_utf8
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.rows.reasons import Faults, Reason, shown
from skewless.schemas.rows.times.columns import in_microseconds, not_times
from skewless.schemas.rows.written_numbers import plain_numbers
from skewless.schemas.spec.spec import Spec

__all__ = ["canonical", "canonical_type", "without_missing"]

_TIME_WANTED = {
    unit: "expected a time in the years 1 to 9999, as ISO 8601 (2026-03-01T12:30:00+01:00) or as "
    f"a number of {counted} since 1970"
    for unit, counted in {
        "auto": "seconds to nanoseconds", "s": "seconds", "ms": "milliseconds",
        "us": "microseconds", "ns": "nanoseconds",
    }.items()
} | {
    order: f"expected a time in the years 1 to 9999, as {shape} or ISO 8601 (2026-03-01)"
    for order, shape in {
        "year_first": "2026/3/1", "month_first": "3/1/2026", "day_first": "1/3/2026",
    }.items()
}  # fmt: skip
_TIME_REMEDY = "; write it so, or name it in missing_values if it means no value"


def canonical_type(column: RawColumn) -> pa.DataType:
    """Returns what a column's canonical values are."""
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
    raw = plain_layout(raw)
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
    bad: Faults = {}
    if column.steps and _is_list(raw.type.value_type):
        raw, bad = _side_by_side(raw, column.width)
    lengths = pc.fill_null(pc.list_value_length(raw), 0).to_numpy(zero_copy_only=False)
    flat = pc.list_flatten(raw)
    single = RawColumn(column.name, column.kind, time_unit=column.time_unit)
    owner = np.repeat(np.arange(len(raw)), lengths)
    if column.separator is not None and not is_number(flat.type):
        texts, unread = canonical(flat, RawColumn(column.name, "string"), spec, written)
        bad |= {int(owner[at]): reason for at, reason in unread.items()}
        flat, owner = _parted(texts, owner, column.separator, spec)
        lengths = np.bincount(owner, minlength=len(raw))
    items, item_faults = canonical(flat, single, spec, written)
    for at, reason in item_faults.items():
        bad.setdefault(int(owner[at]), reason)
    mask = raw.is_null().to_numpy(zero_copy_only=False)
    if column.complete or (column.keeps_places and column.kind != "string"):
        held = without_missing(items, spec.missing_values) if column.kind == "string" else items
        for at in np.flatnonzero(held.is_null().to_numpy(zero_copy_only=False)).tolist():
            bad.setdefault(int(owner[at]), _hole(column))
    elif column.keeps_places:
        items = items.fill_null("")
    elif column.steps and column.kind == "float32":
        for at in np.flatnonzero(lengths % column.width).tolist():
            wanted = f"expected steps of {column.width} numbers each"
            bad.setdefault(at, Reason(wanted, f"{lengths[at]} numbers"))
    elif column.kind == "float32":
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


def _parted(
    texts: pa.Array, owner: np.ndarray, separator: str, spec: Spec
) -> tuple[pa.Array, np.ndarray]:
    """Returns the parts of texts, and whose each is; a text that means no value has none."""
    parts = pc.split_pattern(without_missing(texts, spec.missing_values), separator)
    counts = pc.fill_null(pc.list_value_length(parts), 0).to_numpy(zero_copy_only=False)
    return pc.list_flatten(parts), np.repeat(owner, counts)


def _side_by_side(raw: pa.Array, width: int) -> tuple[pa.Array, Faults]:
    """Returns [rows] lists of lists as lists of all their values; a null one is `width` missing values."""
    inner = pc.list_flatten(raw)
    counts = pc.fill_null(pc.list_value_length(raw), 0).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(raw)), counts)
    absent = inner.is_null().to_numpy(zero_copy_only=False)
    sizes = pc.fill_null(pc.list_value_length(inner), 0).to_numpy(zero_copy_only=False)
    wrong = ~absent & (sizes != width)
    bad: Faults = {}
    for at in np.flatnonzero(wrong).tolist():
        bad.setdefault(int(owner[at]), Reason(f"expected lists of {width} numbers", sizes[at]))
    taken = np.where(absent, width, sizes)
    places = np.arange(int(sizes.sum()), dtype=np.int64)
    held = np.zeros(int(taken.sum()), np.int64)
    missing = np.repeat(absent, taken)
    held[~missing] = places
    values = pc.take(pc.list_flatten(inner), pa.array(held, mask=missing))
    lengths = np.bincount(owner, taken, len(raw)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=raw.is_null()), bad


def _hole(column: RawColumn) -> str:
    if column.beside is None:
        return "expected a list without missing values, since another list has something for each"
    return f"expected a value for each in column {column.beside!r}, and one is missing"


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
        raw, bad = decoded(raw, UTF_8 if written is None else written.encoding)
        kind = raw.type
    textual = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if textual and not is_utf8(raw):
        raw, bad = decoded(raw.cast(pa.large_binary()), UTF_8)
    if column.time_unit is not None:
        raw = in_microseconds(raw)
    if not textual and (column.kind == "string" or not is_number(kind)):
        raw, bad = as_text(raw)
        textual = True
    if column.kind == "string":
        texts = raw.cast(pa.string())
        return (texts, bad) if column.time_unit is None else _times(texts, column, spec, bad)
    if textual:
        raw = without_missing(raw.cast(pa.string()), spec.missing_values)
        if written is not None and not written.plain_numbers:
            raw, unread = plain_numbers(raw, written)
            bad = {**unread, **bad}
    parsed, more = (integers if column.kind == "int64" else numbers)(raw, textual)
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


def without_missing(texts: pa.Array, missing_values: Iterable[str]) -> pa.Array:
    """Returns trimmed texts, null where a text means that there is no value."""
    trimmed = pc.utf8_trim_whitespace(texts)
    nothing = pc.is_in(
        trimmed, value_set=pa.array(["", *(text.strip() for text in missing_values)], pa.string())
    )
    return pc.if_else(nothing, pa.scalar(None, pa.string()), trimmed)
