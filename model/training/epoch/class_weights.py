"""Weights of classes, so that rare ones count as much as frequent ones while training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from skewless.model.training.records import Records
from skewless.schemas.spec.label import BinaryLabel, MulticlassLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["balanced_weights", "labels_of_classes", "weighted_rows"]


def labels_of_classes(spec: Spec) -> list[str]:
    """Returns the names of the labels whose classes may weigh; "" of the only one."""
    if spec.labels is None:
        return [""]
    return [
        name
        for name, label in spec.labels.items()
        if isinstance(label, BinaryLabel | MulticlassLabel)
    ]


def balanced_weights(records: Records, labels: Collection[str] = ("",)) -> dict[str, np.ndarray]:
    """Returns each class's weight: rows / (classes * rows of the class), so that a row's mean is 1.

    Counted in one pass over the training split, each row once whatever its own weight; of several labels
    those rows that have it.

    Args:
      records: Whose training split it is.
      labels: The names of those of several labels that are of classes; "" is the only one.

    Returns:
      By name, [2] of a binary label, [classes] of a multiclass one. A class without rows weighs nothing.
    """
    counts = {name: np.zeros(2, np.int64) for name in labels}
    for _, truth, *weight in records.in_order("train", batch_size=4096):
        for name in labels:
            values = np.ravel((truth[name] if name else truth).numpy()).astype(np.int64)
            if name:
                values = values[weight[0][name].numpy() > 0]
            found = np.bincount(values)
            counts[name] = np.pad(counts[name], (0, max(0, len(found) - len(counts[name]))))
            counts[name][: len(found)] += found
    return {name: _weights(found) for name, found in counts.items()}


def _weights(counts: np.ndarray) -> np.ndarray:
    present = counts > 0
    weights = counts.sum() / (max(1, present.sum()) * np.maximum(counts, 1))
    return np.where(present, weights, 0.0).astype(np.float32)


def weighted_rows(batches: tf.data.Dataset, weights: Mapping[str, np.ndarray]) -> tf.data.Dataset:
    """Returns batches whose rows weigh what their class does, times what they weighed."""
    tables = {name: tf.constant(table) for name, table in weights.items()}

    def of_class(name: str, truth: tf.Tensor) -> tf.Tensor:
        return tf.gather(tables[name], tf.cast(tf.reshape(truth, (-1,)), tf.int64))

    def weighted(features: Any, label: Any, *weight: Any) -> tuple[Any, ...]:
        if "" in tables:
            each = of_class("", label)
            return features, label, each * weight[0] if weight else each
        own = {name: of_class(name, label[name]) * weight[0][name] for name in tables}
        return features, label, {**weight[0], **own}

    return batches.map(weighted, num_parallel_calls=1, deterministic=True)
