"""Requests and replies as JSON documents, and what of them an error shows.

Imports no TensorFlow: large bodies are read in a process of their own, which starts fast without it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson

from skewless.model.serve.status import ServingError

__all__ = ["dumps", "json_type", "loads", "shown", "to_text"]

_SHOWN = 200


def loads(body: bytes) -> dict[str, Any]:
    """Returns the JSON object of a request; NaN and Infinity are read, as TensorFlow Serving does.

    Of a key that an object has twice the last value counts.

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
        raise _refused(f"JSON Value: {shown(document)} Is not object")
    return document


def dumps(document: Any) -> bytes:
    """Returns JSON; float32 in as few digits as give it back, NaN and infinities by their names."""
    if _finite(document):
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document, default=_plain).encode()


def to_text(value: bytes) -> str:
    """Returns a string as JSON can hold it; what is not UTF-8 is replaced."""
    return value.decode("utf-8", "replace")


def shown(value: Any) -> str:
    """Returns the beginning of a value as JSON, without writing all of it."""
    text = ""
    try:
        # Not the encoder in C: that one writes the whole before it gives anything.
        for part in json.JSONEncoder(default=str).iterencode(value):
            text += part[: _SHOWN + 1]
            if len(text) > _SHOWN:
                return f"{text[:_SHOWN]}..."
    except RecursionError:
        return f"{text}..."
    return text


def json_type(value: Any) -> str:
    """Returns what TensorFlow Serving calls the type of a value."""
    names: dict[type, str] = {bool: str(value), dict: "Object", list: "Array", str: "String"}
    return "Null" if value is None else names.get(type(value), "Number")


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


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
