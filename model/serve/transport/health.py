"""grpc.health.v1: whether the server and each model answer, as `/readyz` says it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from skewless.model.serve.grpc_server.server import GrpcServer
from skewless.model.serve.models.registry import Models

__all__ = ["SERVICE", "Health"]

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]

_LOOK_SECONDS = 0.1
_States = health_pb2.HealthCheckResponse


class Health:
    """The states of a server: of all of it (""), of each gRPC service, and of each model by its name.

    The server and its services are SERVING while any model has a version loaded; a model is while it has
    one, and SERVICE_UNKNOWN when it is served no more. All are NOT_SERVING once the server stops.
    """

    def __init__(self, models: Models, services: Sequence[str]) -> None:
        """Takes whose states they are and the names of the services."""
        self._models, self._services = models, ("", *services)
        self._servicer = _Servicer()
        self._told: dict[str, int] = {}
        self.look()

    def add_to(self, server: GrpcServer) -> None:
        """Adds the service to a server that is not yet started."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def look(self) -> None:
        """Tells the states as they are now."""
        states = {
            versions.name: _States.NOT_SERVING if versions.current is None else _States.SERVING
            for versions in self._models
        }
        any_serves = _States.SERVING in states.values()
        gone = dict.fromkeys(self._told, _States.SERVICE_UNKNOWN)
        every = _States.SERVING if any_serves else _States.NOT_SERVING
        states = gone | states | dict.fromkeys(self._services, every)
        if states != self._told:
            self._servicer.tell(states)
        self._told = states

    async def watch(self) -> None:
        """Tells the states as they change, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def stop(self) -> None:
        """Says that nothing is served any more, and ends the streams of those who watch."""
        stopped = dict.fromkeys(self._told, _States.NOT_SERVING)
        self._servicer.tell(stopped, stopping=True)


class _Servicer(health_pb2_grpc.HealthServicer):
    """Answers with what was told last.

    The library's own for the event loop lets only one client at a time watch a service.
    """

    def __init__(self) -> None:
        self._states: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._stopping = False

    def tell(self, states: Mapping[str, int], stopping: bool = False) -> None:
        """Takes the states as they are now; `stopping` ends the streams of those who watch."""
        self._states, self._stopping = dict(states), stopping
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """Answers with the state of a service, or NOT_FOUND."""
        if request.service not in self._states:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=self._states[request.service])

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Sends the state of a service now and whenever it changes."""
        sent = None
        while True:
            changed = self._changed
            state = self._states.get(request.service, _States.SERVICE_UNKNOWN)
            if state != sent:
                await context.write(health_pb2.HealthCheckResponse(status=state))
                sent = state
            if self._stopping:
                return
            await changed.wait()
