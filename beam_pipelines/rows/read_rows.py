"""Rows of a work unit: read, checked, keyed, assigned to splits and freed of duplicates.

The one road from a file to rows, for analysis, for writing and for whoever needs raw rows again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.histories.joined import UnitHistories
from skewless.beam_pipelines.rows.assign_splits import assign_splits
from skewless.beam_pipelines.rows.keys import content_keys
from skewless.beam_pipelines.rows.validation import validate
from skewless.beam_pipelines.sources import (
    RawBatch,
    Rejected,
    WorkUnit,
    read,
    row_contents,
    written_as,
)
from skewless.beam_pipelines.sources.place import at_column
from skewless.schemas.rows.canonical import canonical, without_missing
from skewless.schemas.rows.raw_columns import Lists, RowColumns
from skewless.schemas.rows.times.columns import times_of
from skewless.schemas.spec.spec import Spec

__all__ = ["Rows", "check_rows", "keys_of", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """Sound rows of one file, in file order.

    Attributes:
      columns: [rows] canonical columns: those of the graph, then key, split and kept ones.
      numbers: [rows] int64, 1-based record numbers.
      keys: [rows] string.
      splits: [rows] int8, places in `skewless.schemas.spec.splits.SPLITS`.
      rejected: Records of this stretch that were turned away.
      read: Records that this stretch of the file holds, counted before any was checked.
      duplicates: Rows of this stretch left out because an earlier row has their key.
    """

    unit: WorkUnit
    columns: pa.RecordBatch
    numbers: np.ndarray
    keys: pa.Array
    splits: np.ndarray
    rejected: list[Rejected]
    read: int
    duplicates: int = 0

    def take(self, mask: np.ndarray) -> Rows:
        """Returns only the rows where `mask` is true, compacted."""
        if mask.all():
            return self
        # filter() copies: a slice would drag its whole parent along when pickled.
        selected = pa.array(mask)
        return replace(
            self,
            columns=self.columns.filter(selected),
            numbers=self.numbers[mask],
            keys=self.keys.filter(selected),
            splits=self.splits[mask],
        )


def rows_of(
    unit: WorkUnit,
    spec: Spec,
    *,
    duplicates: np.ndarray | None = None,
    only: np.ndarray | None = None,
) -> Iterator[Rows]:
    """Yields the rows of `unit`.

    Args:
      unit: What to read.
      spec: The declaration.
      duplicates: [count] int64, sorted record numbers to leave out.
      only: [count] int64, sorted record numbers to look at; all by default.

    Raises:
      DataError: If the file cannot be read on.
    """
    built = RowColumns(spec, unit.serving).built
    histories = UnitHistories(unit, spec) if built else None
    # Predictions carry their row's place; nothing is split by what stands for a key there.
    for batch in read(unit, spec, contents=spec.key is None and not unit.serving):
        if only is not None:
            batch = _chosen(batch, np.isin(batch.rows, only))
        rows = check_rows(batch, spec)
        if duplicates is not None and len(duplicates):
            repeated = np.isin(rows.numbers, duplicates)
            rows = replace(rows.take(~repeated), duplicates=int(repeated.sum()))
        if histories is not None:
            rows = replace(rows, columns=histories.added(rows.columns, rows.numbers))
        yield rows


def keys_of(unit: WorkUnit, spec: Spec) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """Yields [records] int64 record numbers and string keys, with nothing else of a row looked at.

    Some of the records may not be valid; those without a key are left out.

    Raises:
      DataError: If the file cannot be read on.
    """
    assert spec.key is not None
    column = RowColumns(spec).wanted[spec.key]
    written = written_as(unit, spec)
    for batch in read(unit, spec, {spec.key: column}):
        at_column(spec.key)
        keys, _ = canonical(batch.table.column(spec.key), column, spec, written)
        present = keys.is_valid().to_numpy(zero_copy_only=False)
        yield batch.rows[present], keys.drop_null().cast(pa.string())


def check_rows(batch: RawBatch, spec: Spec, *, lists: Lists = "built") -> Rows:
    """Returns the sound rows of a raw batch, keyed and assigned to splits.

    Args:
      batch: [rows] as read.
      spec: The declaration.
      lists: How they come to their histories.
    """
    wanted = RowColumns(spec, batch.unit.serving, lists)
    # Not the sum of what became of them: accounting compares the two.
    count = len(batch.rows) + len(batch.rejected)
    valid = validate(batch, wanted)
    columns = valid.columns

    def text(name: str | None) -> pa.Array | None:
        if name is None or name not in columns.schema.names:
            return None
        return columns.column(name).cast(pa.string())

    keys = text(spec.key)
    if keys is None:
        if batch.contents is None or wanted.serving:
            contents = row_contents(columns.select(list(wanted.of_graph)))
        else:
            contents = batch.contents().filter(pa.array(np.isin(batch.rows, valid.rows)))
        keys = content_keys(contents)
    if wanted.serving:
        splits = np.zeros(columns.num_rows, np.int8)
    else:
        splits = assign_splits(
            spec.split,
            keys=keys,
            hashed=text(spec.split.by),
            named=text(spec.split.column),
            times=_times(columns, wanted) if batch.unit.split is None else None,
            forced=batch.unit.split,
        )
    return Rows(batch.unit, columns, valid.rows, keys, splits, valid.rejected, count)


def _times(columns: pa.RecordBatch, wanted: RowColumns) -> np.ndarray | None:
    """Returns [rows] int64 microseconds of the time that splits, if one does."""
    spec = wanted.spec
    if spec.split.time is None:
        return None
    unit = wanted.wanted[spec.split.time].time_unit
    assert unit is not None
    texts = without_missing(columns.column(spec.split.time).cast(pa.string()), spec.missing_values)
    return times_of(texts, unit)


def _chosen(batch: RawBatch, mask: np.ndarray) -> RawBatch:
    places = np.flatnonzero(mask)
    return RawBatch(
        batch.unit,
        batch.table.filter(pa.array(mask)),
        batch.rows[mask],
        raw_text=lambda at: batch.raw_text(int(places[at])),
        contents=batch.contents_at(places),
    )
