"""Avro's container: a header, then blocks of records that end with the marker that the header gives.

header   `Obj\\x01`, a map of metadata (schema, codec), the file's 16 bytes of sync marker
block    how many records, how many bytes, these bytes packed by the codec, the sync marker
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from skewless.beam_pipelines.sources.streams import beginning, chunks
from skewless.schemas.errors import DataError

__all__ = [
    "SYNC_BYTES",
    "Block",
    "DamagedBlockError",
    "Header",
    "blocks",
    "read_header",
    "unpacked",
]

SYNC_BYTES = 16
_MAGIC = b"Obj\x01"
_HEADER = {"type": "map", "values": "bytes"}
# A header holds the schema: one of many columns may take megabytes.
_HEADER_BYTES = (64 * 1024, 4 << 20, 256 << 20)
_MOST_BLOCK_BYTES = 1 << 30
_MOST_RECORDS = 1 << 40
_LONGEST_NUMBER = 10


class DamagedBlockError(Exception):
    """A block is not what it says it is."""


@dataclass(frozen=True)
class Header:
    """What a file's beginning tells.

    Attributes:
      schema: Of its records, as JSON holds it.
      codec: How the blocks are packed.
      sync: The marker at each block's end.
      end: Where the first block begins.
    """

    schema: Any
    codec: str
    sync: bytes
    end: int


class Block(NamedTuple):
    """A block: how many rows it holds, its packed bytes, and where in the file it ends."""

    rows: int
    data: bytes
    end: int


def read_header(file: str) -> Header:
    """Reads a file's header.

    Raises:
      DataError: If it is no Avro file, its header is damaged or its codec is not read here.
    """
    for size in _HEADER_BYTES:
        head = beginning(file, "", size)
        if not head.startswith(_MAGIC):
            raise DataError(
                f"{file}: expected an Avro file, got one that does not begin with its magic bytes; "
                "rename the file by what it holds, or write it again"
            )
        try:
            return _header(file, head)
        except DataError:
            raise
        except Exception as error:
            # fastavro's errors share no class: a header that is cut off looks damaged as well.
            if len(head) < size:
                raise DataError(
                    f"{file}: its Avro header cannot be read: {error or 'it ends too early'}; "
                    "write the file again"
                ) from error
    raise DataError(f"{file}: its Avro header is damaged; write the file again")


def blocks(file: str, sync: bytes, start: int, end: int | None = None) -> Iterator[Block]:
    """Yields the blocks in [start, end) of a file; `start` is where one begins.

    Raises:
      DamagedBlockError: After the last block that is followed by the sync marker.
    """
    source = chunks(file, "", start, end)
    data, place, data_at = b"", 0, start
    while True:
        if place == len(data):
            data_at += len(data)
            data, place = next(source, b""), 0
            if not data:
                return
        try:
            count, size, begin = _sizes(data, place)
            whole = begin + size + SYNC_BYTES
        except IndexError:
            whole = place + 2 * _LONGEST_NUMBER
            count = -1
        if whole > len(data):
            data_at += place
            data, place, whole = data[place:], 0, whole - place
            parts = [data]
            held = len(data)
            while held < whole and (more := next(source, b"")):
                parts.append(more)
                held += len(more)
            data = b"".join(parts)
            if count < 0 and held > len(parts[0]):
                continue  # The numbers at its beginning were cut in two.
            if count < 0 or held < whole:
                raise DamagedBlockError("the file ends inside a block")
            begin = whole - SYNC_BYTES - size
        if data[begin + size : whole] != sync:
            raise DamagedBlockError("a block does not end with the file's sync marker")
        yield Block(count, data[begin : begin + size], data_at + whole)
        place = whole


def unpacked(data: bytes, codec: str) -> bytes:
    """Returns a block's records.

    Raises:
      DamagedBlockError: If the codec cannot unpack them, or they are longer than a block may be.
    """
    try:
        found = _CODECS[codec](data)
    except DamagedBlockError:
        raise
    except Exception as error:  # The codecs' errors share no class
        raise DamagedBlockError(f"a block cannot be unpacked by {codec}: {error}") from error
    if len(found) > _MOST_BLOCK_BYTES:
        raise DamagedBlockError(f"a block holds more than {_MOST_BLOCK_BYTES >> 20:,} MiB")
    return found


def _header(file: str, head: bytes) -> Header:
    from fastavro import parse_schema, schemaless_reader

    stream = io.BytesIO(head)
    stream.seek(len(_MAGIC))
    told: Any = schemaless_reader(stream, parse_schema(_HEADER), None)
    sync = stream.read(SYNC_BYTES)
    if len(sync) < SYNC_BYTES:
        raise EOFError("it ends too early")
    codec = told.get("avro.codec", b"null").decode("utf-8", "replace")
    if codec not in _CODECS:
        raise DataError(
            f"{file}: its blocks are packed by {codec!r}, which is not read; write it with "
            f"one of {', '.join(_CODECS)}"
        )
    if "avro.schema" not in told:
        raise DataError(f"{file}: its Avro header holds no schema; write the file again")
    return Header(json.loads(told["avro.schema"]), codec, sync, stream.tell())


def _sizes(data: bytes, place: int) -> tuple[int, int, int]:
    """Returns a block's records, its bytes and where these begin; IndexError where `data` ends before."""
    count, place = _number(data, place)
    size, place = _number(data, place)
    if not 0 <= count <= _MOST_RECORDS or not 0 <= size <= _MOST_BLOCK_BYTES:
        raise DamagedBlockError(f"a block says that it holds {count:,} records in {size:,} bytes")
    return count, size, place


def _number(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _LONGEST_NUMBER, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place
    raise DamagedBlockError("a block does not begin with its numbers")


def _deflated(data: bytes) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _MOST_BLOCK_BYTES + 1)


def _zstandard(data: bytes) -> bytes:
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=2**31)
    return unpacker.stream_reader(data).read(_MOST_BLOCK_BYTES + 1)


def _snappy(data: bytes) -> bytes:
    """Unpacks snappy's own format, with the checksum of what it holds behind it."""
    packed, checksum = data[:-4], data[-4:]
    size = at = 0
    while True:
        size |= (packed[at] & 0x7F) << (7 * at)
        if packed[at] < 0x80:
            break
        at += 1
    if size > _MOST_BLOCK_BYTES:
        raise DamagedBlockError(f"a block says that it holds {size:,} bytes")
    found = pa.Codec("snappy").decompress(packed, size, asbytes=True)
    if zlib.crc32(found) != int.from_bytes(checksum, "big"):
        raise DamagedBlockError("a block fails its checksum")
    return bytes(found)


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": _deflated,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": lambda data: bz2.BZ2Decompressor().decompress(data, _MOST_BLOCK_BYTES + 1),
    "xz": lambda data: lzma.LZMADecompressor().decompress(data, _MOST_BLOCK_BYTES + 1),
}
