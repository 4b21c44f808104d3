"""Probabilities put back on the true scale, after training on a share of the negative rows."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["Recalibrated"]


@keras.saving.register_keras_serializable(package="skewless")
class Recalibrated(keras.layers.Layer):
    """q = p / (p + (1 - p) / w), w being the share of negative rows that were kept (He et al. 2014).

    While training it leaves probabilities as they are, which is the scale of the rows then; in
    evaluation and where it is served they are those of all rows.

    Args:
      kept: The share, in (0, 1].

    Raises:
      ValueError: If the share is outside of it.
    """

    def __init__(self, kept: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < kept <= 1:
            raise ValueError(f"kept: expected above 0, at most 1, got {kept}")
        self.kept = kept

    def call(self, probabilities: Any, training: bool | None = None) -> Any:
        """Returns probabilities of the shape given."""
        if training:
            return probabilities
        # The same as above, times w: no division by a small share.
        scaled = probabilities * self.kept
        return scaled / (scaled + (1 - probabilities))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "kept": self.kept}
