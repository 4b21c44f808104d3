"""The wide part: a linear function of features, beside the network (Cheng et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from skewless.model.network.alike import FEWEST
from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import LinearOfIds, StackedColumns, StackedLinearOfIds
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import weights_name

__all__ = ["wide_part"]

Tensor = Any


def wide_part(
    entries: Mapping[str, FeatureEntry], inputs: Mapping[str, Tensor], units: int, *label: str
) -> Tensor:
    """Returns [batch, units]: a weight for each ID and each number, summed; zeros at first.

    Args:
      entries: The manifest's features.
      inputs: The model's, by the same names.
      units: Width of the output layer that it is added to.
      label: Which of several labels that layer predicts.
    """
    parts = _of_ids(entries, inputs, units, label)
    numbers = _columns(entries, inputs, label)
    if numbers:
        together = (
            numbers[0]
            if len(numbers) == 1
            else keras.layers.Concatenate(name=layer_name("wide_numbers", *label))(numbers)
        )
        dense = keras.layers.Dense(
            units,
            use_bias=False,
            kernel_initializer="zeros",
            dtype="float32",
            name=layer_name("wide", *label),
        )
        parts.append(dense(together))
    if len(parts) == 1:
        return parts[0]
    return keras.layers.Add(name=layer_name("wide_sum", *label))(parts)


def _of_ids(
    entries: Mapping[str, FeatureEntry],
    inputs: Mapping[str, Tensor],
    units: int,
    label: tuple[str, ...],
) -> list[Tensor]:
    """Returns [batch, units] sums of the weights of IDs: of one feature each, or of many alike."""
    sizes = {name: entries[name].cardinality for name in inputs}
    tables = {
        name: (layer_name("wide", name, *label), size)
        for name, size in sizes.items()
        if size is not None
    }
    single = [name for name in tables if not entries[name].shape]
    parts = []
    if len(single) >= FEWEST:
        layer = StackedLinearOfIds(
            [tables.pop(name) for name in single],
            units,
            name=layer_name("wides", single[0], *label),
        )
        parts.append(layer([inputs[name] for name in single]))
    for name, (called, size) in tables.items():
        weights = [inputs[weights_name(name)]] if weights_name(name) in inputs else []
        parts.append(LinearOfIds(size, units, name=called)(inputs[name], *weights))
    return parts


def _columns(
    entries: Mapping[str, FeatureEntry], inputs: Mapping[str, Tensor], label: tuple[str, ...]
) -> list[Tensor]:
    """Returns [batch, width] numbers of each entry that is no ID, and no weight of one."""
    weights = {weights_name(name) for name in inputs}
    names = [name for name in inputs if entries[name].cardinality is None and name not in weights]
    single = [name for name in names if not entries[name].shape]
    columns: dict[str, Tensor] = {}
    if len(single) >= FEWEST:
        layer = StackedColumns(
            [[layer_name("wide_column", name, *label)] for name in single],
            name=layer_name("wide_columns", single[0], *label),
        )
        columns = dict(zip(single, layer([inputs[name] for name in single]), strict=True))
    for name in names:
        if name not in columns:
            kind = keras.layers.Flatten if entries[name].shape else _column
            columns[name] = kind(name=layer_name("wide_column", name, *label))(inputs[name])
    return [columns[name] for name in names]


def _column(name: str) -> keras.layers.Layer:
    return keras.layers.Reshape((1,), name=name)
