"""The streams of one HTTP/2 connection, and what is sent of them; no sockets.

Written after RFC 9113, sections 5 and 6.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from skewless.model.serve.grpc_server.frames import (
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    FRAME_BYTES,
    LARGEST_WINDOW,
    ErrorCode,
    FrameType,
    Http2Error,
    frame,
)
from skewless.model.serve.grpc_server.header_blocks import Encoder

__all__ = ["STREAM_WINDOW", "Stream", "Streams"]

# Bytes that a client may send of a stream ahead of our leave for more.
STREAM_WINDOW = 1 << 20
_NUMBER, _LAST = struct.Struct(">I"), struct.Struct(">II")
# Streams that were reset and are remembered, as more may come of them that was under way.
_MOST_RESET = 4096
# Of the encoder's table of headers, whatever the client has room for.
_TABLE_BYTES = 4096


@dataclass(slots=True)
class Stream:
    """A stream that one side at least has not ended.

    Attributes:
      may_send: Bytes that the client has room for.
      may_come: Bytes that it may send.
      sending: Whether our end of it is yet to be sent.
      receiving: Whether the client's end of it is yet to come.
    """

    may_send: int
    may_come: int = STREAM_WINDOW
    sending: bool = True
    receiving: bool = True


class Streams:
    """Those of one connection, with the frames that wait to be written."""

    def __init__(self) -> None:
        """Knows no stream."""
        # By number.
        self.open: dict[int, Stream] = {}
        # The last that the client opened.
        self.last = 0
        self.frame_bytes = FRAME_BYTES
        self._out: list[bytes] = []
        self._encoder = Encoder()
        # Whether it was we who reset it.
        self._reset: dict[int, bool] = {}
        self._last_told: int | None = None
        self._may_send = self._first_window = FIRST_WINDOW

    def __bool__(self) -> bool:
        """Whether frames wait to be written."""
        return bool(self._out)

    def written(self) -> bytes:
        """Returns the frames that wait, once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def send(self, kind: FrameType, flags: int, stream: int, payload: bytes = b"") -> None:
        """Sends a frame."""
        self._out.append(frame(kind, flags, stream, payload))

    def give(self, stream: int, size: int) -> None:
        """Lets the client send more bytes of a stream, or of all together if it is 0."""
        self.send(FrameType.WINDOW_UPDATE, 0, stream, _NUMBER.pack(size))

    def send_headers(self, stream: int, headers: Sequence[tuple[bytes, bytes]], end: bool) -> None:
        """Sends headers, unless the stream has ended; `end` makes them the last."""
        found = self.open.get(stream)
        if found is None or not found.sending:
            return
        block, size = self._encoder.encode(headers), self.frame_bytes
        flags = END_STREAM if end else 0
        if len(block) <= size:
            self.send(FrameType.HEADERS, flags | END_HEADERS, stream, block)
        else:
            self.send(FrameType.HEADERS, flags, stream, block[:size])
            for at in range(size, len(block), size):
                last = END_HEADERS if at + size >= len(block) else 0
                self.send(FrameType.CONTINUATION, last, stream, block[at : at + size])
        if end:
            found.sending = False
            self.forget_if_over(stream, found)

    def room(self, stream: int) -> int | None:
        """Returns how many bytes of a stream may be sent, or None if it has ended."""
        found = self.open.get(stream)
        if found is None or not found.sending:
            return None
        return max(0, min(found.may_send, self._may_send))

    def send_data(self, stream: int, data: bytes) -> None:
        """Sends bytes of a stream, for which there must be room."""
        found, size = self.open[stream], self.frame_bytes
        found.may_send -= len(data)
        self._may_send -= len(data)
        for at in range(0, len(data), size):
            self.send(FrameType.DATA, 0, stream, data[at : at + size])

    def reset(self, stream: int, code: ErrorCode) -> None:
        """Ends a stream before its time."""
        self.open.pop(stream, None)
        self._remember(stream, by_us=True)
        self.send(FrameType.RST_STREAM, 0, stream, _NUMBER.pack(code))

    def was_reset(self, stream: int) -> None:
        """Takes it that the client has ended a stream before its time."""
        if self.open.pop(stream, None) is not None:
            self._remember(stream, by_us=False)

    def go_away(self, code: ErrorCode) -> None:
        """Says that the connection ends, and up to which stream calls are answered."""
        if self._last_told is None:
            self._last_told = self.last
        self.send(FrameType.GOAWAY, 0, 0, _LAST.pack(self._last_told, code))

    def forget_if_over(self, stream: int, found: Stream) -> None:
        """Forgets a stream that both sides have ended."""
        if not (found.sending or found.receiving):
            self.open.pop(stream, None)

    def came_late(self, stream: int) -> None:
        """Takes it that headers or bytes came of a stream that is not open.

        Raises:
          Http2Error: If they were not under way already when the stream ended.
        """
        if not stream % 2 or stream > self.last:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR)
        by_us = self._reset.get(stream)
        if by_us is None:
            raise Http2Error(ErrorCode.STREAM_CLOSED)
        if not by_us:
            self.send(FrameType.RST_STREAM, 0, stream, _NUMBER.pack(ErrorCode.STREAM_CLOSED))

    def opened(self, stream: int) -> Stream:
        """Returns a stream that the client has opened."""
        self.last = stream
        found = self.open[stream] = Stream(self._first_window)
        return found

    def widen(self, stream: int, size: int) -> bool:
        """Takes it that the client has room for more; returns False if that is more than can be.

        Raises:
          Http2Error: If it is, of all streams together.
        """
        if not stream:
            self._may_send += size
            if self._may_send > LARGEST_WINDOW:
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR)
        elif found := self.open.get(stream):
            found.may_send += size
            return found.may_send <= LARGEST_WINDOW
        return True

    def set_first_window(self, size: int) -> None:
        """Takes how much the client has room for at the beginning of each stream.

        Raises:
          Http2Error: If that gives an open stream more than can be.
        """
        change, self._first_window = size - self._first_window, size
        for found in self.open.values():
            found.may_send += change
            if found.may_send > LARGEST_WINDOW:
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR)

    def set_table_bytes(self, size: int) -> None:
        """Takes the largest table of headers that the client keeps."""
        self._encoder.header_table_size = min(size, _TABLE_BYTES)

    def _remember(self, stream: int, by_us: bool) -> None:
        self._reset[stream] = by_us
        if len(self._reset) > _MOST_RESET:
            del self._reset[next(iter(self._reset))]
