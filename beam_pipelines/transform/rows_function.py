"""A traced function of raw tensors, called on canonical columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from skewless.schemas.rows.prepare import RawTensors
from skewless.schemas.rows.raw_columns import raw_columns
from skewless.schemas.rows.row_encoding import sparse_arrays
from skewless.schemas.spec.spec import Spec

__all__ = ["Outputs", "RowsFunction"]


Outputs = dict[str, np.ndarray]


class RowsFunction:
    """A traced function of raw tensors, called on canonical columns."""

    def __init__(self, spec: Spec, function: Callable[[RawTensors], dict[str, Any]]) -> None:
        self._columns = raw_columns(spec)
        self._body = function
        self._dtypes = {
            name: tf.dtypes.as_dtype(column.kind) for name, column in self._columns.items()
        }
        # Without a signature the function would be traced anew for each size of batch.
        signature = {
            name: (
                tf.TensorSpec([None, 2], tf.int64),
                tf.TensorSpec([None], dtype),
                tf.TensorSpec([2], tf.int64),
            )
            for name, dtype in self._dtypes.items()
        }
        self._function = tf.function(self._apply, input_signature=[signature], autograph=False)

    def _apply(self, components: dict[str, tuple[tf.Tensor, ...]]) -> dict[str, tf.Tensor]:
        outputs = self._body({name: tf.SparseTensor(*parts) for name, parts in components.items()})
        return {
            name: _dense(value) if isinstance(value, tf.SparseTensor) else value
            for name, value in outputs.items()
        }

    def __call__(self, columns: pa.RecordBatch) -> Outputs:
        components = {
            name: (
                tf.constant(indices, tf.int64, shape=[len(indices), 2]),
                tf.constant(values, self._dtypes[name]),
                tf.constant(shape, tf.int64),
            )
            for name, (indices, values, shape) in sparse_arrays(columns, self._columns).items()
        }
        return {name: value.numpy() for name, value in self._function(components).items()}


def _dense(value: tf.SparseTensor) -> tf.Tensor:
    return tf.sparse.to_dense(value)
