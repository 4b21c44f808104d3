"""The gRPC server: gRPC's own threads take calls in and give answers out; the event loop does the work.

    connection -> gRPC's thread -> (many at once) event loop -> batch thread -> loop -> gRPC's thread

Services are coroutines, as they would be for `grpc.aio`. That server was slower: its Python code runs
in the loop for every step of a call, so that calls arrived one by one and hardly ever met in a batch.
Here all calls that came while the loop was busy enter it together.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

__all__ = ["Call", "GrpcServer"]

# Each holds a call until it is answered; they are started as they are needed. What comes beyond waits.
_THREADS = 512
Coroutine = Callable[[Any, "Call"], Awaitable[Any]]


class AbortedError(Exception):
    """Ends a call with a code."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code, self.details = code, details


class Call:
    """One call: what its coroutine may ask of it, and its way into the event loop and back."""

    def __init__(self, behavior: Coroutine, request: Any, context: grpc.ServicerContext) -> None:
        self._behavior, self._request, self._context = behavior, request, context
        self._ended = threading.Lock()
        self._ended.acquire()
        self._task: asyncio.Task[Any] | None = None
        self._gone = False

    def peer(self) -> str:
        """Returns the client's address."""
        return self._context.peer()

    def time_remaining(self) -> float | None:
        """Returns the seconds that the client leaves, or None if it sets no limit."""
        return self._context.time_remaining()

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        """Ends the call, by raising what ends it.

        Raises:
          AbortedError: Always.
        """
        raise AbortedError(code, details)

    def wait(self) -> Any:
        """Returns the answer, on gRPC's thread, or ends the call as its coroutine did."""
        self._ended.acquire()
        assert self._task is not None
        if self._task.cancelled():
            self._context.abort(grpc.StatusCode.CANCELLED, "the call was cancelled")
        error = self._task.exception()
        if error is None:
            return self._task.result()
        if isinstance(error, AbortedError):
            self._context.abort(error.code, error.details)
        raise error

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the coroutine, on the loop's thread."""
        self._task = loop.create_task(self._run())
        self._task.add_done_callback(lambda _: self._ended.release())
        if self._gone:
            self._task.cancel()

    def cancel(self) -> None:
        """Ends the coroutine, on the loop's thread; nobody waits for its answer."""
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> Any:
        return await self._behavior(self._request, self)


class _Blocking(grpc.GenericRpcHandler):
    """Finds the methods of another handler, made blocking."""

    def __init__(
        self,
        handler: grpc.GenericRpcHandler,
        blocking: Callable[[grpc.RpcMethodHandler], grpc.RpcMethodHandler],
    ) -> None:
        self._handler, self._make = handler, blocking
        self._made: dict[str, grpc.RpcMethodHandler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if method not in self._made:
            found = self._handler.service(handler_call_details)
            if found is None:
                return None
            self._made[method] = self._make(found)
        return self._made[method]


class GrpcServer:
    """A server whose services' methods are coroutines of one event loop.

    What generated code calls `server` in `add_…Servicer_to_server`.
    """

    def __init__(
        self,
        options: Sequence[tuple[str, Any]],
        interceptors: Sequence[grpc.ServerInterceptor] = (),
        calls: int | None = None,
    ) -> None:
        """Takes gRPC's channel arguments and who sees calls first; to be made in the event loop.

        Beyond so many `calls` at a time it refuses them as RESOURCE_EXHAUSTED.
        """
        self._loop = asyncio.get_running_loop()
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, "grpc"),
            interceptors=interceptors,
            options=options,
            maximum_concurrent_rpcs=calls,
        )
        self._waiting: deque[Callable[[], None]] = deque()
        self._woken = False

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Adds methods that answer one request each, by coroutines."""
        self._server.add_generic_rpc_handlers(
            tuple(_Blocking(handler, self._blocking) for handler in handlers)
        )

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Does nothing: generated code that calls this adds generic handlers too."""

    @property
    def threaded(self) -> grpc.Server:
        """What methods that are no coroutines are added to."""
        return self._server

    def add_port(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Returns the port that it will listen at.

        Raises:
          RuntimeError: If it cannot listen there.
        """
        if credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, credentials)

    def start(self) -> None:
        """Begins to take calls."""
        self._server.start()

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and returns when the last has ended, or after `grace` seconds."""
        await asyncio.to_thread(self._server.stop(grace).wait)

    def _blocking(self, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        behavior = handler.unary_unary

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            call = Call(behavior, request, context)
            ended = False

            def gone() -> None:
                if not ended:
                    self._enter(call.cancel)

            context.add_callback(gone)
            self._enter(lambda: call.begin(self._loop))
            try:
                return call.wait()
            finally:
                ended = True

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )

    def _enter(self, work: Callable[[], None]) -> None:
        """Does something on the loop's thread, which is woken once for all that came meanwhile."""
        self._waiting.append(work)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._woken = False
        while self._waiting:
            self._waiting.popleft()()
