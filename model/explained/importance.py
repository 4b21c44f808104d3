"""Which features a run's model leans on, over the rows of a split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skewless.model.exported.transform import Transform, in_own_unit
from skewless.model.metrics.compute import compute_metrics
from skewless.model.metrics.importance import permutation_importance
from skewless.model.metrics.names import main_metric
from skewless.model.training.records import Records
from skewless.schemas.errors import UsageError
from skewless.schemas.records.layout import TRANSFORM
from skewless.schemas.records.records import is_feature, missing_name
from skewless.schemas.spec.network import TowersSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["importance_of_run"]

_BATCH = 1024
_MOST_ROWS = 20_000
# A shuffle costs a pass over its rows: a thousand features look at a batch of rows each.
_MOST_VALUES = 1_000_000


def importance_of_run(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> dict[str, Any]:
    """Returns the importance of each feature by permutation, on the first rows of a split.

    On 20,000 rows at most, and fewer of many features.

    Returns:
      {"metric", "rows", "features": as `permutation_importance` gives them}.

    Raises:
      UsageError: If the model predicts no value: it generates sequences, or finds candidates.
    """
    if not isinstance(spec.model, TowersSpec):
        raise UsageError(
            "--importance: expected a model that predicts a value (towers), got "
            f"{spec.model.type}; leave it out"
        )
    features, truth, weights = _rows(records, split)
    transform = Transform(spec, run_directory / TRANSFORM)
    call = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True)

    def metrics(shuffled: Mapping[str, np.ndarray]) -> dict[str, Any]:
        predicted = [
            call({name: tf.constant(values[at : at + _BATCH]) for name, values in shuffled.items()})
            for at in range(0, len(truth), _BATCH)
        ]
        labels, outputs = in_own_unit(spec.label, transform, truth, np.concatenate(predicted))
        assert spec.label is not None
        return compute_metrics(spec.label, labels, outputs, weights)

    metric = main_metric(metrics(features))
    entries = {
        name: [name, *({missing_name(name)} & set(features))]
        for name in features
        if not name.startswith("__")
    }
    found = permutation_importance(
        lambda shuffled: float(metrics(shuffled)[metric]), features, entries, metric
    )
    return {"metric": metric, "rows": len(truth), "features": found}


def _rows(
    records: Records, split: str
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """Returns features, labels and weights of the first rows, in memory."""
    entries = sum(is_feature(name) for name in records.manifest.features)
    most = min(_MOST_ROWS, _MOST_VALUES // max(1, entries))
    batches = records.in_order(split, batch_size=_BATCH).take(max(1, most // _BATCH))
    parts = list(batches.as_numpy_iterator())
    features = {
        name: np.concatenate([part[0][name] for part in parts])
        for name in parts[0][0]
        if is_feature(name)
    }
    truth, *weights = (
        np.concatenate(list(values)) for values in list(zip(*parts, strict=True))[1:]
    )
    return features, truth, weights[0] if weights else None
