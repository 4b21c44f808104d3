"""Merges: several towers' vectors become one.

`_MERGES` maps each declared merge to its builder, which takes a dict of [batch, width] vectors
by tower name and gives [batch, n].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import AttentionPooling, Cross, WeightedAverage
from skewless.schemas.errors import SpecError
from skewless.schemas.spec.network import Merge, TowersSpec

__all__ = ["merge_steps", "merge_towers"]

Tensor = Any
layers = keras.layers


def merge_towers(spec: TowersSpec, towers: Mapping[str, Tensor]) -> Tensor:
    """Merges towers as declared, projecting them first where widths must be equal.

    Raises:
      SpecError: If widths must be equal, are not, and no projection is declared.
    """
    if spec.merge not in ("concatenate", "cross"):
        towers = _equal_widths(spec, towers)
    values = list(towers.values())
    if len(values) == 1 and spec.merge != "cross":
        return values[0]
    return _MERGES[spec.merge](spec, values)


def merge_steps(merge: Merge, name: str, members: list[Tensor]) -> Tensor:
    """Merges [batch, length, width] members step by step, on the last axis.

    Raises:
      SpecError: If the merge needs equal widths and they differ.
    """
    if merge != "concatenate" and len({member.shape[-1] for member in members}) > 1:
        widths = [member.shape[-1] for member in members]
        raise SpecError(
            f"model.groups.{name}.merge: {merge} needs equal widths, got {widths}; "
            "give the features one embedding width, or use concatenate"
        )
    return _STEP_MERGES[merge](name=layer_name(merge, name))(members)


def _equal_widths(spec: TowersSpec, towers: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    widths = {name: tower.shape[-1] for name, tower in towers.items()}
    if spec.projection is not None:
        # Products of many small numbers vanish, and with them what training could go by: factors
        # begin around one.
        bias = "ones" if spec.merge == "multiply" else "zeros"
        return {
            name: layers.Dense(
                spec.projection, bias_initializer=bias, name=layer_name("project", name)
            )(tower)
            for name, tower in towers.items()
        }
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise SpecError(
            f"model.merge: {spec.merge} needs towers of equal width, got {listed}; "
            "set model.projection to the width they are projected to"
        )
    return towers


def _concatenate(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    return layers.Concatenate(name=layer_name("merge"))(towers)


def _average(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    return layers.Average(name=layer_name("merge"))(towers)


def _weighted_average(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    return WeightedAverage(name=layer_name("merge"))(towers)


def _add(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    return layers.Add(name=layer_name("merge"))(towers)


def _multiply(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    return layers.Multiply(name=layer_name("merge"))(towers)


def _maximum(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    return layers.Maximum(name=layer_name("merge"))(towers)


def _dot(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    return layers.Dot(axes=-1, name=layer_name("merge"))(towers)


def _attention(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    width = towers[0].shape[-1]
    steps = [
        layers.Reshape((1, width), name=layer_name("step", number))(tower)
        for number, tower in enumerate(towers)
    ]
    stacked = layers.Concatenate(axis=1, name=layer_name("stack"))(steps)
    return AttentionPooling(width, name=layer_name("merge"))(stacked)


def _cross(spec: TowersSpec, towers: list[Tensor]) -> Tensor:
    first = layers.Concatenate(name=layer_name("merge"))(towers) if len(towers) > 1 else towers[0]
    current = first
    for number in range(spec.cross_layers):
        current = Cross(name=layer_name("cross", number))(first, current)
    return current


_MERGES: dict[str, Callable[[TowersSpec, list[Tensor]], Tensor]] = {
    "concatenate": _concatenate,
    "average": _average,
    "weighted_average": _weighted_average,
    "add": _add,
    "multiply": _multiply,
    "maximum": _maximum,
    "dot": _dot,
    "attention": _attention,
    "cross": _cross,
}
_STEP_MERGES: dict[str, Callable[..., Any]] = {
    "concatenate": layers.Concatenate,
    "average": layers.Average,
    "add": layers.Add,
    "multiply": layers.Multiply,
    "maximum": layers.Maximum,
}
