"""Connections that hold a server up: real sockets against uvicorn with our protocol, and small limits."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from skewless.model.serve.transport.connections import (
    BoundedProtocol,
    ConnectionLimits,
    Connections,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = {"most": 5, "head_seconds": 0.4, "head_bytes": 2000, "headers": 20, "url_bytes": 500,
          "pipelined": 3, "stalled_seconds": 1.0}  # fmt: skip


@dataclass
class Running:
    """A server, and what it was told."""

    port: int = 0
    refused: list[int] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def answer(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Sends the parts and returns all that comes until the end of the connection."""
        with self.connect() as client:
            for part in parts:
                with contextlib.suppress(OSError):  # It may have been refused by now.
                    client.sendall(part)
                time.sleep(pause)
            return everything(client)


def everything(client: socket.socket) -> bytes:
    found = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := client.recv(1 << 20):
            found += part
    return bytes(found)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    told = Running()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def wait() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                told.cancelled.set()

        if scope["path"] == "/wait":
            work = scope["state"]["work"] = asyncio.ensure_future(wait())
            with contextlib.suppress(asyncio.CancelledError):
                await work
        while (await receive()).get("more_body"):
            pass
        body = b"x" * (50_000_000 if scope["path"] == "/large" else 2)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        # Waits until there is room for more: the answer was taken, or the client left.
        await send({"type": "http.response.body", "body": b""})
        told.answered.set()

    connections = Connections(
        ConnectionLimits(**LIMITS), lambda status, _: told.refused.append(status)
    )  # type: ignore[arg-type]
    config = uvicorn.Config(
        app, http=functools.partial(BoundedProtocol, connections), lifespan="off",  # type: ignore[arg-type]
        log_config=None, access_log=False, ws="none", timeout_keep_alive=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told.port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield told
        finally:
            server.should_exit = True
            thread.join()


def status(answer: bytes) -> int:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer[:200]
    if not head.startswith(b"HTTP/1.1 200"):
        assert json.loads(body).keys() == {"error"}
    return int(head[9:12])


def headers(count: int, size: int) -> bytes:
    return b"".join(b"h%d: %s\r\n" % (i, b"x" * size) for i in range(count))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([b"GET /" + b"a" * 480 + b" HTTP/1.1\r\nConnection: close\r\n\r\n"], 200),
        ([b"GET /" + b"a" * 501 + b" HTTP/1.1\r\n\r\n"], 414),
        ([b"GET /" + b"a" * 300, b"a" * 300], 414),
        ([b"GET / HTTP/1.1\r\nConnection: close\r\n" + headers(19, 10) + b"\r\n"], 200),
        ([b"GET / HTTP/1.1\r\n" + headers(21, 1) + b"\r\n"], 431),
        ([b"GET / HTTP/1.1\r\n" + headers(10, 300) + b"\r\n"], 431),
        ([b"GET / HTTP/1.1\r\nh: ", *[b"x" * 500] * 20], 431),
        ([b"GET / HTTP/1.1\r\n" + b"x" * 200, *[b"x" * 500] * 20], 431),
        ([b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + headers(5, 900)], None),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400),
        ([b"garbage\r\n\r\n"], 400),
        ([b"GET /\xff HTTP/1.1\r\n\r\n"], 400),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400),
        ([b"GET http://[ HTTP/1.1\r\n\r\n"], 400),
        ([b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"], 400),
        ([b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"], 400),
    ],
)
def test_heads_are_bounded(parts: list[bytes], expected: int | None, running: Running) -> None:
    answer = running.answer(*parts, pause=0.002)
    assert answer == b"" if expected is None else status(answer) == expected


def test_a_head_that_comes_slowly_ends_in_time(running: Running) -> None:
    for first in (b"", b"G", GET[:20], b"\r\n"):
        begun = time.monotonic()
        with running.connect() as client:
            client.sendall(first)
            for _ in range(100):
                time.sleep(0.05)
                try:
                    client.sendall(b"\r\n" if first == b"\r\n" else b"a")
                except OSError:
                    break
            assert time.monotonic() - begun < 3


def test_a_head_after_an_answer_has_to_come_in_time_too(running: Running) -> None:
    with running.connect() as client:
        client.sendall(GET)
        answer = b""
        while not answer.endswith(b"xx"):
            answer += client.recv(4096)
        client.sendall(GET[:10])
        assert status(everything(client)) == 408


def test_the_longest_waiting_makes_room(running: Running) -> None:
    waiting = [running.connect() for _ in range(LIMITS["most"] + 2)]  # type: ignore[call-overload]
    try:
        for client in waiting[:2]:
            assert everything(client) == b""
        waiting[-1].sendall(GET)
        assert waiting[-1].recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        for client in waiting:
            client.close()


def test_one_too_many_is_refused_while_all_are_answered(running: Running) -> None:
    busy = [running.connect() for _ in range(LIMITS["most"])]  # type: ignore[call-overload]
    try:
        for client in busy:
            client.sendall(b"GET /wait HTTP/1.1\r\n\r\n")
        time.sleep(0.3)
        assert status(running.answer()) == 503
    finally:
        for client in busy:
            client.close()
    end = time.monotonic() + 20
    while time.monotonic() < end:  # Their places are free again when the server has seen them go.
        with contextlib.suppress(AssertionError):
            assert status(running.answer(GET[:-2] + b"Connection: close\r\n\r\n")) == 200
            return
    raise AssertionError("no room")


def test_work_ends_when_its_client_goes(running: Running) -> None:
    running.cancelled.clear()
    with running.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\n\r\n")
        assert not running.cancelled.wait(0.2)
    assert running.cancelled.wait(20)


def test_requests_ahead_of_their_turn_are_bounded(running: Running) -> None:
    close = GET[:-2] + b"Connection: close\r\n\r\n"
    assert running.answer(GET * 3 + close).count(b"200 OK") == 4
    assert running.answer(GET * 50 + close).count(b"200 OK") < 4


def test_a_client_that_does_not_read_is_left(running: Running) -> None:
    with running.connect() as client:
        running.answered.clear()
        client.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        # Not for a time of ours: a busy machine's server may come to its first look at the client late.
        assert running.answered.wait(20)
        assert len(everything(client)) < 50_000_000
    with running.connect() as client:  # One that reads gets it all.
        client.sendall(b"GET /large HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert len(everything(client)) > 50_000_000
