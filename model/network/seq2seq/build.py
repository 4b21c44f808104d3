"""The training network of a sequence label, and what it learns by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from skewless.model.network.layer_names import layer_name, model_name
from skewless.model.network.seq2seq.inputs import DECODER_INPUT
from skewless.model.network.seq2seq.network import network_of
from skewless.model.network.seq2seq.parts import Parts
from skewless.model.network.seq2seq.sampled import TokenLoss
from skewless.model.network.seq2seq.taught import Likeliest, TaughtModel
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL
from skewless.schemas.spec.network import Seq2SeqSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["build_seq2seq", "seq2seq_loss"]


def build_seq2seq(spec: Spec, entries: Mapping[str, FeatureEntry]) -> keras.Model:
    """Builds the training model: source IDs and decoder input to next-token probabilities.

    Inputs are of any length: a batch is as long as its longest row.
    """
    (name,) = spec.features
    source, target = entries[name], entries[LABEL]
    source_ids = keras.Input(shape=(None,), dtype="int64", name=name)
    target_ids = keras.Input(shape=(None,), dtype="int64", name=DECODER_INPUT)

    network = network_of(spec, Parts(source.cardinality, target.cardinality))
    decoded = network.taught(target_ids, network.encoded(source_ids))
    predictions = keras.layers.Dense(
        target.cardinality, activation="softmax", dtype="float32", name=layer_name("predictions")
    )(decoded)

    return TaughtModel(
        {name: source_ids, DECODER_INPUT: target_ids},
        predictions,
        name=model_name(spec.name, "seq2seq"),
    )


def seq2seq_loss(spec: Spec) -> dict[str, Any]:
    """Returns `loss` and `weighted_metrics` for `keras.Model.compile`, of logits."""
    assert isinstance(spec.model, Seq2SeqSpec)
    return {"loss": TokenLoss(spec.model.sampled_softmax), "weighted_metrics": [Likeliest()]}
