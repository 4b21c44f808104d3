"""The candidates nearest a query, but for those that are excluded: exact, by a matrix product."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from skewless.model.exported.largest import largest

__all__ = ["EXCLUDE", "NAMES", "VECTORS", "Nearest", "find_nearest"]

# The input of `recommend` that holds names not to be found, a list for each row or none.
EXCLUDE = "exclude"
# What the variables are called that hold the candidates in an exported model.
VECTORS, NAMES = "candidate_vectors", "candidate_names"


class Nearest(NamedTuple):
    """Candidates found for [batch] queries, the nearest first.

    Attributes:
      names: [batch, n] string; "" where none is left.
      scores: [batch, n] float32 cosines; -1 where none is left.
      places: [batch, n] int32, where each stands among all.
    """

    names: tf.Tensor
    scores: tf.Tensor
    places: tf.Tensor


def find_nearest(
    queries: tf.Tensor, vectors: tf.Tensor, names: tf.Tensor, exclude: tf.Tensor, longest: int
) -> Nearest:
    """Returns the candidates nearest each query.

    Args:
      queries: [batch, width] float32, of length 1.
      vectors: [candidates, width] float32, of length 1.
      names: [candidates] string.
      exclude: [batch, m] string, names not to be found; "" excludes nothing.
      longest: How many to find at most.
    """
    scores = tf.matmul(queries, vectors, transpose_b=True)
    longest = tf.minimum(longest, tf.shape(names)[0])
    # So many that enough are left after what is excluded.
    enough = tf.minimum(longest + tf.shape(exclude)[1], tf.shape(names)[0])
    scores, places = largest(scores, enough)
    found = tf.gather(names, places)
    excluded = tf.reduce_any(tf.equal(found[:, :, None], exclude[:, None, :]), axis=2)
    # Those that stay, in their order, before those that do not.
    order = tf.argsort(tf.cast(excluded, tf.int32), axis=1, stable=True)[:, :longest]
    gone = tf.gather(excluded, order, batch_dims=1)
    return Nearest(
        tf.where(gone, "", tf.gather(found, order, batch_dims=1)),
        tf.where(gone, -1.0, tf.gather(scores, order, batch_dims=1)),
        tf.gather(places, order, batch_dims=1),
    )
