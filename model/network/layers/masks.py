"""Masks, as ordinary tensors.

Keras's implicit masks get lost in some layers and are combined with OR in others; here a mask is
computed once from the IDs and handed to whoever needs it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from skewless.schemas.records.id_contract import PADDING_ID

__all__ = ["AnyMask", "ClearPadding", "PaddingMask"]


@keras.saving.register_keras_serializable(package="skewless")
class PaddingMask(keras.layers.Layer):
    """[batch, length] integer IDs -> [batch, length] bool, true where a step is no padding."""

    def call(self, ids: Any) -> Any:
        """Returns the mask."""
        return ops.not_equal(ids, PADDING_ID)

    def compute_output_spec(self, ids: Any) -> keras.KerasTensor:
        """Returns the mask's shape and dtype."""
        return keras.KerasTensor(ids.shape, dtype="bool")


@keras.saving.register_keras_serializable(package="skewless")
class ClearPadding(keras.layers.Layer):
    """[batch, length, width], [batch, length] bool -> the steps, zero where the mask is false."""

    def call(self, steps: Any, mask: Any) -> Any:
        """Returns the cleared steps."""
        return steps * ops.cast(mask, steps.dtype)[..., None]

    def compute_output_spec(self, steps: Any, mask: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of the steps."""
        return keras.KerasTensor(steps.shape, dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(package="skewless")
class AnyMask(keras.layers.Layer):
    """Several [batch, length] bool -> [batch, length] bool, true where any of them is."""

    def call(self, masks: Any) -> Any:
        """Returns the union."""
        return ops.any(ops.stack(masks), axis=0)

    def compute_output_spec(self, masks: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of one mask."""
        return keras.KerasTensor(masks[0].shape, dtype="bool")
