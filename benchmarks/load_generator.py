"""Clients that ask without pause, each for its next answer when it has the last: REST and gRPC.

They run in a process of their own, and do as little as they can, so that what is measured is the
server. Requests are ready-made bytes; answers are kept to be checked when the clock has stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import grpc

from benchmarks.http2_calls import Connection

__all__ = ["Load", "generate"]

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
Ask = Callable[[bytes], Awaitable[bytes]]


@dataclass
class Load:
    """What came of it.

    Attributes:
      seconds: From the first request to the last answer.
      latencies: [answers] seconds each.
      answers: The different bodies that each request got, by its place.
      failures: What went wrong instead of an answer.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: dict[int, set[bytes]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def generate(
    protocol: str, address: str, requests: Sequence[bytes], clients: int, seconds: float
) -> Load:
    """Asks for some seconds.

    Args:
      protocol: `rest`, `grpc`, or `grpcio` for gRPC by its own Python client.
      address: Host and port.
      requests: Whole HTTP requests, or serialized PredictRequests.
      clients: How many ask at the same time, each over a connection of its own.
      seconds: How long.
    """
    return asyncio.run(_run(protocol, address, requests, clients, seconds))


async def _run(
    protocol: str, address: str, requests: Sequence[bytes], clients: int, seconds: float
) -> Load:
    load = Load()
    connect = {"rest": _rest, "grpc": _http2, "grpcio": _grpc}[protocol]
    connected = [await connect(address, client) for client in range(clients)]
    begun = time.perf_counter()
    end = begun + seconds
    await asyncio.gather(
        *(_client(ask, requests, place, end, load) for place, (ask, _) in enumerate(connected))
    )
    load.seconds = time.perf_counter() - begun
    for _, close in connected:
        await close()
    return load


async def _client(ask: Ask, requests: Sequence[bytes], place: int, end: float, load: Load) -> None:
    try:
        while (begun := time.perf_counter()) < end:
            place = (place + 1) % len(requests)
            answer = await ask(requests[place])
            load.latencies.append(time.perf_counter() - begun)
            load.answers.setdefault(place, set()).add(answer)
    except (OSError, EOFError, ValueError, grpc.RpcError) as error:
        load.failures.append(repr(error))


async def _rest(address: str, client: int) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def ask(request: bytes) -> bytes:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ValueError(head.decode())
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await reader.readexactly(int(length))

    async def close() -> None:
        writer.close()
        await writer.wait_closed()

    return ask, close


async def _http2(address: str, client: int) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    host, port = address.split(":")
    connection = Connection(*await asyncio.open_connection(host, int(port)), _PREDICT)
    return connection.call, connection.close


async def _grpc(address: str, client: int) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    # Channels to one address share a connection unless their options differ.
    channel = grpc.aio.insecure_channel(address, options=[("skewless.client", client)])
    call = channel.unary_unary(_PREDICT)

    async def ask(request: bytes) -> bytes:
        answer: bytes = await call(request)
        return answer

    return ask, channel.close
