"""Experts: several stacks of hidden layers, which each of several labels mixes by its own gate (MMoE)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from skewless.model.network.body.hidden import hidden_layers
from skewless.model.network.layer_names import layer_name
from skewless.schemas.spec.network import TowersSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["mixed_experts"]

Tensor = Any


def mixed_experts(
    spec: Spec, model: TowersSpec, vector: Tensor, labels: Iterable[str]
) -> dict[str, Tensor]:
    """Returns what each label's head is given, by its name (Ma et al. 2018, equations 5 to 7).

    Each expert is the hidden layers over the merged vector. A label's gate is a softmax over the
    experts of a linear map of the same vector; the label's head is given the experts' mean by it.

    Args:
      spec: For its seed.
      model: The declared layers, and how many experts.
      vector: [batch, width], merged.
      labels: Their names.

    Returns:
      By label, [batch, width of the last hidden layer].
    """
    assert model.experts is not None
    each = []
    for expert in range(model.experts):
        out = hidden_layers(spec, model, vector, expert)
        each.append(
            keras.layers.Reshape((1, out.shape[-1]), name=layer_name("expert", expert))(out)
        )
    experts = keras.layers.Concatenate(axis=1, name=layer_name("experts"))(each)
    mixed = {}
    for label in labels:
        gate = keras.layers.Dense(
            model.experts, activation="softmax", use_bias=False, name=layer_name("gate", label)
        )
        mixture = keras.layers.Dot(axes=(1, 1), name=layer_name("mixture", label))
        mixed[label] = mixture([experts, gate(vector)])
    return mixed
