"""Planning: globs to work units, refusing files that the spec does not fit.

    files opened -> pieces scanned -> joined to cuts -> work units

Headers and footers are read, and for big delimited or JSON files the places where records end are
found; no value is read. Scanning is by pieces of which each can be looked through anywhere: by threads
of this process (`plan`), or by a job's workers (`batch.cut`).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from skewless.beam_pipelines.sources.cutting.cuts import UNIT_BYTES, UNIT_ROWS, Cut, UnitSize
from skewless.beam_pipelines.sources.cutting.joined import joined
from skewless.beam_pipelines.sources.cutting.scan import scan
from skewless.beam_pipelines.sources.files import whole_files
from skewless.beam_pipelines.sources.opened import OpenedFile, opened
from skewless.beam_pipelines.sources.opened_streams import opened_streams
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.rows.raw_columns import Lists, RowColumns
from skewless.schemas.spec.spec import Spec

__all__ = [
    "as_seen_from_anywhere",
    "cut_here",
    "opened_files",
    "plan",
    "units_of",
    "written_as",
]

# Files are opened together: mostly that is waiting, in a bucket above all.
_OPENED_TOGETHER = 8

Given = TypeVar("Given")
Made = TypeVar("Made")


def written_as(unit: WorkUnit, spec: Spec) -> CsvFormat | None:
    """Returns how a unit's numbers and letters are written; None where it is no delimited text."""
    return spec.csv if unit.format in ("csv", "tsv") else None


def plan(
    inputs: Sequence[str],
    spec: Spec,
    *,
    serving: bool = False,
    lists: Lists = "built",
    unit_bytes: int = UNIT_BYTES,
    unit_rows: int = UNIT_ROWS,
) -> list[WorkUnit]:
    """Returns the work units of all files, in the order that decides between duplicates.

    Args:
      inputs: Globs, each with an optional `train=`, `eval=` or `test=` before it.
      spec: Names the columns that every file with a header must have.
      serving: Whether rows are to be predicted for: label, weight and split columns may be absent
        then, other columns are still wanted.
      lists: How rows come to their histories.
      unit_bytes: About how many bytes of an uncompressed file one unit takes.
      unit_rows: About how many rows of an uncompressed file one unit takes.

    Raises:
      UsageError: If a glob matches nothing, or a file has an ending that no reader takes.
      DataError: If a file lacks a column, has it twice, or cannot be opened as its ending says.
    """
    size = UnitSize(unit_bytes, unit_rows)
    files = opened_files(inputs, spec, serving=serving, lists=lists, size=size)
    return units_of(files, cut_here(files))


def opened_files(
    inputs: Sequence[str],
    spec: Spec,
    *,
    serving: bool = False,
    lists: Lists = "built",
    size: UnitSize | None = None,
) -> list[OpenedFile]:
    """Returns all files, none of them looked through; arguments and errors are those of `plan`."""
    rows = RowColumns(spec, serving, lists)
    wholes = whole_files(inputs)

    def open_one(whole: WorkUnit) -> list[OpenedFile]:
        units = size or UnitSize()
        if whole.format == "bigquery":
            return opened_streams(whole, rows, units)
        return [opened(whole, rows, units)]

    return [file for some in _together(open_one, wholes, _OPENED_TOGETHER) for file in some]


def cut_here(files: Sequence[OpenedFile]) -> list[list[Cut]]:
    """Returns the cuts of each file, found by threads of this process."""
    pieces = [piece for file in files for piece in file.pieces]
    scanned = iter(_together(scan, pieces, os.cpu_count() or 1))
    cuts: list[list[Cut]] = []
    for file in files:
        found = [next(scanned) for _ in file.pieces]
        cuts.append(joined(file.pieces, found, file.bytes) if found else list(file.cuts))
    return cuts


def units_of(files: Sequence[OpenedFile], cuts: Sequence[Sequence[Cut]]) -> list[WorkUnit]:
    """Returns the work units of files, given the cuts of each."""
    units = [cut.of(file.whole) for file, of_it in zip(files, cuts, strict=True) for cut in of_it]
    return [dataclasses.replace(unit, order=order) for order, unit in enumerate(units)]


def as_seen_from_anywhere(unit: WorkUnit) -> WorkUnit:
    """Returns the unit with an absolute local path: a cluster's workers have other directories.

    Each may have its own copy of a local file, written at another time.
    """
    if "://" in unit.file:
        return unit
    state = unit.state and dataclasses.replace(unit.state, changed=None)
    return dataclasses.replace(unit, file=os.path.abspath(unit.file), state=state)


def _together(
    make: Callable[[Given], Made], given: Sequence[Given], threads: int
) -> Iterator[Made]:
    """Yields what is made of each, in order; the first error ends it."""
    if len(given) < 2:
        yield from map(make, given)
        return
    with ThreadPoolExecutor(min(threads, len(given))) as pool:
        try:
            yield from pool.map(make, given)
        finally:
            pool.shutdown(cancel_futures=True)
