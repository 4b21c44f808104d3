"""Values of any type as text: numbers, booleans, dates, times and bytes, one way of writing each."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.schemas.rows.csv_format import UTF_8, codec_of
from skewless.schemas.rows.reasons import Faults, Reason

__all__ = ["as_text", "decoded", "is_utf8"]


def is_utf8(texts: pa.Array) -> bool:
    """Whether texts are what their type says: Parquet's are not checked when they are read."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def decoded(raw: pa.Array, encoding: str) -> tuple[pa.Array, Faults]:
    """Returns [rows] bytes as text; a fault where they are not of `encoding`."""
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


def as_text(raw: pa.Array) -> tuple[pa.Array, Faults]:
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
    # Not by normalize(), which rounds to 28 digits: a column may hold 76.
    return str(int(value)) if value == value.to_integral_value() else f"{value:f}".rstrip("0")
