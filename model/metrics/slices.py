"""Slices: the rows of a split by the values of a raw column, from the data set's `raw/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from skewless.schemas.errors import DatasetMismatchError, UsageError, nearest
from skewless.schemas.records.layout import RAW
from skewless.schemas.records.records import FILE, KEY, ROW
from skewless.schemas.records.windows import windows_directory

__all__ = ["check_column", "raw_files", "slice_rows"]

_MOST_VALUES = 20
_RANGES = 5


def raw_files(directory: Path, split: str) -> list[Path]:
    """Returns the Parquet files that hold a split's raw rows; all of a pane's are training rows."""
    folder = directory / RAW
    files = sorted((folder / split).glob("*.parquet"))
    if split == "train" and windows_directory(directory) is not None:
        files += sorted(folder.glob("*.parquet"))
    return files


def check_column(directory: Path, split: str, column: str) -> None:
    """Refuses a column that cannot be sliced by, before any time is spent on predictions.

    Raises:
      UsageError: If the column is not kept.
      DatasetMismatchError: If the raw rows are gone.
    """
    files = raw_files(directory, split)
    if not files:
        raise DatasetMismatchError(
            f"{directory}/raw/{split}: no raw rows to slice by; preprocess again"
        )
    columns = [
        name for name in pa.parquet.read_schema(files[0]).names if name not in (KEY, FILE, ROW)
    ]
    if column not in columns:
        raise UsageError(
            f"--slice {column}: not a kept column (there are {', '.join(columns)})"
            f"{nearest(column, columns)}; add it to `keep` in the spec and preprocess again"
        )


def slice_rows(
    directory: Path, split: str, column: str, keys: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """Groups rows by a raw column's values; numbers by quantiles, rare values together.

    Args:
      directory: The records directory.
      split: `eval` or `test`; of `train` only a sample of raw rows is kept.
      column: The raw column.
      keys: [rows] bytes, each row's key.

    Returns:
      (value, places of its rows), largest first.

    Raises:
      UsageError: If the column is not kept.
      DatasetMismatchError: If the raw rows are gone, or are not all there.
    """
    check_column(directory, split, column)
    files = raw_files(directory, split)
    table = pa.concat_tables([pa.parquet.read_table(path, columns=[KEY, column]) for path in files])
    table_keys = table.column(KEY).cast(pa.binary())
    places = pc.index_in(
        pa.array(keys.tolist(), pa.binary()), value_set=table_keys.combine_chunks()
    )
    if places.null_count:
        raise DatasetMismatchError(
            f"{directory}/raw/{split}: lacks {places.null_count} of {len(keys)} rows; "
            "slice by eval or test, of which all raw rows are kept"
        )
    return _grouped(table.column(column).combine_chunks().take(places))


def _grouped(values: pa.Array) -> list[tuple[str, np.ndarray]]:
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        distinct = pc.count_distinct(values).as_py()
        if distinct > _MOST_VALUES:
            return _ranges(values)
    if pa.types.is_list(values.type):
        values = pa.array(
            [None if v is None else "|".join(map(str, v)) for v in values.to_pylist()]
        )
    texts = np.array(
        ["(missing)" if v is None else str(v) for v in values.to_pylist()], dtype=object
    )
    names, counts = np.unique(texts, return_counts=True)
    ranked = names[np.argsort(-counts, kind="stable")]
    groups = [(str(name), np.flatnonzero(texts == name)) for name in ranked[:_MOST_VALUES]]
    if len(ranked) > _MOST_VALUES:
        rest = np.flatnonzero(~np.isin(texts, ranked[:_MOST_VALUES]))
        groups.append((f"({len(ranked) - _MOST_VALUES} other values)", rest))
    return groups


def _ranges(values: pa.Array) -> list[tuple[str, np.ndarray]]:
    # IDs may be beyond what float64 tells apart; where a range ends may be rounded.
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    present = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[present], np.linspace(0, 1, _RANGES + 1)))
    places = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(0, len(edges) - 2))
    groups = [
        (f"{edges[place]:g} to {edges[place + 1]:g}", np.flatnonzero(present & (places == place)))
        for place in range(len(edges) - 1)
    ]
    if not present.all():
        groups.append(("(missing)", np.flatnonzero(~present)))
    return [(name, rows) for name, rows in groups if len(rows)]
