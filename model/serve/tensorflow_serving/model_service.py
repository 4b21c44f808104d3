"""TensorFlow Serving's ModelService: the states of versions, and another list of models."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)

from skewless.model.serve.models.model_config import model_configs
from skewless.model.serve.models.registry import Models
from skewless.model.serve.monitoring.observing import Observer
from skewless.model.serve.status import ServingError
from skewless.model.serve.tensorflow_serving.replies import status_reply
from skewless.model.serve.transport.rpc import Service, version_of

__all__ = ["ModelService"]


class ModelService(Service, model_service_pb2_grpc.ModelServiceServicer):
    """Answers for one server."""

    def __init__(self, models: Models, observer: Observer, timeout: float) -> None:
        """Takes the models, and who is told of calls."""
        self._models = models
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
            told["model"] = self._models.known(request.model_spec.name)
            return status_reply(
                self._models.statuses(request.model_spec.name, version_of(request.model_spec))
            )

        return await self.answer(context, "status", work)

    async def HandleReloadConfigRequest(  # noqa: N802
        self,
        request: model_management_pb2.ReloadConfigRequest,
        context: grpc.aio.ServicerContext,
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of another list; answers when the new ones are loaded."""

        async def work(told: dict[str, Any]) -> model_management_pb2.ReloadConfigResponse:
            if self._models.configs is None:
                raise ServingError(
                    "FAILED_PRECONDITION",
                    "Cannot transition to requested config: the server was not started with "
                    "--model-config-file, which allows it",
                )
            configs = model_configs(request.config)
            told["models"] = [config.name for config in configs]
            # A client that waits no longer must not leave the list half done.
            await asyncio.shield(self._models.reload(configs))
            return model_management_pb2.ReloadConfigResponse()

        return await self.answer(context, "reload", work, limited=False)
