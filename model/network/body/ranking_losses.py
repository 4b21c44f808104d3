"""Losses that order the rows of a group, such as what one query was shown.

Only differences within a group are learned, so a prediction says what comes first in its group, and no
longer how probable it is.

Truth is [batch, 3] float32: the label, 0 or 1, and two parts of the group's digest, whole numbers below
2^24 that float32 holds exactly. Predictions are [batch, 1] probabilities; they are compared by their
logits.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["RANKING_LOSSES", "ListwiseSoftmax", "PairwiseRanking"]

_NEVER = -1e9


@keras.saving.register_keras_serializable(package="skewless")
class PairwiseRanking(keras.losses.Loss):
    """BPR (Rendle et al. 2009): a positive row above the negative rows of its group.

    A positive row's loss is the mean over those of -log sigmoid of the difference of logits, 0 where its
    group has none; a negative row's is 0.
    """

    def __init__(self, name: str = "pairwise_ranking", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each row."""
        logits = _logits(y_pred)
        positive = ops.cast(y_true[:, 0] > 0.5, "float32")
        others = ops.cast(_same_group(y_true), "float32") * (1.0 - positive)[None, :]
        losses = ops.softplus(logits[None, :] - logits[:, None]) * others
        return positive * ops.sum(losses, axis=1) / ops.maximum(ops.sum(others, axis=1), 1.0)


@keras.saving.register_keras_serializable(package="skewless")
class ListwiseSoftmax(keras.losses.Loss):
    """ListNet's top one (Cao et al. 2007): a softmax over a group, whose mass is its positive rows'.

    A positive row's loss is its -log share of the softmax over all rows of its group, divided by how many
    of them are positive; a negative row's is 0.
    """

    def __init__(self, name: str = "listwise_softmax", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each row."""
        logits = _logits(y_pred)
        positive = ops.cast(y_true[:, 0] > 0.5, "float32")
        group = _same_group(y_true)
        total = ops.logsumexp(ops.where(group, logits[None, :], _NEVER), axis=1)
        positives = ops.sum(ops.cast(group, "float32") * positive[None, :], axis=1)
        return positive * (total - logits) / ops.maximum(positives, 1.0)


RANKING_LOSSES = {"pairwise": PairwiseRanking, "listwise": ListwiseSoftmax}


def _logits(predictions: Any) -> Any:
    """Returns [batch] logits of [batch, 1] probabilities."""
    epsilon = keras.config.epsilon()
    shares = ops.clip(ops.cast(predictions[:, 0], "float32"), epsilon, 1 - epsilon)
    return ops.log(shares) - ops.log1p(-shares)


def _same_group(truth: Any) -> Any:
    """Returns [batch, batch] bool, whether two rows are of one group; a row is of its own."""
    return ops.all(ops.equal(truth[:, None, 1:], truth[None, :, 1:]), axis=2)
