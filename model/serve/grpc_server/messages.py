"""gRPC's messages in a stream of bytes: one byte that says whether it is compressed, its length, itself.

Written after gRPC's "gRPC over HTTP2" and "Compression" (grpc/doc).
"""

from __future__ import annotations

import struct
import zlib

__all__ = ["ENCODINGS", "MessageError", "Messages", "framed"]

ENCODINGS = ("identity", "deflate", "gzip")
_PREFIX = struct.Struct(">BI")
# zlib's word for either of its own head and gzip's.
_EITHER_HEAD = 32 + zlib.MAX_WBITS


class MessageError(ValueError):
    """Bytes that are no message, by the name of a status code."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code = code


class Messages:
    """The messages of one direction of one call, put together from what comes."""

    def __init__(self, encoding: str, most_bytes: int) -> None:
        """Takes what `grpc-encoding` says and how long a message may be, compressed or not.

        Raises:
          MessageError: If the encoding is none that is known.
        """
        if encoding not in ENCODINGS:
            raise MessageError(
                "UNIMPLEMENTED",
                f"grpc-encoding: expected one of {', '.join(ENCODINGS)}, got {encoding!r:.80}",
            )
        self._encoding, self._most = encoding, most_bytes
        self._pieces: list[bytes] = []
        self._held = 0

    @property
    def is_between(self) -> bool:
        """Whether no message has begun that is not whole."""
        return not self._held

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the messages that are whole by now.

        Raises:
          MessageError: If one is too long, or cannot be decompressed.
        """
        self._pieces.append(data)
        self._held += len(data)
        found = []
        while self._held >= _PREFIX.size:
            first = self._first(_PREFIX.size)
            compressed, length = _PREFIX.unpack_from(first)
            self._check(length)
            if self._held < _PREFIX.size + length:
                break
            whole = self._first(_PREFIX.size + length)
            body = whole[_PREFIX.size : _PREFIX.size + length]
            rest = whole[_PREFIX.size + length :]
            self._pieces[0] = rest
            self._held -= _PREFIX.size + length
            found.append(self._decompressed(body) if compressed else body)
        return found

    def _first(self, size: int) -> bytes:
        """Returns the first piece, made to hold at least so many bytes.

        Bytes are joined when there are enough of them alone, so that a message that comes in many
        pieces is copied once.
        """
        if len(self._pieces[0]) < size:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def _check(self, length: int) -> None:
        if length > self._most:
            raise MessageError(
                "RESOURCE_EXHAUSTED",
                f"Received message larger than max ({length} vs. {self._most})",
            )

    def _decompressed(self, body: bytes) -> bytes:
        if self._encoding == "identity":
            raise MessageError(
                "INVALID_ARGUMENT", "a message is marked as compressed; grpc-encoding says of what"
            )
        reader = zlib.decompressobj(_EITHER_HEAD)
        try:
            found = reader.decompress(body, self._most + 1)
        except zlib.error as error:
            raise MessageError(
                "INVALID_ARGUMENT", f"a message cannot be decompressed: {error}"
            ) from error
        self._check(len(found))
        if not reader.eof or reader.unused_data:
            raise MessageError(
                "INVALID_ARGUMENT",
                f"a message is not whole as {self._encoding}, or more follows it",
            )
        return found


def framed(message: bytes) -> bytes:
    """Returns a message as it is sent, not compressed."""
    return _PREFIX.pack(0, len(message)) + message
