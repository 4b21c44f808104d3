"""A gRPC client that does as little as it can: ready-made HTTP/2 frames over a socket, one call after another.

gRPC's own Python client takes several times the CPU of a plain HTTP/1.1 client that sends ready-made bytes,
and on shared cores it is the client that would be measured. Written after RFC 9113 and RFC 7541.
"""

from __future__ import annotations

import asyncio
import struct

import hpack

__all__ = ["Connection"]

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_LARGEST_WINDOW = 2**31 - 1
_FIRST_WINDOW = 65_535
_INITIAL_WINDOW_SIZE = 4
# HPACK's own table has 61 entries; those that a client adds come after, the last one first.
_FIRST_INDEX, _INDEXED, _ADDED = 62, 0x80, 0x40


class Connection:
    """One connection, for one call at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str
    ) -> None:
        """Opens HTTP/2 for calls of one method."""
        self._reader, self._writer = reader, writer
        self._stream = -1
        self._decoder = hpack.Decoder()
        # By what came: headers of indices alone, which mean the same whenever they come again.
        self._known: dict[bytes, list[tuple[str, str]]] = {}
        self._head, self._known_head = _indexed(
            {
                ":method": "POST",
                ":scheme": "http",
                ":path": method,
                ":authority": "localhost",
                "te": "trailers",
                "content-type": "application/grpc",
            }
        )
        # The server shall send without waiting for leave.
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW)
        window = struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW)
        writer.write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW_UPDATE, 0, 0, window)
        )

    async def call(self, request: bytes) -> bytes:
        """Returns the serialized answer to a serialized request.

        Raises:
          ValueError: If the call ends with another status than OK.
        """
        self._stream += 2
        head, self._head = self._head, self._known_head
        message = struct.pack(">BI", 0, len(request)) + request
        self._writer.write(
            _frame(_HEADERS, _END_HEADERS, self._stream, head)
            + _frame(_DATA, _END_STREAM, self._stream, message)
        )
        answer = b""
        while True:
            start = await self._reader.readexactly(9)
            kind, flags = start[3], start[4]
            payload = await self._reader.readexactly(int.from_bytes(start[:3], "big"))
            if kind == _DATA:
                answer += payload
            elif kind == _HEADERS:
                headers = self._headers(payload)
                if flags & _END_STREAM:
                    if ("grpc-status", "0") not in headers:
                        raise ValueError(repr(headers))
                    return answer[5:]
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._writer.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
            elif kind in (_RST_STREAM, _GOAWAY):
                raise ValueError(f"the server ended it: {payload!r}")

    def _headers(self, payload: bytes) -> list[tuple[str, str]]:
        found = self._known.get(payload)
        if found is None:
            found = self._decoder.decode(payload)
            if min(payload) >= _INDEXED:
                self._known[payload] = found
        return found

    async def close(self) -> None:
        """Ends the connection."""
        self._writer.close()
        await self._writer.wait_closed()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _indexed(headers: dict[str, str]) -> tuple[bytes, bytes]:
    """Returns headers, each shorter than 127 bytes, as HPACK sends them: in full, and when they are known."""
    first = b"".join(
        bytes([_ADDED, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
    known = bytes(_INDEXED | _FIRST_INDEX + place for place in reversed(range(len(headers))))
    return first, known
