"""The loss of two towers: which of its batch's candidates a query met.

A frequent candidate is in more batches, so it would be pushed away more often than it deserves: the
logarithm of how probably a row holds it is taken off its score (Yi et al. 2019, "Sampling-bias-
corrected neural modeling for large corpus item recommendations"). Another row's candidate that is
the row's own is no counter-example and is left out.

Truth is [batch, 3] float32: two parts of the candidate's digest, whole numbers below 2^24 that
float32 holds exactly, and that logarithm.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["InBatchSoftmax", "in_batch_accuracy"]

_NEVER = -1e9


@keras.saving.register_keras_serializable(package="skewless")
class InBatchSoftmax(keras.losses.Loss):
    """[batch, 3] truth, [batch, 2, width] unit vectors -> [batch] cross-entropy of the own candidate."""

    def __init__(
        self,
        temperature: float,
        hard_negatives: int | None = None,
        name: str = "in_batch_softmax",
        **options: Any,
    ) -> None:
        """Takes how sharp it is.

        Args:
          temperature: What cosines are divided by; above 0.
          hard_negatives: How many of the other candidates count, those that score highest; all
            if None.
          name, options: As of any Keras loss.

        Raises:
          ValueError: If a number is not above 0.
        """
        super().__init__(name=name, **options)
        if not temperature > 0:
            raise ValueError(f"temperature: expected a number above 0, got {temperature}")
        if hard_negatives is not None and hard_negatives < 1:
            raise ValueError(f"hard_negatives: expected at least 1, got {hard_negatives}")
        self._temperature = temperature
        self._hard_negatives = hard_negatives

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each row."""
        logits = _scores(y_pred) / self._temperature - y_true[:, 2][None, :]
        logits = ops.where(_is_own_elsewhere(y_true), _NEVER, logits)
        own = ops.diagonal(logits)
        if self._hard_negatives is None:
            return ops.logsumexp(logits, axis=1) - own
        others = ops.where(ops.eye(ops.shape(logits)[0], dtype="bool"), _NEVER, logits)
        # A small batch has fewer; what is added to it weighs nothing.
        padded = ops.pad(others, [[0, 0], [0, self._hard_negatives]], constant_values=_NEVER)
        hardest, _ = ops.top_k(padded, self._hard_negatives)
        kept = ops.concatenate([own[:, None], hardest], axis=1)
        return ops.logsumexp(kept, axis=1) - own

    def get_config(self) -> dict[str, Any]:
        """Returns what the loss is made of."""
        return {
            **super().get_config(),
            "temperature": self._temperature,
            "hard_negatives": self._hard_negatives,
        }


@keras.saving.register_keras_serializable(package="skewless")
def in_batch_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Returns [batch] 1 where no other candidate of the batch is as near the query as its own."""
    scores = _scores(y_pred)
    others = ops.where(_is_own_elsewhere(y_true), _NEVER, scores)
    others = ops.where(ops.eye(ops.shape(scores)[0], dtype="bool"), _NEVER, others)
    return ops.cast(ops.diagonal(scores) > ops.max(others, axis=1), "float32")


def _scores(vectors: Any) -> Any:
    """Returns [batch, batch] cosines, of each row's query with each row's candidate."""
    return ops.matmul(vectors[:, 0], ops.transpose(vectors[:, 1]))


def _is_own_elsewhere(truth: Any) -> Any:
    """Returns [batch, batch] bool, whether another row's candidate is the row's own."""
    same = ops.all(ops.equal(truth[:, None, :2], truth[None, :, :2]), axis=2)
    return ops.logical_and(same, ops.logical_not(ops.eye(ops.shape(truth)[0], dtype="bool")))
