"""A softmax over a sample of the vocabulary (Jean et al. 2015), for training alone.

Candidates are drawn with replacement, log-uniformly over tokens by how often they are: IDs are in that
order, and the end, which every row has, comes first. So frequent tokens are drawn as often as they occur in
texts that follow Zipf's law. The logit of each drawn token is lessened by the logarithm of how often it is
expected among them, so that the sum of their exponentials estimates that over all other tokens than a
target's own, which is always there as it is (Bengio and Senécal 2003).
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from skewless.schemas.records.id_contract import FIRST_ID, end_id

__all__ = ["TokenLoss", "drawn", "log_expected", "sampled_losses"]

_IMPOSSIBLE = -1e9
# IDs that no target holds: padding, missing and start.
_NEVER_ASKED = FIRST_ID + 1


@keras.saving.register_keras_serializable(package="skewless")
class TokenLoss(keras.losses.SparseCategoricalCrossentropy):
    """The cross-entropy of logits; says by `sampled` from how many drawn tokens training estimates it."""

    def __init__(self, sampled: int | None = None, **kwargs: Any) -> None:
        super().__init__(from_logits=True, **kwargs)
        self.sampled = sampled

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"sampled": self.sampled, "name": self.name, "reduction": self.reduction}


def sampled_losses(
    states: tf.Tensor, truth: tf.Tensor, output: Any, sampled: int, seed: tf.Tensor
) -> tf.Tensor:
    """Returns [tokens] float32, each token's estimated loss.

    Args:
      states: [tokens, units] of the decoder.
      truth: [tokens] int64 IDs.
      output: The output layer.
      sampled: How many tokens to draw, the same for all of `truth`.
      seed: [2] integers, of which the drawn are a function.
    """
    cardinality = output.kernel.shape[1]
    candidates = drawn(sampled, cardinality, seed)
    kernel = tf.transpose(output.kernel)
    own = tf.reduce_sum(states * tf.gather(kernel, truth), axis=1) + tf.gather(output.bias, truth)
    others = tf.matmul(states, tf.gather(kernel, candidates), transpose_b=True)
    others += tf.gather(output.bias, candidates) - log_expected(candidates, sampled, cardinality)
    # A token is not to be told from itself.
    others = tf.where(tf.equal(truth[:, None], candidates[None]), _IMPOSSIBLE, others)
    logits = tf.concat([own[:, None], others], axis=1)
    return tf.reduce_logsumexp(logits, axis=1) - own


def drawn(sampled: int, cardinality: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns [sampled] int64 IDs that targets hold."""
    ranks = cardinality - _NEVER_ASKED
    uniform = tf.random.stateless_uniform([sampled], seed, dtype=tf.float64)
    places = tf.cast(tf.exp(uniform * math.log(ranks + 1)), tf.int64) - 1
    places = tf.clip_by_value(places, 0, ranks - 1)
    end = tf.constant(end_id(cardinality), tf.int64)
    return tf.where(tf.equal(places, 0), end, places + FIRST_ID - 1)


def log_expected(ids: tf.Tensor, sampled: int, cardinality: int) -> tf.Tensor:
    """Returns the logarithm of how often IDs are expected among the drawn, float32."""
    places = tf.where(tf.equal(ids, end_id(cardinality)), tf.zeros_like(ids), ids - FIRST_ID + 1)
    places = tf.cast(places, tf.float32)
    share = tf.math.log1p(1 / (places + 1)) / math.log(cardinality - _NEVER_ASKED + 1)
    return tf.math.log(share) + math.log(sampled)
