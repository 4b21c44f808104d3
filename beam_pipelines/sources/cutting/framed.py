"""TFRecord files cut by pieces: where records begin is found by the checksums of their headers.

A header is the record's length and a checksum of it, so a piece begins at the first place where the
two agree. That may be within a record that holds TFRecords, or be chance. So when the pieces are joined, a
beginning counts only where the record before it ends; otherwise the piece is gone through again
from there. What becomes of damaged records is the reader's to say: a file is cut no more behind a damaged header.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import google_crc32c
import numpy as np

from skewless.beam_pipelines.sources.cutting.cuts import Cut
from skewless.beam_pipelines.sources.cutting.pieces import Piece
from skewless.beam_pipelines.sources.streams import chunks

__all__ = ["FramedPiece", "joined_by", "joined_records", "scan_records"]

_HEADER = struct.Struct("<QI")
_CHECKSUM_BYTES = 4
_MAX_RECORD_BYTES = 1 << 31
_LOOKED_AT = 256 * 1024
_MASK = np.uint32(0xA282EAD8)


@dataclass(frozen=True)
class FramedPiece:
    """The records that begin in a piece.

    Attributes:
      begin: Where the first of them does; None where none was found.
      end: Where the last of them ends.
      count: How many there are.
      whole: Whether the header that follows them, or the file's end, is sound.
    """

    begin: int | None
    end: int = 0
    count: int = 0
    whole: bool = True


def scan_records(piece: Piece) -> FramedPiece:
    """Returns the records that begin in a piece, as far as it can be known without those before."""
    begin = piece.begin if piece.is_first else _first_header(piece)
    return FramedPiece(None) if begin is None else _followed(piece, begin)


def joined_records(pieces: Sequence[Piece], scanned: Sequence[FramedPiece], held: int) -> list[Cut]:
    """Returns the cuts of a file; arguments are those of `joined`."""
    return joined_by(_followed, pieces, scanned, held)


def joined_by(
    followed: Callable[[Piece, int], FramedPiece],
    pieces: Sequence[Piece],
    scanned: Sequence[FramedPiece],
    held: int,
) -> list[Cut]:
    """Returns the cuts of a file.

    Args:
      followed: Gives what begins in a piece from a place on, where that is another than was scanned.
      pieces: As in `joined`.
      scanned: As in `joined`.
      held: As in `joined`.
    """
    cuts: list[Cut] = []
    place, row = pieces[0].begin, 1
    for piece, found in zip(pieces, scanned, strict=True):
        if place >= (held if piece.end is None else piece.end):
            continue
        if found.begin != place:
            found = followed(piece, place)
        if not found.whole:
            return [*cuts, Cut(place, None, row)]
        cuts.append(Cut(place, found.end, row))
        place, row = found.end, row + found.count
    return cuts


def _followed(piece: Piece, begin: int) -> FramedPiece:
    """Goes from header to header, to the first that begins behind the piece."""
    place, count = begin, 0
    # The bytes in [data_at, data_at + len(data)) of the file.
    data, data_at = b"", begin
    source = chunks(piece.whole.file, "", begin)
    while piece.end is None or place < piece.end:
        while place + _HEADER.size > data_at + len(data):
            chunk = next(source, None)
            if chunk is None:
                return FramedPiece(begin, place, count, place == data_at + len(data))
            kept = data[max(0, place - data_at) :]
            data_at, data = data_at + len(data) - len(kept), kept + chunk
        at = place - data_at
        length, checksum = _HEADER.unpack_from(data, at)
        if length > _MAX_RECORD_BYTES or _masked(data[at : at + 8]) != checksum:
            return FramedPiece(begin, place, count, False)
        place, count = place + _HEADER.size + length + _CHECKSUM_BYTES, count + 1
    return FramedPiece(begin, place, count)


def _first_header(piece: Piece) -> int | None:
    place, rest = piece.begin, b""
    # A header that begins in the piece may end behind it.
    until = None if piece.end is None else piece.end + _HEADER.size - 1
    for chunk in chunks(piece.whole.file, "", piece.begin, until):
        for start in range(0, len(chunk), _LOOKED_AT):
            rest += chunk[start : start + _LOOKED_AT]
            found = _header_in(rest)
            if found is not None:
                return place + found
            kept = max(0, len(rest) - _HEADER.size + 1)
            place, rest = place + kept, rest[kept:]
    return None


def _header_in(data: bytes) -> int | None:
    """Returns the first place at which a length and its checksum agree."""
    if len(data) < _HEADER.size:
        return None
    view = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), _HEADER.size)
    # No record has 4 GiB or more.
    places = np.flatnonzero(~view[:, 4:8].any(axis=1))
    headers = np.ascontiguousarray(view[places])
    zero, of_byte = _tables()
    value = np.full(len(headers), zero, np.uint32)
    for at in range(8):
        value ^= of_byte[at][headers[:, at]]
    masked = ((value >> np.uint32(15)) | (value << np.uint32(17))) + _MASK
    said = np.ascontiguousarray(headers[:, 8:12]).view("<u4")[:, 0]
    agree = np.flatnonzero(masked == said)
    return int(places[agree[0]]) if len(agree) else None


@functools.cache
def _tables() -> tuple[int, np.ndarray]:
    """Returns the checksum of eight zeros, and [8, 256] what each byte at each place changes in it."""
    zero = int(google_crc32c.value(bytes(8)))
    changes = [
        [
            google_crc32c.value(bytes(at) + bytes([byte]) + bytes(7 - at)) ^ zero
            for byte in range(256)
        ]
        for at in range(8)
    ]
    return zero, np.array(changes, np.uint32)


def _masked(data: bytes) -> int:
    value = google_crc32c.value(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF
