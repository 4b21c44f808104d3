"""Values as numbers: float32 for features of numbers, exact 64 bits for whole ones.

Texts that Arrow takes for numbers and Python does not are looked at one by one, so that what a text
becomes does not depend on those beside it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.reasons import Faults, Reason, shown

__all__ = ["integers", "is_number", "numbers"]

_LARGEST = float(np.finfo(np.float32).max)
# Of an integer of 64 bits, less one.
_MOST_DIGITS = 18


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is read as a number as it is."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def numbers(raw: pa.Array, textual: bool) -> tuple[pa.Array, Faults]:
    """Returns [rows] float32, null where there is none; a fault where it is not within float32.

    Args:
      raw: [rows] numbers, booleans, or where `textual` trimmed texts.
      textual: Whether the values are texts.
    """
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


def integers(raw: pa.Array, textual: bool) -> tuple[pa.Array, Faults]:
    """Returns [rows] int64, exact; a fault where a value is none. Arguments as of `numbers`."""
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
