"""Text of another encoding than UTF-8 cut into units: from its beginning, in one pass.

How long a record is, and where it lies in the text, is counted in UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator

from skewless.beam_pipelines.sources.cutting.cuts import Cut, cuts_of
from skewless.beam_pipelines.sources.cutting.pieces import Piece
from skewless.beam_pipelines.sources.formats.csv_blocks import blocks
from skewless.beam_pipelines.sources.formats.encodings import Transcoded
from skewless.beam_pipelines.sources.streams import chunks

__all__ = ["cuts_of_encoded"]


def cuts_of_encoded(piece: Piece) -> Iterator[Cut]:
    """Yields the cuts of a delimited text that is one piece."""
    whole = piece.whole

    def source() -> Iterator[bytes]:
        for chunk in chunks(whole.file, "", whole.start):
            for start in range(0, len(chunk), piece.size.chunk):
                yield chunk[start : start + piece.size.chunk]

    def read(start: int, end: int) -> bytes:
        return b"".join(chunks(whole.file, "", start, end))

    text = Transcoded(source(), whole.encoding, whole.start)
    found = ((block.size, block.count, block.problem) for block in blocks(text, piece.delimiter))
    yield from cuts_of(found, whole.start, piece.size, lambda place: text.place(place, read))
