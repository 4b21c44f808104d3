"""Row groups of Parquet files, of tables too: their columns, and only the rows that are not deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.sources.formats.parquet_reader import (
    open_parquet,
    read_parquet,
    row_as_json,
)
from skewless.beam_pipelines.sources.nested.fields import inner_fields, place_of
from skewless.beam_pipelines.sources.units import RawBatch, TableFile, WorkUnit
from skewless.schemas.errors import DataError

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
    inside = _places(unit, unit.table, held, columns)
    # Without any column there would be no rows: one that is plain will do.
    plain = [field.name for field in held if not pa.types.is_nested(field.type)][:1]
    asked = list(inside.values()) or plain or held.names
    deleted = unit.table.deleted_rows
    for batch in read_parquet(unit, asked, rows, size):
        kept = np.isin(batch.rows - 1, deleted, assume_unique=True, invert=True)
        if not kept.any():
            continue
        found = batch.table if kept.all() else batch.table.filter(pa.array(kept))
        table = _of_table(unit.table, found, inside, columns)
        yield dataclasses.replace(
            batch, table=table, rows=batch.rows[kept], raw_text=row_as_json(table)
        )


def _places(
    unit: WorkUnit, part: TableFile, held: pa.Schema, columns: Sequence[str]
) -> dict[str, str]:
    """Returns what columns, and fields by path, are called in the file; those that it lacks left out."""
    schema = pa.schema(part.columns)
    called = _called(unit, part, schema, held)
    found: dict[str, str] = {}
    for name in columns:
        top, *within = place_of(schema, name) or ("",)
        if top in called:
            path = ".".join([called[top], *within])
            if place_of(held, path) is not None:
                found[name] = path
    return found


def _called(unit: WorkUnit, part: TableFile, schema: pa.Schema, held: pa.Schema) -> dict[str, str]:
    """Returns what columns of a table are called in a file, by ID where both have these."""
    in_file = {number: field.name for field in held if (number := _id(field)) is not None}
    if not part.ids or not in_file:
        return {name: name for name in schema.names if name in held.names}
    called = {name: in_file[number] for name, number in part.ids if number in in_file}
    for name, own in called.items():
        if not _alike(schema.field(name).type, held.field(own).type):
            raise DataError(
                f"{unit.file}: fields within column {name!r} were renamed or made anew since the file was "
                "written, which is not read; write the table's data files anew"
            )
    return called


def _alike(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether fields within structs of the same name have the same ID, and the other way round."""
    if not (pa.types.is_struct(one) and pa.types.is_struct(other)):
        return True
    names = {_id(field): field.name for field in one}
    by_name = {field.name: field for field in one}
    for field in other:
        if names.get(_id(field), field.name) != field.name:
            return False
        mine = by_name.get(field.name)
        if mine is not None and (_id(mine) != _id(field) or not _alike(mine.type, field.type)):
            return False
    return True


def _id(field: pa.Field) -> int | None:
    number = (field.metadata or {}).get(b"PARQUET:field_id")
    return None if number is None else int(number)


def _of_table(
    part: TableFile, found: pa.RecordBatch, inside: Mapping[str, str], columns: Sequence[str]
) -> pa.RecordBatch:
    schema = pa.schema(part.columns)
    types = inner_fields(schema) | {field.name: field.type for field in schema}
    constants = dict(part.constants)
    there = dict(zip(found.schema.names, found.columns, strict=True))
    arrays: dict[str, pa.Array] = {}
    for name in columns:
        if name in inside:
            arrays[name] = there[inside[name]]
        elif name in types:
            scalar = pa.scalar(constants.get(name), types[name])
            arrays[name] = pa.repeat(scalar, found.num_rows)
    if not arrays:
        arrays = {"": pa.nulls(found.num_rows)}
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
