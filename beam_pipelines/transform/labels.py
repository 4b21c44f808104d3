"""Labels in the transform graph; shapes and dtypes as in schemas/spec/label.py.

One of several labels may be missing from a row: its number, or its binary label, is NaN then, its
class `NO_CLASS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from skewless.beam_pipelines.transform.lookup import padded, places, vocabulary_ids, wordpieces
from skewless.beam_pipelines.transform.numeric import NumericConstants, signed_log, standardized
from skewless.beam_pipelines.transform.vocabulary_files import VocabularyFiles
from skewless.schemas.records.id_contract import first_vocabulary_id
from skewless.schemas.records.records import label_mean_name, label_scale_name, tokens_name
from skewless.schemas.spec.label import (
    BinaryLabel,
    Label,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)

__all__ = ["LearnedLabels", "transform_label"]

Outputs = dict[str, tf.Tensor]


@dataclass(frozen=True)
class LearnedLabels:
    """What labels are looked up in and scaled by.

    Attributes:
      files: Where classes and tokens are looked up.
      constants: By record entry, of regression labels that are scaled by them.
      may_lack: Whether rows may lack labels, as those of several may.
    """

    files: VocabularyFiles
    constants: Mapping[str, NumericConstants]
    may_lack: bool = False


def transform_label(
    entry: str, label: Label, prepared: tf.RaggedTensor | tf.Tensor, learned: LearnedLabels
) -> Outputs:
    """Returns the label's record entry, and for a scaled regression what undoes the scale.

    Args:
      entry: Its name.
      label: The declaration.
      prepared: The label as `prepare` gives it.
      learned: Of all labels.
    """
    return _TRANSFORMS[type(label)](entry, label, prepared, learned)


def _binary(entry: str, label: BinaryLabel, values: tf.Tensor, learned: LearnedLabels) -> Outputs:
    texts = tf.strings.lower(values) if label.any_case else values
    positive = tf.constant(label.positive_texts)
    matches = tf.reduce_any(tf.equal(texts[:, None], positive[None, :]), axis=1)
    sides = tf.cast(matches, tf.float32)
    if learned.may_lack:
        sides = tf.where(tf.equal(values, ""), float("nan"), sides)
    return {entry: sides}


def _multiclass(
    entry: str, _: MulticlassLabel, values: tf.Tensor, learned: LearnedLabels
) -> Outputs:
    return {entry: places(values, learned.files.path(entry))[0]}


def _multilabel(
    entry: str, _: MultilabelLabel, values: tf.RaggedTensor, learned: LearnedLabels
) -> Outputs:
    found, size = places(values.flat_values, learned.files.path(entry))
    # One more place takes what no class stands for, and is cut off again.
    ids = values.with_flat_values(tf.where(found < 0, tf.constant(size, tf.int64), found))
    hot = tf.reduce_max(tf.one_hot(ids.to_tensor(size), size + 1), axis=1)
    return {entry: tf.ensure_shape(tf.maximum(hot, 0.0)[:, :-1], [None, size])}


def _regression(
    entry: str, label: RegressionLabel, prepared: tf.Tensor, learned: LearnedLabels
) -> Outputs:
    values = prepared[:, 0]
    if label.logarithmic:
        values = signed_log(values)
    if not label.standardized:
        return {entry: values}
    constants = learned.constants[entry]
    mean, scale = constants.mean[0], constants.standard_deviation[0]
    every_row = tf.zeros_like(values)
    scaled = standardized(values, mean, scale)
    if learned.may_lack:
        # Where all values are one, the scale is 0 and would make a 0 of what is missing, too.
        scaled = tf.where(tf.math.is_nan(values), values, scaled)
    return {
        entry: scaled,
        label_mean_name(entry): every_row + mean,
        label_scale_name(entry): every_row + scale,
    }


def _sequence(
    entry: str, label: SequenceLabel, tokens: tf.RaggedTensor, learned: LearnedLabels
) -> Outputs:
    path = learned.files.path(entry)
    if label.learns_pieces:
        tokens = wordpieces(tokens, path)
    flat = vocabulary_ids(tokens.flat_values, [path], label.oov_buckets, may_be_missing=False)
    ids = tokens.with_flat_values(flat)[:, : label.length]
    _, size = places(tokens.flat_values[:0], path)
    # As schemas.id_contract.end_id has it: the last of size + start + end.
    end = first_vocabulary_id(label.oov_buckets) + size + 1
    closing = tf.fill([ids.nrows(), 1], tf.constant(end, tf.int64))
    closed = tf.concat([ids, tf.RaggedTensor.from_tensor(closing)], axis=1)
    return {
        entry: padded(closed, label.length + 1),
        tokens_name(entry): tokens.row_lengths(),
    }


_TRANSFORMS: dict[type, Callable[[str, Any, Any, LearnedLabels], Outputs]] = {
    BinaryLabel: _binary,
    MulticlassLabel: _multiclass,
    MultilabelLabel: _multilabel,
    RegressionLabel: _regression,
    SequenceLabel: _sequence,
}
