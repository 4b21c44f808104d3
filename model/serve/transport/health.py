"""grpc.health.v1: whether the server and each model answer, as `/readyz` says it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from skewless.model.serve.models.registry import Models

__all__ = ["SERVICE", "Health"]

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]

_LOOK_SECONDS = 0.1
_WATCH_THREADS = 2
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

    def add_to(self, server: grpc.Server) -> None:
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
        for name, state in states.items():
            if self._told.get(name) != state:
                self._servicer.set(name, state)
        self._told = states

    async def watch(self) -> None:
        """Tells the states as they change, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def stop(self) -> None:
        """Says that nothing is served any more, and ends the streams of those who watch."""
        self._servicer.enter_graceful_shutdown()
        self._servicer.end_watches()


class _Servicer(health.HealthServicer):
    """The library's, whose `Watch` would hold a server that stops until its grace is over."""

    def __init__(self) -> None:
        super().__init__(True, ThreadPoolExecutor(_WATCH_THREADS, "health"))
        self._watching: set[Callable[[Any], None]] = set()

    def Watch(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Callable[[Any], None],
    ) -> None:
        """Sends the state of a service now and whenever it changes."""
        self._watching.add(send_response_callback)
        context.add_callback(lambda: self._watching.discard(send_response_callback))
        super().Watch(request, context, send_response_callback)

    def end_watches(self) -> None:
        """Ends all streams."""
        for send in tuple(self._watching):
            send(None)
