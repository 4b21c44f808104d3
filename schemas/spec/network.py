"""The declared network: how towers are merged and what stands on top of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.encoders import Encoder, Rate
from skewless.schemas.spec.sizes import BatchRows, Beams, Layers, Passes, Seed, Width

__all__ = ["Group", "Merge", "ModelSpec", "Seq2SeqSpec", "TowersSpec", "TrainingSpec"]

Merge = Literal[
    "concatenate",
    "average",
    "weighted_average",
    "add",
    "multiply",
    "maximum",
    "dot",
    "attention",
    "cross",
]


class Group(Declared):
    """Features merged before one shared encoder; sequences step by step, on the last axis."""

    features: tuple[str, ...] = Field(min_length=2)
    """The members, by name."""
    merge: Merge = "concatenate"
    """How members become one; of sequences step by step."""
    encoder: Encoder | None = None
    """How the merged steps become one vector; `mean` if not given."""


class TowersSpec(Declared):
    """A tower for each feature or group, merged, then dense layers and the label's head."""

    type: Literal["towers"] = "towers"
    merge: Merge = "concatenate"
    """How the towers' vectors become one."""
    projection: Width | None = None
    """The width that towers are projected to before a merge that needs equal widths."""
    groups: dict[str, Group] = {}
    """Features merged before their encoder, by the group's name."""
    hidden: tuple[Width, ...] = (64,)
    """Widths of the dense layers after the merge."""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    """Of the hidden layers."""
    dropout: Rate = 0.0
    """After each hidden layer."""
    cross_layers: Layers = 2
    """Cross layers of the merge `cross`."""


class Seq2SeqSpec(Declared):
    """An encoder over the one text feature and a decoder of the sequence label."""

    type: Literal["seq2seq"] = "seq2seq"
    cell: Literal["gru", "lstm"] = "gru"
    """Of encoder and decoder."""
    units: Width = 128
    """Width of the cells."""
    dropout: Rate = 0.0
    """In the cells."""
    beam_width: Beams = 4
    """Candidates kept by the beam search of `generate`."""


ModelSpec = Annotated[TowersSpec | Seq2SeqSpec, Field(discriminator="type")]


class TrainingSpec(Declared):
    """How to train; `early_stopping` is the number of epochs without a better eval loss."""

    batch_size: BatchRows = 512
    """Rows a step."""
    epochs: Passes = 5
    """Passes over the training split, at most."""
    optimizer: Literal["adam", "adamw", "sgd", "adagrad", "rmsprop", "lion"] = "adam"
    """One of Keras's."""
    learning_rate: Annotated[PositiveFloat, Field(allow_inf_nan=False)] = 0.001
    """The optimizer's step size."""
    seed: Seed = 1
    """Of weights, order of rows and dropout."""
    early_stopping: Passes | None = 2
    """Epochs without a better eval loss before training ends; null never ends it."""
    mixed_precision: bool = False
    """Computes in bfloat16 on CPUs, float16 on GPUs."""
    clip_norm: PositiveFloat | None = None
    """The largest norm of a gradient."""
