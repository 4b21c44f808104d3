"""Which features a run's model leans on, over the rows of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skewless.model.exported.transform import Transform, in_own_unit
from skewless.model.metrics.compute import compute_metric, compute_metrics
from skewless.model.metrics.importance import permutation_importance
from skewless.model.metrics.names import main_metric
from skewless.model.training.records import Records
from skewless.schemas.errors import UsageError
from skewless.schemas.records.layout import TRANSFORM
from skewless.schemas.records.records import is_feature, missing_name
from skewless.schemas.spec.label import Label
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
    predict = _Predict(model, features)

    assert spec.label is not None
    label: Label = spec.label

    def in_unit(shuffled: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        labels, outputs = in_own_unit(label, transform, truth, predict(shuffled))
        return labels, outputs

    metric = main_metric(compute_metrics(label, *in_unit(features), weights))
    entries = {
        name: [name, *({missing_name(name)} & set(features))]
        for name in features
        if not name.startswith("__")
    }
    found = permutation_importance(
        lambda shuffled: compute_metric(metric, label, *in_unit(shuffled), weights),
        features,
        entries,
        metric,
    )
    return {"metric": metric, "rows": len(truth), "features": found}


class _Predict:
    """A model's predictions for rows in memory of which some entries are shuffled.

    Entries of one shape are kept in one array, so that a call hands over a few tensors, not one of
    each of hundreds of entries.
    """

    def __init__(self, model: keras.Model, features: Mapping[str, np.ndarray]) -> None:
        """Takes the rows as they are: [rows, …] values by record entry."""
        alike: dict[tuple[Any, ...], list[str]] = {}
        for name, values in features.items():
            alike.setdefault((values.dtype.str, values.shape), []).append(name)
        self._features = features
        self._names = list(alike.values())
        self._together = [
            np.stack([features[name] for name in names], axis=1) for names in self._names
        ]
        self._places = {
            name: (array, place)
            for names, array in zip(self._names, self._together, strict=True)
            for place, name in enumerate(names)
        }
        self._call = tf.function(self._of(model), reduce_retracing=True)

    def _of(self, model: keras.Model) -> Callable[[list[tf.Tensor]], tf.Tensor]:
        def predicted(arrays: list[tf.Tensor]) -> tf.Tensor:
            batch: dict[str, tf.Tensor] = {}
            for names, array in zip(self._names, arrays, strict=True):
                parts = tf.unstack(array, len(names), axis=1)
                batch |= dict(zip(names, parts, strict=True))
            return model(batch, training=False)

        return predicted

    def __call__(self, shuffled: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the predictions, [rows, …], with `shuffled` entries instead of what there is."""
        changed = [name for name, values in shuffled.items() if values is not self._features[name]]
        for name in changed:
            array, place = self._places[name]
            array[:, place] = shuffled[name]
        rows = len(self._together[0])
        parts = [
            self._call([tf.constant(array[at : at + _BATCH]) for array in self._together])
            for at in range(0, rows, _BATCH)
        ]
        for name in changed:
            array, place = self._places[name]
            array[:, place] = self._features[name]
        return np.concatenate(parts)


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
