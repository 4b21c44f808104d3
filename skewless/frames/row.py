"""One row from Python, with values that JSON has: what numpy, pandas and the like hold, as `canonical` reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.frames.as_input import TableLike, reader_of
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.rows.native.texts import as_text

__all__ = ["plain_row"]


def plain_row(row: Mapping[str, Any] | TableLike) -> dict[str, Any]:
    """Returns values by column, each a text, number, boolean, None, or lists or dicts of such.

    Args:
      row: A dict, a pandas Series, or a table of one row. Numbers of numpy are plain ones; NaN, NaT
        and NA are None; times and decimals their texts.

    Raises:
      UsageError: If it is none of these.
      DataError: If a value is of no type that rows hold.
    """
    if hasattr(row, "to_dict") and not hasattr(row, "columns"):
        row = row.to_dict()
    if not isinstance(row, Mapping):
        rows = reader_of(row).read_all()
        if len(rows) != 1:
            raise UsageError(f"expected one row, got {len(rows)}; choose one, as frame[:1] does")
        (row,) = rows.to_pylist()
    return {str(name): _plain(value, str(name)) for name, value in row.items()}


def _plain(value: Any, column: str) -> Any:
    if isinstance(value, float):
        # numpy's float64 is a float too.
        return None if math.isnan(value) else float(value)
    if value is None or type(value) in (str, bool, int):
        return value
    if isinstance(value, np.float32 | np.float16):
        # The shortest decimal of its own precision, which text is made of.
        return _plain(float(str(value)), column)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, column) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        value = list(value)
    if isinstance(value, list | tuple):
        return [_plain(inner, column) for inner in value]
    return _scalar(value, column)


def _scalar(value: Any, column: str) -> Any:
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]")
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    try:
        array = pa.array([value], from_pandas=True)
        if pa.types.is_temporal(array.type) or pa.types.is_decimal(array.type):
            array, faults = as_text(array)
            if faults:
                raise DataError(f"column {column!r}: {faults[0]}; correct it, or leave it out")
        elif pa.types.is_binary(array.type):
            array = array.cast(pa.string())
        elif pa.types.is_nested(array.type):
            raise TypeError(f"{type(value).__name__} is no list")
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"column {column!r}: expected text, a number, a time or a list of such, got "
            f"{type(value).__name__}; correct it, or leave it out"
        ) from error
    return array[0].as_py()
