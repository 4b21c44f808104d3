"""Bytes of an input file, decompressed, from a path or URI."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from skewless.schemas.storage.location import Location
from skewless.schemas.storage.rows import input_path, open_input

__all__ = [
    "CHUNK_BYTES",
    "BrokenStreamError",
    "beginning",
    "chunks",
    "decompressed",
    "open_raw",
    "stretches",
]

CHUNK_BYTES = 8 * 1024 * 1024
_COMPRESSED_CHUNK_BYTES = 256 * 1024
# Fed to the decoder at once: gzip grows a thousandfold at most, Zstandard thirtythousandfold.
_FED_BYTES = {"gz": 64 * 1024, "zst": 4 * 1024}


class BrokenStreamError(Exception):
    """The compressed bytes end early or are damaged; what came before is sound."""


def open_raw(path: str) -> Any:
    """Opens a file as it lies on disk or in a bucket, with no decompression."""
    place = input_path(path)
    if isinstance(place, Location):
        return open_input(place)
    return FileSystems.open(place, compression_type=CompressionTypes.UNCOMPRESSED)


def chunks(
    path: str, compression: str = "", start: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """Yields the bytes in [start, end) of the decompressed file.

    Raises:
      BrokenStreamError: After the last readable bytes, if the compressed file is damaged.
    """
    with open_raw(path) as file:
        if not compression:
            file.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
                if not chunk:
                    return
                if left is not None:
                    left -= len(chunk)
                yield chunk
        else:
            skip = start
            for chunk in decompressed(file, compression):
                if skip < len(chunk):
                    yield chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))


def stretches(path: str, start: int, lengths: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Yields the beginnings of consecutive pieces of an uncompressed file.

    Args:
      path: The file.
      start: Where the first piece begins.
      lengths: Of each piece how long it is, and how much of it to read at most; there are fewer
        bytes where the file ends before.
    """
    with open_raw(path) as file:
        for length, most in lengths:
            file.seek(start)
            yield file.read(min(length, most))
            start += length


def beginning(path: str, compression: str, size: int) -> bytes:
    """Returns the first `size` bytes of the decompressed file, or as many as there are.

    Raises:
      BrokenStreamError: If the compressed file is damaged before its first byte.
    """
    with open_raw(path) as file:
        if not compression:
            return bytes(file.read(size))
        for piece in _pieces(file, compression):
            if piece:
                return piece[:size]
    return b""


def decompressed(file: Any, compression: str) -> Iterator[bytes]:
    """Yields decompressed pieces of about `CHUNK_BYTES`, over all members of the file.

    Raises:
      BrokenStreamError: After the last readable bytes, if the file is damaged or ends too early.
    """
    gathered: list[bytes] = []
    size = 0
    broken: BrokenStreamError | None = None
    pieces = _pieces(file, compression)
    while True:
        try:
            piece = next(pieces, None)
        except BrokenStreamError as error:
            broken, piece = error, None
        if piece is None:
            break
        gathered.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if size:
        yield b"".join(gathered)
    if broken:
        raise broken


def _pieces(file: Any, compression: str) -> Iterator[bytes]:
    """Yields what each small part of the file decompresses to."""
    decoder = _decoder(compression)
    fed = False
    while read := file.read(_COMPRESSED_CHUNK_BYTES):
        for start in range(0, len(read), _FED_BYTES[compression]):
            data = read[start : start + _FED_BYTES[compression]]
            while data:
                if not fed and compression == "gz":
                    data = data.lstrip(b"\0")  # gzip members may be zero-padded
                    if not data:
                        break
                fed = True
                try:
                    piece = decoder.decompress(data)
                except Exception as error:  # zlib.error and ZstdError share no base class
                    raise BrokenStreamError(str(error)) from error
                yield piece
                data = b""
                if decoder.eof:
                    data = decoder.unused_data
                    decoder, fed = _decoder(compression), False
    if fed:
        raise BrokenStreamError("it ends in the middle of the compressed stream")


def _decoder(compression: str) -> Any:
    if compression == "gz":
        return zlib.decompressobj(wbits=31)
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
