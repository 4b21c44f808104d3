"""Raw SparseTensors to dense ones; an absent value becomes an empty string or NaN."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["dense_numbers", "dense_strings", "ragged_strings"]


def dense_strings(raw: tf.SparseTensor) -> tf.Tensor:
    """Returns [batch] string from [batch, (0..1)] string or int64; of several the first counts."""
    values = raw.values if raw.values.dtype == tf.string else tf.strings.as_string(raw.values)
    first = tf.equal(raw.indices[:, 1], 0)
    empty = tf.fill(raw.dense_shape[:1], "")
    rows = tf.boolean_mask(raw.indices[:, :1], first)
    return tf.tensor_scatter_nd_update(empty, rows, tf.boolean_mask(values, first))


def ragged_strings(raw: tf.SparseTensor) -> tf.RaggedTensor:
    """Returns [batch, (values)] string from [batch, (values)] string or int64."""
    values = raw.values if raw.values.dtype == tf.string else tf.strings.as_string(raw.values)
    return tf.RaggedTensor.from_value_rowids(values, raw.indices[:, 0], nrows=raw.dense_shape[0])


def dense_numbers(raw: tf.SparseTensor, width: int) -> tf.Tensor:
    """Returns [batch, width] float32 from [batch, (values)]; beyond `width` is cut off."""
    shape = tf.stack([raw.dense_shape[0], tf.constant(width, tf.int64)])
    missing = tf.fill(shape, float("nan"))
    within = raw.indices[:, 1] < width
    indices = tf.boolean_mask(raw.indices, within)
    dense = tf.tensor_scatter_nd_update(missing, indices, tf.boolean_mask(raw.values, within))
    return tf.ensure_shape(dense, [None, width])
