"""The cross layer of DCN v2 (Wang et al. 2021, section 3)."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["Cross"]


@keras.saving.register_keras_serializable(package="skewless")
class Cross(keras.layers.Layer):
    """[batch, width] x0, [batch, width] x -> x0 * (W x + b) + x."""

    def build(self, first_shape: Any, current_shape: Any) -> None:
        """Creates W [width, width] and b [width]."""
        self.dense = keras.layers.Dense(current_shape[-1], name="dense")
        self.dense.build(current_shape)
        self.built = True

    def call(self, first: Any, current: Any) -> Any:
        """Returns the next order of feature crosses."""
        return first * self.dense(current) + current

    def compute_output_spec(self, first: Any, current: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of the input."""
        return keras.KerasTensor(current.shape, dtype=self.compute_dtype)
