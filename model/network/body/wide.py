"""The wide part: a linear function of features, beside the network (Cheng et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from skewless.model.network.alike import FEWEST
from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import LinearOfIds, StackedColumns, StackedLinearOfIds
from skewless.schemas.records.manifest import FeatureEntry

__all__ = ["wide_part"]

Tensor = Any


def wide_part(
    entries: Mapping[str, FeatureEntry], inputs: Mapping[str, Tensor], units: int
) -> Tensor:
    """Returns [batch, units]: a weight for each ID and each number, summed; zeros at first.

    Args:
      entries: The manifest's features.
      inputs: The model's, by the same names.
      units: Width of the output layer that it is added to.
    """
    parts = _of_ids(entries, inputs, units)
    numbers = _columns(entries, inputs)
    if numbers:
        together = (
            numbers[0]
            if len(numbers) == 1
            else keras.layers.Concatenate(name=layer_name("wide_numbers"))(numbers)
        )
        dense = keras.layers.Dense(
            units,
            use_bias=False,
            kernel_initializer="zeros",
            dtype="float32",
            name=layer_name("wide"),
        )
        parts.append(dense(together))
    return parts[0] if len(parts) == 1 else keras.layers.Add(name=layer_name("wide_sum"))(parts)


def _of_ids(
    entries: Mapping[str, FeatureEntry], inputs: Mapping[str, Tensor], units: int
) -> list[Tensor]:
    """Returns [batch, units] sums of the weights of IDs: of one feature each, or of many alike."""
    sizes = {name: entries[name].cardinality for name in inputs}
    tables = {
        name: (layer_name("wide", name), size) for name, size in sizes.items() if size is not None
    }
    single = [name for name in tables if not entries[name].shape]
    parts = []
    if len(single) >= FEWEST:
        layer = StackedLinearOfIds(
            [tables.pop(name) for name in single], units, name=layer_name("wides", single[0])
        )
        parts.append(layer([inputs[name] for name in single]))
    for name, (called, size) in tables.items():
        parts.append(LinearOfIds(size, units, name=called)(inputs[name]))
    return parts


def _columns(entries: Mapping[str, FeatureEntry], inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Returns [batch, width] numbers of each entry that is no ID."""
    names = [name for name in inputs if entries[name].cardinality is None]
    single = [name for name in names if not entries[name].shape]
    columns: dict[str, Tensor] = {}
    if len(single) >= FEWEST:
        layer = StackedColumns(
            [[layer_name("wide_column", name)] for name in single],
            name=layer_name("wide_columns", single[0]),
        )
        columns = dict(zip(single, layer([inputs[name] for name in single]), strict=True))
    for name in names:
        if name not in columns:
            kind = keras.layers.Flatten if entries[name].shape else _column
            columns[name] = kind(name=layer_name("wide_column", name))(inputs[name])
    return [columns[name] for name in names]


def _column(name: str) -> keras.layers.Layer:
    return keras.layers.Reshape((1,), name=name)
