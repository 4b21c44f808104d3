"""The pieces of a file joined: which way each was to be read, and the cuts that come of it.

One pass over what `scan` found decides piece by piece, as a sum of a prefix does. The file itself
is looked at only where a record does not end as it should: at the file's end, where it is too long,
or where a quote is never closed. There the reader that takes a text from its beginning goes on
(`csv_blocks.blocks`), up to a place where a piece begins.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from skewless.beam_pipelines.sources.cutting.avro_blocks import joined_blocks
from skewless.beam_pipelines.sources.cutting.cuts import Cut, Stretch, cuts_of
from skewless.beam_pipelines.sources.cutting.framed import FramedPiece, joined_records
from skewless.beam_pipelines.sources.cutting.pieces import Piece
from skewless.beam_pipelines.sources.cutting.scan import Reading, Scanned
from skewless.beam_pipelines.sources.formats import csv_blocks, text_blocks
from skewless.beam_pipelines.sources.streams import chunks

__all__ = ["joined"]


def joined(pieces: Sequence[Piece], found: Sequence[Scanned | FramedPiece], held: int) -> list[Cut]:
    """Returns the cuts of a file.

    Args:
      pieces: All of the file, in its order.
      found: What each of them holds.
      held: The bytes of the file.
    """
    first = pieces[0]
    framed = [it for it in found if isinstance(it, FramedPiece)]
    if first.whole.format == "tfrecord":
        return joined_records(pieces, framed, held)
    if first.whole.format == "avro":
        return joined_blocks(pieces, framed, held)
    scanned = [it for it in found if isinstance(it, Scanned)]
    if scanned[0].cuts is not None:
        return list(scanned[0].cuts)
    stretches = _Walk(first, scanned, held).stretches()
    return list(cuts_of(stretches, first.begin, first.size, kept=bool(first.delimiter)))


class _Walk:
    """Goes through a file from piece to piece."""

    def __init__(self, first: Piece, scanned: Sequence[Scanned], held: int) -> None:
        self._file = first.whole.file
        self._first = first
        self._scanned = [found for found in scanned if found.begin is not None]
        begins = [found.begin for found in self._scanned if found.begin is not None]
        self._bounds = [*begins, max(held, first.begin)]

    def stretches(self) -> Iterator[Stretch]:
        """Yields stretches of the text that follow one another, to its end."""
        at = 0
        # Where the record begins that is open at the piece's beginning.
        open_at: int | None = None
        while at < len(self._scanned):
            begin, end = self._bounds[at], self._bounds[at + 1]
            reading = self._reading(at, open_at)
            place = begin if open_at is None else open_at
            if reading is not None and reading.lead is not None:
                if open_at is not None:
                    yield begin + reading.lead - open_at, 1, None
                    place = begin + reading.lead
                for stretch in reading.blocks:
                    yield stretch
                    place += stretch[0]
            # Lines are whole in every piece, unless the file has changed, which readers will see.
            if place == end or not self._first.delimiter:
                at, open_at = at + 1, None
            elif reading is not None and reading.whole and at + 1 < len(self._scanned):
                at, open_at = at + 1, place
            else:
                found, place = self._from(place)
                yield from found
                at, open_at = bisect.bisect_left(self._bounds, place), None

    def _reading(self, at: int, open_at: int | None) -> Reading | None:
        """Returns how a piece is to be read; None if a record open before it is too long by then."""
        found = self._scanned[at]
        if open_at is None or found.quoted is None:
            return found.outside
        lead = found.quoted.lead
        until = self._bounds[at + 1] if lead is None else self._bounds[at] + lead
        return None if until - open_at > text_blocks.MAX_RECORD_BYTES else found.quoted

    def _from(self, place: int) -> tuple[list[Stretch], int]:
        """Reads on from the beginning of a record to the beginning of a piece, or to the end."""
        found: list[Stretch] = []
        bounds = set(self._bounds)
        while True:
            block = next(csv_blocks.blocks(self._chunks(place), self._first.delimiter), None)
            if block is None:
                return found, self._bounds[-1]
            found.append((block.size, block.count, block.problem))
            place += block.size
            if place in bounds:
                return found, place

    def _chunks(self, place: int) -> Iterator[bytes]:
        """Yields the text from a place on, in chunks that end where pieces begin."""
        for chunk in chunks(self._file, "", place):
            start = 0
            while start < len(chunk):
                next_bound = bisect.bisect_right(self._bounds, place + start)
                end = start + self._first.size.chunk
                if next_bound < len(self._bounds):
                    end = min(end, self._bounds[next_bound] - place)
                yield chunk[start:end]
                start = end
            place += len(chunk)
