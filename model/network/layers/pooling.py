"""Pooling over true steps; finite, namely zero, where every step is padding."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["AttentionPooling", "MaskedMax", "MaskedMean", "WeightedMean", "WeightedSum"]


class _Pooling(keras.layers.Layer):
    def compute_output_spec(self, steps: Any, mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((steps.shape[0], steps.shape[-1]), dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(package="skewless")
class MaskedMean(_Pooling):
    """[batch, length, width], [batch, length] bool -> [batch, width], the mean of true steps."""

    def call(self, steps: Any, mask: Any) -> Any:
        """Returns the mean, zero where there is no true step."""
        weights = ops.cast(mask, steps.dtype)
        total = ops.einsum("blw,bl->bw", steps, weights)
        # 0/0 would give NaN, which a later relu turns into a silent 0.
        return total / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1)


@keras.saving.register_keras_serializable(package="skewless")
class WeightedSum(_Pooling):
    """[batch, length, width], [batch, length] -> [batch, width], steps times their weights, summed."""

    def call(self, steps: Any, weights: Any) -> Any:
        """Returns the sum, zero where no step weighs anything."""
        return ops.einsum("blw,bl->bw", steps, ops.cast(weights, steps.dtype))


@keras.saving.register_keras_serializable(package="skewless")
class WeightedMean(_Pooling):
    """[batch, length, width], [batch, length] -> [batch, width], the weighted mean of steps.

    Divided by the sum of the weights' sizes, so that negative weights turn steps around.
    """

    def call(self, steps: Any, weights: Any) -> Any:
        """Returns the mean, zero where no step weighs anything."""
        whole = ops.sum(ops.abs(ops.cast(weights, "float32")), axis=1, keepdims=True)
        shares = ops.cast(weights, "float32") / ops.where(whole > 0, whole, 1.0)
        return ops.einsum("blw,bl->bw", steps, ops.cast(shares, steps.dtype))


@keras.saving.register_keras_serializable(package="skewless")
class MaskedMax(_Pooling):
    """[batch, length, width], [batch, length] bool -> [batch, width], the maximum of true steps."""

    def call(self, steps: Any, mask: Any) -> Any:
        """Returns the maximum, zero where there is no true step."""
        present = mask[..., None]
        lowest = -6e4 if steps.dtype == "float16" else -1e9
        highest = ops.max(ops.where(present, steps, ops.cast(lowest, steps.dtype)), axis=1)
        return ops.where(ops.any(present, axis=1), highest, ops.zeros_like(highest))


@keras.saving.register_keras_serializable(package="skewless")
class AttentionPooling(_Pooling):
    """A learned query attends over true steps (additive attention, Yang et al. 2016).

    Without a mask every step is a true one.

    Raises:
      ValueError: If `units` is below 1.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"units: expected at least 1, got {units}")
        self.units = units
        self.hidden = keras.layers.Dense(units, activation="tanh", name="hidden")
        self.score = keras.layers.Dense(1, use_bias=False, name="score")

    def build(self, steps_shape: Any, mask_shape: Any = None) -> None:
        """Builds both dense layers."""
        self.hidden.build(steps_shape)
        self.score.build((*steps_shape[:-1], self.units))
        self.built = True

    def call(self, steps: Any, mask: Any = None) -> Any:
        """Returns the attention-weighted sum, zero where there is no true step."""
        scores = ops.cast(self.score(self.hidden(steps))[..., 0], "float32")
        if mask is None:
            mask = ops.ones_like(scores, dtype="bool")
        scores = ops.where(mask, scores, -1e9)
        weights = ops.softmax(scores, axis=1) * ops.cast(mask, "float32")
        return ops.einsum("blw,bl->bw", steps, ops.cast(weights, steps.dtype))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "units": self.units}
