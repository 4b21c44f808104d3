"""Canonical rows to what a transform graph takes: lists, sparse tensors or tf.Examples.

In the graph every raw column is variable-length: a missing value is a row with no entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from skewless.schemas.rows.raw_columns import RawColumn, served_columns
from skewless.schemas.spec.spec import Spec

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["examples", "list_batch", "list_schema", "sparse_arrays", "sparse_tensors"]

_TYPES = {"string": pa.large_binary(), "int64": pa.int64(), "float32": pa.float32()}
_LISTS = {
    pa.large_binary(): "bytes_list",
    pa.int64(): "int64_list",
    pa.float32(): "float_list",
}


def list_schema(columns: Mapping[str, RawColumn]) -> pa.Schema:
    """Returns the schema of `list_batch`, which tf.Transform's TensorAdapter reads."""
    return pa.schema(
        [(name, pa.large_list(_TYPES[column.kind])) for name, column in columns.items()]
    )


def list_batch(rows: pa.RecordBatch, columns: Mapping[str, RawColumn]) -> pa.RecordBatch:
    """Returns the graph's columns as large lists of values.

    Args:
      rows: [rows] canonical; columns that the graph does not take are left out, absent ones
        are missing throughout.
      columns: Those that the graph takes.

    Returns:
      [rows] of `list_schema`; a missing value is an empty list, a number in place of another
      (a null inside a vector) is NaN.
    """
    schema = list_schema(columns)
    names = rows.schema.names
    arrays = []
    for field in schema:
        if field.name in names:
            lengths, values = _lengths_and_values(rows.column(field.name))
        else:
            lengths, values = (
                np.zeros(rows.num_rows, np.int64),
                pa.nulls(0, field.type.value_type),
            )
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        arrays.append(
            pa.LargeListArray.from_arrays(pa.array(offsets), values.cast(field.type.value_type))
        )
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def sparse_arrays(
    rows: pa.RecordBatch, columns: Mapping[str, RawColumn]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns, by column, the (indices [n, 2], values [n], dense_shape [2]) of a sparse tensor.

    Strings are numpy objects (bytes); the others have their own dtype.
    """
    lists = list_batch(rows, columns)
    result = {}
    for name in lists.schema.names:
        array = lists.column(name)
        offsets = array.offsets.to_numpy()
        lengths = np.diff(offsets)
        row = np.repeat(np.arange(len(array), dtype=np.int64), lengths)
        place = np.arange(len(row), dtype=np.int64) - np.repeat(offsets[:-1], lengths)
        shape = np.array([len(array), int(lengths.max(initial=0))], np.int64)
        values = array.values.to_numpy(zero_copy_only=False)
        result[name] = (np.stack([row, place], axis=1), values, shape)
    return result


def sparse_tensors(
    rows: pa.RecordBatch, columns: Mapping[str, RawColumn]
) -> dict[str, tf.SparseTensor]:
    """Returns the graph's inputs, for calling a transform's SavedModel directly."""
    import tensorflow as tf

    kinds = {name: tf.dtypes.as_dtype(column.kind) for name, column in columns.items()}
    return {
        name: tf.SparseTensor(indices, tf.constant(values, kinds[name]), shape)
        for name, (indices, values, shape) in sparse_arrays(rows, columns).items()
    }


def examples(rows: pa.RecordBatch, spec: Spec) -> list[bytes]:
    """Returns each row as a serialized tf.Example, as the exported model takes it."""
    batch = list_batch(rows, served_columns(spec))
    try:
        from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
    except ModuleNotFoundError:  # A host that only serves.
        return _encoded_singly(batch)
    encoded: list[bytes] = RecordBatchToExamplesEncoder().encode(batch)
    return encoded


def _encoded_singly(batch: pa.RecordBatch) -> list[bytes]:
    """Returns what tfx-bsl's encoder does, a value at a time: for the few rows of a form."""
    from tensorflow.core.example.example_pb2 import Example

    rows = [Example() for _ in range(batch.num_rows)]
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        kind = _LISTS[array.type.value_type]
        for row, values in zip(rows, array.to_pylist(), strict=True):
            entry = getattr(row.features.feature[name], kind)
            entry.SetInParent()  # A missing value is an empty list of its kind.
            entry.value.extend(values)
    return [row.SerializeToString() for row in rows]


def _lengths_and_values(array: pa.Array) -> tuple[np.ndarray, pa.Array]:
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        values = array.flatten()
        if values.null_count:
            values = values.fill_null(np.nan)
        return lengths, values
    if not array.null_count:
        return np.ones(len(array), np.int64), array
    return array.is_valid().to_numpy(zero_copy_only=False).astype(np.int64), array.drop_null()
