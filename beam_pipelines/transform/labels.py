"""Labels in the transform graph; shapes and dtypes as in schemas/spec/label.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from skewless.beam_pipelines.transform.lookup import padded, places, vocabulary_ids
from skewless.beam_pipelines.transform.numeric import NumericConstants, standardized
from skewless.beam_pipelines.transform.vocabulary_files import VocabularyFiles
from skewless.schemas.records.id_contract import first_vocabulary_id
from skewless.schemas.records.records import LABEL, LABEL_MEAN, LABEL_SCALE, tokens_name
from skewless.schemas.spec.label import (
    BinaryLabel,
    Label,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)

__all__ = ["transform_label"]

Outputs = dict[str, tf.Tensor]


def transform_label(
    label: Label,
    prepared: tf.RaggedTensor | tf.Tensor,
    files: VocabularyFiles,
    constants: NumericConstants | None,
) -> Outputs:
    """Returns the label's record entry, and for a scaled regression what undoes the scale.

    Args:
      label: The declaration.
      prepared: The label as `prepare` gives it.
      files: Where classes and tokens are looked up.
      constants: Of a regression label that is scaled by them.
    """
    return _TRANSFORMS[type(label)](label, prepared, files, constants)


def _binary(label: BinaryLabel, values: tf.Tensor, *_: object) -> Outputs:
    if label.any_case:
        values = tf.strings.lower(values)
    positive = tf.constant(label.positive_texts)
    matches = tf.reduce_any(tf.equal(values[:, None], positive[None, :]), axis=1)
    return {LABEL: tf.cast(matches, tf.float32)}


def _multiclass(
    _: MulticlassLabel, values: tf.Tensor, files: VocabularyFiles, *__: object
) -> Outputs:
    return {LABEL: places(values, files.path(LABEL))[0]}


def _multilabel(
    _: MultilabelLabel, values: tf.RaggedTensor, files: VocabularyFiles, *__: object
) -> Outputs:
    found, size = places(values.flat_values, files.path(LABEL))
    # One more place takes what no class stands for, and is cut off again.
    ids = values.with_flat_values(tf.where(found < 0, tf.constant(size, tf.int64), found))
    hot = tf.reduce_max(tf.one_hot(ids.to_tensor(size), size + 1), axis=1)
    return {LABEL: tf.ensure_shape(tf.maximum(hot, 0.0)[:, :-1], [None, size])}


def _regression(
    label: RegressionLabel,
    prepared: tf.Tensor,
    _: VocabularyFiles,
    constants: NumericConstants | None,
) -> Outputs:
    values = prepared[:, 0]
    if label.scale == "none":
        return {LABEL: values}
    if label.scale == "log1p":
        return {LABEL: tf.sign(values) * tf.math.log1p(tf.abs(values))}
    assert constants is not None
    mean, scale = constants.mean[0], constants.standard_deviation[0]
    every_row = tf.zeros_like(values)
    return {
        LABEL: standardized(values, mean, scale),
        LABEL_MEAN: every_row + mean,
        LABEL_SCALE: every_row + scale,
    }


def _sequence(
    label: SequenceLabel, tokens: tf.RaggedTensor, files: VocabularyFiles, *_: object
) -> Outputs:
    path = files.path(LABEL)
    flat = vocabulary_ids(tokens.flat_values, [path], label.oov_buckets, may_be_missing=False)
    ids = tokens.with_flat_values(flat)[:, : label.length]
    _, size = places(tokens.flat_values[:0], path)
    # As schemas.id_contract.end_id has it: the last of size + start + end.
    end = first_vocabulary_id(label.oov_buckets) + size + 1
    closing = tf.fill([ids.nrows(), 1], tf.constant(end, tf.int64))
    closed = tf.concat([ids, tf.RaggedTensor.from_tensor(closing)], axis=1)
    return {
        LABEL: padded(closed, label.length + 1),
        tokens_name(LABEL): tokens.row_lengths(),
    }


_TRANSFORMS: dict[type, Callable[[Any, Any, VocabularyFiles, NumericConstants | None], Outputs]] = {
    BinaryLabel: _binary,
    MulticlassLabel: _multiclass,
    MultilabelLabel: _multilabel,
    RegressionLabel: _regression,
    SequenceLabel: _sequence,
}
