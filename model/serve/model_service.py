"""TensorFlow Serving's ModelService: the states of versions."""

from __future__ import annotations

from typing import Any

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from model.serve.observing import Observer
from model.serve.replies import status_reply
from model.serve.rpc import Service, version_of
from model.serve.status import ServingError
from model.serve.versions import Versions

__all__ = ["ModelService"]


class ModelService(Service, model_service_pb2_grpc.ModelServiceServicer):
    """Answers for one server."""

    def __init__(self, versions: Versions, observer: Observer, timeout: float) -> None:
        """Takes whose versions they are."""
        self._versions = versions
        self._observer, self._timeout = observer, timeout

    async def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the states of all versions of a model, or of one."""

        async def work(told: dict[str, Any]) -> get_model_status_pb2.GetModelStatusResponse:
            if not request.HasField("model_spec"):
                raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
            return status_reply(
                self._versions.statuses(request.model_spec.name, version_of(request.model_spec))
            )

        return await self.answer(context, "status", work)
