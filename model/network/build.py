"""The network that a spec declares, as a functional Keras model."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from skewless.model.network.heads import output_layer
from skewless.model.network.layer_names import layer_name, model_name
from skewless.model.network.merges import merge_towers
from skewless.model.network.seq2seq import build_seq2seq
from skewless.model.network.towers import inputs_of, towers_of
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL
from skewless.schemas.spec.network import Seq2SeqSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["build"]


def build(spec: Spec, entries: Mapping[str, FeatureEntry]) -> keras.Model:
    """Builds the declared model.

    Args:
      spec: The declaration.
      entries: The manifest's features, which give shapes and cardinalities.

    Returns:
      A model from a dict of record entries to predictions, shaped as `skewless.model.network.heads` says.

    Raises:
      SpecError: If towers cannot be merged as declared.
      DatasetMismatchError: If the data set lacks a declared feature or the label.
    """
    if LABEL not in entries:
        raise DatasetMismatchError(
            "the data set has no label; preprocess it with a spec that has one"
        )
    if isinstance(spec.model, Seq2SeqSpec):
        return build_seq2seq(spec, spec.model, entries)

    inputs = inputs_of(entries)
    towers = towers_of(spec, entries, inputs)

    vector = merge_towers(spec.model, towers)
    for number, units in enumerate(spec.model.hidden):
        hidden = keras.layers.Dense(
            units, activation=spec.model.activation, name=layer_name("hidden", number)
        )
        vector = hidden(vector)
        if spec.model.dropout:
            dropout = keras.layers.Dropout(
                spec.model.dropout,
                seed=spec.training.seed + number,
                name=layer_name("dropout", number),
            )
            vector = dropout(vector)
    predictions = output_layer(spec, entries[LABEL])(vector)

    return keras.Model(inputs, predictions, name=model_name(spec.name, "towers"))
