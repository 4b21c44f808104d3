"""Raw tensors to tokens and values: what is counted, and what is then looked up or scaled.

Analysis and the transform graph are traced from this one function, so that what was counted is
what is encoded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import tensorflow as tf

from skewless.schemas.records.records import LABEL
from skewless.schemas.rows.raw_tensors import dense_numbers, dense_strings, ragged_strings
from skewless.schemas.rows.tokenizers import between_spaces, clean_values, stripped, tokenize
from skewless.schemas.spec.features import CategoricalFeature, NumericFeature, TextFeature
from skewless.schemas.spec.label import Label, MultilabelLabel, RegressionLabel, SequenceLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["Prepared", "RawTensors", "prepare"]

RawTensors = Mapping[str, tf.SparseTensor]
Prepared = dict[str, tf.RaggedTensor | tf.Tensor]


def prepare(spec: Spec, inputs: RawTensors, uncut: Collection[str] = ()) -> Prepared:
    """Returns each feature's, and the label's, tokens or values.

    Args:
      spec: The declaration.
      inputs: [batch] or [batch, (values)] of each raw column.
      uncut: Texts of which not the tokens are wanted but what stands between spaces.

    Returns:
      [batch, (tokens)] string for texts and lists of categories, without empty ones; [batch]
      string for a single category or class, empty where missing; [batch, width] float32 for
      numbers, clipped, NaN where missing.
    """
    prepared: Prepared = {}
    for name, feature in spec.features.items():
        if isinstance(feature, TextFeature):
            texts = _text(spec, inputs[feature.column or name])
            prepared[name] = between_spaces(texts) if name in uncut else tokenize(texts, feature)
        else:
            prepared[name] = _feature(name, feature, spec, inputs)
    if spec.label is not None:
        prepared[LABEL] = _label(spec.label, inputs[spec.label.column])
    return prepared


def _feature(
    name: str, feature: CategoricalFeature | NumericFeature, spec: Spec, inputs: RawTensors
) -> tf.RaggedTensor | tf.Tensor:
    if isinstance(feature, NumericFeature):
        return _numbers(name, feature, inputs)
    raw = inputs[feature.column or name]
    if feature.multivalued:
        return _categories(feature, spec, raw)
    return clean_values(dense_strings(raw), spec.missing_values)


def _text(spec: Spec, raw: tf.SparseTensor) -> tf.Tensor:
    texts = dense_strings(raw)
    if spec.missing_values:
        bare = stripped(texts)
        for missing in spec.missing_values:
            texts = tf.where(tf.equal(bare, missing), "", texts)
    return texts


def _categories(feature: CategoricalFeature, spec: Spec, raw: tf.SparseTensor) -> tf.RaggedTensor:
    values = ragged_strings(raw)
    if feature.separator is not None:
        values = tf.strings.split(values, feature.separator).merge_dims(1, 2)
    values = values.with_flat_values(clean_values(values.flat_values, spec.missing_values))
    return tf.ragged.boolean_mask(values, tf.not_equal(values, ""))


def _numbers(name: str, feature: NumericFeature, inputs: RawTensors) -> tf.Tensor:
    columns = feature.columns or (feature.column or name,)
    per_column = feature.width // len(columns)
    values = tf.concat([dense_numbers(inputs[column], per_column) for column in columns], axis=1)
    present = tf.math.is_finite(values)
    if feature.clip is not None:
        values = tf.clip_by_value(values, *feature.clip)
    return tf.where(present, values, float("nan"))


def _label(label: Label, raw: tf.SparseTensor) -> tf.RaggedTensor | tf.Tensor:
    if isinstance(label, RegressionLabel):
        return dense_numbers(raw, 1)
    if isinstance(label, SequenceLabel):
        return tokenize(dense_strings(raw), label)
    if isinstance(label, MultilabelLabel):
        values = tf.strings.split(ragged_strings(raw), label.separator).merge_dims(1, 2)
        return values.with_flat_values(clean_values(values.flat_values, ()))
    return clean_values(dense_strings(raw), ())
