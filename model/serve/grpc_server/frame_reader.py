"""The frames in what an HTTP/2 client sends (RFC 9113, sections 3.4, 4 and 6)."""

from __future__ import annotations

from collections.abc import Iterator

from skewless.model.serve.grpc_server.frames import (
    FRAME_BYTES,
    HEAD,
    PREFACE,
    PRIORITY_BYTES,
    ErrorCode,
    FrameType,
    Http2Error,
)

__all__ = ["Frame", "FrameReader"]

# Type, flags, stream, payload.
Frame = tuple[int, int, int, bytes]
_STREAM_BITS = (1 << 31) - 1
# Of payloads of one length.
_BYTES: dict[int, int] = {
    FrameType.PRIORITY: PRIORITY_BYTES,
    FrameType.RST_STREAM: 4,
    FrameType.PING: 8,
    FrameType.WINDOW_UPDATE: 4,
}
_OF_CONNECTION: set[int] = {FrameType.SETTINGS, FrameType.PING, FrameType.GOAWAY}
_OF_STREAM: set[int] = {
    FrameType.DATA,
    FrameType.HEADERS,
    FrameType.PRIORITY,
    FrameType.RST_STREAM,
    FrameType.CONTINUATION,
}


class FrameReader:
    """Cuts the bytes of one connection, from its client's first."""

    def __init__(self) -> None:
        """Awaits the words that HTTP/2 begins with."""
        self._held = b""
        self._greeted = False

    def frames(self, data: bytes) -> Iterator[Frame]:
        """Gives the frames that are whole by now.

        Raises:
          Http2Error: If it is not HTTP/2, or a frame is too long, of another length than its type has, or
            of a stream where it cannot be.
        """
        data, begin = self._held + data, 0
        if not self._greeted:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise Http2Error(ErrorCode.PROTOCOL_ERROR)
            if len(data) < len(PREFACE):
                self._held = data
                return
            self._greeted, begin = True, len(PREFACE)
        end = len(data)
        while end - begin >= HEAD.size:
            high, low, kind, flags, stream = HEAD.unpack_from(data, begin)
            length = high << 16 | low
            if length > FRAME_BYTES:
                raise Http2Error(ErrorCode.FRAME_SIZE_ERROR)
            after = begin + HEAD.size + length
            if after > end:
                break
            stream &= _STREAM_BITS
            if kind in (_OF_CONNECTION if stream else _OF_STREAM):
                raise Http2Error(ErrorCode.PROTOCOL_ERROR)
            if kind in _BYTES and length != _BYTES[kind]:
                raise Http2Error(ErrorCode.FRAME_SIZE_ERROR)
            yield kind, flags, stream, data[begin + HEAD.size : after]
            begin = after
        self._held = data[begin:]
