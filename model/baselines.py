"""What a model has to beat: the majority, and a linear model on the very records.

Both learn from the training split and are measured on another by the same metrics as the model.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from skewless.schemas.records.records import LABEL, is_feature
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

    Args:
      spec: The declaration; its own label and model sections are read.
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
    if spec.label is None or spec.label.is_sequence:
        return {}
    width = _width(spec, records)
    inputs = _Inputs(records)
    features, truth, weights = inputs.learn(spec)
    held_out, held_truth, held_weights = inputs.of(split)
    found = {
        "majority": np.tile(_majority(spec, width, truth, weights), (len(held_truth), 1)),
    }
    if width <= _MOST_CLASSES:
        found["linear"] = _linear(spec, width, features, truth, weights, held_out)
    labels, *predictions = in_own_unit(
        spec.label, Transform(spec, records.root / TRANSFORM), held_truth, *found.values()
    )
    keys = np.empty(0, object)
    return {
        name: Predictions(labels, predicted, held_weights, keys).metrics(spec)
        for name, predicted in zip(found, predictions, strict=True)
    }


def _width(spec: Spec, records: Records) -> int:
    """Returns the number of a prediction's values."""
    entry = records.manifest.features[LABEL]
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

    def learn(self, spec: Spec) -> tuple[scipy.sparse.csr_matrix, np.ndarray, np.ndarray | None]:
        """Returns training rows, [rows, ...] labels and [rows] weights, and notes numbers' scales."""
        steps = -(-_MOST_ROWS // _BATCH)
        batches = self._records.training(batch_size=_BATCH, seed=spec.training.seed, epoch=0)
        rows = _gathered(batches.take(steps).as_numpy_iterator())
        for name, entry in self._entries.items():
            if entry.dtype != "int64":
                numbers = _flat(rows[0][name]).astype(np.float64)
                deviation = numbers.std(axis=0)
                self._scale[name] = (numbers.mean(axis=0), np.where(deviation > 0, deviation, 1.0))
        return self._matrix(rows[0]), rows[1], rows[2]

    def of(self, split: str) -> tuple[scipy.sparse.csr_matrix, np.ndarray, np.ndarray | None]:
        """Returns the same of all rows of a split."""
        batches = self._records.in_order(split, batch_size=_BATCH)
        features, truth, weights = _gathered(batches.as_numpy_iterator())
        return self._matrix(features), truth, weights

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


def _gathered(
    batches: Iterator[Any],
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    features, labels, weights = zip(*((f, label, w) for f, label, *w in batches), strict=True)
    joined = {name: np.concatenate([f[name] for f in features]) for name in features[0]}
    joined_weights = np.concatenate([w[0] for w in weights]) if weights[0] else None
    return joined, np.concatenate(labels), joined_weights


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


def _linear(
    spec: Spec,
    width: int,
    features: scipy.sparse.csr_matrix,
    truth: np.ndarray,
    weights: np.ndarray | None,
    held_out: scipy.sparse.csr_matrix,
) -> np.ndarray:
    """Returns [rows, outputs] predictions of a linear model for the held-out rows."""
    from sklearn.linear_model import LogisticRegression, Ridge

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
