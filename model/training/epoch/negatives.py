"""Negative down-sampling (He et al. 2014): an epoch trains on all positive rows and a share of the others.

Rows come in an order that is shuffled and follows from seed and epoch. The n-th negative row of it is
kept where the whole part of n * share is more than that of (n - 1) * share: others each epoch, always as
many, and the same after a resumption.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from skewless.model.training.records import Records, Thinning
from skewless.schemas.errors import TrainingError
from skewless.schemas.spec.spec import Spec

__all__ = ["thinned"]


def thinned(spec: Spec, records: Records) -> Records:
    """Returns records whose training batches lack the negative rows that the spec leaves out.

    They are counted in one pass over the training split; where the spec leaves out none, there is none.

    Raises:
      TrainingError: If no negative row would be left.
    """
    share = spec.training.keep_negatives
    if share is None:
        return records
    negatives = 0
    for _, label, *_ in records.in_order("train", batch_size=4096):
        negatives += int((np.ravel(label.numpy()) < 0.5).sum())
    kept = int(np.floor(negatives * share))
    if not kept:
        raise TrainingError(
            f"training.keep_negatives: {share:g} of {negatives:,} negative rows leaves none to learn "
            "from; give a larger share, or remove it"
        )
    rows = records.rows("train") - negatives + kept
    return replace(records, thinning=Thinning(rows, lambda batches: _without(batches, share)))


def _without(batches: tf.data.Dataset, share: float) -> tf.data.Dataset:
    def kept(seen: tf.Tensor, row: tuple[Any, ...]) -> tuple[tf.Tensor, tuple[Any, ...]]:
        negative = tf.reshape(row[1], (-1,)) < 0.5
        places = seen + tf.cumsum(tf.cast(negative, tf.int64))
        now, before = (
            tf.floor(tf.cast(place, tf.float64) * share) for place in (places, places - 1)
        )
        stay = tf.logical_not(negative) | (now > before)
        left = tf.nest.map_structure(lambda values: tf.boolean_mask(values, stay), row)
        return seen + tf.reduce_sum(tf.cast(negative, tf.int64)), left

    return batches.scan(tf.constant(0, tf.int64), kept)
