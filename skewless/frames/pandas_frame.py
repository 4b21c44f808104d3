"""A pandas DataFrame, or dicts, as an Arrow table, where Arrow alone would refuse them or read other values.

Arrow takes a column's type from what it holds. It refuses columns of several kinds, which CSV and
JSON lines can hold, and reads some as what they are stored as: a period as a count of months. Here
such columns become the texts that the same rows have elsewhere. Nothing here imports pandas.
"""

from __future__ import annotations

import datetime
from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.frames.names import each_once
from skewless.schemas.errors import UsageError
from skewless.schemas.rows.native.texts import as_text

__all__ = ["pandas_table", "table_of_dicts"]

_NOT_HELD = (pa.ArrowException, TypeError, ValueError, OverflowError)


def pandas_table(frame: Any, only: Container[str] | None = None) -> pa.Table:
    """Returns the columns of a DataFrame, and those levels of its index that have names.

    Args:
      frame: [rows]. Nameless levels of its index are no columns: shuffled rows are the same rows.
      only: The columns to take, where they are there; all by default.

    Raises:
      UsageError: If two columns have one name, or a column holds what no column can.
    """
    names = [str(name) for name in frame.columns]
    levels = {
        str(name): frame.index.get_level_values(level).to_series()
        for level, name in enumerate(frame.index.names)
        if name is not None and str(name) not in names
    }
    taken = [(name, frame.iloc[:, at]) for at, name in enumerate(names)] + list(levels.items())
    if only is not None:
        taken = [(name, values) for name, values in taken if name in only]
    each_once([name for name, _ in taken])
    return pa.table({name: _column(values, name) for name, values in taken})


def table_of_dicts(rows: list[Mapping[Any, Any]]) -> pa.Table:
    """Returns a column for each key of any row; a value that a row lacks is missing.

    Raises:
      UsageError: If a column holds what no column can.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    each_once([str(name) for name in names])
    return pa.table(
        {str(name): _array([row.get(name) for row in rows], str(name)) for name in names}
    )


def _column(values: Any, name: str) -> pa.Array | pa.ChunkedArray:
    """Returns [rows] a Series' values."""
    kind = str(values.dtype)
    if kind.startswith("Sparse"):
        values = values.sparse.to_dense()
    if (str(values.dtype.categories.dtype) if kind == "category" else kind).startswith(
        ("period", "interval")
    ):
        # Stored as numbers and as structs; CSV has their texts.
        values = values.astype(object).map(str, na_action="ignore")
    return _array(values, name)


def _array(values: Any, name: str) -> pa.Array | pa.ChunkedArray:
    """Returns [rows] the values of a Series or a list."""
    try:
        found = pa.array(values, from_pandas=True)
    except _NOT_HELD:
        return _of_several_kinds(list(values), name)
    if pa.types.is_date(found.type) and any(isinstance(v, datetime.datetime) for v in values):
        raise UsageError(
            f"column {name!r}: expected dates or times, got both, and Arrow would cut the clock off; "
            "make it one kind, as pandas.to_datetime does"
        )
    return found


def _of_several_kinds(values: list[Any], name: str) -> pa.Array:
    """Returns [rows] texts of values that no Arrow column holds together, each as it is alone."""
    if all(value is None or isinstance(value, np.ndarray) for value in values):
        return _nested(values, name)
    rows_by_kind: dict[type, list[int]] = {}
    for at, value in enumerate(values):
        rows_by_kind.setdefault(type(value), []).append(at)
    texts: list[str | None] = [None] * len(values)
    for kind, rows in rows_by_kind.items():
        alone = _texts([values[at] for at in rows], kind)
        if alone is None:
            raise UsageError(
                f"column {name!r}, row {rows[0] + 1}: expected text, a number or a time, got {kind.__name__}; "
                "turn the column's values into such, or leave it out"
            )
        for at, text in zip(rows, alone, strict=True):
            texts[at] = text
    return pa.array(texts, pa.string())


def _texts(values: list[Any], kind: type) -> list[str | None] | None:
    """Returns values of one type as texts; None if they are no plain values."""
    if issubclass(kind, int) and kind is not bool:
        return [str(int(value)) for value in values]  # Arrow's have 64 bits.
    try:
        array = pa.array(values, from_pandas=True)
    except (*_NOT_HELD, UnicodeEncodeError):
        return None
    if pa.types.is_string(array.type) or pa.types.is_null(array.type):
        return array.to_pylist()
    if pa.types.is_nested(array.type) or pa.types.is_binary(array.type):
        return None
    texts, faults = as_text(array)
    return None if faults else texts.to_pylist()


def _nested(values: list[Any], name: str) -> pa.Array:
    """Returns arrays of several dimensions as lists of lists."""
    try:
        return pa.array([None if value is None else value.tolist() for value in values])
    except _NOT_HELD as error:
        raise UsageError(
            f"column {name!r}: expected arrays of one kind and depth: {error}; make them alike"
        ) from error
