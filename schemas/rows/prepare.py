"""Raw tensors to tokens and values: what is counted, and what is then looked up or scaled.

Analysis and the transform graph are traced from this one function, so that what was counted is
what is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from skewless.schemas.records.records import weights_name
from skewless.schemas.rows.lists.beside import Places, weights_at
from skewless.schemas.rows.lists.steps import gaps_of_times, number_steps
from skewless.schemas.rows.raw_tensors import (
    dense_numbers,
    dense_strings,
    ragged_strings,
    stacked_numbers,
    stacked_strings,
)
from skewless.schemas.rows.times.parsing import parse_times
from skewless.schemas.rows.tokenizers import clean_values, stripped, tokenize
from skewless.schemas.spec.features import (
    CategoricalFeature,
    Feature,
    HistoryFeature,
    NumericFeature,
    NumericSequenceFeature,
    TextFeature,
    TimeGapsFeature,
    TimestampFeature,
    of_kind,
)
from skewless.schemas.spec.kinds.alike import alike, in_groups
from skewless.schemas.spec.kinds.sequences import StepsOfNumbers
from skewless.schemas.spec.label import Label, MultilabelLabel, SequenceLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["Prepared", "RawTensors", "Together", "each", "prepare", "prepare_together"]

RawTensors = Mapping[str, tf.SparseTensor]
Prepared = dict[str, tf.RaggedTensor | tf.Tensor]
# By the names of those that are prepared together.
Together = dict[tuple[str, ...], tf.RaggedTensor | tf.Tensor]


def prepare(spec: Spec, inputs: RawTensors) -> Prepared:
    """Returns each feature's, and each label's, tokens or values; none of what combines others'.

    Args:
      spec: The declaration.
      inputs: [batch] or [batch, (values)] of each raw column.

    Returns:
      [batch, (tokens)] string for texts and lists of categories, without empty ones; [batch]
      string for a single category or class, empty where missing; [batch, width] float32 for
      numbers, clipped, NaN where missing; [batch, columns] int64 microseconds for times; [batch,
      (steps), numbers] float32 for sequences of numbers, NaN where one is missing. Under
      `weights_name` of a feature, [batch, (tokens)] float32, what each of its values weighs.
    """
    return each(prepare_together(spec, inputs))


def each(together: Together) -> Prepared:
    """Returns by its own name each of those that were prepared together."""
    prepared: Prepared = {}
    for names, values in together.items():
        if len(names) == 1:
            prepared[names[0]] = values
        elif values.dtype == tf.string:
            prepared |= zip(names, tf.unstack(values, len(names)), strict=True)
        else:
            prepared |= zip(names, tf.split(values, len(names), axis=1), strict=True)
    return prepared


def prepare_together(spec: Spec, inputs: RawTensors) -> Together:
    """Returns what `prepare` does, of features that are alike in one tensor.

    Args:
      spec: The declaration.
      inputs: [batch] or [batch, (values)] of each raw column.

    Returns:
      By one name, a label's too, what `prepare` returns. By several [features, batch] string
      for single categories, [batch, features] float32 for numbers.
    """
    prepared: Together = {}
    for names in alike(spec.features):
        name, feature = names[0], spec.features[names[0]]
        if len(names) > 1:
            columns = [
                inputs[column]
                for name in names
                for column in spec.features[name].columns_read(name)
            ]
            prepared[names] = of_kind(_PREPARED_TOGETHER, feature)(feature, spec, columns)
        else:
            prepared[names] = of_kind(_PREPARED, feature)(name, feature, spec, inputs)
            if feature.weights_column is not None:
                prepared[weights_name(name),] = _weights(name, feature, spec, inputs)
    for entry, label in spec.targets.items():
        prepared[entry,] = _label(label, inputs[label.column])
    return prepared


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
    column = feature.columns_read(name)[0]
    if not feature.multivalued:
        return clean_values(dense_strings(inputs[column]), spec.missing_values)
    return _values(ragged_strings(inputs[column]), feature.separator, spec)


def _weights(name: str, feature: Feature, spec: Spec, inputs: RawTensors) -> tf.RaggedTensor:
    """Returns what each value that `_values` gives weighs."""
    return weights_at(inputs[str(feature.weights_column)], _places(name, spec, inputs))


def _places(name: str, spec: Spec, inputs: RawTensors) -> Places:
    """Returns where the values stand that a feature of several has."""
    feature = spec.features[name]
    raw = inputs[feature.columns_read(name)[0]]
    values, places = ragged_strings(raw), raw.indices[:, 1]
    if feature.parted_by is not None:
        values = tf.strings.split(values, feature.parted_by).merge_dims(1, 2)
        places = tf.ragged.range(values.row_lengths()).flat_values
    cleaned = clean_values(values.flat_values, spec.missing_values)
    return Places(values.with_flat_values(cleaned), places)


def _beside(feature: StepsOfNumbers, spec: Spec, inputs: RawTensors) -> Places | None:
    return None if feature.beside is None else _places(feature.beside, spec, inputs)


def _number_steps(
    name: str, feature: NumericSequenceFeature, spec: Spec, inputs: RawTensors
) -> tf.RaggedTensor:
    (column,) = feature.columns_read(name)
    return number_steps(feature, inputs[column], _beside(feature, spec, inputs))


def _time_gaps(
    name: str, feature: TimeGapsFeature, spec: Spec, inputs: RawTensors
) -> tf.RaggedTensor:
    (column,) = feature.columns_read(name)
    raw = inputs[column]
    if feature.separator is not None:
        raw = tf.strings.split(ragged_strings(raw), feature.separator).merge_dims(1, 2).to_sparse()
    return gaps_of_times(feature, raw, _beside(feature, spec, inputs), spec.missing_values)


def _past(name: str, feature: HistoryFeature, spec: Spec, inputs: RawTensors) -> tf.RaggedTensor:
    (column,) = feature.columns_read(name)
    return _values(ragged_strings(inputs[column]), None, spec)


def _values(values: tf.RaggedTensor, separator: str | None, spec: Spec) -> tf.RaggedTensor:
    if separator is not None:
        values = tf.strings.split(values, separator).merge_dims(1, 2)
    values = values.with_flat_values(clean_values(values.flat_values, spec.missing_values))
    return tf.ragged.boolean_mask(values, tf.not_equal(values, ""))


def _categories_together(
    _: CategoricalFeature, spec: Spec, columns: Sequence[tf.SparseTensor]
) -> tf.Tensor:
    return clean_values(stacked_strings(columns), spec.missing_values)


def _numbers(name: str, feature: NumericFeature, spec: Spec, inputs: RawTensors) -> tf.Tensor:
    columns = feature.columns_read(name)
    width = feature.width // len(columns)
    parts = [
        dense_numbers(inputs[some[0]], width)
        if len(some) == 1
        else tf.transpose(stacked_numbers([inputs[column] for column in some]))
        for some in in_groups(columns)
    ]
    return _clipped(feature, tf.concat(parts, axis=1))


def _numbers_together(
    feature: NumericFeature, _: Spec, columns: Sequence[tf.SparseTensor]
) -> tf.Tensor:
    return _clipped(feature, tf.transpose(stacked_numbers(columns)))


def _clipped(feature: NumericFeature, values: tf.Tensor) -> tf.Tensor:
    present = tf.math.is_finite(values)
    if feature.clip is not None:
        values = tf.clip_by_value(values, *feature.clip)
    return tf.where(present, values, float("nan"))


def _times(name: str, feature: TimestampFeature, spec: Spec, inputs: RawTensors) -> tf.Tensor:
    columns = [
        parse_times(
            clean_values(dense_strings(inputs[column]), spec.missing_values), feature.time_unit
        )
        for column in feature.columns_read(name)
    ]
    return tf.stack(columns, axis=1)


_PREPARED: dict[type, Callable[[str, Any, Spec, RawTensors], tf.RaggedTensor | tf.Tensor]] = {
    TextFeature: _tokens,
    CategoricalFeature: _categories,
    HistoryFeature: _past,
    NumericFeature: _numbers,
    NumericSequenceFeature: _number_steps,
    TimestampFeature: _times,
    TimeGapsFeature: _time_gaps,
}
# By kind of features that are alike: their declaration, the spec, and their raw columns.
_PREPARED_TOGETHER: dict[type, Callable[[Any, Spec, Sequence[tf.SparseTensor]], tf.Tensor]] = {
    CategoricalFeature: _categories_together,
    NumericFeature: _numbers_together,
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
