"""Weights of terms, counted of the records that a model is trained on."""

from __future__ import annotations

import keras
import numpy as np

from skewless.model.network.layer_names import layer_name
from skewless.model.training.records import Records
from skewless.schemas.records.id_contract import PADDING_ID
from skewless.schemas.spec.spec import Spec

__all__ = ["begin_with_term_weights"]

_BATCH = 4_096
# Enough that what more rows would change is in the third digit of a weight.
_MOST_ROWS = 1_000_000


def begin_with_term_weights(model: keras.Model, spec: Spec, records: Records) -> None:
    """Counts, in up to a million training rows, those that hold each ID of a text that weighs terms.

    A row counts once for an ID however often it holds it; what was cut off counts for none.
    """
    layers = {
        name: model.get_layer(layer_name("tf_idf", name))
        for name, feature in spec.features.items()
        if feature.weighs_terms
    }
    if not layers:
        return
    counts = {name: np.zeros(layer.cardinality, np.int64) for name, layer in layers.items()}
    rows = 0
    batches = records.in_order("train", batch_size=_BATCH).take(_MOST_ROWS // _BATCH)
    for features, *_ in batches.as_numpy_iterator():
        for name, count in counts.items():
            count += _rows_with(features[name], len(count))
        rows += len(features[next(iter(counts))])
    for name, layer in layers.items():
        layer.count(counts[name], rows)


def _rows_with(ids: np.ndarray, cardinality: int) -> np.ndarray:
    """Returns [cardinality] int64, how many rows of [rows, length] IDs hold each."""
    ordered = np.sort(ids, axis=1)
    first = np.ones(ids.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return np.bincount(ordered[first & (ordered != PADDING_ID)], minlength=cardinality)
