"""Rows from Python as the columns that a model reads, checked as the batch job checks them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from skewless.frames.as_input import TableLike, reader_of
from skewless.frames.names import Asked, refuse_nearly_named
from skewless.schemas.errors import DataError, UsageError, listed
from skewless.schemas.rows.native.spellings import Spellings
from skewless.schemas.spec.spec import Spec

__all__ = ["model_columns"]

_BATCH = 4_096


def model_columns(data: TableLike, spec: Spec, spellings: Spellings) -> Iterator[pa.RecordBatch]:
    """Yields canonical columns of the rows, batch by batch.

    Args:
      data: The rows; of their columns only those of the features are read.
      spec: The model's declaration, or that of one side of it.
      spellings: Of the model.

    Raises:
      UsageError: If none of the columns is there, or one is but for case or spaces of its name.
      DataError: If a value is not of its column's kind.
    """
    from skewless.beam_pipelines.rows.read_rows import check_rows
    from skewless.beam_pipelines.sources import RawBatch, WorkUnit
    from skewless.beam_pipelines.sources.nested.fields import with_fields
    from skewless.schemas.rows.raw_columns import RowColumns

    # A prediction needs no key: rows are answered in their order.
    spec = spec.model_copy(update={"key": None, "keep": ()})
    unit = WorkUnit("the rows given", "parquet", serving=True)
    wanted = list(RowColumns(spec, serving=True).wanted)
    nested = any("." in name for name in wanted)
    first = 1
    table: pa.RecordBatch
    roots = {name.split(".")[0] for name in wanted}
    asked = Asked({*wanted, *roots})
    reader = reader_of(data, asked)
    held = [*reader.schema.names, *asked.others]
    refuse_nearly_named(wanted, held)
    if not asked.names & set(held):
        raise UsageError(
            f"the rows have none of the model's columns ({', '.join(wanted)}), only "
            f"{listed(held) or 'none of any name'}; give one of them"
        )
    for batch in reader:
        for begin in range(0, batch.num_rows, _BATCH):
            table = batch.slice(begin, _BATCH)
            if nested:
                table = with_fields(table, wanted)
            spellings.check(dict(zip(table.schema.names, table.columns, strict=True)))
            numbers = np.arange(first, first + table.num_rows)
            first += table.num_rows
            rows = check_rows(RawBatch(unit, table, numbers), spec)
            for rejected in rows.rejected:
                raise DataError(
                    f"row {rejected.row}, column {rejected.column!r}: {rejected.reason}"
                )
            yield rows.columns
