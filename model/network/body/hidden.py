"""What stands between the merge and the head: dense layers, with what a spec puts around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import BatchEnsembleDense
from skewless.schemas.spec.network import TowersSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["hidden_layers"]

Tensor = Any


def hidden_layers(spec: Spec, model: TowersSpec, vector: Tensor) -> Tensor:
    """Returns what the hidden layers make of the merged vector.

    Args:
      spec: For its seed.
      model: The declared layers.
      vector: [batch, width].

    Returns:
      [batch, width of the last layer], with an ensemble [batch, members, width of the last layer].
    """
    for number, units in enumerate(model.hidden):
        before = vector
        vector = _dense(model, number, units)(vector)
        if model.normalization is not None:
            vector = _normalized(model, number, vector)
        if model.dropout:
            dropout = keras.layers.Dropout(
                model.dropout,
                seed=spec.training.seed + number,
                name=layer_name("dropout", number),
            )
            vector = dropout(vector)
        if model.residual:
            vector = _added(number, units, before, vector)
    return vector


def _dense(model: TowersSpec, number: int, units: int) -> Callable[[Tensor], Tensor]:
    """Returns the dense layer, with its activation where nothing comes between the two."""
    activation = None if model.normalization else model.activation
    name = layer_name("hidden", number)
    if model.ensemble is None:
        return keras.layers.Dense(units, activation=activation, name=name)
    # Members differ by the signs of the first layer's inputs, and from there on by what they learn.
    layer = BatchEnsembleDense(units, model.ensemble, signs=number == 0, name=name)
    if activation is None:
        return layer
    activate = keras.layers.Activation(activation, name=layer_name("activation", number))
    return lambda vector: activate(layer(vector))


def _normalized(model: TowersSpec, number: int, vector: Tensor) -> Tensor:
    kinds = {"layer": keras.layers.LayerNormalization, "batch": keras.layers.BatchNormalization}
    normalization = kinds[str(model.normalization)](name=layer_name("normalization", number))
    activate = keras.layers.Activation(model.activation, name=layer_name("activation", number))
    return activate(normalization(vector))


def _added(number: int, units: int, before: Tensor, vector: Tensor) -> Tensor:
    """Adds what came into the layer, in its width."""
    if before.shape[-1] != units:
        shortcut = keras.layers.Dense(units, use_bias=False, name=layer_name("shortcut", number))
        before = shortcut(before)
    if len(before.shape) < len(vector.shape):
        before = keras.layers.Reshape((1, units), name=layer_name("each_member", number))(before)
    return keras.layers.Add(name=layer_name("residual", number))([before, vector])
