"""Rows as JSON objects, in canonical columns: the values `preprocess` would have made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from skewless.schemas.errors import DataError
from skewless.schemas.nested_paths import NotAnObjectError, value_at
from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.lists.parallel import uneven_lists
from skewless.schemas.rows.raw_columns import RawColumn, served_columns
from skewless.schemas.rows.reasons import Faults
from skewless.schemas.spec.spec import Spec

__all__ = ["by_column", "canonical_rows"]

# Among them a string that holds half a surrogate pair, which JSON can say and UTF-8 cannot.
_NOT_HELD = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError)


def by_column(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Returns what a JSON object holds of some columns, by name; those that it lacks are left out.

    Raises:
      DataError: If a column's dotted path leads through something that is no object.
    """
    found = {}
    for name in columns:
        try:
            value = value_at(row, name)
        except NotAnObjectError as error:
            raise DataError(f"column {name!r}: {error}; correct it, or leave it out") from error
        if value is not None or name in row:
            found[name] = value
    return found


def canonical_rows(rows: Sequence[Mapping[str, Any]], spec: Spec) -> pa.RecordBatch:
    """Returns the feature columns of JSON objects.

    Args:
      rows: By column, a string, number, boolean, list of them or None, or objects that hold what
        a column's dotted path leads to; an absent column is missing, columns that no feature reads
        are passed over.
      spec: Names the columns.

    Returns:
      [rows] canonical columns, as `skewless.schemas.rows.row_encoding` takes them.

    Raises:
      DataError: Naming row and column, if a value is not of the column's kind.
    """
    columns: dict[str, pa.Array] = {}
    declared = served_columns(spec)
    for name, column in declared.items():
        columns[name], faults = _column(_values(rows, name), column, spec)
        _check(name, faults)
    for name, faults in uneven_lists(columns, declared, spec).items():
        _check(name, faults)
    return pa.RecordBatch.from_pydict(columns)


def _check(column: str, faults: Faults) -> None:
    """Refuses the first value that is not of its column's kind."""
    if faults:
        at, reason = min(faults.items())
        raise DataError(
            f"row {at}, column {column!r}: {reason}; correct it, or leave the column out for a "
            "missing value"
        )


def _values(rows: Sequence[Mapping[str, Any]], path: str) -> list[Any]:
    values = []
    for at, row in enumerate(rows):
        try:
            values.append(value_at(row, path))
        except NotAnObjectError as error:
            raise DataError(
                f"row {at}, column {path!r}: {error}; correct it, or leave it out"
            ) from error
    return values


def _column(values: list[Any], column: RawColumn, spec: Spec) -> tuple[pa.Array, Faults]:
    try:
        return canonical(pa.array(values), column, spec)
    except _NOT_HELD:
        # Values of several kinds, which an Arrow array cannot hold together.
        parts = [_value(value, column, spec) for value in values]
    faults = {at: reason for at, (_, bad) in enumerate(parts) for reason in bad.values()}
    return pa.concat_arrays([array for array, _ in parts]), faults


def _value(value: Any, column: RawColumn, spec: Spec) -> tuple[pa.Array, Faults]:
    try:
        return canonical(pa.array([value]), column, spec)
    except _NOT_HELD as error:
        return canonical(pa.nulls(1), column, spec)[0], {0: f"no value of a column: {error}"}
