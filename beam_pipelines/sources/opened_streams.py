"""A BigQuery table opened for planning: its read streams, each a file to all that follows."""

from __future__ import annotations

import dataclasses

from skewless.beam_pipelines.sources.cutting.cuts import Cut, UnitSize
from skewless.beam_pipelines.sources.nested.fields import inner_fields, place_of, unfit_fields
from skewless.beam_pipelines.sources.opened import (
    PLAIN_REMEDY,
    OpenedFile,
    check_columns,
    refuse_columns,
)
from skewless.beam_pipelines.sources.tables.bigquery import opened_table
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.errors import DataError
from skewless.schemas.rows.raw_columns import RowColumns

__all__ = ["opened_streams"]


def opened_streams(whole: WorkUnit, rows: RowColumns, size: UnitSize) -> list[OpenedFile]:
    """Returns the streams of a table, in the service's order.

    Columns that nothing asks for are left in the service, but where rows are known by all that they hold.

    Args:
      whole: The table, by its name.
      rows: The columns that it must have.
      size: Of the units: about how many bytes a stream is to hold.

    Raises:
      UsageError: If the service refuses.
      DataError: If the table lacks a column, or holds no rows.
    """
    table = opened_table(whole.file)
    check_columns(
        dataclasses.replace(whole, file=table.name),
        [*table.schema.names, *inner_fields(table.schema)],
        rows,
    )
    by_contents = rows.spec.key is None and not rows.serving
    refuse_columns(table.name, unfit_fields(table.schema), rows.wanted, PLAIN_REMEDY)
    places = [place_of(table.schema, name) for name in rows.wanted if name not in rows.built]
    names = list(dict.fromkeys(place[0] for place in places if place is not None))
    streams = table.streams(None if by_contents else names, size.bytes)
    if not streams:
        raise DataError(
            f"{table.name}: the table held no rows at that time; name another one, or write rows first"
        )
    return [
        OpenedFile(
            dataclasses.replace(whole, file=file, table=part, serving=rows.serving),
            table.bytes // len(streams),
            cuts=(Cut(0, None, 1),),
        )
        for file, part in streams
    ]
