"""The gRPC server: coroutines behind gRPC's own threads, by a real client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from skewless.model.serve.transport.grpc_server import Call, GrpcServer

_CALLS = 16


def serving(
    behavior: Callable[[bytes, Call], Awaitable[bytes]],
    use: Callable[[Callable[..., Any], GrpcServer], Awaitable[None]],
) -> None:
    """Serves one method; `use` gets what calls it."""

    async def run() -> None:
        server = GrpcServer([])
        handler = grpc.unary_unary_rpc_method_handler(behavior)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Service", {"Do": handler}),)
        )
        port = server.add_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            await use(channel.unary_unary("/test.Service/Do"), server)
            await server.stop(5)

    asyncio.run(run())


def test_calls_that_come_while_the_loop_works_enter_it_together() -> None:
    inside = most = 0

    async def echo(request: bytes, call: Call) -> bytes:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        assert call.peer().startswith("ipv4:127.0.0.1")
        return request

    async def use(do: Callable[..., Any], server: GrpcServer) -> None:
        with ThreadPoolExecutor(_CALLS) as threads:
            await asyncio.to_thread(do, b"first")
            asked = [threads.submit(do, b"%d" % number) for number in range(_CALLS)]
            time.sleep(0.5)  # The loop is busy.
            answers = await asyncio.gather(*map(asyncio.wrap_future, asked))
        assert answers == [b"%d" % number for number in range(_CALLS)]

    serving(echo, use)
    assert most > _CALLS // 2


def test_errors_reach_the_client_and_its_cancellation_the_coroutine() -> None:
    ends: list[str] = []

    async def end(request: bytes, call: Call) -> bytes:
        if request == b"abort":
            await call.abort(grpc.StatusCode.NOT_FOUND, "not here")
        if request == b"raise":
            raise ValueError("a mistake")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return b""

    async def use(do: Callable[..., Any], server: GrpcServer) -> None:
        for request, code in ((b"abort", "NOT_FOUND"), (b"raise", "UNKNOWN")):
            with pytest.raises(grpc.RpcError) as caught:
                await asyncio.to_thread(do, request)
            assert caught.value.code().name == code
        with pytest.raises(grpc.RpcError) as caught:
            await asyncio.to_thread(do, b"wait", timeout=0.3)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        while not ends:
            await asyncio.sleep(0.01)
        last = asyncio.create_task(asyncio.to_thread(do, b"wait"))
        await asyncio.sleep(0.2)
        await server.stop(0.2)
        with pytest.raises(grpc.RpcError):
            await last

    serving(end, use)
    assert ends == ["cancelled"] * 2
