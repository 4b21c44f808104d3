"""Two towers: a query and a candidate each become a vector of length 1, and their cosine says how
well they go together.

They learn from rows in which a query met its candidate, each against the other candidates of its
batch (`model/network/in_batch_softmax.py`). The whole model gives both vectors of a row; `tower_of`
takes one tower out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import keras
from keras import ops

from skewless.model.network.in_batch_softmax import InBatchSoftmax, in_batch_accuracy
from skewless.model.network.layer_names import layer_name, model_name
from skewless.model.network.towers import inputs_of, towers_of
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import beside_names
from skewless.schemas.spec.models.two_tower import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["Pair", "Side", "build_two_tower", "entries_of", "tower_of", "two_tower_loss"]

Tensor = Any
Entries = Mapping[str, FeatureEntry]
Side = Literal["query", "candidate"]


@keras.saving.register_keras_serializable(package="skewless")
class Pair(keras.layers.Layer):
    """Two [batch, width] vectors -> [batch, 2, width], the query's first."""

    def call(self, query: Tensor, candidate: Tensor) -> Tensor:
        """Returns both vectors of each row."""
        return ops.stack([query, candidate], axis=1)


def build_two_tower(spec: Spec, entries: Entries) -> keras.Model:
    """Builds the declared towers.

    Args:
      spec: The declaration, of a `TwoTowerSpec`.
      entries: The manifest's features.

    Returns:
      A model from a dict of the record entries of both sides to [batch, 2, width] float32: the
      query's vector and the candidate's, each of length 1.

    Raises:
      DatasetMismatchError: If the data set lacks a feature of one side.
    """
    inputs: dict[str, Tensor] = {}
    query, candidate = (_tower(spec, side, entries, inputs) for side in ("query", "candidate"))
    pair = Pair(dtype="float32", name=layer_name("pair"))(query, candidate)
    return keras.Model(inputs, pair, name=model_name(spec.name, "two_tower"))


def entries_of(spec: Spec, side: Side, entries: Entries) -> dict[str, FeatureEntry]:
    """Returns the record entries that one tower reads, by name.

    Raises:
      DatasetMismatchError: If the data set lacks one.
    """
    assert isinstance(spec.model, TwoTowerSpec)
    found: dict[str, FeatureEntry] = {}
    for feature in getattr(spec.model, side):
        if feature not in entries:
            raise DatasetMismatchError(
                f"the data set has no feature {feature!r}; preprocess it with this spec"
            )
        for name in (feature, *beside_names(feature)):
            if name in entries:
                found[name] = entries[name]
    return found


def tower_of(model: keras.Model, spec: Spec, side: Side, entries: Entries) -> keras.Model:
    """Returns one tower: a model from its record entries to [batch, width] float32, of length 1."""
    names = entries_of(spec, side, entries)
    output = model.get_layer(layer_name("unit", side)).output
    return keras.Model({name: model.input[name] for name in names}, output)


def two_tower_loss(spec: Spec) -> dict[str, Any]:
    """Returns `loss` and `weighted_metrics` for `keras.Model.compile`."""
    assert isinstance(spec.model, TwoTowerSpec)
    loss = InBatchSoftmax(spec.model.temperature, spec.model.hard_negatives)
    return {"loss": loss, "weighted_metrics": [in_batch_accuracy]}


def _tower(spec: Spec, side: Side, entries: Entries, inputs: dict[str, Tensor]) -> Tensor:
    """Returns [batch, width] vectors, and adds the tower's inputs to `inputs`."""
    model = spec.model
    assert isinstance(model, TwoTowerSpec)
    own = entries_of(spec, side, entries)
    inputs |= inputs_of(own)
    features = {name: spec.features[name] for name in getattr(model, side) if name in spec.features}
    # To the builder of towers, a declaration that holds this side alone.
    towers = towers_of(
        spec.model_copy(update={"features": features}), own, {name: inputs[name] for name in own}
    )
    vectors = list(towers.values())
    vector = (
        vectors[0]
        if len(vectors) == 1
        else keras.layers.Concatenate(name=layer_name("merge", side))(vectors)
    )
    for number, units in enumerate(model.hidden):
        vector = keras.layers.Dense(
            units, activation=model.activation, name=layer_name("hidden", side, number)
        )(vector)
        if model.dropout:
            vector = keras.layers.Dropout(
                model.dropout,
                seed=spec.training.seed + number,
                name=layer_name("dropout", side, number),
            )(vector)
    # float32 whatever the mixed-precision policy is: ranks hang on small differences.
    vector = keras.layers.Dense(model.width, dtype="float32", name=layer_name("vector", side))(
        vector
    )
    return keras.layers.UnitNormalization(dtype="float32", name=layer_name("unit", side))(vector)
