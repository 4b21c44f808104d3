"""Encoders: how one feature's embedded steps, or numbers, become one vector.

Written either as a name (`encoder: gru`) or with options
(`encoder: {type: gru, units: 128}`); both load as the same frozen type.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.sizes import Layers, Steps, Width

__all__ = [
    "Attention",
    "Cnn",
    "Dense",
    "Encoder",
    "Flatten",
    "Pooling",
    "Recurrent",
    "Transformer",
]

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Flatten(Declared):
    """All steps side by side: [batch, length, width] becomes [batch, length * width]."""

    type: Literal["flatten"] = "flatten"


class Pooling(Declared):
    """Mean, maximum, both, or sum over the steps that are not padding; zeros where every step is."""

    type: Literal["mean", "max", "mean_max", "sum"]


class Recurrent(Declared):
    """A recurrent encoder's last state; `units` defaults to the embedding's width."""

    type: Literal["gru", "lstm", "bidirectional_gru", "bidirectional_lstm"]
    units: Width | None = None
    """Width of the state; the embedding's if not given."""
    layers: Layers = 1
    """Layers on top of each other."""
    dropout: Rate = 0.0
    """On each layer's input."""


class Cnn(Declared):
    """Parallel one-dimensional convolutions, each pooled by its maximum (Kim 2014)."""

    type: Literal["cnn"] = "cnn"
    filters: Width = 64
    """Filters of each size."""
    kernel_sizes: tuple[Steps, ...] = Field(
        default=(3, 4, 5), min_length=1, json_schema_extra={"uniqueItems": True}
    )
    """Steps that a filter spans, one convolution each."""

    @field_validator("kernel_sizes")
    @classmethod
    def _each_once(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(sizes)) < len(sizes):
            raise ValueError(f"expected each size once, got {list(sizes)}; raise 'filters' instead")
        return sizes


class Attention(Declared):
    """A learned query attends over the steps (additive attention pooling, Yang et al. 2016)."""

    type: Literal["attention"] = "attention"
    units: Width | None = None
    """Width of the scoring layer; the embedding's if not given."""


class Transformer(Declared):
    """Transformer encoder blocks (Vaswani et al. 2017), then the mean over true steps."""

    type: Literal["transformer"] = "transformer"
    layers: Layers = 1
    """Blocks on top of each other."""
    heads: Width = 4
    """Attention heads of a block."""
    units: Width | None = None
    """Width of a block's dense layer; four times the embedding's if not given."""
    dropout: Rate = 0.1
    """In each block."""


class Dense(Declared):
    """A dense layer over a numeric vector or over the flattened steps."""

    type: Literal["dense"] = "dense"
    units: Width = 32
    """Width of the layer."""
    activation: Literal["relu", "gelu", "tanh", "sigmoid", "linear"] = "relu"
    """Of the layer."""


def _by_name(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


Encoder = Annotated[
    Annotated[
        Flatten | Pooling | Recurrent | Cnn | Attention | Transformer | Dense,
        Field(discriminator="type"),
    ],
    BeforeValidator(_by_name),
]
