"""Losses that Keras lacks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["FocalSparseCrossentropy", "SmoothedSparseCrossentropy"]


@keras.saving.register_keras_serializable(package="skewless")
class SmoothedSparseCrossentropy(keras.losses.Loss):
    """Cross-entropy of classes given by number, a share of whose mass is spread over all classes.

    Args:
      label_smoothing: The share, in [0, 1).

    Raises:
      ValueError: If the share is outside of it.
    """

    def __init__(self, label_smoothing: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing: expected at least 0, below 1, got {label_smoothing}"
            )
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns each row's loss; of labels [batch] or [batch, 1] and probabilities."""
        epsilon = keras.config.epsilon()
        logarithms = ops.log(ops.clip(y_pred, epsilon, 1 - epsilon))
        chosen = ops.cast(ops.reshape(y_true, (-1, 1)), "int64")
        true = ops.squeeze(ops.take_along_axis(logarithms, chosen, axis=-1), axis=-1)
        spread = ops.mean(logarithms, axis=-1)
        return -(1 - self.label_smoothing) * true - self.label_smoothing * spread

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="skewless")
class FocalSparseCrossentropy(keras.losses.Loss):
    """The focal loss (Lin et al. 2017) of classes given by number: -(1 - p)^gamma log p, p of the row's own.

    Args:
      gamma: The exponent, at least 0; with 0 it is the cross-entropy.

    Raises:
      ValueError: If it is below 0.
    """

    def __init__(self, gamma: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if gamma < 0:
            raise ValueError(f"gamma: expected at least 0, got {gamma}")
        self.gamma = gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns each row's loss; of labels [batch] or [batch, 1] and probabilities."""
        epsilon = keras.config.epsilon()
        chosen = ops.cast(ops.reshape(y_true, (-1, 1)), "int64")
        own = ops.squeeze(ops.take_along_axis(y_pred, chosen, axis=-1), axis=-1)
        own = ops.clip(own, epsilon, 1 - epsilon)
        return -ops.power(1 - own, self.gamma) * ops.log(own)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "gamma": self.gamma}
