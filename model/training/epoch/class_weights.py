"""Weights of classes, so that rare ones count as much as frequent ones while training."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from skewless.model.training.records import Records

__all__ = ["balanced_weights", "weighted_rows"]


def balanced_weights(records: Records) -> np.ndarray:
    """Returns each class's weight: rows / (classes * rows of the class), so that a row's mean is 1.

    Counted in one pass over the training split, each row once whatever its own weight; [2] of a
    binary label, [classes] of a multiclass one. A class without rows weighs nothing.
    """
    counts = np.zeros(2, np.int64)
    for _, label, *_ in records.in_order("train", batch_size=4096):
        found = np.bincount(np.ravel(label.numpy()).astype(np.int64))
        counts = np.pad(counts, (0, max(0, len(found) - len(counts))))
        counts[: len(found)] += found
    present = counts > 0
    weights = counts.sum() / (present.sum() * np.maximum(counts, 1))
    return np.where(present, weights, 0.0).astype(np.float32)


def weighted_rows(batches: tf.data.Dataset, weights: np.ndarray) -> tf.data.Dataset:
    """Returns batches whose rows weigh what their class does, times what they weighed."""
    table = tf.constant(weights)

    def weighted(features: Any, label: tf.Tensor, *weight: tf.Tensor) -> tuple[Any, ...]:
        of_class = tf.gather(table, tf.cast(tf.reshape(label, (-1,)), tf.int64))
        return features, label, of_class * weight[0] if weight else of_class

    return batches.map(weighted, num_parallel_calls=1, deterministic=True)
