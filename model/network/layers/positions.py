"""Learned positions, for encoders that see all steps at once."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["PositionEmbedding"]


@keras.saving.register_keras_serializable(package="skewless")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector to each true step, by its place among the row's true steps.

    Counting true steps only makes the result the same wherever the padding stands.
    [batch, length, width], [batch, length] bool -> [batch, length, width].

    Raises:
      ValueError: If `length` is below 1.
    """

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if length < 1:
            raise ValueError(f"length: expected at least 1, got {length}")
        self.length = length

    def build(self, steps_shape: Any, mask_shape: Any = None) -> None:
        """Creates the [length, width] table."""
        self.table = self.add_weight(
            shape=(self.length, steps_shape[-1]), initializer="uniform", name="table"
        )
        self.built = True

    def call(self, steps: Any, mask: Any) -> Any:
        """Returns the steps with their positions added."""
        places = ops.maximum(ops.cumsum(ops.cast(mask, "int32"), axis=1) - 1, 0)
        places = ops.minimum(places, self.length - 1)
        return steps + ops.cast(ops.take(self.table, places, axis=0), steps.dtype)

    def compute_output_spec(self, steps: Any, mask: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of the steps."""
        return keras.KerasTensor(steps.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "length": self.length}
