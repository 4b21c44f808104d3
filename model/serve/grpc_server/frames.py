"""HTTP/2's frames as bytes, and how a connection ends that breaks their rules (RFC 9113, sections 4, 6 and 7)."""

from __future__ import annotations

import struct
from enum import IntEnum

__all__ = [
    "ACK",
    "END_HEADERS",
    "END_STREAM",
    "FIRST_WINDOW",
    "FRAME_BYTES",
    "HEAD",
    "LARGEST_FRAME_BYTES",
    "LARGEST_WINDOW",
    "PADDED",
    "PREFACE",
    "PRIORITY",
    "PRIORITY_BYTES",
    "ErrorCode",
    "FrameType",
    "Http2Error",
    "Setting",
    "frame",
    "unpadded",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Of a frame: its payload's length in two parts, type, flags, stream.
HEAD = struct.Struct(">BHBBI")
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
PRIORITY_BYTES = 5
# Of a payload, unless a setting allows more, and what one may allow.
FRAME_BYTES, LARGEST_FRAME_BYTES = 1 << 14, (1 << 24) - 1
# That may be sent before the other side makes room, unless a setting says otherwise; the most there can be.
FIRST_WINDOW, LARGEST_WINDOW = (1 << 16) - 1, (1 << 31) - 1


class FrameType(IntEnum):
    """What a frame is."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    """What a setting is about."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Http2Error(Exception):
    """Ends a connection with a code."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.name)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Returns a frame."""
    length = len(payload)
    return HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def unpadded(payload: bytes) -> bytes:
    """Returns the payload of a frame with the flag PADDED without its padding.

    Raises:
      Http2Error: If the padding is longer than the payload.
    """
    if not payload or payload[0] >= len(payload):
        raise Http2Error(ErrorCode.PROTOCOL_ERROR)
    return payload[1 : len(payload) - payload[0]]
