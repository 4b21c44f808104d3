"""Raw tensors to tokens and values: what is counted, and what is then looked up or scaled.

Analysis and the transform graph are traced from this one function, so that what was counted is
what is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow as tf

from skewless.schemas.records.records import LABEL
from skewless.schemas.rows.raw_tensors import (
    dense_numbers,
    dense_strings,
    ragged_strings,
    stacked_numbers,
    stacked_strings,
)
from skewless.schemas.rows.times.parsing import parse_times
from skewless.schemas.rows.tokenizers import between_spaces, clean_values, stripped, tokenize
from skewless.schemas.spec.features import (
    CategoricalFeature,
    Feature,
    NumericFeature,
    TextFeature,
    TimestampFeature,
    of_kind,
)
from skewless.schemas.spec.label import Label, MultilabelLabel, SequenceLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["Prepared", "RawTensors", "prepare"]

# How many features of one kind are worth stacking, and how many of them one operation takes: one
# operation is one thread.
_ALIKE_AT_LEAST, _ALIKE_AT_MOST = 8, 32
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
      numbers, clipped, NaN where missing; [batch, columns] int64 microseconds for times.
    """
    prepared: Prepared = _alike(spec, inputs)
    for name, feature in spec.features.items():
        if name in prepared:
            continue
        if name in uncut:
            prepared[name] = between_spaces(_text(name, feature, spec, inputs))
        else:
            prepared[name] = of_kind(_PREPARED, feature)(name, feature, spec, inputs)
    if spec.label is not None:
        prepared[LABEL] = _label(spec.label, inputs[spec.label.column])
    return prepared


def _alike(spec: Spec, inputs: RawTensors) -> Prepared:
    """Returns the features that many others are like, prepared together.

    Those are single categories, and numbers of one column that are not clipped.
    """
    categories: list[tuple[str, str]] = []
    numbers: list[tuple[str, str]] = []
    for name, feature in spec.features.items():
        if isinstance(feature, CategoricalFeature) and not feature.multivalued:
            categories += [(name, column) for column in feature.columns_read(name)]
        elif isinstance(feature, NumericFeature) and feature.width == 1 and feature.clip is None:
            numbers += [(name, column) for column in feature.columns_read(name)]
    prepared: Prepared = {}
    for group in _groups(categories):
        texts = stacked_strings([inputs[column] for _, column in group])
        cleaned = tf.unstack(clean_values(texts, spec.missing_values), len(group))
        prepared |= {name: values for (name, _), values in zip(group, cleaned, strict=True)}
    for group in _groups(numbers):
        values = stacked_numbers([inputs[column] for _, column in group])
        values = tf.where(tf.math.is_finite(values), values, float("nan"))
        # As columns, [batch, 1] each.
        apart = tf.split(tf.transpose(values), len(group), axis=1)
        prepared |= {name: number for (name, _), number in zip(group, apart, strict=True)}
    return prepared


def _groups(alike: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Cuts many into groups, which run side by side; few are not worth it."""
    if len(alike) < _ALIKE_AT_LEAST:
        return []
    return [alike[first : first + _ALIKE_AT_MOST] for first in range(0, len(alike), _ALIKE_AT_MOST)]


def _tokens(name: str, feature: TextFeature, spec: Spec, inputs: RawTensors) -> tf.RaggedTensor:
    return tokenize(_text(name, feature, spec, inputs), feature)


def _text(name: str, feature: Feature, spec: Spec, inputs: RawTensors) -> tf.Tensor:
    (column,) = feature.columns_read(name)
    texts = dense_strings(inputs[column])
    if spec.missing_values:
        bare = stripped(texts)
        for missing in spec.missing_values:
            texts = tf.where(tf.equal(bare, missing), "", texts)
    return texts


def _categories(
    name: str, feature: CategoricalFeature, spec: Spec, inputs: RawTensors
) -> tf.RaggedTensor | tf.Tensor:
    (column,) = feature.columns_read(name)
    if not feature.multivalued:
        return clean_values(dense_strings(inputs[column]), spec.missing_values)
    values = ragged_strings(inputs[column])
    if feature.separator is not None:
        values = tf.strings.split(values, feature.separator).merge_dims(1, 2)
    values = values.with_flat_values(clean_values(values.flat_values, spec.missing_values))
    return tf.ragged.boolean_mask(values, tf.not_equal(values, ""))


def _numbers(name: str, feature: NumericFeature, spec: Spec, inputs: RawTensors) -> tf.Tensor:
    columns = feature.columns_read(name)
    per_column = feature.width // len(columns)
    values = tf.concat([dense_numbers(inputs[column], per_column) for column in columns], axis=1)
    present = tf.math.is_finite(values)
    if feature.clip is not None:
        values = tf.clip_by_value(values, *feature.clip)
    return tf.where(present, values, float("nan"))


def _times(name: str, feature: TimestampFeature, spec: Spec, inputs: RawTensors) -> tf.Tensor:
    columns = [
        parse_times(clean_values(dense_strings(inputs[column]), spec.missing_values), feature.unit)
        for column in feature.columns_read(name)
    ]
    return tf.stack(columns, axis=1)


_PREPARED: dict[type, Callable[[str, Any, Spec, RawTensors], tf.RaggedTensor | tf.Tensor]] = {
    TextFeature: _tokens,
    CategoricalFeature: _categories,
    NumericFeature: _numbers,
    TimestampFeature: _times,
}


def _label(label: Label, raw: tf.SparseTensor) -> tf.RaggedTensor | tf.Tensor:
    if label.is_number:
        return dense_numbers(raw, 1)
    if isinstance(label, SequenceLabel):
        return tokenize(dense_strings(raw), label)
    if isinstance(label, MultilabelLabel):
        values = tf.strings.split(ragged_strings(raw), label.separator).merge_dims(1, 2)
        return values.with_flat_values(clean_values(values.flat_values, ()))
    return clean_values(dense_strings(raw), ())
