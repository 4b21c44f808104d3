"""The declared network: how towers are merged, what stands on top, and what cannot be merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat

from skewless.schemas.errors import nearest
from skewless.schemas.records.id_contract import FIRST_ID
from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.encoders import Dense, Encoder, Flatten, Rate
from skewless.schemas.spec.features import NumericFeature, TextFeature, TimestampFeature, of_kind
from skewless.schemas.spec.kinds.column import FeatureKind
from skewless.schemas.spec.models.two_tower import TwoTowerSpec
from skewless.schemas.spec.sizes import (
    BatchRows,
    Beams,
    Count,
    Layers,
    Members,
    Passes,
    Seed,
    Width,
)

__all__ = [
    "CosineSchedule",
    "Group",
    "Merge",
    "ModelSpec",
    "Seq2SeqSpec",
    "TowersSpec",
    "TrainingSpec",
    "TwoTowerSpec",
]

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

# A figure of one of several labels, `LABEL_METRIC`.
OfOneLabel = Annotated[str, Field(pattern=r"^[A-Za-z]\w*_(loss|auc|accuracy|rmse|mae)$")]

# What merges sequences, step by step.
_STEPWISE = ("concatenate", "average", "add", "multiply", "maximum")


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
    normalization: Literal["layer", "batch"] | None = None
    """Of each hidden layer, before its activation."""
    residual: bool = False
    """Adds what comes into a hidden layer to what it gives, through a linear map where widths differ."""
    linear: bool = False
    """Adds a wide part: a linear function of all IDs and numbers, beside the network."""
    ensemble: Annotated[Members, Field(ge=2)] | None = None
    """Members that share the hidden layers but for scales and biases of their own, each trained by
    its own loss; their mean is predicted (TabM, Gorishniy et al. 2025).
    """
    experts: Annotated[Members, Field(ge=2)] | None = None
    """With several labels: so many stacks of the hidden layers, which each label mixes by a gate of its
    own (MMoE, Ma et al. 2018). Without it all labels share one.
    """

    @property
    def needs_label(self) -> bool:
        """Whether it learns from a label."""
        return True

    def problems(self, spec: Any) -> Iterator[str]:
        """Yields what is wrong between this and the rest of a spec."""
        yield from _without_sequences(spec)
        yield from _tower_problems(spec.features, self, own=spec.preprocessing is not None)


_HEADS = 4


class Seq2SeqSpec(Declared):
    """An encoder over the one text feature and a decoder of the sequence label."""

    type: Literal["seq2seq"] = "seq2seq"
    cell: Literal["gru", "lstm", "transformer"] = "gru"
    """Of encoder and decoder: recurrent cells, or transformer blocks (Vaswani et al. 2017)."""
    units: Width = 128
    """Width of the cells or blocks."""
    layers: Layers = 1
    """Layers of the encoder on top of each other, and as many of the decoder."""
    bidirectional: bool = False
    """Whether a recurrent encoder reads in both directions."""
    attention: Literal["luong", "bahdanau"] | None = None
    """How the decoder of recurrent cells looks at the source's steps: by the score of Luong et al. 2015,
    or of Bahdanau et al. 2015. Without it, it knows the encoder's last state alone.
    """
    heads: Width = _HEADS
    """Attention heads of a transformer block; they divide `units`."""
    dropout: Rate = 0.0
    """In the cells or blocks."""
    beam_width: Beams = 4
    """Candidates kept by the beam search of `generate`."""
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 0.0
    """How much beams are favoured for their length: scores are divided by ((5 + tokens) / 6) to this power
    (Wu et al. 2016); 0 not at all, and shorter ones win more often than they should.
    """
    sampled_softmax: Count | None = None
    """So many tokens that a training step tells its own from, drawn by how frequent they are, instead of the
    whole vocabulary (Jean et al. 2015): faster where that is large. Eval is over all in any case.
    """

    @property
    def needs_label(self) -> bool:
        """Whether it learns from a label."""
        return True

    def problems(self, spec: Any) -> Iterator[str]:
        """Yields what is wrong between this and the rest of a spec."""
        if spec.label is None or not spec.label.is_sequence:
            yield _SEQUENCES
        texts = [feature for feature in spec.features.values() if isinstance(feature, TextFeature)]
        if len(texts) != 1 or len(spec.features) != 1:
            yield f"features: seq2seq encodes exactly one text feature, got {list(spec.features)}"
        for name, feature in spec.features.items():
            if feature.weighs_terms:
                yield f"features.{name}.weighting: seq2seq reads each step; remove it"
        if self.sampled_softmax is not None and spec.training.best_by != "loss":
            yield (
                "model.sampled_softmax: measures no accuracy while training; use training.best_by: "
                "loss, or remove it"
            )
        if self.cell == "transformer":
            for key, default in (("bidirectional", False), ("attention", None)):
                if getattr(self, key) != default:
                    yield f"model.{key}: a transformer looks everywhere by itself; remove it"
            if self.units % self.heads:
                yield f"model.heads: {self.heads} do not divide units {self.units}; change one of them"
        elif self.heads != _HEADS:
            yield f"model.heads: go with cell: transformer, not {self.cell}; remove it"


# Each kind answers `needs_label`, and `problems` with the rest of a spec.
ModelSpec = Annotated[TowersSpec | Seq2SeqSpec | TwoTowerSpec, Field(discriminator="type")]

_SEQUENCES = "model.type: seq2seq goes with label.type: sequence, and only with it"


def _without_sequences(spec: Any) -> Iterator[str]:
    if spec.label is not None and spec.label.is_sequence:
        yield _SEQUENCES


class CosineSchedule(Declared):
    """The learning rate rises in a line, then falls along a cosine to 0 at the last step."""

    type: Literal["cosine"] = "cosine"
    warmup: Rate = 0.05
    """The share of all steps in which it rises."""


def _by_name(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class TrainingSpec(Declared):
    """How to train; `early_stopping` is the number of epochs without a better eval loss."""

    batch_size: BatchRows = 512
    """Rows a step."""
    epochs: Passes = 5
    """Passes over the training split, at most."""
    optimizer: Literal["adam", "adamw", "sgd", "adagrad", "rmsprop", "lion", "lazy_adam"] = "adam"
    """One of Keras's; or `lazy_adam`, whose step on an embedding table is one on the rows that a batch
    looked up, for tables of very many rows.
    """
    learning_rate: Annotated[PositiveFloat, Field(allow_inf_nan=False)] = 0.001
    """The optimizer's step size; with a schedule, the largest."""
    schedule: Annotated[CosineSchedule, BeforeValidator(_by_name)] | None = None
    """How the learning rate changes over all epochs; it stays as it is if not given, and with
    `train --follow`, which has no last step.
    """
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How much weights shrink a step, times the learning rate and apart from the gradient; as the
    optimizer has it if not given: 0.004 for `adamw`, else none.
    """
    seed: Seed = 1
    """Of weights, order of rows and dropout."""
    early_stopping: Passes | None = 2
    """Epochs without a better eval loss before training ends; null never ends it."""
    best_by: Literal["loss", "auc", "accuracy", "rmse", "mae"] | OfOneLabel = "loss"
    """What of eval the kept epoch, and `early_stopping`, go by; of several labels the loss of all, or
    one label's own, as `clicked_auc`.
    """
    class_weights: Literal["balanced"] | None = None
    """Rows weigh rows / (classes * rows of their class) while training, so that rare classes count as
    much as frequent ones. Probabilities are then of such a balanced world, no longer of yours.
    """
    label_smoothing: Rate = 0.0
    """The share of a label's mass that is spread over all classes, in the loss of train and eval."""
    focal: Annotated[float, Field(gt=0, le=10)] | None = None
    """The exponent of the focal loss (Lin et al. 2017): a row's loss times (1 - p)^focal, p being what
    its own class is given, so that hard rows count for more. Probabilities are then no chances.
    """
    keep_negatives: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of negative rows (of a binary label) that an epoch trains on, others each time.
    Predictions, evaluated and served, are put back on the true scale (He et al. 2014).
    """
    loss: Literal["pairwise", "listwise"] | None = None
    """Learns the order of the rows of a `group` instead of each row's label: pairwise a positive row
    above each negative one (BPR), listwise a softmax over the group. The label's own loss if not given.
    """
    group: str | None = None
    """The feature whose values are the groups that a ranking loss orders: one value a row, such as the
    user. Rows without one, or with one outside the vocabulary, teach nothing.
    """
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Keeps a moving average of the weights, of which a step leaves so much; it is what is evaluated
    and kept.
    """
    mixed_precision: bool = False
    """Computes in bfloat16 on CPUs, float16 on GPUs."""
    clip_norm: PositiveFloat | None = None
    """The largest norm of a gradient."""


def _tower_problems(
    features: Mapping[str, Any], model: TowersSpec, *, own: bool = False
) -> Iterator[str]:
    """Yields what is wrong between the model and the features, each being sound by itself.

    With a preprocessing function of its `own` a spec has more towers than it declares.
    """
    member_of: dict[str, str] = {}
    for group_name, group in model.groups.items():
        path = f"model.groups.{group_name}"
        if group_name in features:
            yield f"{path}: a feature has this name; rename the group"
        for name in group.features:
            if name not in features:
                yield f"{path}.features: no feature {name!r}{nearest(name, features)}"
            elif name in member_of:
                yield f"{path}.features: {name!r} is already in group {member_of[name]!r}"
            member_of.setdefault(name, group_name)
            if name in features and features[name].weighs_terms:
                yield f"features.{name}.weighting: weighs no group's steps; remove it, or the feature from {path}"
            if name in features and features[name].weights_column is not None:
                yield f"features.{name}.weights: weigh no group's steps; remove them, or the feature from {path}"
        known = [features[name] for name in group.features if name in features]
        yield from _group_problems(path, group, known)
    towers = len(features) - len(member_of) + len(model.groups)
    if model.merge == "dot" and towers != 2 and not own:
        yield f"model.merge: dot takes exactly two towers, got {towers}"


def _group_problems(path: str, group: Group, members: Sequence[Any]) -> Iterator[str]:
    sequences = [feature.is_sequence for feature in members]
    if any(sequences) and not all(sequences):
        yield f"{path}.features: expected all sequences or none, got a mix"
        return
    if any(sequences):
        if len({feature.length for feature in members}) > 1:
            yield f"{path}.features: merged step by step, so every 'length' must be the same"
        if group.merge not in _STEPWISE:
            yield (
                f"{path}.merge: {group.merge} merges vectors; sequences take {', '.join(_STEPWISE)}"
            )
        widths = [
            feature.numbers_of_step if feature.embedding == "none" else feature.embedding
            for feature in members
        ]
        lasting = [width if isinstance(width, int) else None for width in widths]
    else:
        if not isinstance(group.encoder, Dense | Flatten | None):
            yield f"{path}.encoder: {group.encoder.type} needs sequences; these features have one step"
        if group.merge == "dot" and len(group.features) != 2:
            yield f"{path}.merge: dot takes exactly two features, got {len(group.features)}"
        lasting = [_vector_width(feature) for feature in members]
        widths = [
            width or feature.embedding for width, feature in zip(lasting, members, strict=True)
        ]
    if group.merge not in ("concatenate", "cross") and len({*lasting} - {None}) > 1:
        yield (
            f"{path}.merge: {group.merge} needs equal widths, got {widths}; "
            "give the features one embedding width, or use concatenate"
        )


def _vector_width(feature: Any) -> int | None:
    """Returns the width of a tower of one step; None where only the data tells."""
    return of_kind(_VECTOR_WIDTHS, feature)(feature)


def _width_of_ids(feature: Any) -> int | None:
    if feature.embedding != "one_hot":
        return int(feature.embedding)
    return None if feature.fixed_ids is None else FIRST_ID + feature.fixed_ids


def _width_of_numbers(feature: NumericFeature) -> int | None:
    if feature.fixed_ids is not None:
        width = _width_of_ids(feature)
        return None if width is None else width + feature.indicator
    if isinstance(feature.encoder, Dense):
        return feature.encoder.units
    each = feature.number_embedding.width if feature.number_embedding else 1
    return feature.width * (each + feature.indicator)


_VECTOR_WIDTHS: dict[type, Callable[[Any], int | None]] = {
    FeatureKind: _width_of_ids,
    NumericFeature: _width_of_numbers,
    TimestampFeature: lambda feature: feature.vector_width,
}
