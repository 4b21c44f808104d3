"""The protocol by REST, with the extension for binary tensors.

GET   /v2, /v2/health/live, /v2/health/ready
GET   /v2/models/NAME[/versions/V][/ready]
POST  /v2/models/NAME[/versions/V]/infer
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from skewless.model.serve.batching import Batcher
from skewless.model.serve.exchange import Bodies, Endpoint
from skewless.model.serve.models.registry import Models
from skewless.model.serve.models.servable import Arrays, Servable
from skewless.model.serve.oip import requests
from skewless.model.serve.oip.tensors import (
    CONTENTS,
    datatype_of,
    from_bytes,
    from_values,
    to_bytes,
)
from skewless.model.serve.status import ServingError

__all__ = ["oip_api"]

_MODEL = re.compile(
    r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<what>ready|infer))?"
)
_HEAD = "Inference-Header-Content-Length"
# What is read and written without leaving the event loop: bytes of a body, values of an answer.
_BYTES_AT_ONCE = 16 * 1024
_VALUES_AT_ONCE = 4096


@dataclass
class _Asked:
    """A request for predictions, read."""

    id: str = ""
    inputs: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)
    outputs: dict[str, bool] = field(default_factory=dict)
    binary: bool = False


def oip_api(
    models: Models, batcher: Batcher, bodies: Bodies, serving: Callable[[], bool]
) -> Endpoint:
    """Returns what answers every path under /v2; `serving` says whether the server is ready."""

    async def endpoint(request: Request) -> Response:
        path = request.scope["path"]
        match = _MODEL.fullmatch(path)
        if match is None or (request.method == "POST") != (match["what"] == "infer"):
            return _of_server(path, request.method, serving)
        name, version = match["name"], match["version"] or ""
        if match["what"] == "infer":
            request.state.method = "infer"
            servable = requests.servable_of(models, name, version)
            request.state.version = servable.version
            body = await bodies.of(request)
            head = request.headers.get(_HEAD)
            if len(body) > _BYTES_AT_ONCE:
                asked = await asyncio.to_thread(_read, body, head)
            else:
                asked = _read(body, head)
            found = await requests.infer(batcher, servable, asked.inputs, list(asked.outputs))
            request.state.rows = max(map(len, found.values()))
            if sum(value.size for value in found.values()) > _VALUES_AT_ONCE:
                return await asyncio.to_thread(_response, name, servable, asked, found)
            return _response(name, servable, asked, found)
        request.state.method = match["what"] or "metadata"
        if match["what"] == "ready":
            servable = requests.servable_of(models, name, version)
            return _json({"name": name, "ready": True})
        return _json(requests.metadata(models, name, version))

    return endpoint


def _of_server(path: str, method: str, serving: Callable[[], bool]) -> Response:
    if method in ("GET", "HEAD"):
        if path == "/v2":
            return _json(
                {
                    "name": requests.SERVER,
                    "version": requests.server_version(),
                    "extensions": requests.EXTENSIONS,
                }
            )
        if path == "/v2/health/live":
            return _json({"live": True})
        if path == "/v2/health/ready":
            return _json({"ready": serving()}, 200 if serving() else 503)
    raise ServingError("NOT_FOUND", f"Not Found: {method} {path}")


def _read(body: bytes, head: str | None) -> _Asked:
    """Reads JSON, and behind it the bytes of tensors, one after the other."""
    size = len(body) if head is None else _size(head, f"{_HEAD}: ")
    if size > len(body):
        raise _refused(f"{_HEAD}: expected {len(body)} at most, got {size}")
    try:
        document = orjson.loads(body[:size])
    except orjson.JSONDecodeError as error:
        raise _refused(f"JSON Parse error: {error}") from error
    document = _object(document, "the request")
    asked = _Asked(id=_text(document, "id", ""))
    parameters = _object(document.get("parameters", {}), "parameters")
    asked.binary = parameters.get("binary_data_output") is True
    at = size
    for entry in _list(document, "inputs"):
        entry = _object(entry, "an input")
        name, datatype = _text(entry, "name"), _text(entry, "datatype")
        if name in asked.inputs:
            raise _refused(f"input {name!r} is there twice")
        if datatype not in CONTENTS:
            raise _refused(f"input {name!r}: datatype {datatype!r:.40} is none that a model takes")
        shape = _list(entry, "shape")
        if not all(type(dimension) is int for dimension in shape):
            raise _refused(f"input {name!r}: expected a shape of whole numbers")
        of_input = _object(entry.get("parameters", {}), "parameters of an input")
        if "binary_data_size" in of_input:
            end = at + _size(of_input["binary_data_size"], f"input {name!r}: binary_data_size: ")
            if end > len(body):
                raise _refused(f"input {name!r}: the body ends within its bytes")
            asked.inputs[name] = datatype, from_bytes(body[at:end], datatype, shape, name)
            at = end
        else:
            values = from_values(_list(entry, "data"), datatype, shape, name)
            asked.inputs[name] = datatype, values
    if at != len(body):
        raise _refused(f"expected {at} bytes of JSON and tensors, got {len(body)}")
    for entry in _list(document, "outputs") if "outputs" in document else ():
        entry = _object(entry, "an output")
        of_output = _object(entry.get("parameters", {}), "parameters of an output")
        asked.outputs[_text(entry, "name")] = of_output.get("binary_data", asked.binary) is True
    return asked


def _response(name: str, servable: Servable, asked: _Asked, found: Arrays) -> Response:
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for output, array in found.items():
        entry: dict[str, Any] = {
            "name": output,
            "datatype": datatype_of(array.dtype),
            "shape": list(array.shape),
        }
        if asked.outputs.get(output, asked.binary):
            parts.append(to_bytes(array))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        elif array.dtype == object:
            entry["data"] = [value.decode("utf-8", "replace") for value in array.ravel().tolist()]
        else:
            entry["data"] = array.ravel().tolist()
        outputs.append(entry)
    document: dict[str, Any] = {"model_name": name, "model_version": str(servable.version)}
    if asked.id:
        document["id"] = asked.id
    head = orjson.dumps(document | {"outputs": outputs})
    if not parts:
        return Response(head, media_type="application/json")
    return Response(
        head + b"".join(parts),
        media_type="application/octet-stream",
        headers={_HEAD: str(len(head))},
    )


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _refused(f"expected {what} to be a JSON object")
    return value


def _list(of: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = of.get(key)
    if not isinstance(value, list):
        raise _refused(f"expected {key!r} to be a list")
    return value


def _text(of: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = of.get(key, default)
    if not isinstance(value, str):
        raise _refused(f"expected {key!r} to be a string")
    return value


def _size(value: Any, what: str) -> int:
    text = str(value)
    if isinstance(value, (int, str)) and text.isascii() and text.isdecimal() and len(text) < 16:
        return int(text)
    raise _refused(f"{what}expected a number of bytes, got {text:.40}")


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
