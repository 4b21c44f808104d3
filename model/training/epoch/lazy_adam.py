"""Adam that steps only those rows of a table that a batch looked up.

Keras's Adam goes over the whole of every table in every step: rows that a batch does not hold go on moving by
their decaying momentum, and of a million candidates most of a step's time is spent on them. Here a
row's moments and weights stay as they are until a batch holds it again, as in TensorFlow Addons'
`LazyAdam` and PyTorch's `SparseAdam`. Gradients that are no rows of a table are Adam's own.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["LazyAdam"]


@keras.saving.register_keras_serializable(package="skewless")
class LazyAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) whose step on a table is one on the rows that were looked up."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable, of a table the rows that `gradient` has."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        rows, places = tf.unique(gradient.indices)
        # A row that a batch holds several times has one gradient, their sum.
        gradient = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        rate = tf.cast(learning_rate, variable.dtype)
        rate = rate * tf.sqrt(1 - tf.pow(beta_2, step)) / (1 - tf.pow(beta_1, step))
        held = self._get_variable_index(variable)
        first, second = self._momentums[held].value, self._velocities[held].value
        moved = tf.gather(first, rows)
        moved += (gradient - moved) * (1 - beta_1)
        spread = tf.gather(second, rows)
        spread += (tf.square(gradient) - spread) * (1 - beta_2)
        first.scatter_update(tf.IndexedSlices(moved, rows))
        second.scatter_update(tf.IndexedSlices(spread, rows))
        change = -rate * moved / (tf.sqrt(spread) + self.epsilon)
        variable.scatter_add(tf.IndexedSlices(change, rows))
