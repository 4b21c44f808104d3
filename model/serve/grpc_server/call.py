"""One gRPC call: from its headers to its status, whatever its method does in between."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol
from urllib.parse import quote

import grpc
from google.protobuf.message import DecodeError

from skewless.model.serve.grpc_server.messages import (
    ENCODINGS,
    MessageError,
    Messages,
    framed,
)

__all__ = ["Call", "Headers", "Wire", "status"]

Headers = dict[bytes, bytes]
# Requests that are at most so long are parsed in the event loop, as their answers are serialized.
_AT_ONCE = 64 * 1024
# Of requests of one call that its method has not taken yet.
_MOST_WAITING = 64
_LONGEST_DETAILS = 4096
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_HEAD = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_OK = ((b"grpc-status", b"0"),)
_ACCEPTED = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())


class Wire(Protocol):
    """What a call asks of its connection."""

    def send_headers(self, stream: int, headers: Any, end: bool = False) -> None:
        """Sends headers; `end` makes them the last that is sent."""

    def send_data(self, stream: int, data: bytes) -> None:
        """Sends bytes as the client makes room for them."""

    async def drained(self, stream: int) -> None:
        """Returns when the bytes of a stream have gone out."""

    def peer(self) -> str:
        """Returns the client's address."""


class AbortedError(Exception):
    """Ends a call with a code."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code, self.details = code, details


class Call:
    """One call; to its method what `grpc.aio` calls the context, as far as our services ask for it."""

    def __init__(
        self,
        wire: Wire,
        stream: int,
        handler: grpc.RpcMethodHandler,
        headers: Headers,
        most_bytes: int,
        failed: Callable[[Exception], None],
        done: Callable[[Call], None],
    ) -> None:
        """Takes its way out, its method, and who is told of its end.

        Args:
          wire: Sends what it answers.
          stream: Its number there.
          handler: Of its method.
          headers: That opened it.
          most_bytes: Of a message.
          failed: Is told of an exception that is nobody's word to the client.
          done: Is told of its end, once.

        Raises:
          MessageError: If its headers ask for what there is not.
        """
        self._wire, self.stream, self._handler = wire, stream, handler
        self._failed, self._done = failed, done
        encoding = headers.get(b"grpc-encoding", b"identity").decode("latin-1")
        self._messages = Messages(encoding, most_bytes)
        self._until = _deadline(headers.get(b"grpc-timeout"))
        # Its requests, and None after the last; a queue of asyncio's is more than most calls need.
        self._waiting: deque[bytes | None] = deque()
        self._more: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._head_sent = self._over = False

    def peer(self) -> str:
        """Returns the client's address."""
        return self._wire.peer()

    def time_remaining(self) -> float | None:
        """Returns the seconds that the client leaves, or None if it sets no limit."""
        return None if self._until is None else self._until - time.monotonic()

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        """Ends the call, by raising what ends it.

        Raises:
          AbortedError: Always.
        """
        raise AbortedError(code, details)

    async def write(self, message: Any) -> None:
        """Sends one of several answers, and returns when it has gone out."""
        self._send(self._handler.response_serializer, message)
        await self._wire.drained(self.stream)

    def begin(self) -> None:
        """Starts a method that reads its requests itself; others start with their one request."""
        if self._handler.request_streaming:
            self._start()

    def received(self, data: bytes) -> None:
        """Takes bytes of its requests."""
        if self._over:
            return
        try:
            for message in self._messages.feed(data):
                if len(self._waiting) >= _MOST_WAITING:
                    raise MessageError("RESOURCE_EXHAUSTED", "too many requests wait in one call")
                self._wait(message)
        except MessageError as error:
            self._stop(error)

    def half_closed(self) -> None:
        """Takes it that no more requests follow."""
        if self._over:
            return
        if not self._messages.is_between:
            self._stop(MessageError("INVALID_ARGUMENT", "the call ends within a message"))
        elif self._handler.request_streaming:
            self._wait(None)
        elif len(self._waiting) != 1:
            said = f"expected one request, got {len(self._waiting)}"
            self._stop(MessageError("INVALID_ARGUMENT", said))
        else:
            self._start()

    def gone(self) -> None:
        """Ends it, when nobody waits for its answer any more."""
        if not self._over:
            self._over = True
            self._release()

    def cancel(self) -> None:
        """Ends it before its time, which its client is told."""
        if not self._over:
            self._end(grpc.StatusCode.CANCELLED, "the call was cancelled")

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def _stop(self, error: MessageError) -> None:
        self._end(grpc.StatusCode[error.code], str(error))

    async def _run(self) -> None:
        try:
            await self._answer()
            self._end(grpc.StatusCode.OK, "")
        except AbortedError as error:
            self._end(error.code, error.details)
        except asyncio.CancelledError:
            self.cancel()
        except Exception as error:
            self._failed(error)
            self._end(grpc.StatusCode.UNKNOWN, "Internal error; the server's log tells more")

    async def _answer(self) -> None:
        handler, large = self._handler, False
        asked: Any
        if handler.request_streaming:
            asked = self._requests()
        else:
            body = self._waiting.popleft()
            assert body is not None
            large = len(body) > _AT_ONCE
            asked = await self._decoded(body)
        if handler.response_streaming:
            behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
            answers = behavior(asked, self)
            if isinstance(answers, AsyncIterator):
                async for answer in answers:
                    await self.write(answer)
            else:  # It writes them itself.
                await answers
            return
        behavior = handler.stream_unary if handler.request_streaming else handler.unary_unary
        answer, serializer = await behavior(asked, self), handler.response_serializer
        if large and serializer is not None:
            answer, serializer = await asyncio.to_thread(serializer, answer), None
        self._send(serializer, answer)

    def _wait(self, message: bytes | None) -> None:
        """Keeps a request, or the end of them, until the method takes it."""
        self._waiting.append(message)
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def _requests(self) -> AsyncIterator[Any]:
        while True:
            if not self._waiting:
                self._more = asyncio.get_running_loop().create_future()
                await self._more
            body = self._waiting.popleft()
            if body is None:
                return
            yield await self._decoded(body)

    async def _decoded(self, body: bytes) -> Any:
        deserializer = self._handler.request_deserializer
        if deserializer is None:
            return body
        try:
            if len(body) <= _AT_ONCE:
                return deserializer(body)
            return await asyncio.to_thread(deserializer, body)
        except DecodeError as error:
            raise AbortedError(
                grpc.StatusCode.INVALID_ARGUMENT, f"the request cannot be decoded: {error}"
            ) from error

    def _send(self, serializer: Callable[[Any], bytes] | None, message: Any) -> None:
        if self._over:
            return
        data = framed(message if serializer is None else serializer(message))
        if not self._head_sent:
            self._head_sent = True
            self._wire.send_headers(self.stream, _HEAD)
        self._wire.send_data(self.stream, data)

    def _end(self, code: grpc.StatusCode, details: str) -> None:
        if self._over:
            return
        self._over = True
        self._wire.send_headers(self.stream, status(code, details, self._head_sent), end=True)
        self._release()

    def _release(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._done(self)


def status(
    code: grpc.StatusCode, details: str, head_sent: bool = False
) -> tuple[tuple[bytes, bytes], ...]:
    """Returns the headers that end a call; all of them if none were sent before."""
    head = () if head_sent else _HEAD
    if code is grpc.StatusCode.OK:
        return head + _OK
    number: int = code.value[0]
    told = ((b"grpc-status", b"%d" % number), (b"grpc-message", _percent(details)))
    return head + told + ((_ACCEPTED,) if code is grpc.StatusCode.UNIMPLEMENTED else ())


def _deadline(given: bytes | None) -> float | None:
    """Returns when, by the monotonic clock, a client waits no more."""
    if given is None:
        return None
    found = _TIMEOUT.fullmatch(given)
    if found is None:
        raise MessageError(
            "INVALID_ARGUMENT",
            f"grpc-timeout: expected up to 8 digits and one of HMSmun, got {given[:40]!r}",
        )
    return time.monotonic() + int(found[1]) * _UNITS[found[2]]


def _percent(details: str) -> bytes:
    """Returns details as gRPC sends them: ASCII, anything else in percent signs."""
    cut = details if len(details) <= _LONGEST_DETAILS else details[:_LONGEST_DETAILS] + "…"
    return quote(cut, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~", errors="replace").encode()
