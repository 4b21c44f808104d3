"""The gRPC server, in the event loop: its services, its connections, and its end.

gRPC's own servers for Python took twice the CPU of a REST request for each call: by threads, each call
changes the thread several times; by `grpc.aio`, its own loop runs beside ours and wakes it for every step.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grpc

from skewless.model.serve.grpc_server.call import Call, Headers
from skewless.model.serve.grpc_server.connection import GrpcConnection, GrpcLimits
from skewless.model.serve.grpc_server.messages import MessageError

__all__ = ["GrpcServer"]

_LOOK_SECONDS = 0.5
_BACKLOG = 2048
# Of a method, the headers that open the call, and the client's address: why it is refused, or None.
Refusal = Callable[[str, Headers, str], str | None]


class _Details(NamedTuple):
    """What a `GenericRpcHandler` is asked by."""

    method: str
    invocation_metadata: tuple[()] = ()


class GrpcServer:
    """A server whose services' methods are coroutines of one event loop, as for `grpc.aio`.

    What generated code calls `server` in `add_…Servicer_to_server`.
    """

    def __init__(
        self,
        limits: GrpcLimits,
        failed: Callable[[Exception], None],
        refusal: Refusal = lambda method, headers, peer: None,
    ) -> None:
        """Serves nothing yet.

        Args:
          limits: What clients may do.
          failed: Is told of an exception of a method, which its client gets as UNKNOWN.
          refusal: Says why a call is UNAUTHENTICATED, or None.
        """
        self.limits = limits
        self._failed, self._refusal = failed, refusal
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._methods: dict[str, grpc.RpcMethodHandler] = {}
        self._listening: tuple[socket.socket, ssl.SSLContext | None] | None = None
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None
        self._connections: set[GrpcConnection] = set()
        self._calls = 0

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Adds methods; those that answer in a stream are generators, or write as for `grpc.aio`."""
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Does nothing: generated code that calls this adds generic handlers too."""

    def listen(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Takes where calls will come; by `tls` if given, which must offer the protocol "h2"."""
        self._listening = listening, tls

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens, or None."""
        if self._listening is None:
            return None
        host, port = self._listening[0].getsockname()[:2]
        return host, port

    async def start(self) -> None:
        """Begins to take calls, if it listens."""
        if self._listening is None:
            return
        listening, tls = self._listening
        handshake = None if tls is None else self.limits.handshake_seconds
        self._server = await asyncio.get_running_loop().create_server(
            lambda: GrpcConnection(self),
            sock=listening,
            ssl=tls,
            ssl_handshake_timeout=handshake,
            backlog=_BACKLOG,
        )
        self._looking = asyncio.create_task(self._look())

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and returns when the last has ended, or after `grace` seconds."""
        if self._server is None or self._looking is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.leave()
        end = time.monotonic() + grace
        while self._connections and time.monotonic() < end:
            await asyncio.sleep(0.01)
        self._looking.cancel()
        for connection in list(self._connections):
            connection.cancel()
        # Once round the loop, for the last words to go out.
        await asyncio.sleep(0)

    def admit(self, connection: GrpcConnection) -> bool:
        """Returns whether there is room for one more connection."""
        if len(self._connections) >= self.limits.connections:
            return False
        self._connections.add(connection)
        return True

    def lost(self, connection: GrpcConnection) -> None:
        """Forgets a connection."""
        self._connections.discard(connection)

    def open(self, connection: GrpcConnection, stream: int, headers: Headers) -> Call | None:
        """Returns the call that headers ask for, or refuses it."""
        method = headers.get(b":path", b"").decode("latin-1")
        refused = self._refusal(method, headers, connection.peer())
        if refused is not None:
            connection.refuse(stream, grpc.StatusCode.UNAUTHENTICATED, refused)
            return None
        handler = self._handler(method)
        if handler is None:
            connection.refuse(stream, grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            return None
        if self._calls >= self.limits.calls:
            said = "Concurrent RPC limit exceeded!"
            connection.refuse(stream, grpc.StatusCode.RESOURCE_EXHAUSTED, said)
            return None

        def done(call: Call) -> None:
            self._calls -= 1
            connection.ended(call)

        try:
            call = Call(
                connection, stream, handler, headers, self.limits.message_bytes, self._failed, done
            )
        except MessageError as error:
            connection.refuse(stream, grpc.StatusCode[error.code], str(error))
            return None
        self._calls += 1
        return call

    def _handler(self, method: str) -> Any:
        found = self._methods.get(method)
        if found is None:
            details: Any = _Details(method)
            answering = (handler.service(details) for handler in self._handlers)
            found = next((one for one in answering if one is not None), None)
            if found is not None:
                self._methods[method] = found
        return found

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            for connection in list(self._connections):
                connection.look(now)
