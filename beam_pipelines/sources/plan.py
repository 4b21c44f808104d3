"""Planning: globs to work units, refusing files that the spec does not fit.

Only headers, footers and, for big delimited or JSON files, the places where records end are
read here; no value is.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq

from skewless.beam_pipelines.sources.files import file_bytes, whole_files
from skewless.beam_pipelines.sources.formats.csv_blocks import blocks
from skewless.beam_pipelines.sources.formats.csv_header import read_header
from skewless.beam_pipelines.sources.formats.encodings import Transcoded
from skewless.beam_pipelines.sources.formats.parquet_footer import not_read, oversized
from skewless.beam_pipelines.sources.formats.parquet_reader import open_parquet
from skewless.beam_pipelines.sources.formats.text_blocks import Block, lines_of
from skewless.beam_pipelines.sources.streams import chunks
from skewless.beam_pipelines.sources.unchanged import state_of
from skewless.beam_pipelines.sources.units import Format, WorkUnit
from skewless.schemas.errors import DataError, listed, nearest
from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.rows.raw_columns import RowColumns
from skewless.schemas.spec.spec import Spec

__all__ = [
    "UNIT_BYTES",
    "UNIT_ROWS",
    "as_seen_from_anywhere",
    "delimiter",
    "plan",
    "written_as",
]

UNIT_BYTES = 32 * 1024 * 1024
UNIT_ROWS = 100_000
# Problems that one error names.
_MOST_TOLD = 20


def delimiter(format: Format, spec: Spec) -> str:
    """Returns the character between the fields of a delimited format."""
    return "\t" if format == "tsv" else spec.csv.delimiter


def written_as(unit: WorkUnit, spec: Spec) -> CsvFormat | None:
    """Returns how a unit's numbers and letters are written; None where it is no delimited text."""
    return spec.csv if unit.format in ("csv", "tsv") else None


def plan(
    inputs: Sequence[str],
    spec: Spec,
    *,
    serving: bool = False,
    unit_bytes: int = UNIT_BYTES,
    unit_rows: int = UNIT_ROWS,
) -> list[WorkUnit]:
    """Returns the work units of all files, in the order that decides between duplicates.

    Args:
      inputs: Globs, each with an optional `train=`, `eval=` or `test=` before it.
      spec: Names the columns that every file with a header must have.
      serving: Whether rows are to be predicted for: label, weight and split columns may be absent
        then, other columns are still wanted.
      unit_bytes: About how many bytes of an uncompressed file one unit takes.
      unit_rows: About how many rows of an uncompressed file one unit takes.

    Raises:
      UsageError: If a glob matches nothing, or a file has an ending that no reader takes.
      DataError: If a file lacks a column, has it twice, or cannot be opened as its ending says.
    """
    rows = RowColumns(spec, serving)
    units: list[WorkUnit] = []
    for whole in whole_files(inputs):
        whole = dataclasses.replace(whole, state=state_of(whole.file), serving=serving)
        units.extend(_cut(whole, rows, unit_bytes, unit_rows))
    return [dataclasses.replace(unit, order=order) for order, unit in enumerate(units)]


def as_seen_from_anywhere(units: Sequence[WorkUnit]) -> list[WorkUnit]:
    """Returns the units with absolute local paths: a cluster's workers have other directories.

    Each may have its own copy of a local file, written at another time.
    """
    return [unit if "://" in unit.file else _local_anywhere(unit) for unit in units]


def _local_anywhere(unit: WorkUnit) -> WorkUnit:
    state = unit.state and dataclasses.replace(unit.state, changed=None)
    return dataclasses.replace(unit, file=os.path.abspath(unit.file), state=state)


def _cut(whole: WorkUnit, rows: RowColumns, unit_bytes: int, unit_rows: int) -> Iterator[WorkUnit]:
    if whole.format == "parquet":
        yield from _row_groups(whole, rows, unit_bytes, unit_rows)
    elif whole.format == "tfrecord":
        yield whole
    else:
        if whole.format in ("csv", "tsv"):
            between = delimiter(whole.format, rows.spec)
            header = read_header(whole.file, whole.compression, between, rows.spec.csv)
            _check(whole, header.columns, rows)
            whole = dataclasses.replace(
                whole, columns=header.columns, start=header.start, encoding=header.encoding
            )
        if whole.compression or file_bytes(whole.file) - whole.start <= unit_bytes:
            yield whole
        else:
            yield from _byte_ranges(whole, rows.spec, unit_bytes, unit_rows)


def _check(whole: WorkUnit, names: Sequence[str], rows: RowColumns) -> None:
    excused = rows.may_lack(whole.split)
    problems: list[str] = []
    held = Counter(names)
    for name in rows.wanted:
        if name not in held:
            if name not in excused:
                # Each look for the nearest goes through all names.
                near = nearest(name, names) if len(problems) < _MOST_TOLD else ""
                problems.append(f"no column {name!r}{near}")
        elif held[name] > 1:
            problems.append(f"column {name!r} is there {held[name]} times; rename the others")
    if problems:
        told = problems[:_MOST_TOLD]
        if len(problems) > _MOST_TOLD:
            told.append(f"and {len(problems) - _MOST_TOLD:,} more columns")
        raise DataError(
            f"{whole.file}: {'; '.join(told)} (columns: {listed(names)}); "
            "correct the spec's column or the file's header"
        )


def _byte_ranges(
    whole: WorkUnit, spec: Spec, unit_bytes: int, unit_rows: int
) -> Iterator[WorkUnit]:
    """Cuts where records end, which takes one pass over the bytes."""
    text = _Text(whole, unit_bytes)
    begun = position = whole.start
    first = row = whole.first_row
    stretches: list[tuple[int, int, str | None]] = []

    def unit() -> WorkUnit:
        known = tuple(stretches) if whole.format != "jsonl" else ()
        return dataclasses.replace(
            whole,
            start=text.place(begun),
            end=text.place(position),
            first_row=first,
            stretches=known,
        )

    for block in _blocks(text, spec):
        length, count = block.size, block.count
        if position > begun and (
            position + length - begun > unit_bytes or row + count - first > unit_rows
        ):
            yield unit()
            begun, first = position, row
            stretches = []
        position += length
        row += count
        stretches.append((length, count, block.problem))
    if position > begun or begun == whole.start:
        yield unit()


class _Text:
    """The text of a file from its first record on, in UTF-8, and where its places are in the file."""

    def __init__(self, whole: WorkUnit, unit_bytes: int) -> None:
        self.whole = whole
        self._size = max(1, unit_bytes // 4)
        self._transcoded = Transcoded(self._chunks(), whole.encoding, whole.start)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._transcoded if self.whole.encoding else self._chunks())

    def place(self, text: int) -> int:
        return self._transcoded.place(text, self._read) if self.whole.encoding else text

    def _chunks(self) -> Iterator[bytes]:
        for chunk in chunks(self.whole.file, "", self.whole.start):
            for start in range(0, len(chunk), self._size):
                yield chunk[start : start + self._size]

    def _read(self, start: int, end: int) -> bytes:
        return b"".join(chunks(self.whole.file, "", start, end))


def _blocks(text: _Text, spec: Spec) -> Iterator[Block]:
    if text.whole.format == "jsonl":
        return lines_of(iter(text))
    return blocks(text, delimiter(text.whole.format, spec))


def _refuse_what_is_not_read(path: str, file: pq.ParquetFile, rows: RowColumns) -> None:
    unread = {name: why for name, why in not_read(file).items() if name in rows.wanted}
    problems = [f"column {name!r} {why}" for name, why in unread.items()]
    remedy = "take it out of the spec, or write it as plain values"
    if not problems and rows.spec.key is None and not rows.serving:
        # Rows without a key are known by all that they hold.
        problems = [f"column {name!r} {why}" for name, why in oversized(file).items()]
        remedy = (
            "declare a `key`, so that rows are not known by all that they hold, or leave it out"
        )
    if problems:
        raise DataError(f"{path}: {listed(problems, 5)}; {remedy}")


def _row_groups(
    whole: WorkUnit, rows: RowColumns, unit_bytes: int, unit_rows: int
) -> Iterator[WorkUnit]:
    with open_parquet(whole.file) as file:
        names, metadata = file.schema_arrow.names, file.metadata
        _check(whole, names, rows)
        _refuse_what_is_not_read(whole.file, file, rows)
    begun, first, row, size = 0, 1, 1, 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        if index > begun and (
            size + group.total_byte_size > unit_bytes or row + group.num_rows - first > unit_rows
        ):
            yield dataclasses.replace(whole, start=begun, end=index, first_row=first)
            begun, first, size = index, row, 0
        row += group.num_rows
        size += group.total_byte_size
    yield dataclasses.replace(whole, start=begun, end=metadata.num_row_groups, first_row=first)
