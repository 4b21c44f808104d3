"""The space: which knobs a spec has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from skewless.model.comparison.arms import value_of, with_values
from skewless.model.tuning.knobs import Choice, Knob, Range, choice
from skewless.schemas.errors import SpecError, UsageError, nearest
from skewless.schemas.spec.features import Feature, NumericFeature, TextFeature
from skewless.schemas.spec.kinds.number_embedding import PiecewiseLinear
from skewless.schemas.spec.network import Seq2SeqSpec, TowersSpec, TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["space_of"]

# More features than these share a knob: a few dozen trials could not tell so many apart.
_FEATURES_OF_THEIR_OWN = 6
_HIDDEN = ([64], [128, 64], [256, 128], [512, 256], [256, 128, 64])
_ENCODERS = ("mean", "max", "attention", "cnn", "gru")
_MERGES = ("concatenate", "cross", "weighted_average", "attention")
_OF_ANY_WIDTHS = ("concatenate", "cross")
_PROJECTION = 64
_COSINE = ({"type": "cosine", "warmup": 0.05}, {"type": "cosine", "warmup": 0.2})
_WEIGHT_DECAY = (None, 0.0001, 0.0003, 0.001, 0.01, 0.03)
# Of a learning rate: below and above the declared one.
_FACTOR = 10


def space_of(
    spec: Spec, varied: Mapping[str, Sequence[Any]] | None = None, kept: Iterable[str] = ()
) -> list[Knob]:
    """Returns what is varied.

    Args:
      spec: As it is declared.
      varied: Values of keys, instead of what would be varied of them.
      kept: Names of knobs that stay as they are declared.

    Raises:
      UsageError: If there is no such key or knob, if records would be others, or if nothing is left.
      SpecError: If a value does not fit its key.
    """
    varied, kept = varied or {}, tuple(kept)
    document = spec.model_dump(mode="json")
    own = [knob for knob in _own(spec, document) if knob.name not in varied]
    names = [knob.name for knob in own]
    for name in kept:
        if name not in names:
            raise UsageError(
                f"--keep {name}: is not varied{nearest(name, names)} (there are {', '.join(names)})"
            )
    knobs: list[Knob] = [knob for knob in own if knob.name not in kept]
    for key, values in varied.items():
        if key == "training.seed":
            raise UsageError(
                "training.seed: all trials begin alike, so it is not tuned; leave it out"
            )
        for value in values:
            with_values(spec, {key: value})
        knobs.append(choice(key, value_of(document, key), values))
    if not knobs:
        raise UsageError("nothing is varied; leave out a --keep, or give --vary KEY=a,b")
    return knobs


def _own(spec: Spec, document: dict[str, Any]) -> Iterator[Knob]:
    """Yields the knobs that are left with a choice, once what does not fit the spec is out."""
    for knob in (*_of_model(spec, document), *_of_features(spec), *_of_training(spec, document)):
        if isinstance(knob, Choice):
            fitting = {
                name: values for name, values in knob.settings.items() if _fits(spec, values)
            }
            if len(fitting) > 1:
                yield dataclasses.replace(knob, settings=fitting)
        else:
            yield knob


def _fits(spec: Spec, values: Mapping[str, Any]) -> bool:
    try:
        with_values(spec, values)
    except SpecError:
        return False
    return True


def _of_model(spec: Spec, document: dict[str, Any]) -> Iterator[Knob]:
    model = document["model"]
    if isinstance(spec.model, Seq2SeqSpec):
        yield choice("model.cell", model["cell"], ("gru", "lstm"))
        yield choice("model.units", model["units"], _around(model["units"]))
    # By their keys: types of models have some of them in common.
    if "merge" in model and len(spec.features) > 1:
        yield _merges(model)
    if "hidden" in model:
        yield choice("model.hidden", model["hidden"], _HIDDEN)
    if "activation" in model:
        yield choice("model.activation", model["activation"], ("relu", "gelu"))
    if "dropout" in model:
        yield Range("model.dropout", model["dropout"], 0.0, max(0.5, model["dropout"]))
    if isinstance(spec.model, TowersSpec):
        yield from _of_towers(model)


def _of_towers(model: dict[str, Any]) -> Iterator[Knob]:
    yield choice("model.normalization", model["normalization"], (None, "layer"))
    yield choice("model.residual", model["residual"], (False, True))
    yield choice("model.linear", model["linear"], (False, True))
    yield choice("model.ensemble", model["ensemble"], (None, 4, 8))
    yield choice("model.experts", model["experts"], (None, 4, 8))


def _merges(model: dict[str, Any]) -> Choice:
    """Each merge with a projection, where it needs towers of one width."""
    settings: dict[str, dict[str, Any]] = {}
    for merge in (model["merge"], *_MERGES):
        width = None if merge in _OF_ANY_WIDTHS else _PROJECTION
        width = model["projection"] or width
        settings.setdefault(merge, {"model.merge": merge, "model.projection": width})
    settings[model["merge"]] = {key: model[key.partition(".")[2]] for key in settings["cross"]}
    return Choice("model.merge", model["merge"], settings)


def _of_features(spec: Spec) -> Iterator[Knob]:
    groups = getattr(spec.model, "groups", {})
    grouped = {name for group in groups.values() for name in group.features}
    yield from _widths(
        spec, {name: spec.features[name] for name in spec.features if name not in grouped}
    )
    sequences = [
        name
        for name, feature in spec.features.items()
        if feature.is_sequence
        and name not in grouped
        and feature.weights_column is None  # Which are for a mean or a sum.
        and hasattr(feature, "encoder")
    ]
    if isinstance(spec.model, Seq2SeqSpec):
        return
    for name in sequences[:_FEATURES_OF_THEIR_OWN]:
        yield _encoder(f"features.{name}", spec.features[name])
    yield from _numbers(spec)


def _encoder(path: str, feature: Feature) -> Choice:
    """Which encoder a sequence has; of a text `tf_idf` too, which takes the mean's place."""
    encoder = feature.model_dump(mode="json")["encoder"]
    chosen = feature.encoder
    told = {} if chosen is None else chosen.model_dump(exclude_defaults=True)
    plain = set(told) <= {"type"}
    declared = "mean" if encoder is None else encoder["type"] if plain else encoder
    encoders = choice(f"{path}.encoder", declared, _ENCODERS)
    if not isinstance(feature, TextFeature):
        return encoders
    weighting = f"{path}.weighting"
    settings = {name: {**values, weighting: None} for name, values in encoders.settings.items()}
    settings["tf_idf"] = {f"{path}.encoder": "mean", weighting: "tf_idf"}
    return Choice(encoders.name, feature.weighting or encoders.declared, settings)


def _widths(spec: Spec, features: Mapping[str, Feature]) -> Iterator[Knob]:
    """Widths of IDs' vectors, each feature's or of all by one factor."""
    widths = {
        f"features.{name}.embedding": feature.embedding
        for name, feature in features.items()
        if isinstance(feature.embedding, int)
    }
    if len(widths) <= _FEATURES_OF_THEIR_OWN:
        for key, width in widths.items():
            yield choice(key, width, _around(width))
        return
    settings = {
        f"x{factor:g}": {key: max(1, round(width * factor)) for key, width in widths.items()}
        for factor in (1, 0.5, 2)
    }
    yield Choice("widths of embeddings", "x1", settings)


def _around(width: int) -> tuple[int, ...]:
    return max(1, width // 2), width, 2 * width


def _numbers(spec: Spec) -> Iterator[Knob]:
    """How all plain numbers become vectors; of a width only where records hold the edges."""
    plain = {
        f"features.{name}.embedding": feature
        for name, feature in spec.features.items()
        if isinstance(feature, NumericFeature) and feature.fixed_ids is None
    }
    if not plain:
        return
    declared = {
        key: None if (found := feature.number_embedding) is None else found.model_dump(mode="json")
        for key, feature in plain.items()
    }
    settings: dict[str, dict[str, Any]] = {
        "as declared": declared,
        "none": dict.fromkeys(plain),
        "periodic": dict.fromkeys(plain, "periodic"),
    }
    if all(isinstance(feature.embedding, PiecewiseLinear) for feature in plain.values()):
        for width in (8, 32):
            settings[f"piecewise_linear of width {width}"] = {
                key: {**(value or {}), "width": width} for key, value in declared.items()
            }
    same = [name for name in settings if name != "as declared" and settings[name] == declared]
    for name in same:
        del settings[name]
    yield Choice("embeddings of numbers", "as declared", settings)


def _of_training(spec: Spec, document: dict[str, Any]) -> Iterator[Knob]:
    training = document["training"]
    rate, size = training["learning_rate"], training["batch_size"]
    yield Range("training.learning_rate", rate, rate / _FACTOR, rate * _FACTOR, log=True)
    yield choice("training.schedule", training["schedule"], (None, *_COSINE))
    yield choice("training.weight_decay", training["weight_decay"], _WEIGHT_DECAY)
    yield choice("training.ema", training["ema"], (None, 0.99, 0.999))
    yield choice("training.label_smoothing", training["label_smoothing"], (0.0, 0.05, 0.1))
    # The softmax of two towers is over the batch: losses of batches of other sizes do not compare.
    if not isinstance(spec.model, TwoTowerSpec):
        yield choice("training.batch_size", size, _around(size))
