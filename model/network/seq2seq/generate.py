"""Generation: a trained network fed with its own output, greedily or by beam search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from skewless.model.network.layer_names import layer_called, layer_name
from skewless.model.network.seq2seq.inputs import trimmed_source
from skewless.model.network.seq2seq.network import network_of
from skewless.model.network.seq2seq.parts import Memory, Parts
from skewless.schemas.records.id_contract import PADDING_ID, end_id, first_vocabulary_id, start_id
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.spec.label import SequenceLabel
from skewless.schemas.spec.network import Seq2SeqSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["Generator"]

_IMPOSSIBLE = -1e9


class Generator(tf.Module):
    """Generates target sequences with a trained model's layers, one step at a time.

    Only tokens of the vocabulary and the end are generated: an ID that stands for no token of its
    own (padding, missing, out of vocabulary, the start) says nothing. It ends when all have ended.
    """

    def __init__(self, model: keras.Model, spec: Spec, target: FeatureEntry) -> None:
        """Takes the layers out of a model.

        Args:
          model: From `build_seq2seq`, trained.
          spec: What it was built from. No more than as many beams are kept as there are IDs to
            begin with.
          target: Of the label: how many tokens to generate at most, the end included; and among
            how many IDs.
        """
        super().__init__(name="generator")
        declared, label = spec.model, spec.label
        assert isinstance(declared, Seq2SeqSpec)
        assert isinstance(label, SequenceLabel)
        assert target.cardinality is not None
        layers = {layer.name: layer for layer in model.layers}
        self._network = network_of(spec, Parts(None, target.cardinality, layers))
        self._predictions: Any = layer_called(layer_name("predictions"), layers)
        self._length, self._cardinality = target.shape[0], target.cardinality
        forbidden = [
            *range(first_vocabulary_id(label.unknown_ids)),
            start_id(self._cardinality),
        ]
        self._beam_width = min(declared.beam_width, self._cardinality - len(forbidden))
        self._length_penalty = declared.length_penalty
        hot = tf.one_hot(forbidden, self._cardinality)
        self._forbidden = tf.reduce_sum(hot, axis=0) * _IMPOSSIBLE

    def greedy(self, source_ids: tf.Tensor) -> tf.Tensor:
        """Returns [batch, length] int64, the likeliest token at each step; padding after the end."""
        source_ids, rows = _at_least_one(source_ids)
        memory = self._network.encoded(trimmed_source(source_ids), training=False)
        batch = tf.shape(source_ids)[0]
        end = end_id(self._cardinality)

        def step(
            place: tf.Tensor, tokens: tf.Tensor, ended: tf.Tensor, made: tf.Tensor, *state: Any
        ) -> tuple[Any, ...]:
            scores, reached = self._scores(tokens, place, list(state), memory)
            chosen = tf.argmax(scores, axis=1)
            tokens = tf.where(ended, tf.constant(PADDING_ID, tf.int64), chosen)
            made = tf.where(self._is_at(place), tokens[:, None], made)
            return place + 1, tokens, ended | tf.equal(tokens, end), made, *reached

        return self._until_ended(
            step,
            tf.fill([batch], tf.constant(start_id(self._cardinality), tf.int64)),
            tf.zeros([batch], tf.bool),
            tf.zeros([batch, self._length], tf.int64),
            *self._network.begun(memory, self._length),
        )[3][:rows]

    def beam(self, source_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Searches for the best sequences.

        Returns:
          [batch, beam_width, length] int64, best first; [batch, beam_width] float32, their scores:
          the natural logarithm of a sequence's probability, which is the sum over its tokens, the
          end included, divided by ((5 + tokens) / 6) ** length_penalty (Wu et al. 2016, eq. 14). It is
          what the search goes by and what the sequences are ordered by.
        """
        width, size = self._beam_width, self._cardinality
        source_ids, rows = _at_least_one(source_ids)
        batch = tf.shape(source_ids)[0]
        found = self._network.encoded(trimmed_source(source_ids), training=False)
        steps, mask = (
            None if part is None else self._repeat(part) for part in (found.steps, found.mask)
        )
        memory = Memory(steps, mask, [self._repeat(part) for part in found.state])
        only_padding = tf.concat([[0.0], tf.fill([size - 1], _IMPOSSIBLE)], axis=0)

        def step(
            place: tf.Tensor,
            tokens: tf.Tensor,
            ended: tf.Tensor,
            made: tf.Tensor,
            total: tf.Tensor,
            *state: Any,
        ) -> tuple[Any, ...]:
            scores, reached = self._scores(tokens, place, list(state), memory)
            scores = tf.reshape(scores, [batch, width, size])
            scores = total[..., None] + tf.where(ended[..., None], only_padding, scores)
            # Those that have ended stay as long as they are.
            lengths = self._lengths(made) + tf.cast(~ended, tf.float32)
            ranked = scores / self._penalty(lengths)[..., None]
            _, chosen = tf.math.top_k(tf.reshape(ranked, [batch, width * size]), k=width)
            parents, added = chosen // size, tf.cast(chosen % size, tf.int64)
            total = tf.gather(tf.reshape(scores, [batch, width * size]), chosen, batch_dims=1)
            made = tf.where(
                self._is_at(place), added[..., None], tf.gather(made, parents, batch_dims=1)
            )
            ended = tf.gather(ended, parents, batch_dims=1) | tf.equal(added, end_id(size))
            following = (self._follow(part, parents, batch) for part in reached)
            return place + 1, tf.reshape(added, [-1]), ended, made, total, *following

        # All hypotheses start equal: only the first may be extended at first.
        _, _, _, made, total, *_ = self._until_ended(
            step,
            tf.fill([batch * width], tf.constant(start_id(size), tf.int64)),
            tf.zeros([batch, width], tf.bool),
            tf.zeros([batch, width, self._length], tf.int64),
            tf.tile([[0.0] + [_IMPOSSIBLE] * (width - 1)], [batch, 1]),
            *self._network.begun(memory, self._length),
        )
        return made[:rows], (total / self._penalty(self._lengths(made)))[:rows]

    def _until_ended(self, step: Callable[..., Any], *begin: Any) -> Any:
        """Repeats a step, whose second variable says which have ended, for `length` steps at most."""
        variables = [tf.constant(0), *begin]
        return tf.while_loop(
            lambda place, _, ended, *more: (place < self._length) & ~tf.reduce_all(ended),
            step,
            variables,
            shape_invariants=[_sizes_may_vary(part) for part in variables],
        )

    def _scores(
        self, tokens: tf.Tensor, place: tf.Tensor, state: list[Any], memory: Memory
    ) -> tuple[tf.Tensor, list[Any]]:
        """Returns the log probabilities after one more token, and the new state."""
        decoded, reached = self._network.step(tokens, place, state, memory)
        output = self._predictions
        logits = tf.matmul(tf.cast(decoded, tf.float32), output.kernel) + output.bias
        return tf.nn.log_softmax(logits) + self._forbidden, reached

    def _is_at(self, place: tf.Tensor) -> tf.Tensor:
        return tf.equal(tf.range(self._length), place)

    def _lengths(self, made: tf.Tensor) -> tf.Tensor:
        """Returns [..., length] IDs' numbers of tokens, float32."""
        return tf.reduce_sum(tf.cast(tf.not_equal(made, PADDING_ID), tf.float32), axis=-1)

    def _penalty(self, lengths: tf.Tensor) -> tf.Tensor:
        return ((5.0 + lengths) / 6.0) ** self._length_penalty

    def _repeat(self, part: tf.Tensor) -> tf.Tensor:
        return tf.repeat(part, self._beam_width, axis=0)

    def _follow(self, state: tf.Tensor, parents: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        """Returns each hypothesis's part of the state, [batch * beams, ...], from its parent's."""
        rest = tf.shape(state)[1:]
        grouped = tf.reshape(state, tf.concat([[batch, self._beam_width], rest], axis=0))
        return tf.reshape(tf.gather(grouped, parents, batch_dims=1), tf.shape(state))


def _at_least_one(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns [batch, length] IDs, with an empty row where there is none; and how many there are.

    Some operations of a layer fail on a batch of no rows.
    """
    rows = tf.shape(ids)[0]
    return tf.pad(ids, [[0, tf.maximum(0, 1 - rows)], [0, 0]]), rows


def _sizes_may_vary(part: Any) -> tf.TensorShape:
    return tf.TensorShape([None] * len(part.shape))
