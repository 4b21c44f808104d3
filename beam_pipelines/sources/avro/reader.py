"""Avro files: native types, block by block."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.sources.avro.container import (
    DamagedBlockError,
    Header,
    blocks,
    read_header,
    unpacked,
)
from skewless.beam_pipelines.sources.avro.types import Read, Records, records_of
from skewless.beam_pipelines.sources.formats.parquet_reader import row_as_json
from skewless.beam_pipelines.sources.nested.fields import place_of, with_fields
from skewless.beam_pipelines.sources.units import RawBatch, Rejected, WorkUnit, clipped
from skewless.schemas.rows.reasons import unread

__all__ = ["names_in_avro", "open_avro", "read_avro"]

_BATCH_ROWS = 8_192
_BATCH_BYTES = 32 << 20


class _Lost(NamedTuple):
    """Rows that cannot be read, and why."""

    rows: int
    why: str


def open_avro(file: str) -> tuple[Header, Records]:
    """Returns what a file's header tells, and how its records are read.

    Raises:
      DataError: If it is no Avro file of records, or its blocks are packed in a way that is not read.
    """
    header = read_header(file)
    return header, records_of(file, header.schema)


def names_in_avro(file: str) -> list[str]:
    """Returns the names of a file's columns; raises as `open_avro`."""
    return list(open_avro(file)[1].columns)


def read_avro(unit: WorkUnit, columns: Sequence[str]) -> Iterator[RawBatch]:
    """Yields the rows of the unit's blocks; of a block that is damaged, those before the damage.

    Rows that are lost with a block are rejected each; where a block does not end as it should, the
    rest of the unit is rejected as one.

    Args:
      unit: Blocks of a file.
      columns: The columns to read, of those that are there, and paths to fields of records.

    Raises:
      DataError: If the header cannot be read.
    """
    header, records = open_avro(unit.file)
    places = [place for name in columns if (place := place_of(records.schema, name))]
    tops = {place[0]: records.columns[place[0]] for place in places}
    row, size = unit.first_row, 0
    gathered: list[dict[str, Any]] = []
    numbers: list[int] = []
    rejected: list[Rejected] = []
    for found in _records(unit, header, records):
        if isinstance(found, _Lost):
            rejected += [
                Rejected(unit.file, row + at, None, None, found.why, None)
                for at in range(found.rows)
            ]
            row += found.rows
        else:
            record, taken = found
            gathered.append(record)
            numbers.append(row)
            row, size = row + 1, size + taken
        if len(gathered) + len(rejected) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield _batch(unit, gathered, numbers, rejected, tops, columns)
            gathered, numbers, rejected, size = [], [], [], 0
    if gathered or rejected:
        yield _batch(unit, gathered, numbers, rejected, tops, columns)


def _records(
    unit: WorkUnit, header: Header, records: Records
) -> Iterator[tuple[dict[str, Any], int] | _Lost]:
    """Yields each record with about how many bytes it takes."""
    from fastavro import schemaless_reader

    start = max(unit.start, header.end)
    try:
        for block in blocks(unit.file, header.sync, start, unit.end):
            done = 0
            try:
                data = unpacked(block.data, header.codec)
                if block.rows > len(data):
                    raise DamagedBlockError(
                        f"a block says that it holds {block.rows:,} records in {len(data):,} bytes"
                    )
                stream, each = io.BytesIO(data), len(data) // max(1, block.rows)
                while done < block.rows:
                    record: Any = schemaless_reader(stream, records.decoded_by, None)
                    yield record, each
                    done += 1
            except DamagedBlockError as error:
                yield _Lost(_rows_of(block.rows, len(block.data)), str(error))
            except Exception as error:  # fastavro's errors share no class
                # Where the next record of the block begins cannot be known.
                why = f"a record cannot be decoded ({error or 'the block ends inside it'}), nor those after it in its block"
                yield _Lost(_rows_of(block.rows - done, len(data)), why)
    except DamagedBlockError as error:
        yield _Lost(1, unread(str(error)))


def _rows_of(count: int, size: int) -> int:
    """Returns how many rows are lost, where a number that is damaged itself may say any."""
    return min(count, max(1, size))


def _batch(
    unit: WorkUnit,
    records: list[dict[str, Any]],
    numbers: list[int],
    rejected: list[Rejected],
    tops: dict[str, Read],
    columns: Sequence[str],
) -> RawBatch:
    arrays = {}
    bad: dict[int, Rejected] = {}
    for name, read in tops.items():
        values = [record[name] for record in records]
        try:
            arrays[name] = _array(values, read)
        except (pa.ArrowException, ArithmeticError, ValueError):
            arrays[name], why = _one_by_one(values, read)
            for at, reason in why.items():
                raw = clipped(str(records[at]))
                bad.setdefault(at, Rejected(unit.file, numbers[at], None, name, reason, raw))
    if not arrays:
        arrays = {"": pa.nulls(len(records))}
    table = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    rows = np.array(numbers, np.int64)
    if bad:
        kept = np.array([at for at in range(len(records)) if at not in bad], np.int64)
        table, rows = table.take(pa.array(kept)), rows[kept]
    if tops:
        table = with_fields(table, columns)
    return RawBatch(unit, table, rows, [*rejected, *bad.values()], row_as_json(table))


def _array(values: list[Any], read: Read) -> pa.Array:
    if read.said is not None:
        values = [None if value is None else read.said(value) for value in values]
    return pa.array(values, read.type)


def _one_by_one(values: list[Any], read: Read) -> tuple[pa.Array, dict[int, str]]:
    """Returns [rows], null where a value is not of its type, and why by row."""
    found: list[pa.Array] = []
    why: dict[int, str] = {}
    for at, value in enumerate(values):
        try:
            found.append(_array([value], read))
        except (pa.ArrowException, ArithmeticError, ValueError) as error:
            found.append(pa.nulls(1, read.type))
            why[at] = f"expected a value of {read.type}, got {clipped(str(value))}: {error}"
    return pa.concat_arrays(found), why
