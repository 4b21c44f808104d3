"""The wide part: a linear function of features, beside the network (Cheng et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import LinearOfIds
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
    parts, numbers = [], []
    for name, values in inputs.items():
        cardinality = entries[name].cardinality
        if cardinality is not None:
            parts.append(LinearOfIds(cardinality, units, name=layer_name("wide", name))(values))
        elif len(values.shape) == 1:
            numbers.append(keras.layers.Reshape((1,), name=layer_name("wide_column", name))(values))
        else:
            numbers.append(keras.layers.Flatten(name=layer_name("wide_column", name))(values))
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
