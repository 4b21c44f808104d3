"""Pieces of files that are to be looked through for places to cut at.

A piece is a range of bytes that nobody has looked at. `scan` looks through one by itself, and `joined`
makes cuts of what was found in all pieces of a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from skewless.beam_pipelines.sources.cutting.cuts import UnitSize
from skewless.beam_pipelines.sources.units import WorkUnit

__all__ = ["Piece", "pieces_of"]

# Of which a line or a record can be found from any place.
_BY_PIECES = frozenset({"csv", "tsv", "jsonl", "tfrecord", "avro"})


@dataclass(frozen=True)
class Piece:
    """A range of a file, cut without a look at it.

    Attributes:
      whole: The file, without its columns, which a worker has no use for here.
      delimiter: Between fields; empty for JSON lines, TFRecords and Avro.
      begin: First byte.
      end: Of the half-open range; None for the rest of the file.
      size: Of the units that are to come of it.
    """

    whole: WorkUnit
    delimiter: str
    begin: int
    end: int | None
    size: UnitSize

    @property
    def is_first(self) -> bool:
        """Whether the file's first record begins it."""
        return self.begin == self.whole.start


def pieces_of(whole: WorkUnit, held: int, delimiter: str, size: UnitSize) -> Iterator[Piece]:
    """Yields the pieces of a file that is larger than a work unit; none where it is not.

    Formats that are not known to be cut by pieces are read as one unit.

    A text in another encoding than UTF-8 is one piece: its places can only be counted from its
    beginning.

    Args:
      whole: The file.
      held: Its bytes.
      delimiter: As in `Piece`.
      size: Of work units.
    """
    if whole.format not in _BY_PIECES or whole.compression or held - whole.start <= size.bytes:
        return
    bare = dataclasses.replace(whole, columns=())
    if whole.encoding:
        yield Piece(bare, delimiter, whole.start, None, size)
        return
    for begin in range(whole.start, held, size.bytes):
        end = begin + size.bytes
        yield Piece(bare, delimiter, begin, end if end < held else None, size)
