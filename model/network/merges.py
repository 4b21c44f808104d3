"""Merges: several vectors become one, of all towers or of a group's members.

`_MERGES` maps each declared merge to its builder, which takes [batch, width] vectors and gives
[batch, n]. Of sequences a group merges each step; `_STEP_MERGES` has what can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import AttentionPooling, Cross, WeightedAverage
from skewless.schemas.errors import SpecError
from skewless.schemas.spec.network import Merge, TowersSpec

__all__ = ["merge_members", "merge_steps", "merge_towers"]

Tensor = Any
layers = keras.layers
# These take vectors of any widths; all others take equal ones.
_ANY_WIDTHS = ("concatenate", "cross")


@dataclass(frozen=True)
class _Place:
    """Where a merge stands, which names its layers: over all towers, or in the group `group`."""

    merge: Merge
    cross_layers: int
    group: str | None = None

    @property
    def name(self) -> str:
        """Of the layer that merges."""
        if self.group is None:
            return layer_name("merge")
        return layer_name("concatenate" if self.merge == "cross" else self.merge, self.group)

    def part(self, kind: str, *number: int) -> str:
        """Of a layer before or after it."""
        return layer_name(kind, *([] if self.group is None else [self.group]), *number)


def merge_towers(spec: TowersSpec, towers: Mapping[str, Tensor]) -> Tensor:
    """Merges towers as declared, projecting them first where widths must be equal.

    Raises:
      SpecError: If widths must be equal, are not, and no projection is declared; if `dot` is given
        other than two towers.
    """
    if spec.merge == "dot" and len(towers) != 2:
        raise SpecError(
            f"model.merge: dot takes exactly two towers, got {len(towers)} ({', '.join(towers)}); "
            "choose another merge, or group the features into two"
        )
    if spec.merge not in _ANY_WIDTHS:
        towers = _equal_widths(spec, towers)
    values = list(towers.values())
    if len(values) == 1 and spec.merge != "cross":
        return values[0]
    return _MERGES[spec.merge](_Place(spec.merge, spec.cross_layers), values)


def merge_members(spec: TowersSpec, name: str, members: Mapping[str, Tensor]) -> Tensor:
    """Merges the [batch, width] vectors of the group `name`, by feature.

    Raises:
      SpecError: If the merge needs equal widths and they differ.
    """
    merge = spec.groups[name].merge
    _check_widths(merge, name, members)
    return _MERGES[merge](_Place(merge, spec.cross_layers, name), list(members.values()))


def merge_steps(merge: Merge, name: str, members: Mapping[str, Tensor]) -> Tensor:
    """Merges [batch, length, width] members step by step, on the last axis.

    Raises:
      SpecError: If the merge needs equal widths and they differ.
    """
    _check_widths(merge, name, members)
    return _STEP_MERGES[merge](name=layer_name(merge, name))(list(members.values()))


def _check_widths(merge: Merge, name: str, members: Mapping[str, Tensor]) -> None:
    widths = {member: vector.shape[-1] for member, vector in members.items()}
    if merge not in _ANY_WIDTHS and len(set(widths.values())) > 1:
        listed = ", ".join(f"{member} {width}" for member, width in widths.items())
        raise SpecError(
            f"model.groups.{name}.merge: {merge} needs equal widths, got {listed}; "
            "give the features one embedding width, or use concatenate"
        )


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


def _concatenate(place: _Place, vectors: list[Tensor]) -> Tensor:
    return layers.Concatenate(name=place.name)(vectors)


def _average(place: _Place, vectors: list[Tensor]) -> Tensor:
    return layers.Average(name=place.name)(vectors)


def _weighted_average(place: _Place, vectors: list[Tensor]) -> Tensor:
    return WeightedAverage(name=place.name)(vectors)


def _add(place: _Place, vectors: list[Tensor]) -> Tensor:
    return layers.Add(name=place.name)(vectors)


def _multiply(place: _Place, vectors: list[Tensor]) -> Tensor:
    return layers.Multiply(name=place.name)(vectors)


def _maximum(place: _Place, vectors: list[Tensor]) -> Tensor:
    return layers.Maximum(name=place.name)(vectors)


def _dot(place: _Place, vectors: list[Tensor]) -> Tensor:
    return layers.Dot(axes=-1, name=place.name)(vectors)


def _attention(place: _Place, vectors: list[Tensor]) -> Tensor:
    width = vectors[0].shape[-1]
    steps = [
        layers.Reshape((1, width), name=place.part("step", number))(vector)
        for number, vector in enumerate(vectors)
    ]
    stacked = layers.Concatenate(axis=1, name=place.part("stack"))(steps)
    return AttentionPooling(width, name=place.name)(stacked)


def _cross(place: _Place, vectors: list[Tensor]) -> Tensor:
    first = layers.Concatenate(name=place.name)(vectors) if len(vectors) > 1 else vectors[0]
    current = first
    for number in range(place.cross_layers):
        current = Cross(name=place.part("cross", number))(first, current)
    return current


_MERGES: dict[str, Callable[[_Place, list[Tensor]], Tensor]] = {
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
