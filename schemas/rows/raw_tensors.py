"""Raw SparseTensors to dense ones; an absent value becomes an empty string or NaN.

What is done to each of many columns alike is done to all of them at once (`stacked_…`): building a
graph takes milliseconds for every operation in it, and a table may have a thousand columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

__all__ = [
    "dense_numbers",
    "dense_strings",
    "ragged_strings",
    "stacked_numbers",
    "stacked_strings",
]


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


def stacked_strings(raws: Sequence[tf.SparseTensor]) -> tf.Tensor:
    """Returns [columns, batch] string, of each column what `dense_strings` returns."""
    values = [
        raw.values if raw.values.dtype == tf.string else tf.strings.as_string(raw.values)
        for raw in raws
    ]
    return _stacked(raws, values, tf.constant(""))


def stacked_numbers(raws: Sequence[tf.SparseTensor]) -> tf.Tensor:
    """Returns [columns, batch] float32, of each column what `dense_numbers` returns for width 1."""
    return _stacked(raws, [raw.values for raw in raws], tf.constant(float("nan")))


def _stacked(
    raws: Sequence[tf.SparseTensor], values: Sequence[tf.Tensor], absent: tf.Tensor
) -> tf.Tensor:
    """Returns [columns, batch], the first value of each row or `absent`."""
    columns, batch = len(raws), raws[0].dense_shape[0]
    counts = tf.concat(tf.raw_ops.ShapeN(input=list(values), out_type=tf.int64), axis=0)
    column = tf.repeat(tf.range(columns, dtype=tf.int64), counts)
    indices = tf.concat([raw.indices for raw in raws], axis=0)
    first = tf.where(tf.equal(indices[:, 1], 0))
    flat = tf.tensor_scatter_nd_update(
        tf.fill([columns * batch], absent),
        tf.gather_nd(column * batch + indices[:, 0], first)[:, None],
        tf.gather_nd(tf.concat(values, axis=0), first),
    )
    return tf.reshape(flat, tf.stack([tf.constant(columns, tf.int64), batch]))
