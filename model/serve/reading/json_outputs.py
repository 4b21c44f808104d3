"""Tensors to JSON, by the rules of TensorFlow Serving's REST API.

    row format      {"predictions": [...]}
    column format   {"outputs": ...}

A string output whose name ends in `_bytes` is {"b64": "..."}, any other is text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from skewless.model.serve.reading.json_documents import dumps, to_text

__all__ = ["columns_as_json", "rows_as_json"]

_BYTES_SUFFIX = "_bytes"
# Values written at a time: that holds Python's lock, which the event loop needs as well.
_AT_A_TIME = 16 * 1024
Outputs = Mapping[str, np.ndarray]


def rows_as_json(outputs: Outputs) -> bytes:
    """Returns the answer in row format: values of the only output, or objects of all of them."""
    return b'{"predictions":[' + b",".join(map(_rows, _parts(outputs))) + b"]}"


def columns_as_json(outputs: Outputs) -> bytes:
    """Returns the answer in column format."""
    columns = []
    for name, value in outputs.items():
        written = b",".join(dumps(_jsonable(*part))[1:-1] for part in _column_parts(name, value))
        columns.append((dumps(name), b"[" + written + b"]"))
    if len(columns) == 1:
        return b'{"outputs":' + columns[0][1] + b"}"
    return b'{"outputs":{' + b",".join(name + b":" + value for name, value in columns) + b"}}"


def _rows(outputs: Outputs) -> bytes:
    """Returns some rows, without the brackets around them."""
    values = {name: _jsonable(name, value) for name, value in outputs.items()}
    if len(values) == 1:
        return dumps(next(iter(values.values())))[1:-1]
    rows = zip(*values.values(), strict=True)
    return dumps([dict(zip(values, row, strict=True)) for row in rows])[1:-1]


def _parts(outputs: Outputs) -> Iterator[Outputs]:
    rows = max(map(len, outputs.values()))
    step = max(1, _AT_A_TIME * rows // max(1, sum(value.size for value in outputs.values())))
    for begin in range(0, rows, step):
        yield {name: value[begin : begin + step] for name, value in outputs.items()}


def _column_parts(name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for part in _parts({name: value}):
        yield name, part[name]


def _jsonable(name: str, value: np.ndarray) -> Any:
    if value.dtype != object:
        return value if value.flags.c_contiguous else np.ascontiguousarray(value)
    return _texts(value.tolist(), name.endswith(_BYTES_SUFFIX))


def _texts(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_texts(element, as_bytes) for element in value]
    return {"b64": base64.b64encode(value).decode()} if as_bytes else to_text(value)
