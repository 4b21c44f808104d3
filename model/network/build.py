"""The network that a spec declares, as a functional Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from skewless.model.network import heads
from skewless.model.network.body.ensemble import EnsembleModel
from skewless.model.network.body.experts import mixed_experts
from skewless.model.network.body.hidden import hidden_layers
from skewless.model.network.body.predictions import predictions_of
from skewless.model.network.layer_names import model_name
from skewless.model.network.merges import merge_towers
from skewless.model.network.seq2seq import build_seq2seq, seq2seq_loss
from skewless.model.network.towers import inputs_of, towers_of
from skewless.model.network.two_tower import build_two_tower, two_tower_loss
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL, label_name
from skewless.schemas.spec.network import Seq2SeqSpec, TowersSpec, TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["build", "compile_arguments"]

Entries = Mapping[str, FeatureEntry]


@dataclass(frozen=True)
class _Kind:
    """How one kind of model is built and what it learns by.

    Attributes:
      build: From the spec and the manifest's features to a Keras model.
      learned_by: From the spec to `loss` and `weighted_metrics` of `keras.Model.compile`.
    """

    build: Callable[[Spec, Entries], keras.Model]
    learned_by: Callable[[Spec], dict[str, Any]]


def build(spec: Spec, entries: Entries) -> keras.Model:
    """Builds the declared model.

    Args:
      spec: The declaration.
      entries: The manifest's features, which give shapes and cardinalities.

    Returns:
      A model from a dict of record entries to predictions, shaped as `skewless.model.network.heads`
      says, of several labels to such by name; of two towers, to vectors as `skewless.model.network.two_tower` says.

    Raises:
      SpecError: If towers cannot be merged as declared.
      DatasetMismatchError: If the data set lacks a declared feature, or a label that is needed.
    """
    absent = [entry for entry in spec.targets or (LABEL,) if entry not in entries]
    if spec.model.needs_label and absent:
        raise DatasetMismatchError(
            "the data set has no label; preprocess it with a spec that has one"
        )
    return _KINDS[type(spec.model)].build(spec, entries)


def compile_arguments(spec: Spec) -> dict[str, Any]:
    """Returns `loss` and `weighted_metrics` for `keras.Model.compile`."""
    return _KINDS[type(spec.model)].learned_by(spec)


def _build_towers(spec: Spec, entries: Entries) -> keras.Model:
    assert isinstance(spec.model, TowersSpec)
    inputs = inputs_of(entries)
    towers = towers_of(spec, entries, inputs)

    merged = merge_towers(spec.model, towers)
    names = [label_name(entry) for entry in spec.targets] or [""]
    if spec.model.experts is None:
        vectors = dict.fromkeys(names, hidden_layers(spec, spec.model, merged))
    else:
        vectors = mixed_experts(spec, spec.model, merged, names)
    predictions = predictions_of(spec, entries, inputs, vectors)

    kind = keras.Model if spec.model.ensemble is None else EnsembleModel
    return kind(inputs, predictions, name=model_name(spec.name, "towers"))


_KINDS: dict[type, _Kind] = {
    TowersSpec: _Kind(_build_towers, heads.compile_arguments),
    Seq2SeqSpec: _Kind(build_seq2seq, seq2seq_loss),
    TwoTowerSpec: _Kind(build_two_tower, two_tower_loss),
}
