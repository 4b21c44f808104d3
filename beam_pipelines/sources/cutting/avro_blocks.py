"""Avro files cut by pieces: a block begins behind the file's sync marker.

The marker may stand within a block by chance, or because files were put into files; so, as with TFRecords,
a beginning counts only where the block before it ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from skewless.beam_pipelines.sources.avro.container import (
    SYNC_BYTES,
    DamagedBlockError,
    blocks,
    read_header,
)
from skewless.beam_pipelines.sources.cutting.cuts import Cut
from skewless.beam_pipelines.sources.cutting.framed import FramedPiece, joined_by
from skewless.beam_pipelines.sources.cutting.pieces import Piece
from skewless.beam_pipelines.sources.streams import chunks

__all__ = ["joined_blocks", "scan_blocks"]


def scan_blocks(piece: Piece) -> FramedPiece:
    """Returns the records of the blocks that begin in a piece."""
    sync = read_header(piece.whole.file).sync
    begin = piece.begin if piece.is_first else _first_block(piece, sync)
    return FramedPiece(None) if begin is None else _followed(piece, begin, sync)


def joined_blocks(pieces: Sequence[Piece], scanned: Sequence[FramedPiece], held: int) -> list[Cut]:
    """Returns the cuts of a file; arguments are those of `joined`."""
    sync = read_header(pieces[0].whole.file).sync
    return joined_by(lambda piece, begin: _followed(piece, begin, sync), pieces, scanned, held)


def _first_block(piece: Piece, sync: bytes) -> int | None:
    place, rest = piece.begin - SYNC_BYTES, b""
    for chunk in chunks(piece.whole.file, "", place, piece.end):
        rest += chunk
        found = rest.find(sync)
        if found >= 0:
            begin = place + found + SYNC_BYTES
            return begin if piece.end is None or begin < piece.end else None
        kept = rest[-(SYNC_BYTES - 1) :]
        place, rest = place + len(rest) - len(kept), kept
    return None


def _followed(piece: Piece, begin: int, sync: bytes) -> FramedPiece:
    """Goes from block to block, to the first that begins behind the piece."""
    place, count = begin, 0
    if piece.end is not None and begin >= piece.end:
        return FramedPiece(begin, place, count)
    try:
        for block in blocks(piece.whole.file, sync, begin):
            place, count = block.end, count + block.rows
            if piece.end is not None and place >= piece.end:
                break
    except DamagedBlockError:
        return FramedPiece(begin, place, count, False)
    return FramedPiece(begin, place, count)
