"""What a piece of a file holds, found without a look at what comes before it.

A piece of text is taken from the first line end on, up to the first line end of the next piece.
Behind a line end delimited text is at the beginning of a record, or within quotes: nothing else
is possible. So it is read twice, once for each, and who knows what came before takes one of the two
(`joined`). The two mostly meet at the first end of a record that both see; from there on they are
one. In JSON lines every line end ends a record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from skewless.beam_pipelines.sources.cutting.avro_blocks import scan_blocks
from skewless.beam_pipelines.sources.cutting.cuts import Cut, Stretch
from skewless.beam_pipelines.sources.cutting.framed import FramedPiece, scan_records
from skewless.beam_pipelines.sources.cutting.pieces import Piece
from skewless.beam_pipelines.sources.cutting.transcoded import cuts_of_encoded
from skewless.beam_pipelines.sources.formats import text_blocks
from skewless.beam_pipelines.sources.formats.csv_blocks import record_pattern, whole_records
from skewless.beam_pipelines.sources.streams import CHUNK_BYTES, chunks

__all__ = ["Reading", "Scanned", "scan"]

_LOOKED_BEYOND = 64 * 1024
# After so many records that end for one reading only, the two are read apart to the end.
_RECORDS_TRIED = 1024


@dataclass(frozen=True)
class Reading:
    """What a piece holds, taken in one of the two ways.

    Attributes:
      lead: Bytes up to the end of the record that is open where the piece begins; 0 where none
        is, None where it does not end in this piece.
      blocks: [(bytes, records, problem)] of whole records after that. What is left of the piece
        behind them is the beginning of a record.
      whole: Whether the piece was read to its end; not where a record is too long.
    """

    lead: int | None
    blocks: tuple[Stretch, ...] = ()
    whole: bool = True


@dataclass(frozen=True)
class Scanned:
    """What a piece holds.

    Attributes:
      begin: The place in the file behind the piece's first line end; None where it has none.
      outside: Read as beginning at a record.
      quoted: Read as beginning within quotes; None where the format has none.
      cuts: Of a text that has to be read from its beginning, all that comes of it.
    """

    begin: int | None
    outside: Reading = Reading(0)
    quoted: Reading | None = None
    cuts: tuple[Cut, ...] | None = None


def scan(piece: Piece) -> Scanned | FramedPiece:
    """Returns what a piece holds; as much memory is needed as for reading a unit's text.

    Raises:
      OSError: If the file cannot be read.
    """
    if piece.whole.format == "tfrecord":
        return scan_records(piece)
    if piece.whole.format == "avro":
        return scan_blocks(piece)
    if piece.whole.encoding:
        return Scanned(piece.begin, cuts=tuple(cuts_of_encoded(piece)))
    text = _Aligned(piece)
    if text.begin is None:
        return Scanned(None)
    if not piece.delimiter:
        blocks = tuple(
            (block.size, block.count, block.problem) for block in text_blocks.lines_of(iter(text))
        )
        return Scanned(text.begin, Reading(0, blocks))
    outside, quoted = _both(iter(text), piece)
    return Scanned(text.begin, outside, quoted)


class _Aligned:
    """The bytes of a piece from its first line end on, up to and with the next piece's first."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._file = piece.whole.file
        self.begin: int | None = piece.begin
        if not piece.is_first:
            # A line end just before the piece is the one that it begins behind.
            self.begin = self._behind_line_end(piece.begin - 1, self._last)

    @property
    def _last(self) -> int | None:
        return None if self._piece.end is None else self._piece.end - 1

    def __iter__(self) -> Iterator[bytes]:
        assert self.begin is not None
        size = self._piece.size.chunk
        for chunk in chunks(self._file, "", self.begin, self._last):
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]
        place, step = self._last, _LOOKED_BEYOND
        while place is not None:
            found = b"".join(chunks(self._file, "", place, place + step))
            end = found.find(b"\n") + 1
            if found:
                yield found[: end or len(found)]
            place = None if end or len(found) < step else place + step
            step = min(2 * step, CHUNK_BYTES)

    def _behind_line_end(self, place: int, end: int | None) -> int | None:
        step = _LOOKED_BEYOND
        while end is None or place < end:
            until = place + step if end is None else min(place + step, end)
            found = b"".join(chunks(self._file, "", place, until))
            cut = found.find(b"\n") + 1
            if cut:
                return place + cut
            if not found:
                return None
            place += len(found)
            step = min(2 * step, CHUNK_BYTES)
        return None


class _Reader:
    """Reads delimited text in one of the two ways, chunk by chunk."""

    def __init__(self, piece: Piece, *, quoted: bool) -> None:
        self._delimiter = piece.delimiter
        self._block_bytes = piece.size.chunk
        # A quote before the text puts what follows within quotes.
        self.rest = b'"' if quoted else b""
        self.lead = None if quoted else 0
        # Bytes within quotes that were let go.
        self._passed = 0
        self.blocks: list[Stretch] = []
        self.whole = True
        # Blocks before this place are not added to.
        self.kept = 0

    def feed(self, chunk: bytes) -> None:
        if not self.whole or not chunk:
            return
        ends = b"\n" in chunk or b"\r" in chunk or self.rest.endswith(b"\r")
        if not ends and self._held() + len(chunk) > text_blocks.MAX_RECORD_BYTES:
            self.whole, self.rest = False, b""
            return
        if self.lead is None and self.rest == b'"' and b'"' not in chunk:
            self._passed += len(chunk)
        else:
            self.rest += chunk
        if ends:
            self._take_records()
        if self._held() > text_blocks.MAX_RECORD_BYTES:
            self.whole, self.rest = False, b""

    def _held(self) -> int:
        return self._passed + len(self.rest)

    def _take_records(self) -> None:
        if self.lead is None:
            self.lead = self._closed()
        if self.lead is not None:
            end, count = whole_records(self.rest, self._delimiter, False)
            if end:
                self._add(end, count)
                self.rest = self.rest[end:]

    def ends(self, chunk: bytes) -> Iterator[int]:
        """Yields where records would end in what is fed next: the first, second, fourth, …"""
        text = self.rest + chunk
        place = number = 0
        while number < _RECORDS_TRIED and (match := _ended(text, place, self._delimiter)):
            place, number = match.end(), number + 1
            if number & (number - 1) == 0 and place > len(self.rest):
                yield place - len(self.rest)

    def _closed(self) -> int | None:
        """Returns where the record that is open at the beginning ends, and drops it."""
        match = _ended(self.rest, 0, self._delimiter) if b'"' in self.rest[1:] else None
        if match is None:
            return None
        self.rest = self.rest[match.end() :]
        lead, self._passed = self._passed + match.end() - 1, 0
        return lead

    def _add(self, size: int, count: int) -> None:
        if len(self.blocks) > self.kept and self.blocks[-1][0] + size <= self._block_bytes:
            before = self.blocks.pop()
            size, count = size + before[0], count + before[1]
        self.blocks.append((size, count, None))

    def reading(self) -> Reading:
        return Reading(self.lead, tuple(self.blocks), self.whole)


def _both(text: Iterator[bytes], piece: Piece) -> tuple[Reading, Reading]:
    """Reads a text as beginning at a record, and as beginning within quotes."""
    outside, quoted = _Reader(piece, quoted=False), _Reader(piece, quoted=True)
    met = False
    for chunk in text:
        place = 0
        if not met and quoted.whole and outside.whole:
            tried = list(quoted.ends(chunk)) if b'"' in chunk or quoted.lead is not None else []
            for end in tried:
                outside.feed(chunk[place:end])
                quoted.feed(chunk[place:end])
                place = end
                met = outside.whole and quoted.whole and not outside.rest and not quoted.rest
                if met:
                    outside.kept = len(outside.blocks)
                    break
        outside.feed(chunk[place:])
        if not met:
            quoted.feed(chunk[place:])
        if not outside.whole and (met or not quoted.whole):
            break
    if not met:
        return outside.reading(), quoted.reading()
    common = tuple(outside.blocks[outside.kept :])
    return outside.reading(), Reading(quoted.lead, (*quoted.blocks, *common), outside.whole)


def _ended(text: bytes, place: int, delimiter: str) -> re.Match[bytes] | None:
    """Returns the record at `place`, if more text would not change where it ends."""
    match = record_pattern(delimiter).match(text, place)
    if match is None or not match[2] or (match[2] == b"\r" and match.end() == len(text)):
        return None
    return match
