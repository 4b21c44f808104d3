"""What a Parquet file's footer tells before anything is decoded: columns that are not read, and sizes.

A file of four kilobytes can hold values of gigabytes. What a column would take is in the footer, so a
column that no memory holds is refused by name, and batches have as many rows as fit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from skewless.beam_pipelines.sources.formats.text_blocks import MAX_RECORD_BYTES
from skewless.beam_pipelines.sources.nested.fields import unfit_fields

__all__ = ["not_read", "oversized", "row_bytes"]


def not_read(file: pq.ParquetFile, vectors: Collection[str] = ()) -> dict[str, str]:
    """Returns why a column cannot be read at all, by name; nothing is decoded for it.

    Columns of structs, maps and lists of lists have no form that a feature could read, and of a
    column whose values are longer than any record may be, one alone could take all memory. Fields
    within structs are told by their paths. Lists of lists are read in columns of `vectors`.
    """
    return oversized(file) | unfit_fields(file.schema_arrow, vectors)


def oversized(file: pq.ParquetFile) -> dict[str, str]:
    """Returns the columns whose values are too long to be decoded, with their size.

    One within structs is told by its path, and under the names of those.
    """
    found: dict[str, str] = {}
    owners: list[tuple[str, ...]] | None = None
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        if group.total_byte_size <= MAX_RECORD_BYTES:
            continue
        owners = owners or list(_owners(file.schema_arrow))
        for place in range(group.num_columns):
            chunk = group.column(place)
            size = chunk.total_uncompressed_size
            if size > MAX_RECORD_BYTES * max(1, min(chunk.num_values, group.num_rows)):
                why = (
                    f"takes {size:,} bytes for {group.num_rows:,} rows of row group {index}, more than "
                    f"{MAX_RECORD_BYTES >> 20} MiB each"
                )
                names = owners[place] if place < len(owners) else ()
                for name in names or (chunk.path_in_schema.split(".")[0],):
                    found.setdefault(name, why)
    return found


def row_bytes(file: pq.ParquetFile, groups: Collection[int], names: Collection[str]) -> float:
    """Returns what a row of some columns takes on average, in the row group where it is most."""
    wanted = set(names)
    places = [at for at, names in enumerate(_owners(file.schema_arrow)) if wanted & {*names}]
    most = 0.0
    for index in groups:
        group = file.metadata.row_group(index)
        if group.num_rows:
            held = (group.column(at) for at in places if at < group.num_columns)
            size = sum(chunk.total_uncompressed_size for chunk in held)
            most = max(most, size / group.num_rows)
    return most


def _owners(schema: pa.Schema) -> Iterator[tuple[str, ...]]:
    """Yields for each column chunk of a row group the column and the fields that it is part of."""
    for field in schema:
        yield from _chunks(field.type, (field.name,))


def _chunks(kind: pa.DataType, owners: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(kind, pa.BaseExtensionType):
        yield from _chunks(kind.storage_type, owners)
    elif not pa.types.is_nested(kind):
        yield owners
    else:
        for place in range(kind.num_fields):
            field = kind.field(place)
            within = (f"{owners[-1]}.{field.name}",) if pa.types.is_struct(kind) else ()
            yield from _chunks(field.type, (*owners, *within))
