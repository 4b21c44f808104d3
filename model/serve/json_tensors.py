"""JSON to tensors and back, by the rules of TensorFlow Serving's REST API.

    row format      {"instances": [...]}  ->  {"predictions": [...]}
    column format   {"inputs": ...}       ->  {"outputs": ...}

A string is UTF-8 text or {"b64": "..."}; a string output whose name ends in `_bytes` is the latter.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from skewless.model.serve.models.servable import Arrays
from skewless.model.serve.status import ServingError

__all__ = ["dumps", "example", "loads", "of_columns", "of_rows", "to_columns", "to_rows", "to_text"]

_BYTES_SUFFIX = "_bytes"
# A float32 holds every integer up to here.
_EXACT_INTEGERS = (1 << 24) - 1
_SHOWN = 200


def loads(body: bytes) -> dict[str, Any]:
    """Returns the JSON object of a request; NaN and Infinity are read, as TensorFlow Serving does.

    Raises:
      ServingError: If it is not JSON, or not an object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _refused(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise _refused(f"JSON Value: {_shown(document)} Is not object")
    return document


def dumps(document: Any) -> bytes:
    """Returns JSON; float32 in as few digits as give it back, NaN and infinities by their names."""
    if _finite(document):
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document, default=_plain).encode()


def of_rows(instances: Any, signature: SignatureDef) -> Arrays:
    """Returns the inputs of a request in row format.

    Args:
      instances: A value a row, where the signature has one input; or an object a row.
      signature: Names and types the inputs; those with a default may be left out, by all rows.

    Raises:
      ServingError: If the rows are not alike or are not what the signature takes.
    """
    if not isinstance(instances, list):
        raise _refused("Excepting 'instances' to be an list/array")
    if not instances:
        raise _refused("No values in 'instances' array")
    if not isinstance(instances[0], dict) and len(signature.inputs) > 1:
        raise _refused(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if not _is_object(instances[0]):
        (name,) = signature.inputs
        for place, row in enumerate(instances):
            if _is_object(row):
                raise _refused(f"Expecting value/list but got object at item {place} of input list")
        return {name: _stacked(instances, name, signature, keyed=False)}
    names = set(signature.inputs)
    keys = instances[0].keys()
    for place, row in enumerate(instances):
        if not _is_object(row):
            raise _refused(f"Expecting object but got list at item {place} of input list")
        if row.keys() != keys or not names - set(signature.defaults) <= keys <= names:
            expected = ",".join(sorted(names if place == 0 else keys))
            raise _refused(
                f"Failed to process element: {place} of 'instances' list. JSON object: "
                f"{_shown(row)} keys must be equal to: {expected}"
            )
    return {
        name: _stacked([row[name] for row in instances], name, signature, keyed=True)
        for name in keys
    }


def of_columns(inputs: Any, signature: SignatureDef) -> Arrays:
    """Returns the inputs of a request in column format.

    Args:
      inputs: The value of the signature's only input; or an object of named values.
      signature: Names and types the inputs; those with a default may be left out.

    Raises:
      ServingError: If they are not what the signature takes.
    """
    if not _is_object(inputs):
        if len(signature.inputs) > 1:
            raise _refused(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        (name,) = signature.inputs
        return {name: _tensor(inputs, signature.inputs[name].dtype)}
    for name in signature.inputs:
        if name not in inputs and name not in signature.defaults:
            raise _refused(f"Missing named input: {name} in 'inputs' object.")
    for name in inputs:
        if name not in signature.inputs:
            raise _refused(f"JSON object: does not have named input: {name}")
    return {name: _tensor(value, signature.inputs[name].dtype) for name, value in inputs.items()}


def example(row: Any) -> bytes:
    """Returns a serialized tf.Example of `{feature: value or list}`.

    As in TensorFlow Serving, the values decide the kind: 33 is an int64, 33.0 a float.

    Raises:
      ServingError: If it is no object, or a feature's values are of several kinds or of none.
    """
    if not isinstance(row, dict) or _is_base64(row):
        raise _refused(f"Example must be JSON object but got JSON {_json_type(row)}")
    found = tf.train.Example()
    for name, content in row.items():
        feature = found.features.feature[name]
        for value in content if isinstance(content, list) else [content]:
            _add(value, name, feature)
    return found.SerializeToString()


def to_rows(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the answer in row format: values of the only output, or objects of all of them."""
    values = {name: _jsonable(name, value) for name, value in outputs.items()}
    if len(values) == 1:
        return {"predictions": next(iter(values.values()))}
    return {
        "predictions": [
            dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)
        ]
    }


def to_columns(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the answer in column format."""
    values = {name: _jsonable(name, value) for name, value in outputs.items()}
    return {"outputs": next(iter(values.values())) if len(values) == 1 else values}


def to_text(value: bytes) -> str:
    """Returns a string as JSON can hold it; what is not UTF-8 is replaced."""
    return value.decode("utf-8", "replace")


def _add(value: Any, name: str, feature: tf.train.Feature) -> None:
    if isinstance(value, float):
        kind, plain = "float_list", _leaf(value, tf.float32.as_datatype_enum)
    elif isinstance(value, int):
        kind, plain = "int64_list", int(value)
        if not tf.int64.min <= plain <= tf.int64.max:
            raise _refused(f"Feature: {name} has uint64 element. Only int64 is supported.")
    elif isinstance(value, str) or _is_base64(value):
        kind, plain = "bytes_list", _leaf(value, tf.string.as_datatype_enum)
    else:
        raise _refused(
            f"Feature: {name} has element with unexpected JSON type: {_json_type(value)}"
        )
    if feature.WhichOneof("kind") not in (None, kind):
        raise _refused(
            f"Unexpected element type in feature: {name} expecting type: "
            f"{(feature.WhichOneof('kind') or '').removesuffix('_list')}"
        )
    getattr(feature, kind).value.append(plain)


def _stacked(values: list[Any], name: str, signature: SignatureDef, *, keyed: bool) -> np.ndarray:
    """Returns [rows, ...] of values whose shapes must be the same."""
    dtype = signature.inputs[name].dtype
    shape = _shape(values[0])
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
            key = f" key: {name}" if keyed else ""
            raise _refused(
                f"Failed to process element: {place}{key} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: {error}"
            ) from error
    return _array(flat, (len(values), *shape), dtype)


def _tensor(value: Any, dtype: int) -> np.ndarray:
    shape = _shape(value)
    flat: list[Any] = []
    _fill(value, 0, shape, dtype, flat)
    return _array(flat, shape, dtype)


def _array(flat: list[Any], shape: tuple[int, ...], dtype: int) -> np.ndarray:
    array = np.array(flat, tf.dtypes.as_dtype(dtype).as_numpy_dtype)
    return array.reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    """Returns the shape that a nested list has if it is a tensor, by its first elements."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _fill(value: Any, level: int, shape: tuple[int, ...], dtype: int, flat: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise _refused(
                f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        flat.append(_leaf(value, dtype))
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


def _leaf(value: Any, dtype: int) -> Any:
    kind = tf.dtypes.as_dtype(dtype)
    if kind == tf.string:
        if isinstance(value, str):
            return _utf8(value)
        if isinstance(value, dict):
            return _decoded(value)
    elif kind.is_floating:
        if isinstance(value, float):
            if kind == tf.float32 and np.isfinite(value) and abs(value) > kind.max:
                raise _lossy(value, kind)
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) > _EXACT_INTEGERS and kind == tf.float32:
                raise _lossy(value, kind)
            return value
    elif kind == tf.bool:
        if isinstance(value, bool):
            return value
    elif isinstance(value, int) and not isinstance(value, bool) and kind.min <= value <= kind.max:
        return value
    raise _refused(
        f"JSON Value: {_shown(value)} Type: {_json_type(value)} is not of expected type: {kind.name}"
    )


def _lossy(value: float, kind: tf.DType) -> ServingError:
    target = {tf.float32: "float"}.get(kind, kind.name)
    return _refused(f"Cannot convert JSON value: {value} to {target} without loss of precision.")


def _utf8(value: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _refused(
            f"JSON Value: {_shown(value)} is not Unicode text ({error.reason})"
        ) from error


def _decoded(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise _refused(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused("Unable to base64 decode") from error


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _jsonable(name: str, value: np.ndarray) -> Any:
    if value.dtype != object:
        return value if value.flags.c_contiguous else np.ascontiguousarray(value)
    return _texts(value.tolist(), name.endswith(_BYTES_SUFFIX))


def _texts(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_texts(element, as_bytes) for element in value]
    return {"b64": base64.b64encode(value).decode()} if as_bytes else to_text(value)


def _finite(document: Any) -> bool:
    if isinstance(document, np.ndarray | np.generic):
        return not np.issubdtype(document.dtype, np.floating) or bool(np.isfinite(document).all())
    if isinstance(document, dict):
        return all(map(_finite, document.values()))
    if isinstance(document, list | tuple):
        return all(map(_finite, document))
    return True


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _json_type(value: Any) -> str:
    names: dict[type, str] = {bool: str(value), dict: "Object", list: "Array", str: "String"}
    return "Null" if value is None else names.get(type(value), "Number")


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
