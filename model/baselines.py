"""What a model has to beat: the majority, and a linear model on the very records.

Both learn from the training split and are measured on another by the same metrics as the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from skewless.model.exported.transform import Transform, in_own_unit
from skewless.model.metrics.predicted_split import Predictions
from skewless.model.retrieval.found import most_popular
from skewless.model.training.records import Records
from skewless.schemas.records.id_contract import PADDING_ID
from skewless.schemas.records.layout import TRANSFORM
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL, is_feature, label_name
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["baseline_metrics"]

# Enough for a linear model's figures to stand still, and a few seconds' work.
_MOST_ROWS = 200_000
_MOST_CLASSES = 100
_BATCH = 4_096


def baseline_metrics(
    spec: Spec, records: Records, split: str, run_directory: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Returns the metrics of `majority` and `linear` on a split, by baseline.

    `majority` says for every row how often each class is in the training split, or the label's mean
    in the scale that it is learned in.
    `linear` is scikit-learn's logistic or ridge regression on the records' numbers, standardized,
    and on which IDs a row has; it sees at most 200,000 training rows. Sequence labels have no
    baseline, labels of more than 100 classes no linear one. Two towers are compared with
    `popular` alone, what is in most training rows.

    Returns:
      Metrics by baseline; of several labels {"labels": {name: metrics}} of each.

    Args:
      spec: The declaration; its own labels and model sections are read.
      records: The records that the model was trained on.
      split: Where to measure.
      run_directory: Of two towers, whose candidates were counted there.

    Raises:
      DatasetMismatchError: If the split is empty.
    """
    if isinstance(spec.model, TwoTowerSpec):
        if run_directory is None:
            return {}
        popular = most_popular(spec, records, split, run_directory)
        return {"popular": popular.metrics(spec)}
    targets = {entry: label for entry, label in spec.targets.items() if not label.is_sequence}
    if not targets:
        return {}
    inputs = _Inputs(records)
    learned, held = inputs.learn(spec), inputs.of(split)
    transform = Transform(spec, records.root / TRANSFORM)
    if spec.labels is None:
        return _of_label(spec, LABEL, records, transform, (learned, held))
    found: dict[str, dict[str, Any]] = {}
    for entry in targets:
        name = label_name(entry)
        rows = tuple(
            some.having(name, weighted=spec.weight is not None) for some in (learned, held)
        )
        own = _of_label(spec.alone(name), entry, records, transform, rows)
        for baseline, metrics in own.items():
            found.setdefault(baseline, {"labels": {}})["labels"][name] = metrics
    return found


@dataclass(frozen=True)
class _Rows:
    """Rows of a split: a matrix of their features, labels and weights; of several labels by name."""

    features: scipy.sparse.csr_matrix
    truth: Any
    weights: Any

    def having(self, name: str, *, weighted: bool) -> _Rows:
        """Returns those that have one of several labels."""
        held = self.weights[name] > 0
        weights = self.weights[name][held] if weighted else None
        return _Rows(self.features[held], self.truth[name][held], weights)


def _of_label(
    spec: Spec, entry: str, records: Records, transform: Transform, rows: Sequence[_Rows]
) -> dict[str, dict[str, Any]]:
    """Returns the metrics of one label by baseline.

    Args:
      spec: With it as its only label.
      entry: What records call it.
      records: Those that are learned from.
      transform: Theirs.
      rows: To learn from, and to measure on.
    """
    learned, held = rows
    width = _width(spec, records.manifest.features[entry])
    majority = _majority(spec, width, learned.truth, learned.weights)
    found = {"majority": np.tile(majority, (len(held.truth), 1))}
    if width <= _MOST_CLASSES:
        found["linear"] = _linear(spec, width, learned, held.features)
    labels, *predictions = in_own_unit(
        spec.label, transform, held.truth, *found.values(), entry=entry
    )
    keys = np.empty(0, object)
    return {
        name: Predictions(labels, predicted, held.weights, keys).metrics(spec)
        for name, predicted in zip(found, predictions, strict=True)
    }


def _width(spec: Spec, entry: FeatureEntry) -> int:
    """Returns the number of a prediction's values."""
    assert spec.label is not None
    if spec.label.one_of_classes:
        assert entry.cardinality is not None
        return entry.cardinality
    return 1 if spec.label.one_output else entry.shape[0]


class _Inputs:
    """Records as a sparse matrix: a column for each number and for each ID of each entry."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._entries = {
            name: entry for name, entry in records.manifest.features.items() if is_feature(name)
        }
        self._scale: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def learn(self, spec: Spec) -> _Rows:
        """Returns training rows, and notes numbers' scales."""
        steps = -(-_MOST_ROWS // _BATCH)
        batches = self._records.training(batch_size=_BATCH, seed=spec.training.seed, epoch=0)
        rows = _gathered(batches.take(steps).as_numpy_iterator())
        for name, entry in self._entries.items():
            if entry.dtype != "int64":
                numbers = _flat(rows[0][name]).astype(np.float64)
                deviation = numbers.std(axis=0)
                self._scale[name] = (numbers.mean(axis=0), np.where(deviation > 0, deviation, 1.0))
        return _Rows(self._matrix(rows[0]), rows[1], rows[2])

    def of(self, split: str) -> _Rows:
        """Returns all rows of a split."""
        batches = self._records.in_order(split, batch_size=_BATCH)
        features, truth, weights = _gathered(batches.as_numpy_iterator())
        return _Rows(self._matrix(features), truth, weights)

    def _matrix(self, features: dict[str, np.ndarray]) -> scipy.sparse.csr_matrix:
        parts = []
        for name, entry in self._entries.items():
            values = _flat(features[name])
            if entry.dtype == "int64":
                assert entry.cardinality is not None
                parts.append(_which(values, entry.cardinality))
            else:
                mean, deviation = self._scale[name]
                parts.append(scipy.sparse.csr_matrix((values - mean) / deviation))
        return scipy.sparse.hstack(parts, format="csr")


def _gathered(batches: Iterator[Any]) -> tuple[dict[str, np.ndarray], Any, Any]:
    features, labels, weights = zip(*((f, label, w) for f, label, *w in batches), strict=True)
    joined_weights = _joined([w[0] for w in weights]) if weights[0] else None
    return _joined(features), _joined(labels), joined_weights


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _which(ids: np.ndarray, cardinality: int) -> scipy.sparse.csr_matrix:
    """Returns [rows, cardinality] with 1 at each ID that a row has, padding left out."""
    rows, steps = np.nonzero(ids != PADDING_ID)
    ones = np.ones(len(rows), np.float32)
    found = scipy.sparse.csr_matrix((ones, (rows, ids[rows, steps])), (len(ids), cardinality))
    found.data[:] = 1.0
    return found


def _majority(spec: Spec, width: int, truth: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Returns the one prediction, [width], that `majority` gives for every row."""
    if spec.label is not None and spec.label.one_of_classes:
        counts = np.bincount(truth, weights, width)
        return counts / counts.sum()
    return np.average(_flat(truth), axis=0, weights=weights)


def _linear(spec: Spec, width: int, rows: _Rows, held_out: scipy.sparse.csr_matrix) -> np.ndarray:
    """Returns [rows, outputs] predictions of a linear model for the held-out rows."""
    from sklearn.linear_model import LogisticRegression, Ridge

    features, truth, weights = rows.features, rows.truth, rows.weights
    assert spec.label is not None
    if spec.label.is_number:
        ridge = Ridge(solver="lsqr").fit(features, truth.ravel(), sample_weight=weights)
        return ridge.predict(held_out)[:, None]

    def probabilities(target: np.ndarray, classes: int) -> np.ndarray:
        """Returns [rows, classes], also where the training rows lack some, or all but one."""
        wide = np.zeros((held_out.shape[0], classes))
        seen = np.unique(target)
        if len(seen) == 1:
            wide[:, seen[0]] = 1.0
            return wide
        logistic = LogisticRegression(max_iter=200).fit(features, target, sample_weight=weights)
        wide[:, logistic.classes_] = logistic.predict_proba(held_out)
        return wide

    if spec.label.one_of_classes:
        return probabilities(truth.astype(int), width)
    columns = [probabilities(column.astype(int), 2)[:, 1] for column in _flat(truth).T]
    return np.stack(columns, axis=1)
