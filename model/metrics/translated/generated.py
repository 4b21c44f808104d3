"""What a translating model writes for a split's rows, and what it loses when it is taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from skewless.model.exported.texts import Texts
from skewless.model.metrics.translated.scores import Translations
from skewless.model.network.seq2seq import DECODER_INPUT, Generator, tokens_of
from skewless.model.training.records import Records
from skewless.schemas.records.layout import ASSETS, TRANSFORM, TRANSFORM_FN
from skewless.schemas.records.records import KEY, LABEL
from skewless.schemas.records.vocabulary_file import read_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_file
from skewless.schemas.spec.features import TextFeature
from skewless.schemas.spec.label import SequenceLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["Generated", "generate_split"]

_BATCH = 1024
# SentencePiece's sign for a token that is not known: one no text holds, so that it equals nothing.
_LETTERS = ("characters", "words_or_letters")
_UNKNOWN = "\u2047".encode()


@dataclass(frozen=True)
class Generated:
    """Of a split's rows: [rows, length] IDs asked for and written, weights, keys; the mean token's loss."""

    truth: np.ndarray
    predicted: np.ndarray
    weights: np.ndarray
    keys: np.ndarray
    loss: float
    translations: Translations


def generate_split(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Generated:
    """Generates greedily; the loss is the teacher-forced one."""
    generator = Generator(model, spec, records.manifest.features[LABEL])
    greedy = tf.function(generator.greedy, reduce_retracing=True)
    loss_of = tf.function(lambda *batch: _token_losses(model, *batch), reduce_retracing=True)
    truth, predicted, sources, weights, keys = [], [], [], [], []
    losses, counts = 0.0, 0.0
    for features, labels, weight in records.in_order(split, batch_size=_BATCH, with_key=True):
        keys.append(features.pop(KEY).numpy())
        loss, count = loss_of(features, labels, weight)
        losses, counts = losses + float(loss), counts + float(count)
        # Every target has its end token at least, so the first step bears the row's weight.
        weights.append(weight[:, 0].numpy())
        source = next(ids for name, ids in features.items() if name != DECODER_INPUT)
        predicted.append(greedy(source).numpy())
        sources.append(source.numpy())
        truth.append(labels.numpy())
    asked, written = np.concatenate(truth), np.concatenate(predicted)
    return Generated(
        asked,
        written,
        np.concatenate(weights),
        np.concatenate(keys),
        losses / max(counts, 1.0),
        _translations(spec, records, run_directory, (written, asked, np.concatenate(sources))),
    )


def _token_losses(
    model: keras.Model, features: Mapping[str, tf.Tensor], labels: tf.Tensor, weight: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a batch's summed loss and weight of tokens."""
    tokens = tokens_of(model, features, labels, weight)
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(tokens.truth, tokens.logits())
    return tf.reduce_sum(each * tokens.weights), tf.reduce_sum(tokens.weights)


def _translations(
    spec: Spec,
    records: Records,
    run_directory: Path,
    ids: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Translations:
    """Returns what generated, asked and source IDs read as."""
    ((name, feature),) = spec.features.items()
    label = spec.label
    assert isinstance(label, SequenceLabel)
    assert isinstance(feature, TextFeature)
    assets = run_directory / TRANSFORM / TRANSFORM_FN / ASSETS

    def texts(of: str, declared: TextFeature | SequenceLabel, unknown: bytes) -> Texts:
        size = records.manifest.features[of].cardinality
        assert size is not None
        vocabulary = read_vocabulary(str(vocabulary_file(spec, of, assets)))
        return Texts(declared, vocabulary, size, unknown)

    target = texts(LABEL, label, _UNKNOWN)
    written, asked = (target(some).numpy() for some in ids[:2])
    copied = None if feature.ngrams > 1 else texts(name, feature, b"")(ids[2]).numpy()
    return Translations(written, asked, copied, label.tokenizer in _LETTERS)
