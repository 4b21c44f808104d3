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
# The number of a layer; of several stacks, then which of them.
Place = tuple[int | str, ...]


def hidden_layers(
    spec: Spec, model: TowersSpec, vector: Tensor, expert: int | None = None
) -> Tensor:
    """Returns what the hidden layers make of the merged vector.

    Args:
      spec: For its seed.
      model: The declared layers.
      vector: [batch, width].
      expert: Which of several stacks of them this is.

    Returns:
      [batch, width of the last layer], with an ensemble [batch, members, width of the last layer].
    """
    for number, units in enumerate(model.hidden):
        place = (number,) if expert is None else (number, "of", expert)
        before = vector
        vector = _dense(model, place, units)(vector)
        if model.normalization is not None:
            vector = _normalized(model, place, vector)
        if model.dropout:
            dropout = keras.layers.Dropout(
                model.dropout,
                seed=spec.training.seed + number + len(model.hidden) * (expert or 0),
                name=layer_name("dropout", *place),
            )
            vector = dropout(vector)
        if model.residual:
            vector = _added(place, units, before, vector)
    return vector


def _dense(model: TowersSpec, place: Place, units: int) -> Callable[[Tensor], Tensor]:
    """Returns the dense layer, with its activation where nothing comes between the two."""
    activation = None if model.normalization else model.activation
    name = layer_name("hidden", *place)
    if model.ensemble is None:
        return keras.layers.Dense(units, activation=activation, name=name)
    # Members differ by the signs of the first layer's inputs, and from there on by what they learn.
    layer = BatchEnsembleDense(units, model.ensemble, signs=place[0] == 0, name=name)
    if activation is None:
        return layer
    activate = keras.layers.Activation(activation, name=layer_name("activation", *place))
    return lambda vector: activate(layer(vector))


def _normalized(model: TowersSpec, place: Place, vector: Tensor) -> Tensor:
    kinds = {"layer": keras.layers.LayerNormalization, "batch": keras.layers.BatchNormalization}
    normalization = kinds[str(model.normalization)](name=layer_name("normalization", *place))
    activate = keras.layers.Activation(model.activation, name=layer_name("activation", *place))
    return activate(normalization(vector))


def _added(place: Place, units: int, before: Tensor, vector: Tensor) -> Tensor:
    """Adds what came into the layer, in its width."""
    if before.shape[-1] != units:
        shortcut = keras.layers.Dense(units, use_bias=False, name=layer_name("shortcut", *place))
        before = shortcut(before)
    if len(before.shape) < len(vector.shape):
        before = keras.layers.Reshape((1, units), name=layer_name("each_member", *place))(before)
    return keras.layers.Add(name=layer_name("residual", *place))([before, vector])
