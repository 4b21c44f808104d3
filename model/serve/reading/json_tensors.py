"""JSON to tensors, by the rules of TensorFlow Serving's REST API.

    row format      {"instances": [...]}
    column format   {"inputs": ...}

A string is UTF-8 text or {"b64": "..."}. Values are looked at a column at a time; one by one only where
they are of several kinds, or to find the one that is wrong. Imports no TensorFlow.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from skewless.model.serve.reading.json_documents import json_type, shown
from skewless.model.serve.reading.json_objects import (
    by_argument,
    is_base64,
    is_object,
    with_paths,
)
from skewless.model.serve.status import ServingError

__all__ = ["Input", "leaf", "of_columns", "of_rows"]

# NumPy holds 64 dimensions at most, TensorFlow 254, a signature of ours two.
_MOST_LEVELS = 32


@dataclass(frozen=True)
class Input:
    """One input of a signature.

    Attributes:
      dtype: TensorFlow's name of its type.
      optional: Whether it may be left out.
      rank: Its number of dimensions, the batch's among them.
      column: The column that it is, which it need not be called as; requests may.
    """

    dtype: str
    optional: bool
    rank: int
    column: str = ""


Inputs = Mapping[str, Input]


def of_rows(instances: Any, inputs: Inputs) -> tuple[dict[str, np.ndarray], int]:
    """Returns the inputs of a request in row format, and the number of rows.

    Args:
      instances: A value a row, where the signature has one input; or an object a row, in which
        nested objects hold inputs of dotted names. Inputs go by their columns' names too.
      inputs: Of the signature; the optional may be left out, by all rows.

    Raises:
      ServingError: If the rows are not alike or are not what the signature takes.
    """
    if not isinstance(instances, list):
        raise _refused("Excepting 'instances' to be an list/array")
    if not instances:
        raise _refused("No values in 'instances' array")
    if not isinstance(instances[0], dict) and len(inputs) > 1:
        raise _refused(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if not is_object(instances[0]):
        (name,) = inputs
        for place, row in enumerate(instances):
            if is_object(row):
                raise _refused(f"Expecting value/list but got object at item {place} of input list")
        return {name: _stacked(instances, inputs[name], "")}, len(instances)
    columns = _arguments(inputs)
    if any("." in name for name in (*inputs, *columns)):
        known = {*inputs, *columns}
        instances = [with_paths(row, known) if is_object(row) else row for row in instances]
    if columns:
        instances = [by_argument(row, columns) if is_object(row) else row for row in instances]
    keys = instances[0].keys()
    for place, row in enumerate(instances):
        if not is_object(row):
            raise _refused(f"Expecting object but got list at item {place} of input list")
        if row.keys() != keys:
            raise _other_keys(row, place, keys)
    if not {name for name in inputs if not inputs[name].optional} <= keys <= inputs.keys():
        raise _other_keys(instances[0], 0, inputs)
    values = {
        name: _stacked([row[name] for row in instances], inputs[name], f" key: {name}")
        for name in keys
    }
    return values, len(instances)


def of_columns(values: Any, inputs: Inputs) -> dict[str, np.ndarray]:
    """Returns the inputs of a request in column format.

    Args:
      values: The value of the signature's only input; or an object of named values.
      inputs: Of the signature; the optional may be left out.

    Raises:
      ServingError: If they are not what the signature takes.
    """
    if not is_object(values):
        if len(inputs) > 1:
            raise _refused(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        (name,) = inputs
        return {name: _tensor(values, inputs[name].dtype)}
    values = by_argument(values, _arguments(inputs))
    for name, declared in inputs.items():
        if name not in values and not declared.optional:
            raise _refused(f"Missing named input: {name} in 'inputs' object.")
    for name in values:
        if name not in inputs:
            raise _refused(f"JSON object: does not have named input: {name}")
    return {name: _tensor(value, inputs[name].dtype) for name, value in values.items()}


def leaf(value: Any, dtype: str) -> Any:
    """Returns a value as Python holds it for a tensor.

    Raises:
      ServingError: If it is not of that type.
    """
    if dtype == "string":
        if isinstance(value, str):
            return _utf8(value)
        if isinstance(value, dict):
            return _decoded(value)
    elif dtype == "bool":
        if isinstance(value, bool):
            return value
    elif isinstance(value, bool):
        pass
    elif np.dtype(dtype).kind == "f":
        if isinstance(value, int | float):
            return _fitting(value, dtype)
    elif isinstance(value, int) and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return value
    raise _refused(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: {dtype}"
    )


def _stacked(values: list[Any], declared: Input, key: str) -> np.ndarray:
    """Returns [rows, ...] of values whose shapes must be the same."""
    dtype = declared.dtype
    shape = _shape(values[0])
    if (array := _at_once(values, (len(values), *shape), dtype)) is not None:
        return array
    flat: list[Any] = []
    for place, value in enumerate(values):
        try:
            found = _shape(value)
            if found != shape:
                raise _refused(
                    f"Expecting shape {_shape_text(shape)} but got: {_shape_text(found)}"
                )
            _fill(value, 0, shape, dtype, flat)
        except ServingError as error:
            raise _refused(
                f"Failed to process element: {place}{key} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: {error}"
            ) from error
    return _array(flat, (len(values), *shape), dtype)


def _tensor(value: Any, dtype: str) -> np.ndarray:
    shape = _shape(value)
    if shape and (array := _at_once(value, shape, dtype)) is not None:
        return array
    flat: list[Any] = []
    _fill(value, 0, shape, dtype, flat)
    return _array(flat, shape, dtype)


def _at_once(values: list[Any], shape: tuple[int, ...], dtype: str) -> np.ndarray | None:
    """Returns the values as an array if all are of one plain kind and fit; else None."""
    for size in shape[1:]:
        if set(map(type, values)) != {list} or set(map(len, values)) != {size}:
            return None
        values = list(chain.from_iterable(values))
    kinds = set(map(type, values))
    if not kinds:
        return _array([], shape, dtype)
    try:
        if dtype == "string":
            if kinds == {str}:
                return _array([value.encode() for value in values], shape, dtype)
            if kinds == {dict}:
                return _array(list(map(_decoded, values)), shape, dtype)
        elif dtype == "bool":
            if kinds == {bool}:
                return _array(values, shape, dtype)
        elif np.dtype(dtype).kind == "f":
            if kinds <= {int, float}:
                return _narrowed(np.array(values, np.float64), shape, dtype)
        elif kinds == {int}:
            return _narrowed(np.array(values, np.int64), shape, dtype)
    except (UnicodeEncodeError, OverflowError, ServingError):
        pass  # One of them is wrong; which one is found by looking at each.
    return None


def _narrowed(wide: np.ndarray, shape: tuple[int, ...], dtype: str) -> np.ndarray | None:
    """Returns float64 or int64 as another type, or None if one of them is out of its range."""
    limits: Any = np.finfo(dtype) if wide.dtype.kind == "f" else np.iinfo(dtype)
    beyond = (wide < limits.min) | (wide > limits.max)
    if wide.dtype.kind == "f":
        beyond &= np.isfinite(wide)
    return None if beyond.any() else wide.astype(dtype).reshape(shape)


def _array(flat: list[Any], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if dtype == "string":
        array = np.empty(len(flat), object)
        array[:] = flat
    elif np.dtype(dtype).kind == "f":
        # By way of float64, as TensorFlow Serving does: whole numbers beyond 2^24 are rounded.
        array = np.array(flat, np.float64).astype(dtype)
    else:
        array = np.array(flat, dtype)
    return array.reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    """Returns the shape that a nested list has if it is a tensor, by its first elements."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _MOST_LEVELS:
            raise _refused(
                f"Encountered list at unexpected level: {len(shape)} expected < {_MOST_LEVELS}"
            )
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _fill(value: Any, level: int, shape: tuple[int, ...], dtype: str, flat: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise _refused(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        flat.append(leaf(value, dtype))
        return
    if level >= len(shape):
        raise _refused(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise _refused(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        _fill(element, level + 1, shape, dtype, flat)


def _fitting(value: float, dtype: str) -> float:
    """Returns a number that is within the range of a floating type, or no finite one."""
    try:
        wide = float(value)
    except OverflowError:
        wide = None
    if wide is None or (np.isfinite(wide) and abs(wide) > float(np.finfo(dtype).max)):
        kind = {"float32": "float", "float64": "double"}.get(dtype, dtype)
        raise _refused(
            f"Cannot convert JSON value: {shown(value)} to {kind} without loss of precision."
        )
    return wide


def _utf8(value: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _refused(
            f"JSON Value: {shown(value)} is not Unicode text ({error.reason})"
        ) from error


def _decoded(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise _refused(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused("Unable to base64 decode") from error


def _arguments(inputs: Inputs) -> dict[str, str]:
    """Returns, by columns whose inputs are called otherwise, what these are called."""
    return {
        declared.column: name
        for name, declared in inputs.items()
        if declared.column and declared.column not in inputs
    }


def _other_keys(row: Any, place: int, expected: Any) -> ServingError:
    # What TensorFlow Serving says, and which key it is.
    unexpected = next((f"; it has {shown(key)}" for key in row if key not in expected), "")
    return _refused(
        f"Failed to process element: {place} of 'instances' list. JSON object: "
        f"{shown(row)} keys must be equal to: {','.join(sorted(expected))}{unexpected}"
    )


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
