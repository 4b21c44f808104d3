"""What comes over one HTTP/2 connection, as a server of gRPC has to understand it; no sockets.

Written after RFC 9113. Priorities, which it deprecates, are passed over, and fields of requests are not
checked beyond their compression: nothing is passed on to another server, and what is asked for by name
need not be there. The package `h2` speaks all of HTTP/2, as client and server, by tables of states: that
was two fifths of what a call took of the event loop.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

import hpack

from skewless.model.serve.grpc_server.frame_reader import FrameReader
from skewless.model.serve.grpc_server.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    FRAME_BYTES,
    LARGEST_FRAME_BYTES,
    LARGEST_WINDOW,
    PADDED,
    PRIORITY,
    PRIORITY_BYTES,
    ErrorCode,
    FrameType,
    Http2Error,
    Setting,
    unpadded,
)
from skewless.model.serve.grpc_server.header_blocks import Decoder
from skewless.model.serve.grpc_server.streams import STREAM_WINDOW, Streams

__all__ = ["Headers", "Listener", "Receiver"]

Headers = dict[bytes, bytes]
# Bytes that a client may send of all streams ahead of our leave for more.
_CONNECTION_WINDOW = 1 << 24
_SETTING = struct.Struct(">HI")
# Frames of one block of headers; more of them would cost a client nothing.
_MOST_PIECES = 64
_GOAWAY_BYTES = 8


class Listener(Protocol):
    """Who is told what came."""

    def opened(self, stream: int, headers: Headers) -> None:
        """A client opened a stream."""

    def came(self, stream: int, data: bytes) -> None:
        """Bytes of it came, at least one."""

    def half_closed(self, stream: int) -> None:
        """No more will come of it."""

    def was_reset(self, stream: int) -> None:
        """It ended before its time, by its client or for what its client did."""

    def room_made(self, stream: int) -> None:
        """More may be sent of it; of all, if it is 0."""

    def idle_frame(self) -> None:
        """A frame came that carries nothing of a call."""

    def going_away(self) -> None:
        """The client opens no more streams."""


class Receiver:
    """Takes the bytes of one connection, from its client's first."""

    def __init__(
        self, streams: Streams, listener: Listener, most_streams: int, header_bytes: int
    ) -> None:
        """Greets the client.

        Args:
          streams: Of the connection.
          listener: Is told what comes.
          most_streams: That are open at a time; one more is refused.
          header_bytes: Of one block of headers, compressed or not.
        """
        self._streams, self._listener = streams, listener
        self._most_streams, self._header_bytes = most_streams, header_bytes
        self._decoder = Decoder(header_bytes)
        self._reader = FrameReader()
        # The only type of frame that may come next, where there is but one.
        self._expected: FrameType | None = FrameType.SETTINGS
        # Of headers that are not whole: their stream, whether it ends with them, their pieces.
        self._block: tuple[int, bool, list[bytes]] = (0, False, [])
        self._may_come = _CONNECTION_WINDOW
        self._takes: dict[int, Callable[[int, int, bytes], None]] = {
            FrameType.DATA: self._data,
            FrameType.HEADERS: self._headers,
            FrameType.RST_STREAM: self._rst_stream,
            FrameType.SETTINGS: self._settings,
            FrameType.PUSH_PROMISE: self._unexpected,
            FrameType.PING: self._ping,
            FrameType.GOAWAY: self._goaway,
            FrameType.WINDOW_UPDATE: self._window_update,
            FrameType.CONTINUATION: self._continuation,
        }
        settings = {
            Setting.MAX_CONCURRENT_STREAMS: most_streams,
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: header_bytes,
        }
        told = b"".join(_SETTING.pack(*setting) for setting in settings.items())
        streams.send(FrameType.SETTINGS, 0, 0, told)
        streams.give(0, _CONNECTION_WINDOW - FIRST_WINDOW)

    def receive(self, data: bytes) -> None:
        """Takes what came.

        Raises:
          Http2Error: If the connection cannot go on; its client is told why by what is to be written.
        """
        try:
            for kind, flags, stream, payload in self._reader.frames(data):
                if self._expected is not None and kind != self._expected:
                    raise Http2Error(ErrorCode.PROTOCOL_ERROR)
                take = self._takes.get(kind)
                if take is None:  # Priorities, and what is known to others.
                    self._listener.idle_frame()
                else:
                    take(flags, stream, payload)
        except Http2Error as error:
            self._streams.go_away(error.code)
            raise

    def _unexpected(self, flags: int, stream: int, payload: bytes) -> None:
        raise Http2Error(ErrorCode.PROTOCOL_ERROR)

    def _fail(self, stream: int, code: ErrorCode) -> None:
        """Ends a stream for what its client did."""
        self._streams.reset(stream, code)
        self._listener.was_reset(stream)

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = unpadded(payload)
        if flags & PRIORITY:
            if len(payload) < PRIORITY_BYTES:
                raise Http2Error(ErrorCode.FRAME_SIZE_ERROR)
            payload = payload[PRIORITY_BYTES:]
        end = bool(flags & END_STREAM)
        if flags & END_HEADERS:
            self._whole_headers(stream, payload, end)
        else:
            self._expected, self._block = FrameType.CONTINUATION, (stream, end, [payload])

    def _continuation(self, flags: int, stream: int, payload: bytes) -> None:
        begun, end, pieces = self._block
        if self._expected is None or stream != begun:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR)
        pieces.append(payload)
        if len(pieces) > _MOST_PIECES or sum(map(len, pieces)) > self._header_bytes:
            raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM)
        if flags & END_HEADERS:
            self._expected, self._block = None, (0, False, [])
            self._whole_headers(stream, b"".join(pieces), end)

    def _whole_headers(self, stream: int, block: bytes, end: bool) -> None:
        try:
            headers = self._decoder.decode(block, raw=True)
        except hpack.OversizedHeaderListError as error:
            raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM) from error
        except hpack.HPACKError as error:
            raise Http2Error(ErrorCode.COMPRESSION_ERROR) from error
        streams = self._streams
        if stream in streams.open:
            self._trailers(stream, end)
        elif stream <= streams.last or not stream % 2:
            self._listener.idle_frame()
            streams.came_late(stream)
        elif len(streams.open) >= self._most_streams:
            streams.last = stream
            self._fail(stream, ErrorCode.REFUSED_STREAM)
        else:
            found = streams.opened(stream)
            found.receiving = not end
            self._listener.opened(stream, dict(headers))
            if end:
                self._listener.half_closed(stream)

    def _trailers(self, stream: int, end: bool) -> None:
        """Takes headers after the first ones: gRPC's clients send none, and none mean anything."""
        found = self._streams.open[stream]
        self._listener.idle_frame()
        if not found.receiving:
            self._fail(stream, ErrorCode.STREAM_CLOSED)
        elif not end:
            self._fail(stream, ErrorCode.PROTOCOL_ERROR)
        else:
            self._end(stream)

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        streams, size = self._streams, len(payload)
        if flags & PADDED:
            payload = unpadded(payload)
        self._may_come -= size
        if self._may_come < 0:
            raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR)
        if self._may_come < _CONNECTION_WINDOW // 2:
            streams.give(0, _CONNECTION_WINDOW - self._may_come)
            self._may_come = _CONNECTION_WINDOW
        found = streams.open.get(stream)
        if found is None:
            self._listener.idle_frame()
            streams.came_late(stream)
            return
        if not found.receiving:
            self._fail(stream, ErrorCode.STREAM_CLOSED)
            return
        found.may_come -= size
        if found.may_come < 0:
            self._fail(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return
        end = flags & END_STREAM
        if end:
            found.receiving = False
        elif found.may_come < STREAM_WINDOW // 2:
            streams.give(stream, STREAM_WINDOW - found.may_come)
            found.may_come = STREAM_WINDOW
        if payload:
            self._listener.came(stream, payload)
        else:
            self._listener.idle_frame()
        if end:
            self._end(stream)

    def _end(self, stream: int) -> None:
        """Takes it that no more comes of a stream."""
        if found := self._streams.open.get(stream):
            found.receiving = False
            self._streams.forget_if_over(stream, found)
        self._listener.half_closed(stream)

    def _rst_stream(self, flags: int, stream: int, payload: bytes) -> None:
        self._check_not_idle(stream)
        self._streams.was_reset(stream)
        self._listener.was_reset(stream)

    def _window_update(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            self._check_not_idle(stream)
        size = int.from_bytes(payload, "big") & LARGEST_WINDOW
        self._listener.idle_frame()
        if not size and not stream:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR)
        if not size and stream in self._streams.open:
            self._fail(stream, ErrorCode.PROTOCOL_ERROR)
        elif not self._streams.widen(stream, size):
            self._fail(stream, ErrorCode.FLOW_CONTROL_ERROR)
        else:
            self._listener.room_made(stream)

    def _check_not_idle(self, stream: int) -> None:
        if stream > self._streams.last or not stream % 2:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR)

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        self._listener.idle_frame()
        if len(payload) % _SETTING.size or (flags & ACK and payload):
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR)
        if self._expected is not None and flags & ACK:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR)
        self._expected = None
        if flags & ACK:
            return
        for kind, value in _SETTING.iter_unpack(payload):
            self._set(kind, value)
        self._streams.send(FrameType.SETTINGS, ACK, 0)
        self._listener.room_made(0)

    def _set(self, kind: int, value: int) -> None:
        if kind == Setting.HEADER_TABLE_SIZE:
            self._streams.set_table_bytes(value)
        elif kind == Setting.ENABLE_PUSH and value > 1:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR)
        elif kind == Setting.INITIAL_WINDOW_SIZE:
            if value > LARGEST_WINDOW:
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR)
            self._streams.set_first_window(value)
        elif kind == Setting.MAX_FRAME_SIZE:
            if not FRAME_BYTES <= value <= LARGEST_FRAME_BYTES:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR)
            self._streams.frame_bytes = value

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        self._listener.idle_frame()
        if not flags & ACK:
            self._streams.send(FrameType.PING, ACK, 0, payload)

    def _goaway(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) < _GOAWAY_BYTES:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR)
        self._listener.going_away()
