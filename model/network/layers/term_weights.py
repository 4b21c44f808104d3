"""A weight for each ID, which is counted, not learned."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from skewless.schemas.records.id_contract import PADDING_ID

__all__ = ["TermWeights"]


@keras.saving.register_keras_serializable(package="skewless")
class TermWeights(keras.layers.Layer):
    """[batch, length] IDs -> [batch, length] float32, weights whose squares sum to 1 in a row.

    Padding weighs nothing; a row of padding alone has zeros.

    Raises:
      ValueError: If `cardinality` is below 1.
    """

    def __init__(self, cardinality: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if cardinality < 1:
            raise ValueError(f"cardinality: expected at least 1, got {cardinality}")
        self.cardinality = cardinality

    def build(self, ids_shape: Any) -> None:
        """Creates the weights, 1 of each ID until they are counted."""
        self.table = self.add_weight(
            shape=(self.cardinality,), initializer="ones", trainable=False, name="table"
        )

    def count(self, rows_with: np.ndarray, rows: int) -> None:
        """Sets the weights to ln((1 + rows) / (1 + rows with the ID)) + 1.

        The smoothed inverse document frequency of scikit-learn's `TfidfTransformer`.

        Args:
          rows_with: [cardinality] int64, rows that hold each ID.
          rows: How many rows there are.
        """
        weights = np.log((1 + rows) / (1 + rows_with)) + 1
        weights[PADDING_ID] = 0
        self.table.assign(weights.astype(np.float32))

    def call(self, ids: Any) -> Any:
        """Returns the weights."""
        weights = ops.take(self.table, ids, axis=0)
        weights = weights * ops.cast(ops.not_equal(ids, PADDING_ID), weights.dtype)
        length = ops.sqrt(ops.sum(ops.square(weights), axis=1, keepdims=True))
        return weights / ops.where(length > 0, length, 1)

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Returns [batch, length] float32."""
        return keras.KerasTensor(ids.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "cardinality": self.cardinality}
