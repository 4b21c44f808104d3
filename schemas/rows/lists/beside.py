"""Lists beside lists in the graph: what a list holds for each value of another, by its place."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

__all__ = ["NO_WEIGHT_GIVEN", "Places", "numbers_by_step", "texts_by_place", "weights_at"]

# What a value weighs where no list of weights reaches it.
NO_WEIGHT_GIVEN = 1.0


@dataclass(frozen=True)
class Places:
    """The values of rows' lists, and where each stands in what the row holds.

    Attributes:
      values: [batch, (values)] string, empty where there is none.
      places: [count] int64, of each, empty ones too.
    """

    values: tf.RaggedTensor
    places: tf.Tensor

    def of_held(self, flat: tf.Tensor) -> tf.RaggedTensor:
        """Returns [batch, (held values), ...] of what [count, ...] has for the values that are not empty."""
        held = tf.not_equal(self.values.flat_values, "")
        rows = tf.boolean_mask(self.values.value_rowids(), held)
        return tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(flat, held), rows, nrows=self.values.nrows()
        )

    def taken(self, dense: tf.Tensor) -> tf.Tensor:
        """Returns [count, ...] of [batch, places + 1, ...]; the last place is of all beyond."""
        last = tf.shape(dense, tf.int64)[1] - 1
        rows = self.values.value_rowids()
        return tf.gather_nd(dense, tf.stack([rows, tf.minimum(self.places, last)], axis=1))


def weights_at(raw: tf.SparseTensor, places: Places) -> tf.RaggedTensor:
    """Returns what each held value weighs.

    Args:
      raw: [batch, (weights)] float32.
      places: Of the values.

    Returns:
      [batch, (held values)] float32; 1 where a list is shorter, or what it holds there is no finite
      number.
    """
    found = places.taken(numbers_by_step(raw, 1))[:, 0]
    return places.of_held(tf.where(tf.math.is_finite(found), found, NO_WEIGHT_GIVEN))


def numbers_by_step(raw: tf.SparseTensor, dimensions: int) -> tf.Tensor:
    """Returns [batch, steps + 1, dimensions] float32 of rows' numbers, NaN where there is none."""
    place = raw.indices[:, 1]
    steps = (raw.dense_shape[1] + dimensions - 1) // dimensions + 1
    shape = tf.stack([raw.dense_shape[0], steps, tf.constant(dimensions, tf.int64)])
    indices = tf.stack([raw.indices[:, 0], place // dimensions, place % dimensions], axis=1)
    dense = tf.tensor_scatter_nd_update(tf.fill(shape, float("nan")), indices, raw.values)
    return tf.ensure_shape(dense, [None, None, dimensions])


def texts_by_place(raw: tf.SparseTensor) -> tf.Tensor:
    """Returns [batch, places + 1] string of rows' texts, empty where there is none."""
    shape = raw.dense_shape + tf.constant([0, 1], tf.int64)
    return tf.tensor_scatter_nd_update(tf.fill(shape, ""), raw.indices, raw.values)
