"""Towers: one for each feature or group, from record entries to one vector.

Embedding tables take their size from the manifest, which has it from the transform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from skewless.model.network.alike import Alike, alike_of
from skewless.model.network.encoders import encode_numbers, encode_steps
from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import (
    AnyMask,
    ClearPadding,
    CountMask,
    OneHot,
    PaddingMask,
    TermWeights,
    WeightedMean,
    WeightedSum,
)
from skewless.model.network.merges import merge_members, merge_steps
from skewless.model.network.number_embeddings import embed_numbers
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import (
    is_feature,
    missing_name,
    numbers_name,
    steps_name,
    weights_name,
)
from skewless.schemas.spec.encoders import Pooling
from skewless.schemas.spec.features import (
    CategoricalFeature,
    CrossFeature,
    HistoryFeature,
    NumericFeature,
    TextFeature,
    TimestampFeature,
    of_kind,
)
from skewless.schemas.spec.kinds.sequences import StepsOfNumbers
from skewless.schemas.spec.network import Group, TowersSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["inputs_of", "towers_of"]

Tensor = Any
Entries = Mapping[str, FeatureEntry]
_MEAN = Pooling(type="mean")


def inputs_of(entries: Entries) -> dict[str, Tensor]:
    """Returns one Keras input for each record entry that is a feature."""
    return {
        name: keras.Input(shape=entry.shape, dtype=entry.dtype, name=name)
        for name, entry in entries.items()
        if is_feature(name)
    }


def towers_of(
    spec: Spec, entries: Entries, inputs: Mapping[str, Tensor], *, stacked: bool = True
) -> dict[str, Tensor]:
    """Returns each feature's or group's vector, [batch, width], by name.

    Args:
      spec: The declaration.
      entries: The manifest's features.
      inputs: Keras inputs, by record entry.
      stacked: Whether one layer may make the vectors of many features alike.

    Raises:
      DatasetMismatchError: If the data set has no entry for a declared feature.
      SpecError: If a group's merge needs equal widths and they differ.
    """
    missing = [name for name in spec.features if name not in inputs]
    if missing:
        raise DatasetMismatchError(
            f"the data set has no feature {missing[0]!r}; preprocess it with this spec"
        )
    groups: Mapping[str, Group] = getattr(spec.model, "groups", {})
    grouped = {name for group in groups.values() for name in group.features}
    alone = [name for name in spec.features if name not in grouped]
    alike = alike_of(spec.features, entries, alone) if stacked else {}
    towers = _towers(spec, entries, inputs, alone, alike)
    for name, group in groups.items():
        towers[name] = _grouped(name, group, spec, entries, inputs)
    for name in inputs:  # What an escape-hatch preprocessing function added.
        if name not in spec.features and not name.startswith("__"):
            towers[name] = _undeclared(name, entries[name], inputs[name])
    return towers


def _towers(
    spec: Spec,
    entries: Entries,
    inputs: Mapping[str, Tensor],
    names: list[str],
    alike: Mapping[str, Alike],
) -> dict[str, Tensor]:
    """Returns the vectors of features that are in no group, in their order."""
    towers: dict[str, Tensor] = {}
    for name in names:
        if name in alike:
            alike[name].take_turn()
        else:
            towers[name] = _single(name, spec, entries, inputs)
    for together in {id(each): each for each in alike.values()}.values():
        towers |= together.towers(spec.features, entries, inputs)
    return {name: towers[name] for name in names}


def _embedded(name: str, feature: Any, entry: FeatureEntry, ids: Tensor) -> Tensor:
    if entry.cardinality is None:
        raise DatasetMismatchError(
            f"{name}: the manifest gives no cardinality to embed it with; preprocess again"
        )
    if feature.embedding == "one_hot":
        return OneHot(entry.cardinality, name=layer_name("one_hot", name))(ids)
    vectors = feature.own_vectors
    return keras.layers.Embedding(
        entry.cardinality,
        feature.embedding,
        trainable=vectors is None or vectors.trainable,
        name=layer_name("embed", name),
    )(ids)


def _numbers(
    name: str, feature: NumericFeature, entry: FeatureEntry, inputs: Mapping[str, Tensor]
) -> Tensor:
    """Returns [batch, width] numbers, or their vectors, with was-missing indicators beside them."""
    parts = [inputs[name]]
    if feature.indicator:
        parts.append(inputs[missing_name(name)])
    parts = [part if len(part.shape) == 2 else _column(part) for part in parts]
    parts[0] = embed_numbers(name, feature.number_embedding, entry, parts[0])
    return (
        parts[0]
        if len(parts) == 1
        else keras.layers.Concatenate(name=layer_name("with_missing", name))(parts)
    )


def _single(name: str, spec: Spec, entries: Entries, inputs: Mapping[str, Tensor]) -> Tensor:
    feature = spec.features[name]
    return of_kind(_TOWERS, feature)(name, feature, entries[name], inputs)


def _number_tower(
    name: str, feature: NumericFeature, entry: FeatureEntry, inputs: Mapping[str, Tensor]
) -> Tensor:
    if feature.buckets is None:
        return encode_numbers(feature.encoder, _numbers(name, feature, entry, inputs), name)
    vector = _embedded(name, feature, entry, inputs[name])
    if feature.indicator:
        vector = keras.layers.Concatenate(name=layer_name("with_missing", name))(
            [vector, _column(inputs[missing_name(name)])]
        )
    return vector


def _id_tower(
    name: str,
    feature: TextFeature | CategoricalFeature | CrossFeature | HistoryFeature,
    entry: FeatureEntry,
    inputs: Mapping[str, Tensor],
) -> Tensor:
    if not feature.is_sequence:
        return _embedded(name, feature, entry, inputs[name])
    steps, mask = _steps(name, feature, entry, inputs)
    if feature.weighs_terms:
        assert entry.cardinality is not None
        weights = TermWeights(entry.cardinality, name=layer_name("tf_idf", name))(inputs[name])
        return WeightedSum(name=layer_name("weighted_sum", name))(steps, weights)
    encoder = feature.encoder or _MEAN
    if feature.weights_column is not None:
        kind = WeightedSum if encoder.type == "sum" else WeightedMean
        weights = inputs[weights_name(name)]
        return kind(name=layer_name(f"weighted_{encoder.type}", name))(steps, weights)
    return encode_steps(encoder, steps, mask, name)


def _steps(
    name: str, feature: Any, entry: FeatureEntry, inputs: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Returns a sequence's [batch, length, width] vectors and its [batch, length] mask."""
    if not feature.numbers_of_step:
        steps = _embedded(name, feature, entry, inputs[name])
        return steps, PaddingMask(name=layer_name("mask", name))(inputs[name])
    steps = inputs[name]
    if len(entry.shape) == 1:
        steps = keras.layers.Reshape((feature.length, 1), name=layer_name("steps", name))(steps)
    if feature.embedding != "none":
        steps = keras.layers.Dense(feature.embedding, name=layer_name("embed", name))(steps)
    counts = inputs[steps_name(name)]
    return steps, CountMask(feature.length, feature.pad, name=layer_name("mask", name))(counts)


def _sequence_tower(
    name: str, feature: StepsOfNumbers, entry: FeatureEntry, inputs: Mapping[str, Tensor]
) -> Tensor:
    return encode_steps(feature.encoder, *_steps(name, feature, entry, inputs), name)


def _time_tower(
    name: str, feature: TimestampFeature, entry: FeatureEntry, inputs: Mapping[str, Tensor]
) -> Tensor:
    vectors = [inputs[name]]
    if feature.has_part_ids:
        steps = _embedded(name, feature, entry, inputs[name])
        vectors = [keras.layers.Flatten(name=layer_name("flatten", name))(steps)]
        if feature.numbers:
            vectors.append(inputs[numbers_name(name)])
    if feature.indicator:
        vectors.append(_column(inputs[missing_name(name)]))
    if len(vectors) == 1:
        return vectors[0]
    return keras.layers.Concatenate(name=layer_name("time", name))(vectors)


# By kind of feature: its name, its declaration, its entry of the manifest, and all inputs, to
# [batch, width].
_TOWERS: dict[type, Callable[[str, Any, FeatureEntry, Mapping[str, Tensor]], Tensor]] = {
    TextFeature: _id_tower,
    CategoricalFeature: _id_tower,
    NumericFeature: _number_tower,
    TimestampFeature: _time_tower,
    CrossFeature: _id_tower,
    HistoryFeature: _id_tower,
    StepsOfNumbers: _sequence_tower,
}


def _grouped(
    name: str, group: Group, spec: Spec, entries: Entries, inputs: Mapping[str, Tensor]
) -> Tensor:
    features = {member: spec.features[member] for member in group.features}
    members: dict[str, Tensor] = {}
    if not any(feature.is_sequence for feature in features.values()):
        assert isinstance(spec.model, TowersSpec)
        members |= {member: _single(member, spec, entries, inputs) for member in features}
        return encode_numbers(group.encoder, merge_members(spec.model, name, members), name)
    masks = []
    for member, feature in features.items():
        steps, mask = _steps(member, feature, entries[member], inputs)
        # A step that one member has and another lacks is a true step; the lacking member
        # contributes zeros, not the embedding of padding.
        members[member] = ClearPadding(name=layer_name("clear", member))(steps, mask)
        masks.append(mask)
    merged = merge_steps(group.merge, name, members)
    mask = AnyMask(name=layer_name("mask", name))(masks)
    return encode_steps(group.encoder or _MEAN, merged, mask, name)


def _undeclared(name: str, entry: FeatureEntry, values: Tensor) -> Tensor:
    if entry.dtype == "int64" and entry.cardinality is not None:
        width = min(64, 1 + entry.cardinality // 2)
        vectors = keras.layers.Embedding(entry.cardinality, width, name=layer_name("embed", name))(
            values
        )
        return (
            keras.layers.Flatten(name=layer_name("flatten", name))(vectors)
            if entry.shape
            else vectors
        )
    return (
        keras.layers.Flatten(name=layer_name("flatten", name))(values)
        if entry.shape
        else _column(values)
    )


def _column(values: Tensor) -> Tensor:
    """Returns [batch] as [batch, 1]."""
    return keras.layers.Reshape((1,), name=layer_name("column", values.name))(values)
