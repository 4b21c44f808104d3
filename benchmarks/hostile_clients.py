"""Clients that do a server no good: large bodies, slow ones, floods of headers, garbage.

They run in one process of their own, over plain sockets, until their time is over, and count what they
were told.
"""

from __future__ import annotations

import asyncio
import collections
import gzip
import json
import random
import time
from collections.abc import Awaitable, Callable

__all__ = ["attack", "large_bodies", "large_inferences"]

_SLOW = 200
_FLOODS = 4
_GARBAGE = 16
_GARBAGE_REQUESTS = 5_000
_LARGE = 2
Told = dict[str, collections.Counter[str]]


def large_bodies(size: int) -> dict[str, bytes]:
    """Returns JSON bodies of `size` bytes at most, each hard on another part of a server."""
    columns = b'{"signature_name": "predict_columns", "instances": ['
    several = {
        "empty rows": columns + _filled(b"{}", size - 100) + b"]}",
        "lists": b'{"instances": [' + _filled(b"[]", size - 100) + b"]}",
        "numbers": b'{"inputs": [' + _filled(b"0.1", size - 100) + b"]}",
        "empty strings": b'{"instances": [' + _filled(b'""', size - 100) + b"]}",
        "one text": columns + b'{"title": "' + b"ab " * ((size - 200) // 3) + b'"}]}',
        "rows": columns + _filled(b'{"title": "a great thing", "price": 12.5}', size - 100) + b"]}",
        "escapes": columns + b'{"title": "' + b"\\u00e9" * ((size - 200) // 6) + b'"}]}',
        "broken": columns + _filled(b'{"title": "x"}', size - 100),
        "deep": b'{"instances": ' + b"[" * (size // 2 - 50) + b"]" * (size // 2 - 50) + b"}",
    }
    return several


def large_inferences(size: int) -> dict[str, bytes]:
    """Returns the same for the Open Inference Protocol."""

    def asking(datatype: str, value: bytes) -> bytes:
        count = (size - 200) // (len(value) + 1)
        head = b'{"inputs": [{"name": "title", "datatype": "%s", "shape": [%d], "data": ['
        return head % (datatype.encode(), count) + _filled(value, size - 200) + b"]}]}"

    return {
        "OIP texts": asking("BYTES", b'"a great thing"'),
        "OIP numbers": asking("FP32", b"0.1"),
        "OIP lists": asking("INT64", b"[]"),
    }


def attack(address: str, name: str, size: int, seconds: float) -> Told:
    """Does all of it at once for some seconds; returns how often each kind was told what.

    Args:
      address: Host and port of REST.
      name: The model's.
      size: Of a large body, in bytes.
      seconds: How long; garbage goes on until all of it was sent.
    """
    return asyncio.run(_attack(address, name, size, seconds))


def _filled(item: bytes, size: int) -> bytes:
    return b",".join([item] * (size // (len(item) + 1)))


async def _attack(address: str, name: str, size: int, seconds: float) -> Told:
    told: Told = collections.defaultdict(collections.Counter)
    end = time.monotonic() + seconds
    predict = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: a\r\n".encode()
    infer = f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: a\r\n".encode()
    bodies = [(kind, _request(predict, body)) for kind, body in large_bodies(size).items()]
    bodies += [(kind, _request(infer, body)) for kind, body in large_inferences(size).items()]
    bomb = gzip.compress(b" " * size)
    bodies.append(("gzip bomb", _request(predict + b"Content-Encoding: gzip\r\n", bomb)))
    left = iter(range(_GARBAGE_REQUESTS))

    async def large(number: int) -> None:
        place = number * len(bodies) // _LARGE
        while time.monotonic() < end:
            kind, body = bodies[place % len(bodies)]
            told[f"16 MiB: {kind}"][await _ask(address, [body])] += 1
            place += 1

    async def slow(number: int) -> None:
        head = predict + (b"Content-Length: 1000\r\n\r\n" if number % 2 else b"")
        while time.monotonic() < end:
            parts = [head, *[b"a"] * 1000]
            told["slow"][await _ask(address, parts, pause=0.5, end=end)] += 1

    async def flood(number: int) -> None:
        line = b"x-header: " + b"y" * 1000 + b"\r\n"
        parts = [predict, *([line * 50] * 200 if number % 2 else [b"z" * 50_000] * 200)]
        while time.monotonic() < end:
            told["header flood"][await _ask(address, parts)] += 1
            await asyncio.sleep(0.01)

    async def garbage(number: int) -> None:
        chance = random.Random(number)
        for _ in left:
            told["garbage"][await _ask(address, [_nonsense(chance, predict)])] += 1
            await asyncio.sleep(seconds * _GARBAGE / _GARBAGE_REQUESTS / 2)

    several: list[tuple[Callable[[int], Awaitable[None]], int]] = [
        (large, _LARGE), (slow, _SLOW), (flood, _FLOODS), (garbage, _GARBAGE)]  # fmt: skip
    await asyncio.gather(*(kind(number) for kind, count in several for number in range(count)))
    return dict(told)


def _request(head: bytes, body: bytes) -> bytes:
    return head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _nonsense(chance: random.Random, predict: bytes) -> bytes:
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(200)
    if kind == 1:
        return (
            b"GET /"
            + chance.randbytes(20).hex().encode()
            + b" HTTP/1.1\r\nConnection: close\r\n\r\n"
        )
    if kind == 2:
        return _request(predict, chance.randbytes(100))
    if kind == 3:
        return _request(predict, b'{"instances": ' + b"[" * chance.randrange(2000) + b"]}")
    if kind == 4:
        row = json.dumps({"instances": [{chance.choice("abc"): chance.random()}]}).encode()
        at = chance.randrange(len(row))
        return _request(predict, row[:at] + chance.randbytes(1) + row[at + 1 :])
    return _request(predict.replace(b":predict", b"/versions/" + b"9" * 5000 + b":predict"), b"{}")


async def _ask(
    address: str, parts: list[bytes], pause: float = 0.0, end: float = float("inf")
) -> str:
    """Sends the parts; returns the status of the answer, or how it ended without one."""
    host, port = address.split(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError as error:
        return type(error).__name__
    answer = asyncio.ensure_future(reader.read(12))
    try:
        for part in parts:
            if answer.done() or time.monotonic() > end:
                break
            writer.write(part)
            await writer.drain()
            if pause:
                await asyncio.wait([answer], timeout=pause)
        if time.monotonic() > end:
            return "left open"
        found = await answer
        while await reader.read(1 << 20):
            pass
        return found[9:].decode("latin-1") or "closed"
    except OSError:
        if answer.done() and not answer.exception() and answer.result():
            return answer.result()[9:].decode("latin-1")
        return "closed"
    finally:
        answer.cancel()
        writer.close()
