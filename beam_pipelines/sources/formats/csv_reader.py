"""Delimited text: CSV and TSV, as binary columns."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

from skewless.beam_pipelines.sources.formats.csv_blocks import blocks, fields_of, records
from skewless.beam_pipelines.sources.formats.encodings import as_utf8, cut, readable
from skewless.beam_pipelines.sources.formats.text_blocks import KEPT_BYTES, Block
from skewless.beam_pipelines.sources.streams import BrokenStreamError, chunks, stretches
from skewless.beam_pipelines.sources.units import (
    MAX_RAW_CHARACTERS,
    RawBatch,
    Rejected,
    WorkUnit,
    clipped,
)
from skewless.schemas.errors import DataError
from skewless.schemas.rows.reasons import Reason, undecompressed

__all__ = ["read_csv"]

MAX_BATCH_ROWS = 50_000


def read_csv(unit: WorkUnit, columns: Sequence[str], delimiter: str) -> Iterator[RawBatch]:
    """Yields the unit's rows with `columns` as binary; rows of another width are rejected."""
    row = unit.first_row
    # The first of columns of one name.
    places = {name: place for place, name in reversed(list(enumerate(unit.columns)))}
    wanted = [places[name] for name in columns if name in places]
    source = _Tolerant(unit)
    for block in _known_blocks(unit) if unit.stretches else blocks(source, delimiter):
        batch = _parse(block, unit, row, wanted, delimiter)
        row += len(batch.rows) + len(batch.rejected)
        yield from _pieces(batch)
    if source.problem:
        reason = undecompressed(source.problem)
        empty = pa.RecordBatch.from_pylist([], schema=_schema(unit, wanted))
        yield RawBatch(
            unit, empty, np.empty(0, np.int64), [Rejected(unit.file, row, None, None, reason, None)]
        )


def _known_blocks(unit: WorkUnit) -> Iterator[Block]:
    wanted = ((size, KEPT_BYTES if problem else size) for size, _, problem in unit.stretches)
    if unit.encoding:
        text = chunks(unit.file, "", unit.start, unit.end)
        pieces = cut(as_utf8(text, unit.encoding), wanted)
    else:
        pieces = stretches(unit.file, unit.start, wanted)
    for data, (size, count, problem) in zip(pieces, unit.stretches, strict=True):
        yield Block(data, count, problem, size)


class _Tolerant:
    """The unit's text in UTF-8; damage ends it and is remembered."""

    def __init__(self, unit: WorkUnit) -> None:
        self.unit = unit
        self.problem: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        return as_utf8(self._sound(), self.unit.encoding)

    def _sound(self) -> Iterator[bytes]:
        unit = self.unit
        try:
            yield from chunks(unit.file, unit.compression, unit.start, unit.end)
        except BrokenStreamError as error:
            self.problem = str(error)


def _schema(unit: WorkUnit, wanted: Sequence[int]) -> pa.Schema:
    return pa.schema([(unit.columns[index], pa.binary()) for index in wanted])


def _parse(
    block: Block, unit: WorkUnit, first_row: int, wanted: Sequence[int], delimiter: str
) -> RawBatch:
    schema = _schema(unit, wanted)
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    none = np.empty(0, np.int64)
    if block.problem:
        rejected = Rejected(
            unit.file, first_row, None, None, block.problem, _shown(block.data.rstrip(), unit)
        )
        return RawBatch(unit, empty, none, [rejected])
    if not block.count:
        return RawBatch(unit, empty, none)
    table, bad = _table(block.data, wanted, len(unit.columns), delimiter)
    count = table.num_rows + len(bad)
    if count != block.count:
        raise DataError(
            f"{unit.file}: rows from {first_row}: counted {block.count} records but then "
            f"read {count}; leave the file unaltered while it is read, or else report it"
        )
    arrays = [table.column(position).combine_chunks() for position in range(len(wanted))]
    arrays = [array if isinstance(array, pa.Array) else array.chunk(0) for array in arrays]
    batch = (
        pa.RecordBatch.from_arrays(arrays, schema=schema)
        if wanted
        else pa.RecordBatch.from_arrays([pa.nulls(table.num_rows)], names=[""])
    )
    numbers = np.arange(first_row, first_row + count, dtype=np.int64)
    texts = _Texts(block.data, unit, delimiter)
    rejected_rows = []
    if bad:
        offsets = np.array([number - 1 for number, _ in bad])
        expected = len(unit.columns)
        rejected_rows = [
            Rejected(
                unit.file,
                first_row + number - 1,
                None,
                None,
                Reason(f"expected {expected} fields as in the header", got),
                texts[number - 1],
            )
            for number, got in bad
        ]
        numbers = np.delete(numbers, offsets)
    return RawBatch(
        unit, batch, numbers, rejected_rows, lambda at: texts[int(numbers[at]) - first_row]
    )


def _table(
    data: bytes, wanted: Sequence[int], width: int, delimiter: str
) -> tuple[pa.Table, list[tuple[int, int]]]:
    """Parses a block.

    Returns:
      [rows] the wanted fields, by their places; and of each record of another width its 1-based
      number in the block and its width.
    """
    positions = [str(index) for index in range(width)]
    # A file that is wanted for its row count alone is still parsed, by its first column.
    read = [positions[index] for index in wanted] or positions[:1]
    bad: list[tuple[int, int]] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        bad.append((row.number, row.actual_columns))
        return "skip"

    if not _is_utf8(data):
        # Arrow decodes the text of a row of another width before it calls the handler.
        even = []
        for number, record in enumerate(records(data, delimiter), 1):
            fields = fields_of(record, delimiter)
            if fields == width:
                even.append(record)
            else:
                bad.append((number, fields))
        data = b"\n".join(even) + b"\n"
        if not even:
            none = pa.table({name: pa.array([], pa.binary()) for name in read})
            return none, bad
    if data.startswith(codecs.BOM_UTF8):
        # Arrow leaves one out at the beginning of what it reads; here it is part of a cell.
        data = codecs.BOM_UTF8 + data
    table = pa.csv.read_csv(
        pa.BufferReader(data),
        read_options=pa.csv.ReadOptions(
            column_names=positions, use_threads=False, block_size=len(data) + 16
        ),
        parse_options=pa.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
        ),
        convert_options=pa.csv.ConvertOptions(
            check_utf8=False,
            column_types={name: pa.binary() for name in positions},
            include_columns=read,
            strings_can_be_null=False,
        ),
    )
    return table.combine_chunks(), bad


def _is_utf8(data: bytes) -> bool:
    offsets = pa.py_buffer(np.array([0, len(data)], np.int64))
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


class _Texts:
    """The text of a block's records, cut out only once a rejection asks for one."""

    def __init__(self, data: bytes, unit: WorkUnit, delimiter: str) -> None:
        self._data, self._unit, self._delimiter = data, unit, delimiter
        self._records: list[bytes] | None = None

    def __getitem__(self, index: int) -> str:
        if self._records is None:
            self._records = list(records(self._data, self._delimiter))
        return _shown(self._records[index], self._unit)


def _shown(record: bytes, unit: WorkUnit) -> str:
    """Returns a record as it is in the file, decoded, for a rejection."""
    return clipped(readable(record[: 4 * MAX_RAW_CHARACTERS]) if unit.encoding else record)


def _pieces(batch: RawBatch) -> Iterator[RawBatch]:
    """Cuts a batch of very short rows, so that a batch is bounded in rows as well as in bytes."""
    if len(batch.rows) <= MAX_BATCH_ROWS:
        yield batch
        return
    for start in range(0, len(batch.rows), MAX_BATCH_ROWS):
        yield RawBatch(
            batch.unit,
            batch.table.slice(start, MAX_BATCH_ROWS),
            batch.rows[start : start + MAX_BATCH_ROWS],
            batch.rejected if start == 0 else [],
            lambda at, start=start: batch.raw_text(start + at),  # type: ignore[misc]
        )
