"""Towers of features alike: from `FEWEST` of one shape on, one layer makes the vectors of them all.

Alike are features of one ID a row that are embedded in one width, those that become one-hot vectors,
and single numbers that go into the merge as they are. Weights begin as those of a layer each would:
every table draws its seed at its feature's turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import StackedColumns, StackedEmbedding, StackedOneHot
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import missing_name
from skewless.schemas.spec.features import CategoricalFeature, CrossFeature, NumericFeature

__all__ = ["FEWEST", "Alike", "alike_of"]

Tensor = Any
Shape = int | str
FEWEST = 8
_NUMBER, _ONE_HOT = "number", "one_hot"


@dataclass
class Alike:
    """Features of one shape, whose vectors one layer makes.

    Attributes:
      shape: The width of their embeddings, or what else they become.
      names: Of the features, in the spec's order.
      tables: Of embeddings, what the features' tables begin with, as far as their turn has come.
    """

    shape: Shape
    names: list[str]
    tables: list[Any] = field(default_factory=list)

    def take_turn(self) -> None:
        """Draws what the next feature's table begins with."""
        if isinstance(self.shape, int):
            self.tables.append(keras.initializers.get("uniform"))

    def towers(
        self,
        features: Mapping[str, Any],
        entries: Mapping[str, FeatureEntry],
        inputs: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Returns each feature's vector, [batch, width], by name."""
        if self.shape == _NUMBER:
            columns = [
                [name, missing_name(name)] if features[name].indicator else [name]
                for name in self.names
            ]
            layer: Any = StackedColumns(
                [[layer_name("column", entry) for entry in each] for each in columns],
                name=layer_name("columns", self.names[0]),
            )
            vectors = layer([inputs[entry] for each in columns for entry in each])
            return dict(zip(self.names, vectors, strict=True))
        kind = _ONE_HOT if self.shape == _ONE_HOT else "embed"
        tables = [(layer_name(kind, name), entries[name].cardinality or 0) for name in self.names]
        called = layer_name(f"{kind}s", self.names[0])
        if isinstance(self.shape, int):
            layer = StackedEmbedding(tables, self.shape, self.tables, name=called)
        else:
            layer = StackedOneHot(tables, name=called)
        vectors = layer([inputs[name] for name in self.names])
        return dict(zip(self.names, vectors, strict=True))


def alike_of(
    features: Mapping[str, Any], entries: Mapping[str, FeatureEntry], names: Iterable[str]
) -> dict[str, Alike]:
    """Returns, by feature, the features it is made vectors of together with.

    Args:
      features: The declared ones.
      entries: The manifest's.
      names: Those that may be put together.

    Returns:
      Entries for features of which there are `FEWEST` alike.
    """
    found: dict[Shape, Alike] = {}
    for name in names:
        shape = _shape(features[name], entries[name])
        if shape is not None:
            found.setdefault(shape, Alike(shape, [])).names.append(name)
    return {
        name: alike
        for alike in found.values()
        if len(alike.names) >= FEWEST
        for name in alike.names
    }


def _shape(feature: Any, entry: FeatureEntry) -> Shape | None:
    """Returns what a feature is like, or None where it has a layer of its own."""
    if entry.shape:
        return None
    if isinstance(feature, NumericFeature) and feature.buckets is None:
        plain = feature.number_embedding is None and feature.encoder is None
        return _NUMBER if plain else None
    if not isinstance(feature, CategoricalFeature | CrossFeature | NumericFeature):
        return None
    if entry.cardinality is None or feature.own_vectors is not None:
        return None
    if isinstance(feature, NumericFeature) and feature.indicator:
        return None
    shape: Shape = feature.embedding  # type: ignore[assignment]
    return shape
