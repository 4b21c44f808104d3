"""TensorFlow Serving's REST API.

GET   /v1/models/NAME[/versions/N]                      status
GET   /v1/models/NAME[/versions/N]/metadata             signatures
POST  /v1/models/NAME[/versions/N]:predict              rows ("instances") or columns ("inputs")
POST  /v1/models/NAME[/versions/N]:classify, :regress   "examples", with a "context" if need be
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from skewless.model.serve import inference, json_tensors
from skewless.model.serve.batching import Batcher
from skewless.model.serve.exchange import Endpoint, body_of
from skewless.model.serve.models.registry import Models
from skewless.model.serve.models.servable import Servable
from skewless.model.serve.replies import model_spec, signatures_of, status_reply
from skewless.model.serve.status import ServingError

__all__ = ["rest_api"]

_SUBJECT = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(rf"{_SUBJECT}:(?P<method>classify|regress|predict)", re.IGNORECASE)
_MODEL = re.compile(rf"{_SUBJECT}(?P<metadata>/metadata)?", re.IGNORECASE)


def rest_api(models: Models, batcher: Batcher, max_body_bytes: int) -> Endpoint:
    """Returns what answers every path under /v1."""

    async def endpoint(request: Request) -> Response:
        path = request.scope["path"]
        if request.method == "POST" and (match := _PREDICTION.fullmatch(path)):
            method = match["method"].lower()
            request.state.method, request.state.model = method, models.known(match["name"])
            servable = models.get(match["name"], _number(match["version"]), match["label"] or "")
            request.state.version = servable.version
            document = json_tensors.loads(await body_of(request, max_body_bytes))
            return _json(await _METHODS[method](batcher, servable, document, request))
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


async def _predict(
    batcher: Batcher, servable: Servable, document: Mapping[str, Any], request: Request
) -> dict[str, Any]:
    signature = _signature(document)
    declared = servable.signatures.get(signature)
    if declared is None:
        raise ServingError(
            "INVALID_ARGUMENT", f'Serving signature name: "{signature}" not found in signature def'
        )
    if "instances" in document and "inputs" in document:
        raise ServingError(
            "INVALID_ARGUMENT",
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist",
        )
    if "instances" in document:
        inputs = json_tensors.of_rows(document["instances"], declared)
        to_json = json_tensors.to_rows
    elif "inputs" in document:
        inputs = json_tensors.of_columns(document["inputs"], declared)
        to_json = json_tensors.to_columns
    else:
        raise ServingError("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    outputs = await inference.predict(batcher, servable, signature, inputs)
    request.state.rows = max(map(len, outputs.values()))
    return to_json(outputs)


async def _classify(
    batcher: Batcher, servable: Servable, document: Mapping[str, Any], request: Request
) -> dict[str, Any]:
    examples = _examples(document, "classify")
    request.state.rows = len(examples)
    found = await inference.classify(batcher, servable, _signature(document), examples)
    return {
        "results": [
            [[json_tensors.to_text(label), np.float32(score)] for label, score in row]
            for row in found
        ]
    }


async def _regress(
    batcher: Batcher, servable: Servable, document: Mapping[str, Any], request: Request
) -> dict[str, Any]:
    examples = _examples(document, "regress")
    request.state.rows = len(examples)
    found = await inference.regress(batcher, servable, _signature(document), examples)
    return {"results": found}


_METHODS = {"predict": _predict, "classify": _classify, "regress": _regress}


def _signature(document: Mapping[str, Any]) -> str:
    name = document.get("signature_name", inference.DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise ServingError(
            "INVALID_ARGUMENT",
            "not formatted correctly. 'signature_name' key must be a string value.",
        )
    return name or inference.DEFAULT_SIGNATURE


def _examples(document: Mapping[str, Any], method: str) -> list[bytes]:
    if "examples" not in document:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"When method is {method}, key 'examples' is expected and was not found",
        )
    rows = document["examples"]
    if not isinstance(rows, list):
        raise ServingError("INVALID_ARGUMENT", "Expecting 'examples' value to be an list/array")
    if not rows:
        raise ServingError("INVALID_ARGUMENT", "'examples' value is an empty array")
    # Two serialized messages in a row are one that holds the fields of both.
    context = json_tensors.example(document.get("context", {}))
    return [context + json_tensors.example(row) for row in rows]


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    number = int(text)
    if number > tf.int64.max:
        raise ServingError("INVALID_ARGUMENT", f"Failed to convert version: {text} to numeric.")
    return number


def _metadata(servable: Servable, name: str) -> str:
    spec, signatures = _message(model_spec(servable, name)), _message(signatures_of(servable))
    return f'{{\n"model_spec": {spec},\n"metadata": {{"signature_def": {signatures}}}\n}}\n'


def _message(message: Any) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(document: dict[str, Any]) -> Response:
    return Response(json_tensors.dumps(document), media_type="application/json")
