"""Contents of rows: all that a file says of each, whatever a spec reads of it.

    CSV, TSV, Parquet   every column's name and value, in the order of names; empty ones left out
    JSON lines          the line, but for white space around it
    TFRecord            the serialized tf.Example

Rows without a key are known by a hash of this, so that no change of the spec moves them between
splits. How a file is compressed, cut or named plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["row_contents"]

_NAME_END, _CELL_END, _PART_END, _NULL = b"\x1e", b"\x1f", b"\x1d", b"\x00"


def row_contents(table: pa.RecordBatch) -> pa.Array:
    """Returns [rows] large_binary: of equal rows equal, wherever the batch was cut."""
    cells = []
    names = table.schema.names
    for place in sorted(range(table.num_columns), key=names.__getitem__):
        text = _bytes(table.column(place))
        held = pc.greater(pc.binary_length(text), 0)
        text = pc.if_else(held, text, pa.scalar(None, pa.large_binary()))
        cells.append(_joined([_scalar(names[place].encode()), text], _NAME_END, "emit_null"))
    # A row of nulls only would be left out of Arrow's result: hence a column that has none.
    begin = pa.array([b""] * table.num_rows, pa.large_binary())
    return _joined([begin, *cells], _CELL_END, "skip")


def _bytes(column: pa.Array) -> pa.Array:
    """Returns [rows] large_binary; null where there is no value."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _bytes(column.dictionary_decode())
    if isinstance(column, pa.ExtensionArray):
        return _bytes(column.storage)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(column)
    if pa.types.is_struct(kind):
        parts = [_bytes(part) for part in column.flatten()]
        joined = _joined([_scalar(b""), *parts], _PART_END, "replace")
        return pc.if_else(column.is_valid(), joined, pa.scalar(None, pa.large_binary()))
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        # As the number it is stored as: not all of them are dates that can be written.
        column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif pa.types.is_float16(kind):
        column = column.cast(pa.float32())
    try:
        text = column if _is_bytes(column.type) else column.cast(pa.string())
        return text.cast(pa.large_binary())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values = [None if value is None else repr(value).encode() for value in column.to_pylist()]
        return pa.array(values, pa.large_binary())


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _lists(column: pa.Array) -> pa.Array:
    items = _bytes(column.flatten()).fill_null(_NULL)
    lengths = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64())
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    lists = pa.LargeListArray.from_arrays(offsets, items)
    # Each item is ended, so that one empty item is not no item.
    joined = pc.binary_join(lists, _scalar(_PART_END))
    closed = _joined(
        [joined, lengths.cast(pa.string()).cast(pa.large_binary())], _PART_END, "emit_null"
    )
    present = pc.and_(column.is_valid(), pc.greater(lengths, 0))
    return pc.if_else(present, closed, pa.scalar(None, pa.large_binary()))


def _joined(parts: Sequence[pa.Array | pa.Scalar], separator: bytes, nulls: str) -> pa.Array:
    return pc.binary_join_element_wise(
        *parts, _scalar(separator), null_handling=nulls, null_replacement=_NULL
    )


def _scalar(data: bytes) -> pa.Scalar:
    return pa.scalar(data, pa.large_binary())
