"""One work unit to raw batches, by the reader of its format."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping

from skewless.beam_pipelines.sources.avro.reader import names_in_avro, read_avro
from skewless.beam_pipelines.sources.contents import row_contents
from skewless.beam_pipelines.sources.formats.csv_reader import read_csv
from skewless.beam_pipelines.sources.formats.jsonl_reader import read_jsonl
from skewless.beam_pipelines.sources.formats.parquet_reader import open_parquet
from skewless.beam_pipelines.sources.formats.tfrecord_reader import read_tfrecord
from skewless.beam_pipelines.sources.opened import delimiter
from skewless.beam_pipelines.sources.place import at_rows
from skewless.beam_pipelines.sources.tables.bigquery import read_stream
from skewless.beam_pipelines.sources.tables.row_groups import read_row_groups, schema_of
from skewless.beam_pipelines.sources.unchanged import while_unchanged
from skewless.beam_pipelines.sources.units import RawBatch, WorkUnit
from skewless.schemas.rows.raw_columns import RawColumn, RowColumns
from skewless.schemas.spec.spec import Spec

__all__ = ["read"]


def read(
    unit: WorkUnit,
    spec: Spec,
    columns: Mapping[str, RawColumn] | None = None,
    *,
    contents: bool = False,
) -> Iterator[RawBatch]:
    """Yields the rows of `unit` in order, as batches bounded in rows and bytes.

    Args:
      unit: A unit that `plan` made.
      spec: Gives the columns to read and the delimiter.
      columns: The columns to read instead of the spec's.
      contents: Reads every column, so that each row's whole content can be given.

    Raises:
      DataError: If the file as a whole cannot be read on, or has changed since it was planned.
    """
    if columns is None:
        rows = RowColumns(spec, unit.serving)
        columns = {name: rows.wanted[name] for name in rows.wanted if name not in rows.built}
    for batch in while_unchanged(unit, _batches(unit, spec, columns, contents)):
        at_rows(batch.rows)
        yield batch
        at_rows(None)


def _batches(
    unit: WorkUnit, spec: Spec, wanted: Mapping[str, RawColumn], contents: bool
) -> Iterator[RawBatch]:
    if contents and unit.format in ("csv", "tsv", "parquet", "avro", "bigquery"):
        return _whole(unit, spec, wanted)
    if unit.format in ("csv", "tsv"):
        return read_csv(unit, list(wanted), delimiter(unit.format, spec))
    if unit.format == "jsonl":
        return read_jsonl(unit, wanted)
    if unit.format == "parquet":
        return read_row_groups(unit, list(wanted))
    if unit.format == "avro":
        return read_avro(unit, list(wanted))
    if unit.format == "bigquery":
        return read_stream(unit, list(wanted))
    return read_tfrecord(unit, wanted)


def _whole(unit: WorkUnit, spec: Spec, wanted: Mapping[str, RawColumn]) -> Iterator[RawBatch]:
    if unit.format == "parquet":
        with open_parquet(unit.file) as file:
            names = list(dict.fromkeys(schema_of(unit, file.schema_arrow).names))
        batches = read_row_groups(unit, list(dict.fromkeys([*names, *wanted])))
    elif unit.format == "avro":
        names = names_in_avro(unit.file)
        batches = read_avro(unit, list(dict.fromkeys([*names, *wanted])))
    elif unit.table is not None:
        names = [name for name, _ in unit.table.columns]
        batches = read_stream(unit, list(dict.fromkeys([*names, *wanted])))
    else:
        names = list(dict.fromkeys(unit.columns))
        batches = read_csv(unit, names, delimiter(unit.format, spec))
    held = set(names)
    for batch in batches:
        of_file = [at for at, name in enumerate(batch.table.schema.names) if name in held]
        table = batch.table.select(of_file)
        yield dataclasses.replace(batch, contents=functools.partial(row_contents, table))
