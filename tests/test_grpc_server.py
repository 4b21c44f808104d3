"""The gRPC server over HTTP/2 in the event loop, by gRPC's own client and by bytes of our own."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes

from skewless.model.serve.grpc_server.call import Call
from skewless.model.serve.grpc_server.connection import GrpcLimits
from skewless.model.serve.grpc_server.server import GrpcServer
from skewless.model.serve.server import listening_at

_CALLS = 16
_LIMITS = GrpcLimits()
_LOST = ConnectionTerminated()
_OPENING = [
    (":method", "POST"), (":scheme", "http"), (":path", "/test.Service/Do"), (":authority", "here"),
    ("content-type", "application/grpc"),
]  # fmt: skip


def serving(
    behavior: Callable[[bytes, Call], Awaitable[bytes]],
    use: Callable[[Callable[..., Any], GrpcServer], Awaitable[None]],
    limits: GrpcLimits = _LIMITS,
    channel_options: Sequence[tuple[str, Any]] = (),
) -> list[Exception]:
    """Serves one method; `use` gets what calls it. Returns what went wrong in the method."""
    failures: list[Exception] = []

    async def run() -> None:
        server = GrpcServer(limits, failures.append)
        handler = grpc.unary_unary_rpc_method_handler(behavior)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Service", {"Do": handler}),)
        )
        listening = listening_at("127.0.0.1", 0)
        port = listening.getsockname()[1]
        server.listen(listening)
        await server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}", channel_options) as channel:
            await use(channel.unary_unary("/test.Service/Do"), server)
            await server.stop(5)

    asyncio.run(run())
    return failures


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


def test_large_messages_pass_however_small_the_clients_windows_are() -> None:
    sent = bytes(range(256)) * 80_000

    async def echo(request: bytes, call: Call) -> bytes:
        return request

    async def use(do: Callable[..., Any], server: GrpcServer) -> None:
        for compression in (None, grpc.Compression.Gzip, grpc.Compression.Deflate):
            found = await asyncio.to_thread(do, sent, compression=compression)
            assert found == sent

    assert serving(echo, use, channel_options=[("grpc.max_receive_message_length", -1)]) == []


def test_what_a_client_does_wrong_has_a_code() -> None:
    inside = asyncio.Event()

    async def wait(request: bytes, call: Call) -> bytes:
        inside.set()
        await asyncio.sleep(60)
        return request

    async def use(do: Callable[..., Any], server: GrpcServer) -> None:
        def code(*given: Any, **more: Any) -> str:
            with pytest.raises(grpc.RpcError) as caught:
                do(*given, **more)
            return caught.value.code().name

        assert await asyncio.to_thread(code, bytes(101)) == "RESOURCE_EXHAUSTED"
        # Bytes that are few, of a message that is not.
        bomb = {"compression": grpc.Compression.Gzip}
        assert await asyncio.to_thread(code, bytes(10**6), **bomb) == "RESOURCE_EXHAUSTED"
        first = asyncio.create_task(asyncio.to_thread(code, b"", timeout=2))
        await inside.wait()
        assert await asyncio.to_thread(code, b"") == "RESOURCE_EXHAUSTED"
        assert await first == "DEADLINE_EXCEEDED"

    serving(wait, use, GrpcLimits(message_bytes=100, calls=1))


class Wire:
    """A client of HTTP/2 that keeps to no rule of gRPC's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.http2 = H2Connection(
            H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.http2.initiate_connection()
        self._reader, self._writer = reader, writer

    async def ask(self, body: bytes, stream: int = 1, **headers: str) -> dict[str, str]:
        """Returns the headers of an answer, all in one."""
        given = {
            ":method": "POST", ":scheme": "http", ":path": "/test.Service/Do", ":authority": "here",
            "content-type": "application/grpc", "te": "trailers",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }  # fmt: skip
        self.http2.send_headers(stream, list(given.items()))
        self.http2.send_data(stream, body, end_stream=True)
        found: dict[str, str] = {}
        while True:
            for event in await self.events():
                if isinstance(event, ConnectionTerminated):
                    return {"error": repr(event)}
                if isinstance(event, ResponseReceived | TrailersReceived):
                    found |= dict(event.headers)
                if isinstance(event, StreamEnded | StreamReset):
                    return found

    async def events(self) -> list[Any]:
        """Sends what there is to send, and returns what has come then; the end as GOAWAY."""
        try:
            self._writer.write(self.http2.data_to_send())
            data = await asyncio.wait_for(self._reader.read(1 << 16), 30)
        except ConnectionError:
            data = b""
        return self.http2.receive_data(data) if data else [_LOST]


def talking(
    use: Callable[[Wire, GrpcServer], Awaitable[None]], limits: GrpcLimits = _LIMITS
) -> None:
    """Serves an echo; `use` gets a wire to it."""

    async def echo(request: bytes, call: Call) -> bytes:
        return request

    async def with_port(do: Callable[..., Any], server: GrpcServer) -> None:
        assert server.address is not None
        reader, writer = await asyncio.open_connection(*server.address)
        await use(Wire(reader, writer), server)
        writer.close()

    assert serving(echo, with_port, limits) == []


def message(body: bytes, compressed: int = 0) -> bytes:
    """Returns a message as gRPC frames it."""
    return struct.pack(">BI", compressed, len(body)) + body


def test_requests_that_grpcs_own_client_would_not_send() -> None:
    async def use(wire: Wire, server: GrpcServer) -> None:
        asked: list[tuple[dict[str, str], bytes, dict[str, str]]] = [
            ({}, message(b"x"), {"grpc-status": "0"}),
            ({}, b"", {"grpc-status": "3"}),
            ({}, message(b"x")[:-1], {"grpc-status": "3"}),
            ({}, message(b"x") * 2, {"grpc-status": "3"}),
            ({}, message(b"x", 1), {"grpc-status": "3"}),
            ({"grpc_encoding": "gzip"}, message(b"x", 1), {"grpc-status": "3"}),
            ({"grpc_encoding": "gzip"}, message(gzip.compress(b"x")[:-1], 1), {"grpc-status": "3"}),
            ({"grpc_encoding": "gzip"}, message(b"x"), {"grpc-status": "0"}),
            ({"grpc_encoding": "br"}, message(b"x"),
             {"grpc-status": "12", "grpc-accept-encoding": "identity,deflate,gzip"}),
            ({"grpc_timeout": "1"}, message(b"x"), {"grpc-status": "3"}),
            ({"grpc_timeout": "99999999H"}, message(b"x"), {"grpc-status": "0"}),
            ({":path": "/test.Service/\u00e9"}, message(b"x"), {"grpc-status": "12"}),
            ({":method": "GET"}, message(b"x"), {":status": "405"}),
            ({"content_type": "application/json"}, message(b"x"), {":status": "415"}),
        ]  # fmt: skip
        for place, (headers, body, expected) in enumerate(asked):
            found = await wire.ask(body, 2 * place + 1, **headers)
            assert {name: found.get(name) for name in expected} == expected, (headers, body)

    talking(use)


@pytest.mark.parametrize("frame", ["ping", "settings", "reset", "empty"])
def test_frames_that_cost_a_client_nothing_end_the_connection(frame: str) -> None:
    async def use(wire: Wire, server: GrpcServer) -> None:
        assert (await wire.ask(message(b"x")))["grpc-status"] == "0"
        http2 = wire.http2
        for number in range(200):
            stream = 2 * number + 3
            if frame == "ping":
                http2.ping(b"12345678")
            elif frame == "settings":
                http2.update_settings({SettingCodes.MAX_FRAME_SIZE: 16_384 + number})
            elif frame == "reset":
                http2.send_headers(stream, _OPENING)
                http2.reset_stream(stream)
            else:
                if not number:
                    http2.send_headers(3, _OPENING)
                http2.send_data(3, b"")
        events: list[Any] = []
        while not any(isinstance(event, ConnectionTerminated) for event in events):
            events += await wire.events()
        # Others are served.
        reader, writer = await asyncio.open_connection(*(server.address or ()))
        assert (await Wire(reader, writer).ask(message(b"y")))["grpc-status"] == "0"
        writer.close()

    talking(use, GrpcLimits(frames_between_calls=100))


def test_connections_end_when_they_are_silent_idle_or_old() -> None:
    async def until_end(wire: Wire) -> None:
        while not any(isinstance(event, ConnectionTerminated) for event in await wire.events()):
            pass

    async def use(wire: Wire, server: GrpcServer) -> None:
        assert server.address is not None
        reader, silent = await asyncio.open_connection(*server.address)
        assert await asyncio.wait_for(reader.read(), 30) != b""  # Its settings, then the end.
        silent.close()
        await until_end(wire)
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.wait_for(reader.read(), 30)
        writer.close()

    talking(use, GrpcLimits(handshake_seconds=0.2, idle_seconds=0.2))
    talking(use, GrpcLimits(handshake_seconds=0.2, age_seconds=0.2))


def test_a_server_that_stops_answers_what_it_has_begun() -> None:
    async def slow(request: bytes, call: Call) -> bytes:
        await asyncio.sleep(0.5)
        return request

    async def use(do: Callable[..., Any], server: GrpcServer) -> None:
        asked = asyncio.create_task(asyncio.to_thread(do, b"x"))
        await asyncio.sleep(0.2)
        await server.stop(30)
        assert await asked == b"x"

    serving(slow, use)


def test_bytes_that_are_nearly_http2_end_their_own_connection_alone() -> None:
    chance = random.Random(7)
    client = H2Connection(H2Configuration(validate_outbound_headers=False))
    client.initiate_connection()
    for stream in (1, 3):
        client.send_headers(stream, [*_OPENING, ("grpc-timeout", "5S"), ("grpc-encoding", "gzip")])
        client.send_data(stream, message(gzip.compress(b"x" * 100), 1), end_stream=stream == 1)
    client.ping(b"12345678")
    client.reset_stream(3)
    good = client.data_to_send()
    preface = 24

    def spoilt() -> bytes:
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            begin = chance.randrange(preface, len(data))
            match chance.randrange(4):
                case 0:
                    data[begin] = chance.randrange(256)
                case 1:
                    del data[begin : begin + chance.randint(1, 40)]
                case 2:
                    data[begin:begin] = data[begin : begin + chance.randint(1, 40)]
                case 3:
                    data[begin:begin] = chance.randbytes(chance.randint(1, 40))
            if len(data) <= preface + 1:
                return bytes(data)
        return bytes(data)

    async def use(wire: Wire, server: GrpcServer) -> None:
        unexpected: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unexpected.append(context))
        for _ in range(300):
            reader, writer = await asyncio.open_connection(*(server.address or ()))
            writer.write(spoilt())
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 30)
            writer.close()
        assert unexpected == []
        assert (await wire.ask(message(b"x")))["grpc-status"] == "0"

    talking(use)
