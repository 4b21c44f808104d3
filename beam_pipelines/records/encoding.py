"""Transformed rows as serialized tf.Examples, one or several rows a record."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from skewless.schemas.records.records import KEY, is_diagnostic

__all__ = ["RecordEncoder", "encode_records"]


class RecordEncoder:
    """Fills records with rows; what fills none waits for more.

    Rows of one split at a time: a record holds rows of no other.
    """

    def __init__(self, rows_per_record: int = 1) -> None:
        self._rows_per_record = rows_per_record
        self._waiting: pa.RecordBatch | None = None

    def encode(self, outputs: Mapping[str, np.ndarray], keys: pa.Array) -> list[bytes]:
        """Returns full records of the rows that waited and of these.

        Args:
          outputs: [rows, ...] entries of the records; diagnostics among them are left out.
          keys: [rows] string.
        """
        rows = _entries(outputs, keys)
        if self._waiting is not None:
            joined = pa.Table.from_batches([self._waiting, rows]).combine_chunks()
            rows = joined.to_batches()[0]
        full = len(rows) - len(rows) % self._rows_per_record
        self._waiting = rows[full:] if full < len(rows) else None
        return self._encoded(rows[:full]) if full else []

    def rest(self) -> list[bytes]:
        """Returns the last record, which may not be full, if rows wait."""
        waiting, self._waiting = self._waiting, None
        return [] if waiting is None else self._encoded(waiting)

    def _encoded(self, rows: pa.RecordBatch) -> list[bytes]:
        encoder = RecordBatchToExamplesEncoder()
        if self._rows_per_record > 1:
            arrays = [_joined(array, self._rows_per_record) for array in rows.columns]
            rows = pa.RecordBatch.from_arrays(arrays, names=rows.schema.names)
        encoded: list[bytes] = encoder.encode(rows)
        return encoded


def encode_records(outputs: Mapping[str, np.ndarray], keys: pa.Array) -> list[bytes]:
    """Returns a serialized tf.Example a row: all outputs but diagnostics, and the key."""
    return RecordEncoder().encode(outputs, keys)


def _entries(outputs: Mapping[str, np.ndarray], keys: pa.Array) -> pa.RecordBatch:
    """Returns [rows] lists of each entry's values."""
    names = [name for name in sorted(outputs) if not is_diagnostic(name)]
    arrays = [_lists(outputs[name]) for name in names]
    ones = pa.array(np.arange(len(keys) + 1, dtype=np.int64))
    arrays.append(pa.LargeListArray.from_arrays(ones, keys.cast(pa.large_binary())))
    return pa.RecordBatch.from_arrays(arrays, names=[*names, KEY])


def _lists(values: np.ndarray) -> pa.Array:
    """Returns [rows, ...] as [rows] large lists of the row's values."""
    rows = len(values)
    width = values[:1].size if rows else 1
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype == np.float64:
        flat = flat.astype(np.float32)
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    array = pa.array(flat, pa.large_binary()) if flat.dtype == object else pa.array(flat)
    return pa.LargeListArray.from_arrays(pa.array(offsets), array)


def _joined(lists: pa.LargeListArray, count: int) -> pa.LargeListArray:
    """Returns every `count` neighbouring lists, and what remains, as one list."""
    edges = np.append(np.arange(0, len(lists), count), len(lists))
    offsets = pa.array(lists.offsets.to_numpy()[edges])
    return pa.LargeListArray.from_arrays(offsets, lists.values)
