"""From the last hidden vector to predictions: the head, with a wide part or members where declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from skewless.model.network.body.ensemble import MEMBERS
from skewless.model.network.body.recalibrated import Recalibrated
from skewless.model.network.body.wide import wide_part
from skewless.model.network.heads import head_of, output_layer
from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import EnsembleDense, MeanOfMembers
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL, label_entry
from skewless.schemas.spec.network import TowersSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["predictions_of"]

Tensor = Any


def predictions_of(
    spec: Spec,
    entries: Mapping[str, FeatureEntry],
    inputs: Mapping[str, Tensor],
    vectors: Mapping[str, Tensor],
) -> Tensor | dict[str, Tensor]:
    """Returns predictions, shaped as `skewless.model.network.heads` says; of several labels by name.

    Args:
      spec: The declaration.
      entries: The manifest's features.
      inputs: The model's.
      vectors: Of the last hidden layer, by label; of a single one under "".

    Raises:
      SpecError: If the spec has no label.
    """
    model = spec.model
    assert isinstance(model, TowersSpec)
    if spec.labels is not None:
        return {
            name: output_layer(label, entries[label_entry(name)], name)(vectors[name])
            for name, label in spec.labels.items()
        }
    label, vector = entries[LABEL], vectors[""]
    if model.ensemble is None and not model.linear:
        return _recalibrated(spec, output_layer(spec.label, label)(vector))
    units = label.cardinality or 1
    # What comes before the activation, so that the wide part can be added to it.
    if model.ensemble is None:
        layer = keras.layers.Dense(units, dtype="float32", name=layer_name("logits"))
    else:
        layer = EnsembleDense(units, model.ensemble, dtype="float32", name=layer_name("logits"))
    logits = layer(vector)
    if model.linear:
        wide = wide_part(entries, inputs, units)
        if model.ensemble is not None:
            wide = keras.layers.Reshape((1, units), name=layer_name("wide_of_each"))(wide)
        logits = keras.layers.Add(name=layer_name("deep_and_wide"))([logits, wide])
    activation = head_of(spec.label).activation
    if model.ensemble is None:
        name = layer_name("predictions")
        predictions = keras.layers.Activation(activation, dtype="float32", name=name)(logits)
        return _recalibrated(spec, predictions)
    members = keras.layers.Activation(activation, dtype="float32", name=MEMBERS)(logits)
    mean = MeanOfMembers(dtype="float32", name=layer_name("predictions"))(members)
    return _recalibrated(spec, mean)


def _recalibrated(spec: Spec, predictions: Tensor) -> Tensor:
    kept = spec.training.keep_negatives
    if kept is None:
        return predictions
    return Recalibrated(kept, dtype="float32", name=layer_name("recalibrated"))(predictions)
