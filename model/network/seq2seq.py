"""Sequence to sequence: a recurrent encoder and decoder with teacher forcing (Sutskever et al. 2014).

The decoder starts from the encoder's last state. In training its input is the target shifted
right behind the start ID, under `DECODER_INPUT`; `Generator` feeds it its own output instead.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from skewless.model.network.layer_names import layer_called, layer_name, model_name
from skewless.model.network.layers import PaddingMask
from skewless.schemas.records.id_contract import PADDING_ID, end_id, first_vocabulary_id, start_id
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL
from skewless.schemas.spec.features import TextFeature
from skewless.schemas.spec.label import SequenceLabel
from skewless.schemas.spec.network import Seq2SeqSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["DECODER_INPUT", "Generator", "build_seq2seq", "decoder_input"]

DECODER_INPUT = "__decoder__"
_CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
_IMPOSSIBLE = -1e9


def decoder_input(labels: tf.Tensor, cardinality: int) -> tf.Tensor:
    """Returns [batch, length + 1] int64, the labels shifted right behind the start ID."""
    start = tf.fill([tf.shape(labels)[0], 1], tf.constant(start_id(cardinality), tf.int64))
    shifted = tf.concat([start, labels[:, :-1]], axis=1)
    # After the end nothing is asked for, so nothing need be fed.
    return tf.where(
        tf.equal(shifted, end_id(cardinality)), tf.constant(PADDING_ID, tf.int64), shifted
    )


def build_seq2seq(spec: Spec, entries: Mapping[str, FeatureEntry]) -> keras.Model:
    """Builds the training model: source IDs and decoder input to next-token probabilities."""
    declared = spec.model
    assert isinstance(declared, Seq2SeqSpec)
    ((name, feature),) = spec.features.items()
    assert isinstance(feature, TextFeature)
    source, target = entries[name], entries[LABEL]
    cell = _CELLS[declared.cell]
    assert isinstance(spec.label, SequenceLabel)
    embedding = spec.label.embedding

    source_ids = keras.Input(shape=source.shape, dtype="int64", name=name)
    target_ids = keras.Input(shape=target.shape, dtype="int64", name=DECODER_INPUT)

    steps = keras.layers.Embedding(
        source.cardinality,
        feature.embedding,
        trainable=feature.own_vectors is None or feature.own_vectors.trainable,
        name=layer_name("embed", name),
    )(source_ids)
    mask = PaddingMask(name=layer_name("mask", name))(source_ids)
    _, *state = cell(
        declared.units, return_state=True, dropout=declared.dropout, name=layer_name("encoder")
    )(steps, mask=mask)
    tokens = keras.layers.Embedding(target.cardinality, embedding, name=layer_name("embed_target"))(
        target_ids
    )
    decoded, *_ = cell(
        declared.units,
        return_sequences=True,
        return_state=True,
        dropout=declared.dropout,
        name=layer_name("decoder"),
    )(tokens, initial_state=state)
    predictions = keras.layers.Dense(
        target.cardinality, activation="softmax", dtype="float32", name=layer_name("predictions")
    )(decoded)

    return keras.Model(
        {name: source_ids, DECODER_INPUT: target_ids},
        predictions,
        name=model_name(spec.name, "seq2seq"),
    )


class Generator(tf.Module):
    """Generates target sequences with a trained model's layers, one step at a time.

    Only tokens of the vocabulary and the end are generated: an ID that stands for no token of its
    own (padding, missing, out of vocabulary, the start) says nothing.
    """

    def __init__(
        self, model: keras.Model, length: int, cardinality: int, oov_buckets: int, beam_width: int
    ) -> None:
        """Takes the layers out of `model`.

        Args:
          model: From `build_seq2seq`.
          length: Tokens to generate at most, the end token included.
          cardinality: Of the target.
          oov_buckets: Of the target.
          beam_width: Hypotheses kept by `beam`; no more than there are IDs to begin with.
        """
        super().__init__(name="generator")
        self._source = next(name for name in model.input if name != DECODER_INPUT)
        layers = {layer.name: layer for layer in model.layers}
        self._embed = layer_called(layer_name("embed", self._source), layers)
        self._mask = layer_called(layer_name("mask", self._source), layers)
        self._encoder, self._embed_target, self._decoder, self._predictions = (
            layer_called(layer_name(name), layers)
            for name in ("encoder", "embed_target", "decoder", "predictions")
        )
        self._length = length
        self._cardinality = cardinality
        forbidden = [*range(first_vocabulary_id(oov_buckets)), start_id(cardinality)]
        self._beam_width = min(beam_width, cardinality - len(forbidden))
        self._forbidden = tf.reduce_sum(tf.one_hot(forbidden, cardinality), axis=0) * _IMPOSSIBLE

    def _encode(self, source_ids: tf.Tensor) -> list[tf.Tensor]:
        steps = self._embed(source_ids)
        mask = self._mask(source_ids)
        _, *state = self._encoder(steps, mask=mask, training=False)
        return state

    def _step(self, tokens: tf.Tensor, state: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the log probabilities after one more token, and the new state."""
        embedded = self._embed_target(tokens[:, None])
        decoded, *state = self._decoder(embedded, initial_state=state, training=False)
        probabilities = self._predictions(decoded)[:, 0]
        return tf.math.log(probabilities + 1e-12) + self._forbidden, state

    def greedy(self, source_ids: tf.Tensor) -> tf.Tensor:
        """Returns [batch, length] int64, the likeliest token at each step; padding after the end."""
        state = self._encode(source_ids)
        batch = tf.shape(source_ids)[0]
        tokens = tf.fill([batch], tf.constant(start_id(self._cardinality), tf.int64))
        ended = tf.zeros([batch], tf.bool)
        generated = []
        for _ in range(self._length):
            scores, state = self._step(tokens, state)
            tokens = tf.where(ended, tf.constant(PADDING_ID, tf.int64), tf.argmax(scores, axis=1))
            ended |= tf.equal(tokens, end_id(self._cardinality))
            generated.append(tokens)
        return tf.stack(generated, axis=1)

    def beam(self, source_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Searches for the likeliest sequences.

        Returns:
          [batch, beam_width, length] int64, best first; [batch, beam_width] float32, the natural
          logarithm of each sequence's probability: the sum over its tokens, the end included. It is
          what the search goes by and what the sequences are ordered by.
        """
        width, size = self._beam_width, self._cardinality
        batch = tf.shape(source_ids)[0]
        state = [self._repeat(part) for part in self._encode(source_ids)]
        tokens = tf.fill([batch * width], tf.constant(start_id(size), tf.int64))
        # All hypotheses start equal: only the first may be extended at first.
        scores = tf.tile([[0.0] + [_IMPOSSIBLE] * (width - 1)], [batch, 1])
        sequences = tf.zeros([batch, width, 0], tf.int64)
        ended = tf.zeros([batch, width], tf.bool)
        only_padding = tf.concat([[0.0], tf.fill([size - 1], _IMPOSSIBLE)], axis=0)
        for _ in range(self._length):
            step, state = self._step(tokens, state)
            step = tf.reshape(step, [batch, width, size])
            step = tf.where(ended[..., None], only_padding, step)
            total = tf.reshape(scores[..., None] + step, [batch, width * size])
            scores, chosen = tf.math.top_k(total, k=width)
            parents, added = chosen // size, tf.cast(chosen % size, tf.int64)
            sequences = tf.concat(
                [tf.gather(sequences, parents, batch_dims=1), added[..., None]], axis=2
            )
            state = [self._follow(part, parents, batch) for part in state]
            ended = tf.gather(ended, parents, batch_dims=1)
            ended |= tf.equal(added, end_id(size))
            tokens = tf.reshape(added, [-1])
        return sequences, scores

    def _repeat(self, state: tf.Tensor) -> tf.Tensor:
        return tf.repeat(state, self._beam_width, axis=0)

    def _follow(self, state: tf.Tensor, parents: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        units = state.shape[-1]
        grouped = tf.reshape(state, [batch, self._beam_width, units])
        return tf.reshape(tf.gather(grouped, parents, batch_dims=1), [-1, units])
