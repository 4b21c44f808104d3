"""Cuts: the ranges of whole records that work units take of a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from skewless.beam_pipelines.sources.units import WorkUnit

__all__ = ["UNIT_BYTES", "UNIT_ROWS", "Cut", "Stretch", "UnitSize", "cuts_of"]

UNIT_BYTES = 32 * 1024 * 1024
UNIT_ROWS = 100_000

# Bytes, records, and why the only one of them is not used.
Stretch: TypeAlias = tuple[int, int, str | None]


class Cut(NamedTuple):
    """What a work unit takes of its file: as `WorkUnit` has it."""

    start: int
    end: int | None
    first_row: int
    stretches: tuple[Stretch, ...] = ()

    def of(self, whole: WorkUnit) -> WorkUnit:
        """Returns the work unit."""
        return dataclasses.replace(whole, **self._asdict())


@dataclass(frozen=True)
class UnitSize:
    """About how much of an uncompressed file one work unit takes, at most."""

    bytes: int = UNIT_BYTES
    rows: int = UNIT_ROWS

    @property
    def chunk(self) -> int:
        """How many bytes are looked at together."""
        return max(1, self.bytes // 4)


def cuts_of(
    stretches: Iterable[Stretch],
    start: int,
    size: UnitSize,
    place: Callable[[int], int] = int,
    *,
    kept: bool = True,
) -> Iterator[Cut]:
    """Yields one cut after another, at least one.

    Args:
      stretches: Of a whole file's text, from its first record on.
      start: Where that begins.
      size: Of the units.
      place: Gives the place in the file of a place of the text.
      kept: Whether readers are told the stretches.
    """
    begun = position = start
    first = row = 1
    gathered: list[Stretch] = []

    def cut() -> Cut:
        return Cut(place(begun), place(position), first, tuple(gathered) if kept else ())

    for stretch in stretches:
        length, count, _ = stretch
        if position > begun and (
            position + length - begun > size.bytes or row + count - first > size.rows
        ):
            yield cut()
            begun, first = position, row
            gathered = []
        position += length
        row += count
        gathered.append(stretch)
    if position > begun or begun == start:
        yield cut()
