"""A linear function of IDs: one weight for each."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from skewless.schemas.records.id_contract import PADDING_ID

__all__ = ["LinearOfIds"]


@keras.saving.register_keras_serializable(package="skewless")
class LinearOfIds(keras.layers.Layer):
    """[batch] or [batch, steps] IDs -> [batch, units]: the sum of the IDs' weights, padding's none.

    With [batch, steps] numbers beside them, each weight is multiplied by its step's number.

    Args:
      cardinality: How many IDs there are.
      units: Weights of an ID; zeros at first.

    Raises:
      ValueError: If a size is below 1.
    """

    def __init__(self, cardinality: int, units: int, **kwargs: Any) -> None:
        # A sum over steps is more than half precision holds.
        super().__init__(**{"dtype": "float32", **kwargs})
        for name, value in (("cardinality", cardinality), ("units", units)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        self.cardinality, self.units = cardinality, units

    def build(self, ids_shape: Any, numbers_shape: Any = None) -> None:
        """Creates the weights: [cardinality, units]."""
        self.weight = self.add_weight(
            shape=(self.cardinality, self.units), initializer="zeros", name="weight"
        )
        self.built = True

    def call(self, ids: Any, numbers: Any = None) -> Any:
        """Returns the sums."""
        steps = ops.expand_dims(ids, 1) if len(ids.shape) == 1 else ids
        present = ops.cast(ops.not_equal(steps, PADDING_ID), self.compute_dtype)
        if numbers is not None:
            present = present * ops.cast(numbers, self.compute_dtype)
        return ops.sum(ops.take(self.weight, steps, axis=0) * present[..., None], axis=1)

    def compute_output_spec(self, ids: Any, numbers: Any = None) -> keras.KerasTensor:
        """Returns the shape and dtype of the sums."""
        return keras.KerasTensor((ids.shape[0], self.units), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "cardinality": self.cardinality, "units": self.units}
