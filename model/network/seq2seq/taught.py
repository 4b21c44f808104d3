"""Training and its loss: of the tokens that a batch asks for, and of no padding.

The output layer is the widest of a translating network: a row of 10 tokens padded to 64 would pay for
65 softmaxes over the vocabulary. So the steps that ask for a token are taken out first, and the loss is
of their logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from skewless.model.network.layer_names import layer_called, layer_name
from skewless.model.network.seq2seq.inputs import DECODER_INPUT, trimmed
from skewless.model.network.seq2seq.sampled import sampled_losses
from skewless.schemas.records.id_contract import PADDING_ID

__all__ = ["Likeliest", "TaughtModel", "Tokens", "tokens_of"]


@dataclass(frozen=True)
class Tokens:
    """The tokens that a batch asks for, row by row.

    Attributes:
      truth: [tokens] int64 IDs.
      states: [tokens, units] float32, of the decoder before each.
      weights: [tokens] float32, of their rows.
      output: The output layer.
    """

    truth: tf.Tensor
    states: tf.Tensor
    weights: tf.Tensor
    output: Any

    def logits(self) -> tf.Tensor:
        """Returns [tokens, cardinality] float32, whose softmax the network predicts."""
        return tf.matmul(self.states, self.output.kernel) + self.output.bias


def tokens_of(
    model: keras.Model,
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    weights: tf.Tensor,
    *,
    training: bool = False,
) -> Tokens:
    """Returns what a model from `build_seq2seq` says of each token of a batch.

    Args:
      model: Also one that was saved before, whose inputs have one length.
      features: [batch, length] int64 source IDs and decoder input.
      labels: [batch, length + 1] int64, 0 after the end.
      weights: [batch, length + 1] float32.
      training: Whether dropout is at work.
    """
    if model.input[DECODER_INPUT].shape[1] is None:
        features, labels = trimmed(features, labels)
        weights = weights[:, : tf.shape(labels)[1]]
    asked = tf.not_equal(labels, PADDING_ID)
    states = tf.boolean_mask(_decoding(model)(features, training=training), asked)
    states = tf.cast(states, tf.float32)
    return Tokens(
        tf.boolean_mask(labels, asked),
        states,
        tf.boolean_mask(weights, asked),
        _output_layer(model),
    )


def _output_layer(model: keras.Model) -> Any:
    return layer_called(layer_name("predictions"), {layer.name: layer for layer in model.layers})


def _decoding(model: keras.Model) -> keras.Model:
    """Returns the same layers but the output's: [batch, length, units]."""
    found = model.__dict__.get("_without_output")
    if found is None:
        found = keras.Model(model.input, _output_layer(model).input)
        # Not as an attribute: Keras would save it as a layer of this model.
        model.__dict__["_without_output"] = found
    return found


@keras.saving.register_keras_serializable(package="skewless")
class TaughtModel(keras.Model):
    """A functional model of `build_seq2seq`, trained and tested on `tokens_of` a batch.

    Its loss is the mean over tokens of what each loses times what its row weighs.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains on a batch: as Keras does, but for what the loss is of."""
        features, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        sampled: int | None = getattr(self.loss, "sampled", None)
        logits = None
        with tf.GradientTape() as tape:
            tokens = tokens_of(self, features, labels, weights, training=True)
            if sampled is None:
                logits = tokens.logits()
                loss = self._loss_of(features, tokens, logits, training=True)
            else:
                loss = self._estimated_loss(tokens, sampled)
            scaled = self.optimizer.scale_loss(loss)
        self._loss_tracker.update_state(loss, sample_weight=tf.size(tokens.truth))
        trained = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, trained), trained, strict=True))
        if logits is None:
            # What is measured at the end of an epoch has to be there, though this step adds nothing to it.
            if not self._compile_metrics.built:
                self._compile_metrics.build(tokens.truth, tokens.logits())
            return {"loss": self._loss_tracker.result()}
        return self._measured(features, tokens, logits)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measures a batch, over the whole vocabulary in any case."""
        features, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        tokens = tokens_of(self, features, labels, weights)
        logits = tokens.logits()
        loss = self._loss_of(features, tokens, logits, training=False)
        self._loss_tracker.update_state(loss, sample_weight=tf.size(tokens.truth))
        return self._measured(features, tokens, logits)

    def _loss_of(
        self, features: Any, tokens: Tokens, logits: tf.Tensor, *, training: bool
    ) -> tf.Tensor:
        return self.compute_loss(
            x=features,
            y=tokens.truth,
            y_pred=logits,
            sample_weight=tokens.weights,
            training=training,
        )

    def _estimated_loss(self, tokens: Tokens, sampled: int) -> tf.Tensor:
        # Of the step alone, so that a resumed run draws what this one would have.
        seed = tf.stack([tf.cast(self.optimizer.iterations, tf.int64), sampled])
        each = sampled_losses(tokens.states, tokens.truth, tokens.output, sampled, seed)
        return tf.reduce_mean(each * tokens.weights)

    def _measured(self, features: Any, tokens: Tokens, logits: tf.Tensor) -> dict[str, Any]:
        return dict(
            self.compute_metrics(features, tokens.truth, logits, sample_weight=tokens.weights)
        )


@keras.saving.register_keras_serializable(package="skewless")
class Likeliest(keras.metrics.MeanMetricWrapper):
    """The share of [tokens] IDs whose logit, of [tokens, cardinality], is the largest.

    A maximum costs a tenth of Keras's argmax over a vocabulary.
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any) -> None:
        super().__init__(_is_largest, name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"name": self.name, "dtype": self.dtype}


def _is_largest(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    own = tf.gather(logits, truth, batch_dims=1)
    return tf.cast(own >= tf.reduce_max(logits, axis=1), tf.float32)
