"""The protocol's tensors: their datatypes, their bytes, and their values in JSON or in gRPC's contents."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from skewless.model.serve.status import ServingError

__all__ = ["CONTENTS", "datatype_of", "from_bytes", "from_values", "to_bytes"]

_NUMPY = {
    "BOOL": np.dtype("bool"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_BYTES = "BYTES"
_OF_NUMPY = {dtype.type: name for name, dtype in _NUMPY.items()}
# The field of InferTensorContents that holds a datatype's values.
CONTENTS = {
    "BOOL": "bool_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    _BYTES: "bytes_contents",
}
_LENGTH = struct.Struct("<I")
# NumPy holds no array whose sizes other than 0 say more, be it empty.
_MOST_VALUES = 2**60 - 1


def datatype_of(dtype: Any) -> str:
    """Returns the protocol's name of a NumPy dtype; strings, which are objects, are BYTES."""
    return _OF_NUMPY.get(np.dtype(dtype).type, _BYTES)


def from_bytes(data: bytes, datatype: str, shape: Sequence[int], name: str) -> np.ndarray:
    """Returns the tensor that its bytes hold: little-endian, each of BYTES behind its length.

    Raises:
      ServingError: If they are not as many as the shape needs.
    """
    count = _count(shape, name)
    if datatype != _BYTES:
        dtype = _NUMPY[datatype]
        if len(data) != count * dtype.itemsize:
            raise _refused(
                f"input {name!r}: expected {count * dtype.itemsize} bytes for the shape "
                f"{list(shape)} of {datatype}, got {len(data)}"
            )
        return np.frombuffer(data, dtype).reshape(shape)
    values: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + _LENGTH.size
        if end <= len(data):
            end += _LENGTH.unpack_from(data, at)[0]
        if end > len(data) or end < at + _LENGTH.size:
            raise _refused(f"input {name!r}: its bytes end within element {len(values)}")
        values.append(data[at + _LENGTH.size : end])
        at = end
    return _shaped(values, np.dtype(object), shape, count, name)


def from_values(
    values: Sequence[Any], datatype: str, shape: Sequence[int], name: str
) -> np.ndarray:
    """Returns the tensor of values in their order, or in lists of lists.

    Args:
      values: Of JSON or of gRPC's contents; strings are taken as UTF-8.
      datatype: What they must be: 1.5 is no INT64, "1" no number, and `true` neither.
      shape: What they fill.
      name: Of the input, for messages.

    Raises:
      ServingError: If they are of another kind, or not as many as the shape needs.
    """
    count = _count(shape, name)
    flat: list[Any] = []
    _flatten(values, flat, len(shape))
    kinds: tuple[type, ...] = {
        _BYTES: (str, bytes),
        "BOOL": (bool,),
        "FP32": (float, int),
        "FP64": (float, int),
    }.get(datatype, (int,))
    for value in flat:
        if not isinstance(value, kinds) or (isinstance(value, bool) and datatype != "BOOL"):
            raise _refused(f"input {name!r}: expected values of {datatype}, got {value!r:.80}")
    if datatype == _BYTES:
        texts = [value.encode() if isinstance(value, str) else value for value in flat]
        return _shaped(texts, np.dtype(object), shape, count, name)
    try:
        array = _shaped(flat, _NUMPY[datatype], shape, count, name)
    except OverflowError as error:
        raise _refused(f"input {name!r}: a value is beyond the range of {datatype}") from error
    if datatype == "FP32" and np.isinf(array).any() and not any(map(math.isinf, flat)):
        raise _refused(f"input {name!r}: a value is beyond the range of FP32")
    return array


def to_bytes(array: np.ndarray) -> bytes:
    """Returns a tensor's bytes, as `from_bytes` takes them."""
    if array.dtype != object:
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(_LENGTH.pack(len(value)) + value for value in array.ravel().tolist())


def _shaped(
    values: list[Any], dtype: np.dtype, shape: Sequence[int], count: int, name: str
) -> np.ndarray:
    if len(values) != count:
        raise _refused(
            f"input {name!r}: expected {count} values for the shape {list(shape)}, got {len(values)}"
        )
    array = np.empty(count, dtype)
    with np.errstate(over="ignore"):
        array[:] = values
    return array.reshape(shape)


def _flatten(values: Any, flat: list[Any], depth: int) -> None:
    for value in values:
        if isinstance(value, list) and depth > 1:
            _flatten(value, flat, depth - 1)
        else:
            flat.append(value)


def _count(shape: Sequence[int], name: str) -> int:
    if any(size < 0 for size in shape):
        raise _refused(f"input {name!r}: a size of the shape {list(shape)} is less than 0")
    if math.prod(size for size in shape if size) > _MOST_VALUES:
        raise _refused(
            f"input {name!r}: expected at most {_MOST_VALUES} values, got the shape {list(shape)}"
        )
    return math.prod(shape)


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
