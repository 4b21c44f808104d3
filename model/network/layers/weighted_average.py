"""A learned weighted average of towers."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["WeightedAverage"]


@keras.saving.register_keras_serializable(package="skewless")
class WeightedAverage(keras.layers.Layer):
    """Several [batch, width] -> [batch, width], with learned weights that sum to one.

    The weights are a softmax over one logit for each tower, equal at first.
    """

    def build(self, shapes: Any) -> None:
        """Creates one logit for each tower."""
        self.logits = self.add_weight(shape=(len(shapes),), initializer="zeros", name="logits")
        self.built = True

    def call(self, towers: Any) -> Any:
        """Returns the weighted average."""
        weights = ops.cast(ops.softmax(self.logits), towers[0].dtype)
        return ops.einsum("tbw,t->bw", ops.stack(towers), weights)

    def compute_output_spec(self, towers: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of one tower."""
        return keras.KerasTensor(towers[0].shape, dtype=self.compute_dtype)
