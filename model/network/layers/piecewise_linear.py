"""Piecewise-linear embeddings of numbers (Gorishniy et al. 2022, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["PiecewiseLinearEmbedding"]


@keras.saving.register_keras_serializable(package="skewless")
class PiecewiseLinearEmbedding(keras.layers.Layer):
    """[batch, columns] numbers -> [batch, columns * width]: each number as a vector of its own.

    A number's encoding has an entry for each bin: 0 below the bin, 1 above it, and its place within.
    The paper lets the first and the last entry run on beyond the outermost edges; here they end
    there, so that an outlier is no more than the most extreme of training, and only the linear part
    sees it. The vector is a linear map of the encoding plus one of the number itself; that of the
    encoding begins at zero, so that training begins with a linear model and bends it.

    Args:
      edges: For each column, at least two ascending edges of its bins, each once.
      width: The width of a number's vector.

    Raises:
      ValueError: If `width` is below 1, or edges are not two or more ascending numbers.
    """

    def __init__(self, edges: Sequence[Sequence[float]], width: int, **kwargs: Any) -> None:
        # Whatever the precision of the model: half of it does not tell neighbouring bins apart.
        super().__init__(**{"dtype": "float32", **kwargs})
        if width < 1:
            raise ValueError(f"width: expected at least 1, got {width}")
        for column, each in enumerate(edges):
            if len(each) < 2 or not all(np.diff(np.array(each, np.float64)) > 0):
                raise ValueError(
                    f"edges of column {column}: expected two or more ascending numbers, got "
                    f"{list(each)[:5]}"
                )
        self.edges = [[float(edge) for edge in each] for each in edges]
        self.width = width
        bins = max(len(each) for each in edges) - 1
        shape = (len(edges), bins)
        # Bins that a column lacks stay 0: their slope is.
        self._from, self._slope = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        steepest = float(np.finfo(np.float32).max)
        for column, each in enumerate(self.edges):
            own = len(each) - 1
            self._from[column, :own] = each[:-1]
            slopes = 1 / np.diff(np.array(each, np.float64))
            self._slope[column, :own] = np.minimum(slopes, steepest)

    def build(self, shape: Any) -> None:
        """Creates the maps: [columns, bins, width] of the encoding, [columns, width] of numbers."""
        columns, bins = self._from.shape
        if shape[-1] != columns:
            raise ValueError(f"expected {columns} numbers a row, got {shape[-1]}")
        uniform = keras.initializers.RandomUniform(-1.0, 1.0)
        self.kernel = self.add_weight(
            shape=(columns, bins, self.width), initializer="zeros", name="kernel"
        )
        self.slope = self.add_weight(shape=(columns, self.width), initializer=uniform, name="slope")
        self.bias = self.add_weight(shape=(columns, self.width), initializer=uniform, name="bias")
        self.built = True

    def encode(self, numbers: Any) -> Any:
        """Returns [batch, columns, bins]: the encoding that the kernel is applied to."""
        places = (numbers[..., None] - self._from) * self._slope
        return ops.clip(places, 0.0, 1.0)

    def call(self, numbers: Any) -> Any:
        """Returns the vectors, side by side."""
        bent = ops.einsum("ncb,cbw->ncw", self.encode(numbers), self.kernel)
        vectors = bent + numbers[..., None] * self.slope + self.bias
        return ops.reshape(vectors, (-1, len(self.edges) * self.width))

    def compute_output_spec(self, numbers: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of the vectors."""
        shape = (numbers.shape[0], len(self.edges) * self.width)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "edges": self.edges, "width": self.width}
