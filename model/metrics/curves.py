"""Curves of a split's predictions, thinned to what a chart can show.

Binary: ROC, precision and recall, calibration, scores by class, the confusion matrix at 0.5.
Multiclass: calibration of the chosen class, recall by class, the commonest confusions, the matrix
of up to a dozen classes. Regression: calibration, errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.metrics as sk

from skewless.schemas.spec.label import BinaryLabel, Label, MulticlassLabel, RegressionLabel

__all__ = ["compute_curves"]

Array = np.ndarray
_POINTS = 120
_BINS = 10
_SCORE_BINS = 20
_MOST_CLASSES = 30
_MATRIX_CLASSES = 12


def compute_curves(
    label: Label, truth: Array, predicted: Array, weights: Array | None
) -> dict[str, Any]:
    """Returns curves by name, as lists that JSON can hold; of other labels than those above none.

    Args:
      label: The declared label.
      truth: [rows, ...] labels; for regression in their own unit.
      predicted: [rows, ...] as for `compute_metrics`.
      weights: [rows] sample weights, or None.
    """
    build = _CURVES.get(type(label))
    each = np.ones(len(truth)) if weights is None else weights.astype(np.float64).reshape(-1)
    used = each > 0
    if build is None or not used.any():
        return {}
    return build(truth[used], predicted[used], each[used])


def _binary(truth: Array, predicted: Array, weights: Array) -> dict[str, Any]:
    truth, predicted = truth.reshape(-1) > 0.5, predicted.reshape(-1).astype(np.float64)
    edges = np.linspace(0, 1, _SCORE_BINS + 1)
    curves: dict[str, Any] = {
        "matrix": _matrix(truth.astype(np.int64), (predicted >= 0.5).astype(np.int64), 2),
        "calibration": _calibration(truth.astype(np.float64), predicted, weights),
        "scores": {
            "edges": _rounded(edges),
            "negative": np.histogram(predicted[~truth], edges)[0].tolist(),
            "positive": np.histogram(predicted[truth], edges)[0].tolist(),
        },
    }
    if truth.any() and not truth.all():
        false, true, _ = sk.roc_curve(truth, predicted, sample_weight=weights)
        curves["roc"] = _thinned(false, true)
        precision, recall, _ = sk.precision_recall_curve(truth, predicted, sample_weight=weights)
        curves["precision_recall"] = _thinned(recall[::-1], precision[::-1])
    return curves


def _multiclass(truth: Array, predicted: Array, weights: Array) -> dict[str, Any]:
    chosen, classes = predicted.argmax(axis=1), predicted.shape[1]
    right = chosen == truth
    rows = np.bincount(truth, minlength=classes)
    hits = np.bincount(truth[right], minlength=classes)
    asked = np.bincount(chosen, minlength=classes)
    shown = [place for place in np.argsort(-rows, kind="stable")[:_MOST_CLASSES] if rows[place]]
    pairs, counts = np.unique(np.stack([truth[~right], chosen[~right]]), axis=1, return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[:10]
    matrix = {"matrix": _matrix(truth, chosen, classes)} if classes <= _MATRIX_CLASSES else {}
    return {
        **matrix,
        "calibration": _calibration(
            right.astype(np.float64), predicted.max(axis=1).astype(np.float64), weights
        ),
        "classes": [
            {
                "class": int(place),
                "rows": int(rows[place]),
                "recall": float(hits[place] / rows[place]),
                "precision": float(hits[place] / asked[place]) if asked[place] else None,
            }
            for place in shown
        ],
        "confusions": [
            {
                "class": int(pairs[0, place]),
                "taken_for": int(pairs[1, place]),
                "rows": int(counts[place]),
            }
            for place in commonest
        ],
    }


def _regression(truth: Array, predicted: Array, weights: Array) -> dict[str, Any]:
    truth, predicted = (values.reshape(-1).astype(np.float64) for values in (truth, predicted))
    errors = predicted - truth
    low, high = np.quantile(errors, (0.01, 0.99))
    edges = np.linspace(low, high, 25) if high > low else np.array([low - 0.5, low + 0.5])
    return {
        "calibration": _calibration(truth, predicted, weights),
        "errors": {
            "edges": edges.tolist(),
            "counts": np.histogram(np.clip(errors, edges[0], edges[-1]), edges)[0].tolist(),
        },
    }


_CURVES: dict[type, Callable[[Array, Array, Array], dict[str, Any]]] = {
    BinaryLabel: _binary,
    MulticlassLabel: _multiclass,
    RegressionLabel: _regression,
}


def _matrix(truth: Array, chosen: Array, classes: int) -> list[list[int]]:
    """Returns how many rows of each class, [classes] of them, were taken for each."""
    counts = np.bincount(truth * classes + chosen, minlength=classes * classes)
    rows: list[list[int]] = counts.reshape(classes, classes).tolist()
    return rows


def _calibration(truth: Array, predicted: Array, weights: Array) -> list[dict[str, Any]]:
    """Returns bins of equally many rows: what was predicted and what came, on average."""
    order = np.argsort(predicted, kind="stable")
    return [
        {
            "predicted": float(np.average(predicted[rows], weights=weights[rows])),
            "observed": float(np.average(truth[rows], weights=weights[rows])),
            "rows": len(rows),
        }
        for rows in np.array_split(order, min(_BINS, len(order)))
    ]


def _thinned(x: Array, y: Array) -> list[list[float]]:
    """Returns points at about even steps along the curve, both ends kept."""
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    wanted = np.linspace(0, way[-1], _POINTS)
    places = np.unique(np.concatenate([[0], np.searchsorted(way, wanted), [len(x) - 1]]))
    places = places[places < len(x)]
    return [[round(float(x[place]), 5), round(float(y[place]), 5)] for place in places]


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 6) for value in values]
