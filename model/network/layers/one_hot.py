"""One-hot categories."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from skewless.schemas.records.id_contract import PADDING_ID

__all__ = ["OneHot"]


@keras.saving.register_keras_serializable(package="skewless")
class OneHot(keras.layers.Layer):
    """[...] integer IDs -> [..., cardinality]; padding is all zeros.

    Raises:
      ValueError: If `cardinality` is below 1.
    """

    def __init__(self, cardinality: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if cardinality < 1:
            raise ValueError(f"cardinality: expected at least 1, got {cardinality}")
        self.cardinality = cardinality

    def call(self, ids: Any) -> Any:
        """Returns the one-hot vectors."""
        # What is no place among them is all zeros.
        places = ops.where(ops.equal(ids, PADDING_ID), -1, ids)
        return ops.one_hot(places, self.cardinality, dtype=self.compute_dtype)

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of the vectors."""
        return keras.KerasTensor((*ids.shape, self.cardinality), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "cardinality": self.cardinality}
