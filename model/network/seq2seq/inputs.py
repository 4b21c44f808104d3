"""What encoder and decoder are given: IDs, without the columns that are padding in every row."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from skewless.schemas.records.id_contract import PADDING_ID, end_id, start_id

__all__ = ["DECODER_INPUT", "decoder_input", "trimmed", "trimmed_source"]

DECODER_INPUT = "__decoder__"


def decoder_input(labels: tf.Tensor, cardinality: int) -> tf.Tensor:
    """Returns [batch, length + 1] int64, the labels shifted right behind the start ID."""
    start = tf.fill([tf.shape(labels)[0], 1], tf.constant(start_id(cardinality), tf.int64))
    shifted = tf.concat([start, labels[:, :-1]], axis=1)
    # After the end nothing is asked for, so nothing need be fed.
    return tf.where(
        tf.equal(shifted, end_id(cardinality)), tf.constant(PADDING_ID, tf.int64), shifted
    )


def trimmed(
    features: Mapping[str, tf.Tensor], labels: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Cuts a batch to the steps that any of its rows has, so that none is computed for nothing.

    Args:
      features: [batch, length] int64 IDs of the source, padded at either end, and of the decoder's
        input.
      labels: [batch, length + 1] int64.
    """
    longest = tf.reduce_max(tf.math.count_nonzero(tf.not_equal(labels, PADDING_ID), axis=1))
    cut = {
        name: ids[:, :longest] if name == DECODER_INPUT else trimmed_source(ids)
        for name, ids in features.items()
    }
    return cut, labels[:, :longest]


def trimmed_source(ids: tf.Tensor) -> tf.Tensor:
    """Returns [batch, longest] of [batch, length] IDs, at least one step."""
    used = tf.reduce_any(tf.not_equal(ids, PADDING_ID), axis=0)
    places = tf.where(used)[:, 0]
    length = tf.shape(ids, tf.int64)[1]
    first = tf.minimum(tf.reduce_min(tf.concat([places, [length]], axis=0)), length - 1)
    last = tf.maximum(tf.reduce_max(tf.concat([places, [0]], axis=0)), first)
    return ids[:, first : last + 1]
