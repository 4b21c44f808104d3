"""Row groups of Parquet files, of tables too: their columns, and only the rows that are not deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.sources.formats.parquet_reader import (
    open_parquet,
    read_parquet,
    row_as_json,
)
from skewless.beam_pipelines.sources.nested.fields import inner_fields, place_of
from skewless.beam_pipelines.sources.units import RawBatch, TableFile, WorkUnit

__all__ = ["read_row_groups", "schema_of"]


def schema_of(unit: WorkUnit, held: pa.Schema) -> pa.Schema:
    """Returns the schema of a unit's rows: the table's where it is of one, else `held`, the file's own."""
    return held if unit.table is None else pa.schema(unit.table.columns)


def read_row_groups(
    unit: WorkUnit, columns: Sequence[str], rows: int | None = None, size: int | None = None
) -> Iterator[RawBatch]:
    """Yields the rows of a unit; arguments and errors are those of `read_parquet`.

    Of a table's file, columns that it was written without are null, and deleted rows are passed over: a
    row's number is its place in the file.
    """
    if unit.table is None:
        yield from read_parquet(unit, columns, rows, size)
        return
    with open_parquet(unit.file) as file:
        held = file.schema_arrow
    constants = dict(unit.table.constants)
    inside = [name for name in columns if name not in constants and place_of(held, name)]
    # Without any column there would be no rows: the narrowest that is no struct will do.
    asked = inside or [field.name for field in held if not pa.types.is_nested(field.type)][:1]
    deleted = unit.table.deleted_rows
    for batch in read_parquet(unit, asked or held.names, rows, size):
        kept = np.isin(batch.rows - 1, deleted, assume_unique=True, invert=True)
        if not kept.any():
            continue
        found = batch.table if kept.all() else batch.table.filter(pa.array(kept))
        table = _of_table(unit.table, found, inside, columns)
        yield dataclasses.replace(
            batch, table=table, rows=batch.rows[kept], raw_text=row_as_json(table)
        )


def _of_table(
    part: TableFile, found: pa.RecordBatch, inside: Sequence[str], columns: Sequence[str]
) -> pa.RecordBatch:
    schema = pa.schema(part.columns)
    types = inner_fields(schema) | {field.name: field.type for field in schema}
    constants = dict(part.constants)
    there = dict(zip(found.schema.names, found.columns, strict=True))
    arrays: dict[str, pa.Array] = {}
    for name in columns:
        if name in there and name in inside:
            arrays[name] = there[name]
        elif name in types:
            scalar = pa.scalar(constants.get(name), types[name])
            arrays[name] = pa.repeat(scalar, found.num_rows)
    if not arrays:
        arrays = {"": pa.nulls(found.num_rows)}
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
