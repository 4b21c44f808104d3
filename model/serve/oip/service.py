"""The protocol by gRPC: inference.GRPCInferenceService."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np

from skewless.model.serve.batching import Batcher
from skewless.model.serve.grpc_server.server import GrpcServer
from skewless.model.serve.models.registry import Models
from skewless.model.serve.monitoring.observing import Observer
from skewless.model.serve.oip import requests
from skewless.model.serve.oip.messages import SERVICE, message
from skewless.model.serve.oip.tensors import (
    CONTENTS,
    datatype_of,
    from_bytes,
    from_values,
    to_bytes,
)
from skewless.model.serve.status import ServingError
from skewless.model.serve.transport.rpc import Service

__all__ = ["add_inference_service"]

_Told = dict[str, Any]


def add_inference_service(
    server: GrpcServer,
    models: Models,
    batcher: Batcher,
    observer: Observer,
    timeout: float,
    stopping: Callable[[], bool],
) -> None:
    """Adds the service to a server that is not yet started; `stopping` whether it will take no more."""
    service = _InferenceService(models, batcher, observer, timeout, stopping)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, service.handlers()),)
    )


class _InferenceService(Service):
    def __init__(
        self,
        models: Models,
        batcher: Batcher,
        observer: Observer,
        timeout: float,
        stopping: Callable[[], bool],
    ) -> None:
        self._models, self._batcher, self._stopping = models, batcher, stopping
        self._observer, self._timeout = observer, timeout

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Returns what answers each method."""
        methods = {
            "ServerLive": ("live", self._live),
            "ServerReady": ("ready", self._ready),
            "ModelReady": ("ready", self._model_ready),
            "ServerMetadata": ("metadata", self._metadata),
            "ModelMetadata": ("metadata", self._model_metadata),
            "ModelInfer": ("infer", self._infer),
        }
        return {
            name: grpc.unary_unary_rpc_method_handler(
                self._answering(told_as, work),
                request_deserializer=message(f"{name}Request").FromString,
                response_serializer=message(f"{name}Response").SerializeToString,
            )
            for name, (told_as, work) in methods.items()
        }

    def _answering(
        self, told_as: str, work: Callable[[Any, _Told], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            return await self.answer(context, told_as, lambda told: work(request, told))

        return answer

    async def _live(self, request: Any, told: _Told) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def _ready(self, request: Any, told: _Told) -> Any:
        any_loaded = any(versions.current is not None for versions in self._models)
        return message("ServerReadyResponse")(ready=any_loaded and not self._stopping())

    async def _model_ready(self, request: Any, told: _Told) -> Any:
        ready = requests.ready(self._models, request.name, request.version)
        return message("ModelReadyResponse")(ready=ready)

    async def _metadata(self, request: Any, told: _Told) -> Any:
        return message("ServerMetadataResponse")(
            name=requests.SERVER,
            version=requests.server_version(),
            extensions=requests.EXTENSIONS,
        )

    async def _model_metadata(self, request: Any, told: _Told) -> Any:
        found = requests.metadata(self._models, request.name, request.version)
        return message("ModelMetadataResponse")(**found)

    async def _infer(self, request: Any, told: _Told) -> Any:
        servable = requests.servable_of(self._models, request.model_name, request.model_version)
        told["version"] = servable.version
        wanted = [output.name for output in request.outputs]
        found = await requests.infer(self._batcher, servable, _inputs(request), wanted)
        told["rows"] = max(map(len, found.values()))
        reply = message("ModelInferResponse")(
            model_name=request.model_name, model_version=str(servable.version), id=request.id
        )
        raw = bool(request.raw_input_contents)
        for name, array in found.items():
            datatype = datatype_of(array.dtype)
            output = reply.outputs.add(name=name, datatype=datatype, shape=array.shape)
            if raw:
                reply.raw_output_contents.append(to_bytes(array))
            else:
                getattr(output.contents, CONTENTS[datatype]).extend(array.ravel().tolist())
        return reply


def _inputs(request: Any) -> dict[str, tuple[str, np.ndarray]]:
    """Reads the tensors: all of them raw, or each in the field of its datatype."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"raw_input_contents: expected {len(request.inputs)}, one for each input, got {len(raw)}",
        )
    found: dict[str, tuple[str, np.ndarray]] = {}
    for place, tensor in enumerate(request.inputs):
        name, datatype, shape = tensor.name, tensor.datatype, list(tensor.shape)
        if datatype not in CONTENTS or name in found:
            why = "is there twice" if name in found else f"has the datatype {datatype!r:.40}"
            raise ServingError("INVALID_ARGUMENT", f"input {name!r:.80} {why}")
        if raw:
            array = from_bytes(raw[place], datatype, shape, name)
        else:
            array = from_values(getattr(tensor.contents, CONTENTS[datatype]), datatype, shape, name)
        found[name] = datatype, array
    return found
