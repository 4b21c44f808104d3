"""JSON objects to serialized tf.Examples, as Classify and Regress take them. Imports no TensorFlow.

Example { features = 1 { feature = 1 { key = 1; value = 2 { LIST { value = 1 } } } } }
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skewless.model.serve.reading.json_documents import json_type, shown
from skewless.model.serve.reading.json_objects import is_base64, is_object, with_paths
from skewless.model.serve.reading.json_tensors import leaf
from skewless.model.serve.status import ServingError

__all__ = ["example"]

_BYTES, _FLOATS, _INT64S = 1, 2, 3
_NAMES = {_BYTES: "bytes", _FLOATS: "float", _INT64S: "int64"}
_SHOWN = 200
_INT64 = range(-(1 << 63), 1 << 63)


def example(row: Any) -> bytes:
    """Returns a serialized tf.Example of `{feature: value or list}`, nested objects named by path.

    As in TensorFlow Serving, the values decide the kind: 33 is an int64, 33.0 a float.

    Raises:
      ServingError: If it is no object, or a feature's values are of several kinds or of none.
    """
    if not is_object(row):
        raise _refused(f"Example must be JSON object but got JSON {json_type(row)}")
    entries = []
    for name, content in with_paths(row).items():
        try:
            key = name.encode()
        except UnicodeEncodeError as error:
            raise _refused(f"Feature: {shown(name)} is no Unicode text ({error.reason})") from error
        entries.append(_field(1, _field(1, key) + _field(2, _feature(content, name))))
    return _field(1, b"".join(entries))


def _feature(content: Any, name: str) -> bytes:
    values = content if isinstance(content, list) else [content]
    kind, plain = None, []
    for value in values:
        found, held = _kind(value, name)
        if kind not in (None, found):
            raise _refused(
                f"Unexpected element type in feature: {name[:_SHOWN]} expecting type: {_NAMES[kind]}"
            )
        kind = found
        plain.append(held)
    if kind is None:
        return b""
    if kind == _BYTES:
        return _field(kind, b"".join(_field(1, text) for text in plain))
    if kind == _FLOATS:
        return _field(kind, _field(1, np.array(plain, "<f4").tobytes()))
    return _field(kind, _field(1, b"".join(_varint(number % (1 << 64)) for number in plain)))


def _kind(value: Any, name: str) -> tuple[int, Any]:
    if isinstance(value, float):
        return _FLOATS, leaf(value, "float32")
    if isinstance(value, int):
        if value not in _INT64:
            raise _refused(f"Feature: {name[:_SHOWN]} has uint64 element. Only int64 is supported.")
        return _INT64S, int(value)
    if isinstance(value, str) or is_base64(value):
        return _BYTES, leaf(value, "string")
    raise _refused(
        f"Feature: {name[:_SHOWN]} has element with unexpected JSON type: {json_type(value)}"
    )


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of a message: its number, that a length follows, the length, the content."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
