"""What a Parquet file's footer tells before anything is decoded: columns that are not read, and sizes.

A file of four kilobytes can hold values of gigabytes. What a column would take is in the footer, so a
column that no memory holds is refused by name, and batches have as many rows as fit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from skewless.beam_pipelines.sources.formats.text_blocks import MAX_RECORD_BYTES

__all__ = ["not_read", "oversized", "row_bytes"]


def not_read(file: pq.ParquetFile) -> dict[str, str]:
    """Returns why a column cannot be read at all, by name; nothing is decoded for it.

    Columns of structs, maps and lists of lists have no form that a feature could read, and of a
    column whose values are longer than any record may be, one alone could take all memory.
    """
    found = {
        field.name: f"holds {_named(field.type)}; only plain values and lists of them are read"
        for field in file.schema_arrow
        if not _fits(field.type)
    }
    return oversized(file) | found


def oversized(file: pq.ParquetFile) -> dict[str, str]:
    """Returns the columns whose values are too long to be decoded, with their size."""
    found: dict[str, str] = {}
    owners: list[str] | None = None
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        if group.total_byte_size <= MAX_RECORD_BYTES:
            continue
        owners = owners or list(_owners(file.schema_arrow))
        for place in range(group.num_columns):
            chunk = group.column(place)
            size = chunk.total_uncompressed_size
            if size > MAX_RECORD_BYTES * max(1, min(chunk.num_values, group.num_rows)):
                name = owners[place] if place < len(owners) else chunk.path_in_schema.split(".")[0]
                found.setdefault(
                    name,
                    f"takes {size:,} bytes for {group.num_rows:,} rows of row group {index}, more than "
                    f"{MAX_RECORD_BYTES >> 20} MiB each",
                )
    return found


def row_bytes(file: pq.ParquetFile, groups: Collection[int], names: Collection[str]) -> float:
    """Returns what a row of some columns takes on average, in the row group where it is most."""
    wanted = set(names)
    places = [at for at, name in enumerate(_owners(file.schema_arrow)) if name in wanted]
    most = 0.0
    for index in groups:
        group = file.metadata.row_group(index)
        if group.num_rows:
            held = (group.column(at) for at in places if at < group.num_columns)
            size = sum(chunk.total_uncompressed_size for chunk in held)
            most = max(most, size / group.num_rows)
    return most


def _owners(schema: pa.Schema) -> Iterator[str]:
    """Yields for each column chunk of a row group the column that it is part of."""
    for field in schema:
        for _ in range(_leaves(field.type)):
            yield field.name


def _leaves(kind: pa.DataType) -> int:
    if isinstance(kind, pa.BaseExtensionType):
        return _leaves(kind.storage_type)
    if not pa.types.is_nested(kind):
        return 1
    return sum(_leaves(kind.field(place).type) for place in range(kind.num_fields))


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
