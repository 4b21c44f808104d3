"""Blocks of text: whole records, or one record that is not used and how far it goes.

What a record's end is depends on the format (`csv_blocks`, `jsonl_reader`); how long it may be does
not. The rules count bytes from where a record begins, so neither the size of what was read at once
nor where a file was cut changes what a record is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skewless.beam_pipelines.sources.units import MAX_RAW_CHARACTERS

__all__ = ["KEPT_BYTES", "MAX_RECORD_BYTES", "TOO_LONG", "Block", "lines_of"]

MAX_RECORD_BYTES = 16 * 1024 * 1024
KEPT_BYTES = 4 * MAX_RAW_CHARACTERS
TOO_LONG = f"the record is longer than {MAX_RECORD_BYTES >> 20} MiB"


@dataclass(frozen=True)
class Block:
    """Whole records, or one that is not used.

    Attributes:
      data: The bytes, ending after a record's line end (or at the end of the text); of a record
        that is not used the first `KEPT_BYTES` at most.
      count: Records in it; blank lines do not count.
      problem: Why the block's single record is not used, else None.
      size: How many bytes of the text it stands for.
    """

    data: bytes
    count: int
    problem: str | None = None
    size: int = -1

    def __post_init__(self) -> None:
        if self.size < 0:
            object.__setattr__(self, "size", len(self.data))


def lines_of(chunks: Iterator[bytes]) -> Iterator[Block]:
    """Cuts a text into blocks of whole lines; the last may lack its line end."""
    rest = head = b""
    size = 0
    for chunk in chunks:
        if size:
            cut = chunk.find(b"\n") + 1
            size += cut or len(chunk)
            if not cut:
                continue
            yield Block(head, 1, TOO_LONG, size)
            size, chunk = 0, chunk[cut:]
        rest += chunk
        cut = rest.rfind(b"\n") + 1
        yield from _checked(rest[:cut])
        rest = rest[cut:]
        if len(rest) > MAX_RECORD_BYTES:
            head, size, rest = rest[:KEPT_BYTES], len(rest), b""
    if size:
        yield Block(head, 1, TOO_LONG, size)
    yield from _checked(rest)


def _checked(lines: bytes) -> Iterator[Block]:
    """Yields whole lines, each that is too long by itself."""
    begin = place = 0
    while len(lines) - place > MAX_RECORD_BYTES:
        # Looks back from as far as a line may go: only a line that goes further has no end there.
        end = lines.rfind(b"\n", place, place + MAX_RECORD_BYTES) + 1
        if end:
            place = end
            continue
        if place > begin:
            yield Block(lines[begin:place], _held(lines[begin:place]))
        end = lines.find(b"\n", place) + 1 or len(lines)
        yield Block(lines[place : min(end, place + KEPT_BYTES)], 1, TOO_LONG, end - place)
        begin = place = end
    if len(lines) > begin:
        yield Block(lines[begin:], _held(lines[begin:]))


def _held(lines: bytes) -> int:
    """Counts lines that hold more than white space."""
    return sum(1 for line in lines.split(b"\n") if line.strip(b" \t\r"))
