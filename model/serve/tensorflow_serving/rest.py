"""TensorFlow Serving's REST API.

GET   /v1/models/NAME[/versions/N]                      status
GET   /v1/models/NAME[/versions/N]/metadata             signatures
POST  /v1/models/NAME[/versions/N]:predict              rows ("instances") or columns ("inputs")
POST  /v1/models/NAME[/versions/N]:classify, :regress   "examples", with a "context" if need be
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from skewless.model.serve import inference
from skewless.model.serve.batching import Batcher
from skewless.model.serve.exchange import Bodies, Endpoint
from skewless.model.serve.models.registry import Models
from skewless.model.serve.models.servable import Servable
from skewless.model.serve.reading.json_documents import dumps, to_text
from skewless.model.serve.reading.json_outputs import columns_as_json, rows_as_json
from skewless.model.serve.reading.reader import Reader
from skewless.model.serve.reading.requests import EXAMPLES, Asked
from skewless.model.serve.status import ServingError
from skewless.model.serve.tensorflow_serving.replies import model_spec, signatures_of, status_reply

__all__ = ["rest_api"]

_SUBJECT = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_DIGITS = 32
# Values of an answer that are written without leaving the event loop.
_AT_ONCE = 4096
_PREDICTION = re.compile(rf"{_SUBJECT}:(?P<method>classify|regress|predict)", re.IGNORECASE)
_MODEL = re.compile(rf"{_SUBJECT}(?P<metadata>/metadata)?", re.IGNORECASE)


def rest_api(models: Models, batcher: Batcher, bodies: Bodies, reader: Reader) -> Endpoint:
    """Returns what answers every path under /v1."""

    async def endpoint(request: Request) -> Response:
        path = request.scope["path"]
        if request.method == "POST" and (match := _PREDICTION.fullmatch(path)):
            method = match["method"].lower()
            request.state.method, request.state.model = method, models.known(match["name"])
            servable = models.get(match["name"], _number(match["version"]), match["label"] or "")
            request.state.version = servable.version
            asked = await reader.read(method, await bodies.of(request), servable.inputs)
            answer = await _METHODS[method](batcher, servable, asked, request)
            return Response(answer, media_type="application/json")
        if request.method in ("GET", "HEAD") and (match := _MODEL.fullmatch(path)):
            request.state.model = models.known(match["name"])
            found = match["name"], _number(match["version"])
            if match["metadata"]:
                request.state.method = "metadata"
                servable = models.get(*found, match["label"] or "")
                return Response(_metadata(servable, found[0]), media_type="application/json")
            request.state.method = "status"
            reply = status_reply(models.statuses(*found))
            return Response(_message(reply), media_type="application/json")
        raise ServingError("INVALID_ARGUMENT", f"Malformed request: {request.method} {path}")

    return endpoint


async def _predict(batcher: Batcher, servable: Servable, asked: Asked, request: Request) -> bytes:
    outputs = await inference.predict(
        batcher, servable, asked.signature, asked.inputs, rows=asked.rows
    )
    request.state.rows = max(map(len, outputs.values()))
    to_json = columns_as_json if asked.rows is None else rows_as_json
    if sum(value.size for value in outputs.values()) <= _AT_ONCE:
        return to_json(outputs)
    return await asyncio.to_thread(to_json, outputs)


async def _classify(batcher: Batcher, servable: Servable, asked: Asked, request: Request) -> bytes:
    request.state.rows = asked.rows
    found = await inference.classify(batcher, servable, asked.signature, asked.inputs[EXAMPLES])
    results = [[[to_text(label), np.float32(score)] for label, score in row] for row in found]
    return dumps({"results": results})


async def _regress(batcher: Batcher, servable: Servable, asked: Asked, request: Request) -> bytes:
    request.state.rows = asked.rows
    found = await inference.regress(batcher, servable, asked.signature, asked.inputs[EXAMPLES])
    return dumps({"results": found})


_METHODS = {"predict": _predict, "classify": _classify, "regress": _regress}


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    number = int(text) if len(text) < _DIGITS else None
    if number is None or number > tf.int64.max:
        raise ServingError(
            "INVALID_ARGUMENT", f"Failed to convert version: {text[:_DIGITS]} to numeric."
        )
    return number


def _metadata(servable: Servable, name: str) -> str:
    spec, signatures = _message(model_spec(servable, name)), _message(signatures_of(servable))
    return f'{{\n"model_spec": {spec},\n"metadata": {{"signature_def": {signatures}}}\n}}\n'


def _message(message: Any) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
