"""Fields of Arrow's structs by dotted path; a column that has the whole path for its name goes first."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.nested_paths import ways

__all__ = ["column_at", "inner_fields", "leaf_columns", "place_of", "unfit_fields", "with_fields"]


def place_of(schema: pa.Schema | pa.StructType, path: str) -> tuple[str, ...] | None:
    """Returns the names of the fields that lead to a path, or None where there is no such field."""
    if len(schema.get_all_field_indices(path)) == 1:
        return (path,)
    for name, rest in ways(path):
        if len(schema.get_all_field_indices(name)) != 1:
            continue
        kind = schema.field(name).type
        if pa.types.is_struct(kind):
            within = place_of(kind, rest)
            if within is not None:
                return (name, *within)
    return None


def inner_fields(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Returns the types of all fields within structs by path, those of structs themselves too."""
    found: dict[str, pa.DataType] = {}
    for path, kind in _within(schema, ""):
        found.setdefault(path, kind)
    for name in schema.names:
        found.pop(name, None)
    return found


def unfit_fields(schema: pa.Schema, vectors: Collection[str] = ()) -> dict[str, str]:
    """Returns why a column, or a field within structs by its path, has no form that a feature could read.

    Args:
      schema: Of the file.
      vectors: Those that may hold lists of vectors.
    """
    fields = inner_fields(schema) | {field.name: field.type for field in schema}
    return {
        name: f"holds {_named(kind)}; only plain values and lists of them are read"
        for name, kind in fields.items()
        if not _fits(kind) and not (name in vectors and _fits(getattr(kind, "value_type", kind)))
    }


def leaf_columns(schema: pa.Schema) -> list[str]:
    """Returns the columns that are no structs, each as often as it is there, and the fields of those that are, by path."""
    plain = [field.name for field in schema if not pa.types.is_struct(field.type)]
    within = [name for name, kind in inner_fields(schema).items() if not pa.types.is_struct(kind)]
    return [*plain, *within]


def column_at(table: pa.RecordBatch, place: tuple[str, ...]) -> pa.Array:
    """Returns [rows] the field; null where a struct on the way is null."""
    column = table.column(place[0])
    for name in place[1:]:
        column = pc.struct_field(column, [column.type.get_field_index(name)])
    return column


def with_fields(table: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
    """Returns of a batch the columns of some names as they are, then the fields at the other names.

    Args:
      table: [rows] as read.
      names: Columns, and paths that lead to fields; what is not there is passed over.
    """
    wanted = set(names)
    held = table.schema.names
    kept = [at for at, name in enumerate(held) if name in wanted]
    arrays = [table.column(at) for at in kept]
    called = [held[at] for at in kept]
    for name in dict.fromkeys(names):
        place = place_of(table.schema, name) if "." in name and name not in held else None
        if place is not None:
            arrays.append(column_at(table, place))
            called.append(name)
    if not arrays:
        return table.select([])
    return pa.RecordBatch.from_arrays(arrays, names=called)


def _within(schema: pa.Schema | pa.StructType, above: str) -> Iterator[tuple[str, pa.DataType]]:
    for place in range(len(schema) if isinstance(schema, pa.Schema) else schema.num_fields):
        field = schema.field(place)
        if above:
            yield above + field.name, field.type
        if pa.types.is_struct(field.type):
            yield from _within(field.type, f"{above}{field.name}.")


def _fits(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if not pa.types.is_nested(kind):
        return True
    return hasattr(kind, "value_type") and not pa.types.is_nested(kind.value_type)


def _named(kind: pa.DataType) -> str:
    for name, is_one in (("maps", pa.types.is_map), ("objects", pa.types.is_struct)):
        if is_one(kind):
            return name
    return f"lists of {_named(kind.value_type)}" if hasattr(kind, "value_type") else "lists"
