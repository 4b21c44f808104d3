"""Which features a run's model leans on, over the rows of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skewless.model.exported.transform import Transform, to_own_unit
from skewless.model.metrics.compute import compute_metric, compute_metrics
from skewless.model.metrics.importance import permutation_importance
from skewless.model.metrics.names import main_metric
from skewless.model.training.records import Records
from skewless.schemas.errors import UsageError
from skewless.schemas.records.layout import TRANSFORM
from skewless.schemas.records.records import beside_names, is_feature, label_name
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
) -> dict[str, dict[str, Any]]:
    """Returns the importance of each feature by permutation, on the first rows of a split.

    On 20,000 rows at most, and fewer of many features.

    Returns:
      By label, of a single one under "": {"metric", "rows", "features": as `permutation_importance`
      gives them}; labels of which those rows tell nothing, as where all lack it, are left out.

    Raises:
      UsageError: If the model predicts no value: it generates sequences, or finds candidates.
    """
    if not isinstance(spec.model, TowersSpec):
        raise UsageError(
            "--importance: expected a model that predicts a value (towers), got "
            f"{spec.model.type}; leave it out"
        )
    features, labels = _rows(spec, records, split)
    transform = Transform(spec, run_directory / TRANSFORM)
    predict = _Predict(model, features)
    whole = predict(features)
    every = {name: _Judged(rows, transform, whole[name]) for name, rows in labels.items()}
    judged = {name: label for name, label in every.items() if label.metric is not None}

    def scores(shuffled: Mapping[str, np.ndarray]) -> dict[str, float]:
        predicted = predict(shuffled)
        return {name: label.score(predicted[name]) for name, label in judged.items()}

    entries = {
        name: [name, *(beside for beside in beside_names(name) if beside in features)]
        for name in features
        if not name.startswith("__")
    }
    metrics = {name: label.metric for name, label in judged.items() if label.metric is not None}
    found = permutation_importance(scores, features, entries, metrics)
    return {
        name: {"metric": label.metric, "rows": len(label.rows.truth), "features": found[name]}
        for name, label in judged.items()
    }


@dataclass(frozen=True)
class _LabelRows:
    """The rows that have a label.

    Attributes:
      label: The declaration.
      entry: What records call it.
      truth: [rows, …].
      weights: [rows] of those that weigh; None where none do.
      held: [all rows] bool, which those are; None where all have it.
    """

    label: Label
    entry: str
    truth: np.ndarray
    weights: np.ndarray | None
    held: np.ndarray | None = None


class _Judged:
    """A label's predictions, judged by the metric that says most of it."""

    def __init__(self, rows: _LabelRows, transform: Transform, predicted: np.ndarray) -> None:
        """Chooses the metric by what is defined of [all rows, …] predictions; None where nothing is."""
        self.rows = rows
        # Told once: the transform is run for it.
        self._own_unit = to_own_unit(rows.label, transform, rows.entry)
        self._truth = self._in_unit(rows.truth)
        outputs = self._held(predicted)
        found = compute_metrics(rows.label, self._truth, outputs, rows.weights)
        self.metric = main_metric(found) if len(found) > 1 else None

    def score(self, predicted: np.ndarray) -> float:
        """Returns the metric of [all rows, …] predictions."""
        rows = self.rows
        assert self.metric is not None
        outputs = self._held(predicted)
        return compute_metric(self.metric, rows.label, self._truth, outputs, rows.weights)

    def _held(self, predicted: np.ndarray) -> np.ndarray:
        held = self.rows.held
        return self._in_unit(predicted if held is None else predicted[held])

    def _in_unit(self, values: np.ndarray) -> np.ndarray:
        # In float64, as `in_own_unit` does it.
        if self._own_unit is None:
            return values
        return np.asarray(self._own_unit(values.astype(np.float64)))


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

    def _of(self, model: keras.Model) -> Callable[[list[tf.Tensor]], dict[str, tf.Tensor]]:
        def predicted(arrays: list[tf.Tensor]) -> dict[str, tf.Tensor]:
            batch: dict[str, tf.Tensor] = {}
            for names, array in zip(self._names, arrays, strict=True):
                parts = tf.unstack(array, len(names), axis=1)
                batch |= dict(zip(names, parts, strict=True))
            outputs = model(batch, training=False)
            return outputs if isinstance(outputs, dict) else {"": outputs}

        return predicted

    def __call__(self, shuffled: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns [rows, …] predictions by label, with `shuffled` entries instead of what there is."""
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
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows(
    spec: Spec, records: Records, split: str
) -> tuple[dict[str, np.ndarray], dict[str, _LabelRows]]:
    """Returns features of the first rows, in memory, and the labels they have, by name."""
    entries = sum(is_feature(name) for name in records.manifest.features)
    most = min(_MOST_ROWS, _MOST_VALUES // max(1, entries))
    batches = records.in_order(split, batch_size=_BATCH).take(max(1, most // _BATCH))
    parts = list(batches.as_numpy_iterator())
    features = {
        name: np.concatenate([part[0][name] for part in parts])
        for name in parts[0][0]
        if is_feature(name)
    }
    labels = {}
    for entry, label in spec.targets.items():
        name = label_name(entry)
        truth, *weights = (
            np.concatenate([part[place][name] if name else part[place] for part in parts])
            for place in range(1, len(parts[0]))
        )
        held = None
        if spec.labels is not None:  # Rows that lack the label have weight 0.
            held = weights[0] > 0
            truth = truth[held]
            weights = [weights[0][held]] if spec.weight else []
        labels[name] = _LabelRows(label, entry, truth, weights[0] if weights else None, held)
    return features, labels
