"""Lists beside lists: a column that holds one value for each value of another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.canonical import without_missing
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.rows.reasons import Faults, Reason
from skewless.schemas.spec.spec import Spec

__all__ = ["uneven_lists"]


def uneven_lists(
    arrays: Mapping[str, pa.Array], columns: Mapping[str, RawColumn], spec: Spec
) -> dict[str, Faults]:
    """Returns what is wrong with the lengths of lists that stand beside others.

    Args:
      arrays: [rows] canonical, by column; absent ones are missing throughout.
      columns: Their declarations.
      spec: Says which texts mean that there is no value.

    Returns:
      By column. A row without such a list has nothing wrong with it.
    """
    found: dict[str, Faults] = {}
    for name, column in columns.items():
        if column.beside is None or name not in arrays:
            continue
        own, held = (
            _lengths(arrays[name]) // column.width,
            arrays[name].is_valid().to_numpy(zero_copy_only=False),
        )
        beside = arrays.get(column.beside)
        counts = np.zeros(len(own), int) if beside is None else _counts(beside, column, spec)
        for at in np.flatnonzero(held & (own != counts)):
            wanted = f"expected as many values as in column {column.beside!r}"
            got = f"{own[at]} for {counts[at]}"
            found.setdefault(name, {})[int(at)] = Reason(wanted, got)
    return found


def _counts(values: pa.Array, column: RawColumn, spec: Spec) -> np.ndarray:
    """Returns [rows] int, how many values the lists hold that others stand beside."""
    lengths = _lengths(values)
    if column.separator is None:
        return lengths
    texts = without_missing(pc.list_flatten(values), spec.missing_values)
    parts = pc.add(pc.count_substring(texts, column.separator), 1)
    owner = np.repeat(np.arange(len(values)), lengths)
    held = pc.fill_null(parts, 0).to_numpy(zero_copy_only=False)
    return np.bincount(owner, held, len(values)).astype(np.int64)


def _lengths(lists: pa.Array) -> np.ndarray:
    lengths: np.ndarray = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(
        zero_copy_only=False
    )
    return lengths
