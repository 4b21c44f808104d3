"""Parquet: native types, row group by row group."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.beam_pipelines.sources.formats.parquet_encryption import has_encrypted_columns
from skewless.beam_pipelines.sources.formats.parquet_footer import row_bytes
from skewless.beam_pipelines.sources.nested.fields import place_of, with_fields
from skewless.beam_pipelines.sources.streams import open_raw
from skewless.beam_pipelines.sources.units import RawBatch, WorkUnit, clipped
from skewless.schemas.errors import DataError, listed

__all__ = ["open_parquet", "read_parquet", "row_as_json", "undecodable"]

# Larger batches cost more a row: their tensors no longer fit what malloc keeps for reuse.
BATCH_ROWS = 8_192
# A table of 100,000 columns is read in batches of fewer rows.
_BATCH_CELLS = 16 << 20
BATCH_BYTES = 64 << 20


@contextmanager
def open_parquet(file: str) -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file on any filesystem.

    Raises:
      DataError: If the file is not Parquet, its footer is damaged, a column's name is not UTF-8, or
        columns are encrypted.
    """
    with open_raw(file) as raw:
        try:
            parquet = pq.ParquetFile(pa.PythonFile(raw, mode="r"))
            _ = parquet.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{file}: expected a Parquet file, got {error}; write the file again"
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file}: the name of a column is not UTF-8 ({error.object!r}); rename it"
            ) from error
        try:
            encrypted = has_encrypted_columns(raw)
        except ValueError as error:
            raise DataError(f"{file}: {error}; the file is damaged, write it again") from error
        if encrypted:
            raise DataError(
                f"{file}: columns of it are encrypted; write the file without encryption"
            )
        footer = parquet.metadata
        held = sum(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
        if held != footer.num_rows:
            raise DataError(
                f"{file}: its footer says {footer.num_rows:,} rows, its row groups {held:,}; "
                "the file is damaged, write it again"
            )
        yield parquet


def read_parquet(
    unit: WorkUnit,
    columns: Sequence[str],
    rows: int | None = None,
    size: int | None = None,
) -> Iterator[RawBatch]:
    """Yields the rows of the unit's row groups; no other column is decoded.

    Args:
      unit: Row groups of a file.
      columns: The columns to read, of those that are there, and paths to fields of structs.
      rows: Rows of a batch, at most.
      size: About how many bytes of a batch, at most.

    Raises:
      DataError: If a row group cannot be decoded (Parquet has no smaller sound piece), or holds other
        than as many rows as it says.
    """
    with open_parquet(unit.file) as file:
        held = set(file.schema_arrow.names)
        paths = {name: place_of(file.schema_arrow, name) for name in columns if name not in held}
        within = {name for name, place in paths.items() if place is not None}
        present = [name for name in columns if name in held or name in within]
        end = file.num_row_groups if unit.end is None else unit.end
        row = unit.first_row
        groups = range(unit.start, end)
        each = max(1.0, row_bytes(file, groups, present))
        fit = min(_BATCH_CELLS // max(1, len(present)), int((size or BATCH_BYTES) / each))
        most = max(1, min(rows or BATCH_ROWS, BATCH_ROWS, fit))
        batches = file.iter_batches(
            most, row_groups=list(groups), columns=present, use_threads=False
        )
        while True:
            try:
                table = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                where = f"{unit.file}: row groups {unit.start} to {end - 1}, from row {row}"
                bad = [f"column {name!r} {why}" for name, why in _bad(file, groups, present)]
                told = listed(bad, 5) or f"cannot be decoded: {error}"
                raise DataError(f"{where}: {told}; write the file again") from error
            if table is None:
                break
            table = with_fields(table, present) if within else table
            numbers = np.arange(row, row + table.num_rows, dtype=np.int64)
            yield RawBatch(unit, table, numbers, [], row_as_json(table))
            row += table.num_rows
        said = sum(file.metadata.row_group(group).num_rows for group in groups)
        if present and row - unit.first_row != said:
            raise DataError(
                f"{unit.file}: row groups {unit.start} to {end - 1} say that they hold {said:,} rows, "
                f"and hold {row - unit.first_row:,}; the file is damaged, write it again"
            )


def undecodable(unit: WorkUnit, columns: Sequence[str]) -> dict[str, str]:
    """Returns why a column of the unit cannot be decoded, by name; each is tried by itself."""
    with open_parquet(unit.file) as file:
        end = file.num_row_groups if unit.end is None else unit.end
        return dict(_bad(file, range(unit.start, end), columns))


def _bad(file: pq.ParquetFile, groups: range, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in columns:
        try:
            for _ in file.iter_batches(
                BATCH_ROWS, row_groups=list(groups), columns=[name], use_threads=False
            ):
                pass
        except (pa.ArrowException, OSError) as error:
            remedy = "write the file again"
            if pa.types.is_fixed_size_list(_type_of(file.schema_arrow, name)):
                # Arrow writes them and cannot read them back.
                remedy = (
                    "lists of one size cannot be read where some are missing; write plain lists"
                )
            yield name, f"cannot be decoded: {error}; {remedy}"


def _type_of(schema: pa.Schema, path: str) -> pa.DataType:
    place = place_of(schema, path) or (path,)
    kind = schema.field(place[0]).type
    for name in place[1:]:
        kind = kind.field(name).type
    return kind


def row_as_json(table: pa.RecordBatch) -> Callable[[int], str]:
    """Returns what gives the row at a position as JSON, for rejections."""

    def text(at: int) -> str:
        row = {
            name: _shown(column.slice(at, 1))
            for name, column in zip(table.schema.names, table.columns, strict=True)
        }
        return clipped(json.dumps(row, ensure_ascii=False, default=_plain))

    return text


def _shown(value: pa.Array) -> Any:
    """Returns the one value; one that Python cannot hold by its bytes, or the number it is stored as."""
    try:
        return value.to_pylist()[0]
    except (ValueError, ArithmeticError, LookupError, pa.ArrowException):
        if isinstance(value, pa.DictionaryArray):
            return _shown(value.dictionary_decode())
        kind = value.type
        if pa.types.is_temporal(kind) and kind.bit_width in (32, 64):
            return value.view(pa.int32() if kind.bit_width == 32 else pa.int64())[0].as_py()
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return value.cast(pa.large_binary())[0].as_py()
        return f"a value of {kind} that cannot be shown"


def _plain(value: Any) -> str:
    return clipped(value) if isinstance(value, bytes) else str(value)
