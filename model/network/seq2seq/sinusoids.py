"""Fixed positions (Vaswani et al. 2017, section 3.5), which end at no length."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["Sinusoids"]

_LONGEST_WAVE = 10_000.0


@keras.saving.register_keras_serializable(package="skewless")
class Sinusoids(keras.layers.Layer):
    """Scales steps by the root of their width, and adds to each a vector of its place.

    [batch, length, width], [batch, length] bool or None -> [batch, length, width]. The first half of a
    place's vector is sines, the second cosines, of waves from 2 pi to 20,000 pi steps. A step's place is
    that among the row's present steps, so that it does not matter where padding stands; without
    `present` the first step's place is `first`.
    """

    def call(self, steps: Any, present: Any = None, first: Any = 0) -> Any:
        """Returns the steps with their places added."""
        if present is None:
            places = ops.arange(ops.shape(steps)[1])[None] + first
        else:
            places = ops.maximum(ops.cumsum(ops.cast(present, "int32"), axis=1) - 1, 0)
        width = steps.shape[-1]
        half = -(-width // 2)
        rates = _LONGEST_WAVE ** (-ops.arange(half, dtype="float32") / half)
        angles = ops.cast(places, "float32")[..., None] * rates
        waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)[..., :width]
        return steps * ops.cast(width**0.5, steps.dtype) + ops.cast(waves, steps.dtype)

    def compute_output_spec(self, steps: Any, present: Any = None, first: Any = 0) -> Any:
        """Returns the shape and dtype of the steps."""
        return keras.KerasTensor(steps.shape, dtype=self.compute_dtype)
