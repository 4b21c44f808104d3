"""Masks, as ordinary tensors.

Keras's implicit masks get lost in some layers and are combined with OR in others; here a mask is
computed once from the IDs and handed to whoever needs it.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from skewless.schemas.records.id_contract import PADDING_ID

__all__ = ["AnyMask", "ClearPadding", "CountMask", "CutPadding", "PaddingMask"]


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
class CountMask(keras.layers.Layer):
    """[batch] counts of true steps -> [batch, length] bool, true for so many steps.

    Args:
      length: Steps, true or not.
      pad: The side of those that are not: `end` or `start`.

    Raises:
      ValueError: If `length` is below 1, or there is no such side.
    """

    def __init__(self, length: int, pad: str, **kwargs: Any) -> None:
        # Whatever the precision of the model: half of it does not count beyond 256.
        super().__init__(**{"dtype": "float32", **kwargs})
        if length < 1:
            raise ValueError(f"length: expected at least 1, got {length}")
        if pad not in ("end", "start"):
            raise ValueError(f"pad: expected end or start, got {pad!r}")
        self.length, self.pad = length, pad

    def call(self, counts: Any) -> Any:
        """Returns the mask."""
        places = ops.arange(self.length, dtype="float32")
        if self.pad == "start":
            places = self.length - 1 - places
        return ops.expand_dims(counts, 1) > places

    def compute_output_spec(self, counts: Any) -> keras.KerasTensor:
        """Returns the mask's shape and dtype."""
        return keras.KerasTensor((counts.shape[0], self.length), dtype="bool")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "length": self.length, "pad": self.pad}


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


@keras.saving.register_keras_serializable(package="skewless")
class CutPadding(keras.layers.Layer):
    """[batch, length, width], [batch, length] bool -> both without steps that are padding in all rows.

    What follows need not compute them, and must give the same without. One step is kept at least.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cuts(True)

    def cuts(self, cuts: bool) -> None:
        """Says whether it cuts: XLA takes no tensor whose shape the data says."""
        self._cuts = cuts
        self.supports_jit = not cuts

    def call(self, steps: Any, mask: Any) -> tuple[Any, Any]:
        """Returns the steps, and their mask, from the first to the last that any row has."""
        if not self._cuts:
            return steps, mask
        used = tf.cast(tf.where(tf.reduce_any(mask, axis=0))[:, 0], tf.int32)
        # Of none at all the least and greatest are what the type holds: the last step is kept.
        first = tf.maximum(0, tf.minimum(tf.reduce_min(used), tf.shape(mask)[1] - 1))
        last = tf.maximum(first, tf.reduce_max(used))
        return steps[:, first : last + 1], mask[:, first : last + 1]

    def compute_output_spec(self, steps: Any, mask: Any) -> tuple[keras.KerasTensor, ...]:
        """Returns the dtypes, with a length that the data says."""
        batch, _, width = steps.shape
        return (
            keras.KerasTensor((batch, None, width), dtype=self.compute_dtype),
            keras.KerasTensor((batch, None), dtype="bool"),
        )
