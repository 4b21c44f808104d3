"""From the last hidden vector to predictions: the head, with a wide part or members where declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from skewless.model.network.body.ensemble import members_of
from skewless.model.network.body.recalibrated import Recalibrated
from skewless.model.network.body.wide import wide_part
from skewless.model.network.heads import head_of, output_layer
from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import EnsembleDense, MeanOfMembers
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL, label_entry
from skewless.schemas.spec.label import Label
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
    if spec.labels is not None:
        return {
            name: _predicted(spec, label, entries[label_entry(name)], vectors[name], wide)
            for name, label in spec.labels.items()
            for wide in [_WidePart(entries, inputs, (name,))]
        }
    wide = _WidePart(entries, inputs)
    return _recalibrated(spec, _predicted(spec, spec.label, entries[LABEL], vectors[""], wide))


@dataclass(frozen=True)
class _WidePart:
    """What the wide part is made of, if one is declared; `name` is that of one of several labels."""

    entries: Mapping[str, FeatureEntry]
    inputs: Mapping[str, Tensor]
    name: tuple[str, ...] = ()

    def __call__(self, units: int) -> Tensor:
        return wide_part(self.entries, self.inputs, units, *self.name)


def _predicted(
    spec: Spec, label: Label | None, entry: FeatureEntry, vector: Tensor, wide: _WidePart
) -> Tensor:
    """Returns one label's predictions: of the last hidden vector, of members, with a wide part."""
    model, name = spec.model, wide.name
    assert isinstance(model, TowersSpec)
    if model.ensemble is None and not model.linear:
        return output_layer(label, entry, *name)(vector)
    units = entry.cardinality or 1
    # What comes before the activation, so that the wide part can be added to it.
    if model.ensemble is None:
        layer = keras.layers.Dense(units, dtype="float32", name=layer_name("logits", *name))
    else:
        layer = EnsembleDense(
            units, model.ensemble, dtype="float32", name=layer_name("logits", *name)
        )
    logits = layer(vector)
    if model.linear:
        added = wide(units)
        if model.ensemble is not None:
            added = keras.layers.Reshape((1, units), name=layer_name("wide_of_each", *name))(added)
        logits = keras.layers.Add(name=layer_name("deep_and_wide", *name))([logits, added])
    activation = head_of(label).activation
    predictions = layer_name("predictions", *name)
    if model.ensemble is None:
        return keras.layers.Activation(activation, dtype="float32", name=predictions)(logits)
    each = keras.layers.Activation(activation, dtype="float32", name=members_of(*name))(logits)
    return MeanOfMembers(dtype="float32", name=predictions)(each)


def _recalibrated(spec: Spec, predictions: Tensor) -> Tensor:
    kept = spec.training.keep_negatives
    if kept is None:
        return predictions
    return Recalibrated(kept, dtype="float32", name=layer_name("recalibrated"))(predictions)
