"""What one HTTP/2 connection sends: each stream's bytes as its client makes room for them, its end after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from skewless.model.serve.grpc_server.frames import FRAME_BYTES
from skewless.model.serve.grpc_server.streams import Streams

__all__ = ["Outgoing"]

Headers = Sequence[tuple[bytes, bytes]]


@dataclass
class _Waiting:
    """What a stream has to send when there is room."""

    data: bytearray = field(default_factory=bytearray)
    last: Headers | None = None
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class Outgoing:
    """What is sent of the streams of one connection."""

    def __init__(
        self, streams: Streams, ended: Callable[[int], None], progress: Callable[[], None]
    ) -> None:
        """Takes the streams, and who is told of streams whose end is sent, and of whole frames."""
        self._streams, self._ended, self._progress = streams, ended, progress
        self._waiting: dict[int, _Waiting] = {}

    def __bool__(self) -> bool:
        """Whether anything waits for room."""
        return bool(self._waiting)

    def send_headers(self, stream: int, headers: Headers, end: bool) -> None:
        """Sends headers; `end` makes them the last, after all data."""
        waiting = self._waiting.get(stream)
        if end and waiting is not None:
            waiting.last = headers
            return
        self._streams.send_headers(stream, headers, end)
        if end:
            self._ended(stream)

    def send_data(self, stream: int, data: bytes) -> None:
        """Sends bytes, now or when there is room."""
        waiting = self._waiting.get(stream)
        if waiting is None:
            room = self._streams.room(stream)
            if room is None:  # The client has ended it.
                return
            if len(data) <= room:
                self._streams.send_data(stream, data)
                return
            waiting = self._waiting[stream] = _Waiting()
        waiting.data += data
        self.room_made(stream)

    async def drained(self, stream: int) -> None:
        """Returns when the bytes of a stream have gone out, or are wanted no more."""
        if waiting := self._waiting.get(stream):
            waiter = asyncio.get_running_loop().create_future()
            waiting.waiters.append(waiter)
            await waiter

    def room_made(self, stream: int = 0) -> None:
        """Sends on, of one stream or of all."""
        for each in [stream] if stream else list(self._waiting):
            if each in self._waiting:
                self._send_on(each)

    def drop(self, stream: int) -> None:
        """Forgets what a stream had to send."""
        waiting = self._waiting.pop(stream, None)
        for waiter in () if waiting is None else waiting.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def drop_all(self) -> None:
        """Forgets what all of them had to send."""
        for stream in list(self._waiting):
            self.drop(stream)

    def _send_on(self, stream: int) -> None:
        waiting, size = self._waiting[stream], self._streams.frame_bytes
        while waiting.data:
            room = min(self._streams.room(stream) or 0, size)
            if not room:
                return
            self._streams.send_data(stream, bytes(waiting.data[:room]))
            del waiting.data[:room]
            if room >= FRAME_BYTES:
                self._progress()
        self.drop(stream)
        if waiting.last is not None:
            self.send_headers(stream, waiting.last, end=True)
