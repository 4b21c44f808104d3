"""Periodic embeddings of numbers (Gorishniy et al. 2022, section 3.3)."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

__all__ = ["PeriodicEmbedding"]


@keras.saving.register_keras_serializable(package="skewless")
class PeriodicEmbedding(keras.layers.Layer):
    """[batch, columns] numbers -> [batch, columns * width]: each number as a vector of its own.

    relu(W [cos(2 pi f x), sin(2 pi f x)] + b), with frequencies f, W and b of each column.

    Args:
      frequencies: How many each column has.
      sigma: The spread of the normal distribution that they begin with, cut at two sigma.
      width: The width of a number's vector.

    Raises:
      ValueError: If `frequencies` or `width` is below 1, or `sigma` not above 0.
    """

    def __init__(self, frequencies: int, sigma: float, width: int, **kwargs: Any) -> None:
        # Whatever the precision of the model: half of it spoils the angles.
        super().__init__(**{"dtype": "float32", **kwargs})
        for name, value in (("frequencies", frequencies), ("width", width)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if not sigma > 0:
            raise ValueError(f"sigma: expected a number above 0, got {sigma}")
        self.frequencies, self.sigma, self.width = frequencies, sigma, width

    def build(self, shape: Any) -> None:
        """Creates f [columns, frequencies], W [columns, 2 * frequencies, width], b [columns, width]."""
        columns, pairs = shape[-1], 2 * self.frequencies
        bound = 1 / math.sqrt(pairs)
        normal = keras.initializers.TruncatedNormal(0.0, self.sigma)
        uniform = keras.initializers.RandomUniform(-bound, bound)
        self.rate = self.add_weight(
            shape=(columns, self.frequencies), initializer=normal, name="rate"
        )
        self.kernel = self.add_weight(
            shape=(columns, pairs, self.width), initializer=uniform, name="kernel"
        )
        self.bias = self.add_weight(shape=(columns, self.width), initializer=uniform, name="bias")
        self.built = True

    def call(self, numbers: Any) -> Any:
        """Returns the vectors, side by side."""
        angles = 2 * math.pi * numbers[..., None] * self.rate
        waves = ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)
        vectors = ops.relu(ops.einsum("ncf,cfw->ncw", waves, self.kernel) + self.bias)
        return ops.reshape(vectors, (-1, numbers.shape[-1] * self.width))

    def compute_output_spec(self, numbers: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of the vectors."""
        shape = (numbers.shape[0], numbers.shape[-1] * self.width)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        given = {"frequencies": self.frequencies, "sigma": self.sigma, "width": self.width}
        return {**super().get_config(), **given}
