"""What a model says of a split's rows, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skewless.model.exported.transform import Transform, in_own_unit
from skewless.model.metrics.compute import compute_metrics
from skewless.model.metrics.confidence import confidence_intervals
from skewless.model.metrics.curves import compute_curves
from skewless.model.metrics.grouped import Groups, grouped
from skewless.model.metrics.names import OF_PROBABILITIES
from skewless.model.metrics.translated.generated import generate_split
from skewless.model.metrics.translated.scores import Translations
from skewless.model.retrieval.fed import first_group_id
from skewless.model.retrieval.found import Found, find_in_split
from skewless.model.training.records import Records
from skewless.schemas.records.layout import TRANSFORM
from skewless.schemas.records.records import KEY, label_entry
from skewless.schemas.spec.network import Seq2SeqSpec, TowersSpec, TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["OfLabels", "Predictions", "predict_split"]

_BATCH = 1024


@dataclass(frozen=True)
class Predictions:
    """What a model says of a split's rows: labels, predictions, weights, keys, losses."""

    truth: np.ndarray
    predicted: np.ndarray
    weights: np.ndarray | None
    keys: np.ndarray
    loss: float | None = None
    groups: np.ndarray | None = None
    translations: Translations | None = None

    @property
    def constant(self) -> bool | None:
        """Whether all predictions are the same, by the spread of what they predict; None where that cannot be said."""
        if self.loss is not None or len(self.predicted) < 2:
            return None
        spread = self.predicted.astype(np.float64).std(axis=0)
        # Amounts may be of any size: of a billionth all are within a millionth of each other.
        unit = float(np.nanstd(self.truth.astype(np.float64)))
        return bool((spread < 1e-7 * (unit if 0 < unit < np.inf else 1.0)).all())

    def metrics(self, spec: Spec, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Returns the metrics of all rows, or of the rows at the places `rows`."""
        assert spec.label is not None
        chosen = slice(None) if rows is None else rows
        weights = None if self.weights is None else self.weights[chosen]
        result = compute_metrics(spec.label, self.truth[chosen], self.predicted[chosen], weights)
        result = _of_scores(spec, result)
        if self.groups is not None:
            result |= self._grouped(chosen, weights).metrics()
        if self.translations is not None:
            result |= self.translations.metrics(chosen)
        if rows is None and self.loss is not None:
            result["loss"] = self.loss
        return result

    def confidence(self, spec: Spec, rows: np.ndarray | None = None) -> dict[str, list[float]]:
        """Returns 95% intervals of the metrics of all rows, or of those at the places `rows`."""
        assert spec.label is not None
        chosen = slice(None) if rows is None else rows
        weights = None if self.weights is None else self.weights[chosen]
        truth, predicted = self.truth[chosen], self.predicted[chosen]
        if not len(truth):
            return {}
        found = _of_scores(spec, confidence_intervals(spec.label, truth, predicted, weights))
        return found if self.groups is None else found | self._grouped(chosen, weights).confidence()

    def curves(self, spec: Spec) -> dict[str, Any]:
        """Returns what charts of the predictions need."""
        assert spec.label is not None
        if not len(self.truth):
            return {}
        found = compute_curves(spec.label, self.truth, self.predicted, self.weights)
        return _of_scores(spec, found)

    def _grouped(self, chosen: slice | np.ndarray, weights: np.ndarray | None) -> Groups:
        assert self.groups is not None
        return grouped(self.groups[chosen], self.truth[chosen], self.predicted[chosen], weights)


def _of_scores(spec: Spec, figures: dict[str, Any]) -> dict[str, Any]:
    """Returns the figures that mean something: of scores that order groups none of probabilities."""
    if spec.training.loss is None:
        return figures
    return {name: figure for name, figure in figures.items() if name not in OF_PROBABILITIES}


@dataclass(frozen=True)
class OfLabels:
    """What a model says of each of several labels.

    Attributes:
      by_label: By name; of the rows that have the label, and weigh something.
      loss: The sum of each label's weight times its loss, as it is trained on.
    """

    by_label: Mapping[str, Predictions]
    loss: float


def predict_split(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Predictions | OfLabels | Found:
    """Runs a model over a split."""
    return _PREDICTED[type(spec.model)](model, spec, records, split, run_directory)


def _predict_split(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Predictions:
    call = tf.function(lambda features: model(features, training=False))
    truth: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    keys: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    group = spec.training.group
    for features, label, *weight in records.in_order(split, batch_size=_BATCH, with_key=True):
        keys.append(features.pop(KEY).numpy())
        predicted.append(call(features).numpy())
        truth.append(label.numpy())
        if group is not None:
            ids = features[group].numpy()
            groups.append(np.where(ids >= first_group_id(spec), ids, -1))
        weights.extend(value.numpy() for value in weight)
    transform = Transform(spec, run_directory / TRANSFORM)
    labels, outputs = in_own_unit(
        spec.label, transform, np.concatenate(truth), np.concatenate(predicted)
    )
    return Predictions(
        labels,
        outputs,
        np.concatenate(weights) if weights else None,
        np.concatenate(keys),
        groups=np.concatenate(groups) if groups else None,
    )


def _predict_towers(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Predictions | OfLabels:
    predict = _predict_split if spec.labels is None else _predict_labels
    return predict(model, spec, records, split, run_directory)


def _predict_labels(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> OfLabels:
    call = tf.function(lambda features: model(features, training=False))
    # By label, of each batch: truth, predictions, weights and keys of the rows that have it.
    found: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in spec.labels or ()}
    for features, truth, weights in records.in_order(split, batch_size=_BATCH, with_key=True):
        keys = features.pop(KEY)
        predicted = call(features)
        for name, batches in found.items():
            weight = weights[name].numpy()
            held = weight > 0
            parts = (truth[name], predicted[name], weights[name], keys)
            batches.append(tuple(part.numpy()[held] for part in parts))
    transform = Transform(spec, run_directory / TRANSFORM)
    by_label, loss = {}, 0.0
    for name, batches in found.items():
        of_label = spec.alone(name)
        joined = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        weights = joined[2] if spec.weight else None
        # As it is trained on: errors in units of their own could not be added.
        trained = Predictions(joined[0], joined[1], weights, joined[3]).metrics(of_label)
        assert of_label.label is not None
        loss += (of_label.label.weight or 1.0) * (trained.get("loss") or 0.0)
        values = in_own_unit(of_label.label, transform, *joined[:2], entry=label_entry(name))
        by_label[name] = Predictions(values[0], values[1], weights, joined[3])
    return OfLabels(by_label, loss)


def _generated(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Predictions:
    """Generates greedily; the loss is the teacher-forced one."""
    found = generate_split(model, spec, records, split, run_directory)
    return Predictions(
        found.truth,
        found.predicted,
        found.weights if spec.weight else None,
        found.keys,
        found.loss,
        translations=found.translations,
    )


_PREDICTED: dict[type, Callable[..., Predictions | OfLabels | Found]] = {
    TowersSpec: _predict_towers,
    Seq2SeqSpec: _generated,
    TwoTowerSpec: find_in_split,
}
