"""Validation: raw batches to the canonical form, the rows that do not fit rejected with a reason.

Canonical form of a row: strings as UTF-8, int64 and float32 with null for missing, a
multivalued column as a list (a text still to be split is a list of that one text). Work is by
column; only a column in which some value fails is looked at value by value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.sources import RawBatch, Rejected, written_as
from skewless.beam_pipelines.sources.place import at_column
from skewless.schemas.rows.canonical import (
    canonical,
    canonical_type,
    without_missing,
)
from skewless.schemas.rows.label_values import (
    label_text,
    label_texts,
)
from skewless.schemas.rows.lists.parallel import uneven_lists
from skewless.schemas.rows.raw_columns import RawColumn, RowColumns
from skewless.schemas.rows.reasons import Faults, Reason, shown
from skewless.schemas.rows.written_numbers import plain_where_number
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.label import BinaryLabel, MultilabelLabel
from skewless.schemas.spec.spec import Spec
from skewless.schemas.spec.splits import SPLITS

__all__ = ["ValidBatch", "canonical_schema", "validate"]


_NO_LIST = "a row of a stream on a cluster holds its own past, as it was served; write [] where there is none"


@dataclass
class ValidBatch:
    """The rows that passed.

    Attributes:
      columns: [rows] the columns of `canonical_schema`.
      rows: [rows] int64, 1-based record numbers in the file.
      rejected: All rejections of the stretch, those of the reader included, by row.
    """

    columns: pa.RecordBatch
    rows: np.ndarray
    rejected: list[Rejected]


def canonical_schema(rows: RowColumns) -> pa.Schema:
    """Returns the canonical columns: those of the graph, then key, split and kept columns."""
    return pa.schema([(name, canonical_type(column)) for name, column in rows.wanted.items()])


def validate(batch: RawBatch, rows: RowColumns) -> ValidBatch:
    """Checks every value of `batch`; a row with any unfit value is rejected, once.

    Args:
      batch: [rows] as read.
      rows: Which columns there are; the split column of rows to predict for is not checked.
    """
    spec = rows.spec
    count = len(batch.rows)
    names = set(batch.table.schema.names)
    labels = {label.column: label for label in spec.targets.values()}
    no_label = _no_label(spec)
    arrays: list[pa.Array] = []
    faults: dict[int, tuple[str, str]] = {}
    written = written_as(batch.unit, spec)
    for name, column in rows.wanted.items():
        at_column(name)
        raw = batch.table.column(name) if name in names else pa.nulls(count)
        array, bad = canonical(raw, column, spec, written)
        label = labels.get(name) if column.role == "label" else None
        if label is not None and label.has_classes and not label.multivalued:
            if written is not None and not written.plain_numbers:
                array = plain_where_number(array, written)
            array = label_texts(array)
        single = column.kind == "string" and not column.multivalued
        if label is not None and not column.required and single:
            array = without_missing(array, no_label)
        bad = {**_row_faults(array, name, column, rows, batch), **bad}
        if isinstance(label, BinaryLabel):
            bad = {**_binary_faults(array, label), **bad}
        elif isinstance(label, MultilabelLabel):
            array = _classes(array, label.separator, () if label.needs_value else no_label)
        arrays.append(array)
        for position, reason in bad.items():
            faults.setdefault(position, (name, reason))
    at_column(None)
    by_name = dict(zip(rows.wanted, arrays, strict=True))
    for name, uneven in uneven_lists(by_name, rows.wanted, spec).items():
        for position, reason in uneven.items():
            faults.setdefault(position, (name, reason))
    if spec.labels is not None and not rows.serving:
        for position in _without_label(arrays, rows):
            faults.setdefault(position, (next(iter(labels)), "every label is missing"))
    table = pa.RecordBatch.from_arrays(arrays, schema=canonical_schema(rows))
    if not faults:
        return ValidBatch(table, batch.rows, list(batch.rejected))
    keys = table.column(spec.key) if spec.key is not None else None
    rejected = list(batch.rejected)
    for position, (name, reason) in sorted(faults.items()):
        key = None if keys is None else keys[position].as_py()
        rejected.append(
            Rejected(
                batch.unit.file,
                int(batch.rows[position]),
                None if key is None else str(key),
                name,
                reason,
                batch.raw_text(position),
            )
        )
    rejected.sort(key=lambda entry: entry.row)
    keep = np.ones(count, bool)
    keep[list(faults)] = False
    return ValidBatch(table.filter(pa.array(keep)), batch.rows[keep], rejected)


def _without_label(arrays: Sequence[pa.Array], rows: RowColumns) -> list[int]:
    """Returns the positions of rows that lack all of several labels."""
    held = [
        array.is_valid().to_numpy(zero_copy_only=False)
        for array, column in zip(arrays, rows.wanted.values(), strict=True)
        if column.role == "label"
    ]
    return np.flatnonzero(~np.any(held, axis=0)).tolist()


def _row_faults(
    array: pa.Array, name: str, column: RawColumn, rows: RowColumns, batch: RawBatch
) -> Faults:
    """Returns what is wrong with values as the row's key, weight, split or required value."""
    faults: Faults = {}
    spec = rows.spec
    if column.required or name == spec.key:
        role = "key" if name == spec.key else column.role
        what = {"key": "the key", "label": "the label", "weight": "the weight"}.get(
            role, "a required value"
        )
        missing = _no_label(spec) if column.role == "label" else spec.missing_values
        for at in _missing(array, missing):
            faults[int(at)] = f"{what} is missing"
    if rows.serving:
        return faults
    if rows.lists == "held" and name in histories_of(spec.features):
        for at in np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)):
            faults[int(at)] = _NO_LIST
    if name == spec.weight:
        values = array.fill_null(math.nan).to_numpy(zero_copy_only=False)
        for at in np.flatnonzero(~(values >= 0)):
            got = "nothing" if math.isnan(values[at]) else f"{values[at]:g}"
            faults[int(at)] = Reason("expected a weight of 0 or more", got)
    if name == spec.split.time and batch.unit.split is None:
        for at in _missing(array, spec.missing_values):
            faults[int(at)] = "the time that splits rows is missing"
    if name == spec.split.column and batch.unit.split is None:
        trimmed = pc.utf8_trim_whitespace(array)
        known = pc.is_in(trimmed, value_set=pa.array(SPLITS, pa.string()))
        for at in np.flatnonzero(~known.to_numpy(zero_copy_only=False)):
            faults[int(at)] = Reason(
                f"expected a split of {', '.join(SPLITS)}", shown(array[int(at)].as_py())
            )
    return faults


def _no_label(spec: Spec) -> tuple[str, ...]:
    """Returns the texts that are no label: `missing_values`, also as labels are compared."""
    return (*spec.missing_values, *map(label_text, spec.missing_values))


def _missing(array: pa.Array, missing_values: Iterable[str]) -> np.ndarray:
    """Returns the positions of rows without any value."""
    if pa.types.is_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        items = array.flatten()
        held = np.ones(len(items), bool)
        held[_missing(items, missing_values)] = False
        owner = np.repeat(np.arange(len(array)), lengths)
        return np.flatnonzero(np.bincount(owner[held], minlength=len(array)) == 0)
    if pa.types.is_string(array.type):
        array = without_missing(array, missing_values)
    return np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))


def _classes(lists: pa.Array, separator: str, missing: Sequence[str]) -> pa.Array:
    """Returns [rows] lists of single classes: texts cut at `separator`, none of them empty or `missing`."""
    owners, texts = pc.list_parent_indices(lists), lists.flatten()
    parts = pc.split_pattern(texts, separator)
    owners = pc.take(owners, pc.list_parent_indices(parts))
    classes = label_texts(parts.flatten())
    held = pc.invert(pc.is_in(classes, value_set=pa.array(["", *missing], pa.string())))
    counts = np.bincount(
        owners.filter(held).to_numpy(zero_copy_only=False).astype(np.int64), minlength=len(lists)
    )
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), classes.filter(held), mask=lists.is_null())


def _binary_faults(array: pa.Array, label: BinaryLabel) -> Faults:
    """Rejects values that are neither positive nor negative, where both are known."""
    if label.negative_texts is None:
        return {}
    compared = pc.utf8_lower(array) if label.any_case else array
    valid = frozenset((*label.positive_texts, *label.negative_texts))
    expected = "1, true, yes or 0, false, no" if label.any_case else ", ".join(sorted(valid))
    known = pc.is_in(compared, value_set=pa.array(sorted(valid), pa.string()))
    unknown = pc.and_(pc.invert(known), pc.is_valid(array)).to_numpy(zero_copy_only=False)
    return {
        int(at): Reason(f"expected a label of {expected}", shown(array[int(at)].as_py()))
        for at in np.flatnonzero(unknown)
    }
