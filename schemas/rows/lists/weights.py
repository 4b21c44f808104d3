"""Values with weights: what each value of a list weighs, by its place in the list beside it."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["NO_WEIGHT_GIVEN", "weights_at"]

# What a value weighs where no list of weights reaches it.
NO_WEIGHT_GIVEN = 1.0


def weights_at(raw: tf.SparseTensor, rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Returns the weights at some places of rows' lists.

    Args:
      raw: [batch, (weights)] float32.
      rows: [count] int64, which row each place is of.
      places: [count] int64.

    Returns:
      [count] float32; 1 where a list is shorter, or what it holds there is no finite number.
    """
    width = raw.dense_shape[1]
    # A column more, for what lies beyond all lists.
    shape = tf.stack([raw.dense_shape[0], width + 1])
    dense = tf.tensor_scatter_nd_update(
        tf.fill(shape, tf.constant(NO_WEIGHT_GIVEN)), raw.indices, raw.values
    )
    found = tf.gather_nd(dense, tf.stack([rows, tf.minimum(places, width)], axis=1))
    return tf.where(tf.math.is_finite(found), found, NO_WEIGHT_GIVEN)
