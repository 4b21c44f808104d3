"""The preprocessing function: a spec and its constants become one tf.Transform graph.

The graph takes every raw column as a SparseTensor (an absent value is a missing one) and gives
every record entry, plus `__tokens__NAME` diagnostics for statistics. The label and the weight
are inputs as well; when serving they are fed empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.labels import LearnedLabels, transform_label
from skewless.beam_pipelines.transform.lookup import (
    combination_ids,
    hash_ids,
    padded,
    vocabulary_ids,
    wordpieces,
)
from skewless.beam_pipelines.transform.numeric import NumericConstants, joined, scaled
from skewless.beam_pipelines.transform.own.function import check_own_function, own_function
from skewless.beam_pipelines.transform.vocabulary_files import VocabularyFiles
from skewless.schemas.records.id_contract import FIRST_ID, MISSING_ID
from skewless.schemas.records.records import (
    WEIGHT,
    missing_name,
    numbers_name,
    seen_name,
    steps_name,
    time_name,
    tokens_name,
    weights_name,
)
from skewless.schemas.rows.prepare import RawTensors, Together, prepare_together
from skewless.schemas.rows.raw_tensors import dense_numbers
from skewless.schemas.rows.times.entries import part_entries, time_numbers
from skewless.schemas.rows.times.parsing import NO_TIME
from skewless.schemas.rows.tokenizers import check_regex
from skewless.schemas.spec.features import (
    CategoricalFeature,
    HistoryFeature,
    NumericFeature,
    NumericSequenceFeature,
    TextFeature,
    TimestampFeature,
    of_kind,
)
from skewless.schemas.spec.kinds.alike import alike
from skewless.schemas.spec.kinds.scale import steps_of
from skewless.schemas.spec.kinds.sequences import StepsOfNumbers
from skewless.schemas.spec.models.labels import label_path
from skewless.schemas.spec.spec import Spec

__all__ = ["check_declared", "make_preprocessing_fn"]

Outputs = dict[str, tf.Tensor]
PreprocessingFn = Callable[[RawTensors], Outputs]


def check_declared(spec: Spec) -> None:
    """Refuses what a spec names but cannot be used, before any data is read.

    Raises:
      SpecError: If `spec.preprocessing` names a function that cannot be imported, or whose outputs
        cannot be used, a vocabulary file cannot be used, or a tokenizer's expression is not RE2's.
    """
    check_own_function(spec)
    for name, feature in spec.features.items():
        check_regex(f"features.{name}.tokenizer.regex", getattr(feature, "tokenizer", None))
    for entry, label in spec.targets.items():
        check_regex(f"{label_path(entry)}.tokenizer.regex", getattr(label, "tokenizer", None))
    VocabularyFiles(spec, Constants()).check()


def make_preprocessing_fn(spec: Spec, constants: Constants) -> PreprocessingFn:
    """Returns the tf.Transform preprocessing function that a spec declares.

    Args:
      spec: The declaration.
      constants: What was found in the training split.

    Raises:
      SpecError: If the spec's own function cannot be imported, or a vocabulary file cannot be used.
    """
    custom = own_function(spec)
    files = VocabularyFiles(spec, constants)
    learned = _Learned(files, constants.numbers)
    learned_labels = LearnedLabels(files, constants.numbers, may_lack=spec.labels is not None)

    def preprocessing_fn(inputs: RawTensors) -> Outputs:
        prepared = prepare_together(spec, inputs)
        outputs: Outputs = {}
        for names in alike(spec.features):
            feature = spec.features[names[0]]
            if len(names) > 1:
                together = of_kind(_TRANSFORMS_TOGETHER, feature)
                outputs |= together(names, feature, prepared[names], learned)
            else:
                transform = of_kind(_TRANSFORMS, feature)
                outputs |= transform(names[0], feature, prepared[names], learned)
                outputs |= _weights(names[0], feature, prepared)
        outputs |= combination_ids(spec.features, prepared, outputs)
        if custom is not None:
            outputs |= custom(inputs)
        for entry, label in spec.targets.items():
            outputs |= transform_label(entry, label, prepared[entry,], learned_labels)
        if spec.weight is not None:
            outputs[WEIGHT] = dense_numbers(inputs[spec.weight], 1)[:, 0]
        return outputs

    return preprocessing_fn


@dataclass(frozen=True)
class _Learned:
    """What was found in the training split: vocabularies, and constants by feature."""

    files: VocabularyFiles
    numbers: Mapping[str, NumericConstants]


def _ids(
    name: str,
    feature: TextFeature | CategoricalFeature | HistoryFeature,
    tokens: tf.RaggedTensor | tf.Tensor,
    learned: _Learned,
) -> Outputs:
    """Returns the feature's IDs, [batch] or [batch, length] int64."""
    files = learned.files
    if feature.learns_pieces:
        tokens = wordpieces(tokens, files.path(name))
    ragged = isinstance(tokens, tf.RaggedTensor)
    flat = tokens.flat_values if ragged else tokens
    if feature.fixed_ids is not None:
        ids = hash_ids(flat, feature.fixed_ids)
    else:
        # Lists of tokens hold no empty ones; a single value is empty when it is missing.
        path = files.path(name)
        ids = vocabulary_ids(flat, [path], feature.unknown_ids, may_be_missing=not ragged)
    if not ragged:
        return {name: ids}
    assert feature.length is not None
    return {
        name: padded(
            tokens.with_flat_values(ids),
            feature.length,
            truncate=feature.truncate,
            pad=feature.pad,
        ),
        tokens_name(name): tokens.row_lengths(),
    }


def _weights(name: str, feature: Any, prepared: Together) -> Outputs:
    """Returns what a feature's values weigh, if they do: [batch, length] float32, 0 for padding."""
    if feature.weights_column is None:
        return {}
    weights = prepared[weights_name(name),]
    cut = padded(weights, feature.length, truncate=feature.truncate, pad=feature.pad)
    return {weights_name(name): cut}


def _ids_together(
    names: tuple[str, ...], feature: CategoricalFeature, values: tf.Tensor, learned: _Learned
) -> Outputs:
    """Returns each feature's IDs, [batch] int64, from [features, batch] string."""
    if feature.fixed_ids is not None:
        ids = hash_ids(values, feature.fixed_ids)
    else:
        paths = [learned.files.path(name) for name in names]
        ids = vocabulary_ids(values, paths, feature.oov_buckets)
    return dict(zip(names, tf.unstack(ids, len(names)), strict=True))


def _numeric(name: str, feature: NumericFeature, values: tf.Tensor, learned: _Learned) -> Outputs:
    """Returns scaled numbers ([batch] or [batch, width] float32), or bucket IDs ([batch] int64).

    In this order: what is not finite is missing; `clip`; constants of the present values;
    missing values replaced; `scale`. A constant column scales to 0.
    """
    constants = learned.numbers.get(name)
    present = tf.math.is_finite(values)
    outputs: Outputs = {}
    if feature.buckets is not None:
        assert constants is not None
        bucket = tf.searchsorted(tf.constant(constants.boundaries[0]), values[:, 0], side="right")
        outputs[name] = _bucket_ids(bucket, present[:, 0])
    else:
        outputs[name] = _squeeze(_filled_and_scaled(feature, values, present, constants), feature)
    if feature.indicator:
        outputs[missing_name(name)] = _squeeze(tf.cast(~present, tf.float32), feature)
    return outputs


def _numeric_together(
    names: tuple[str, ...], feature: NumericFeature, values: tf.Tensor, learned: _Learned
) -> Outputs:
    """Returns what `_numeric` does of each feature, from [batch, features] float32."""
    constants = joined([learned.numbers[name] for name in names if name in learned.numbers])
    present = tf.math.is_finite(values)
    if feature.buckets is not None:
        assert constants is not None
        bucket = tf.searchsorted(
            tf.constant(constants.boundaries), tf.transpose(values), side="right"
        )
        numbers = _bucket_ids(bucket, tf.transpose(present))
    else:
        numbers = tf.transpose(_filled_and_scaled(feature, values, present, constants))
    outputs: Outputs = dict(zip(names, tf.unstack(numbers, len(names)), strict=True))
    if feature.indicator:
        missing = tf.unstack(tf.transpose(tf.cast(~present, tf.float32)), len(names))
        outputs |= zip(map(missing_name, names), missing, strict=True)
    return outputs


def _bucket_ids(bucket: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    ids = FIRST_ID + tf.cast(bucket, tf.int64)
    return tf.where(present, ids, tf.constant(MISSING_ID, tf.int64))


def _filled_and_scaled(
    feature: NumericFeature | NumericSequenceFeature,
    values: tf.Tensor,
    present: tf.Tensor,
    constants: NumericConstants | None,
) -> tf.Tensor:
    steps, before = steps_of(feature.scale), feature.measured_after
    if isinstance(feature.missing, str):
        assert constants is not None
        replacement = constants.mean if feature.missing == "mean" else constants.median
        values = tf.where(present, scaled(before, values), replacement)
    else:
        replacement = tf.fill([feature.width], feature.missing)
        values = scaled(before, tf.where(present, values, replacement))
    return scaled(steps[len(before) :], values, constants)


def _squeeze(values: tf.Tensor, feature: NumericFeature) -> tf.Tensor:
    return values if feature.columns or feature.length else values[:, 0]


def _timestamp(
    name: str, feature: TimestampFeature, times: tf.Tensor, learned: _Learned
) -> Outputs:
    """Returns part IDs ([batch, parts] int64) with numbers beside them, or all as numbers."""
    numbers = time_numbers(feature, times, learned.numbers.get(name))
    outputs: Outputs = {time_name(name): times[:, 0]}
    if feature.has_part_ids:
        outputs[name] = part_entries(feature, times[:, 0])
        if feature.numbers:
            outputs[numbers_name(name)] = numbers
    else:
        parts = [part_entries(feature, times[:, 0])] if feature.parts else []
        outputs[name] = tf.concat([*parts, numbers], axis=1)
    if feature.indicator:
        outputs[missing_name(name)] = tf.cast(tf.equal(times[:, 0], NO_TIME), tf.float32)
    return outputs


def _steps(name: str, feature: Any, steps: tf.RaggedTensor, learned: _Learned) -> Outputs:
    """Returns a sequence's scaled numbers, cut and padded with 0, and beside them how many steps it has.

    [batch, length] float32 where a step is one number, else [batch, length, numbers].
    """
    numbers = steps.flat_values
    constants = learned.numbers.get(name)
    found = _filled_and_scaled(feature, numbers, tf.math.is_finite(numbers), constants)
    cut = {"truncate": feature.truncate, "pad": feature.pad}
    kept = padded(steps.with_flat_values(found), feature.length, **cut)
    count = steps.row_lengths()
    seen = padded(steps, feature.length, truncate=feature.truncate)
    return {
        name: kept if feature.numbers_of_step > 1 else kept[:, :, 0],
        steps_name(name): tf.cast(tf.minimum(count, feature.length), tf.float32),
        tokens_name(name): count,
        seen_name(name): tf.reshape(seen, [-1, feature.length * feature.numbers_of_step]),
    }


# By kind of feature: its name, its declaration, what `prepare` gives of it, and what was learned,
# to record entries.
_TRANSFORMS: dict[type, Callable[[str, Any, Any, _Learned], Outputs]] = {
    TextFeature: _ids,
    CategoricalFeature: _ids,
    HistoryFeature: _ids,
    NumericFeature: _numeric,
    TimestampFeature: _timestamp,
    StepsOfNumbers: _steps,
}

# The same of features that are alike: their names, what they declare, and what is prepared of them.
_TRANSFORMS_TOGETHER: dict[type, Callable[[tuple[str, ...], Any, tf.Tensor, _Learned], Outputs]] = {
    CategoricalFeature: _ids_together,
    NumericFeature: _numeric_together,
}
