"""Metrics of each kind of label, by scikit-learn, weighted by sample weights where there are any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.metrics as sk

from skewless.schemas.errors import TrainingError
from skewless.schemas.spec.label import (
    BinaryLabel,
    Label,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)

__all__ = ["compute_metric", "compute_metrics", "expected_calibration_error"]

Array = np.ndarray
_BINS = 15


def compute_metrics(
    label: Label, truth: Array, predicted: Array, weights: Array | None
) -> dict[str, Any]:
    """Returns the metrics that fit the label.

    Args:
      label: The declared label.
      truth: [rows, ...] labels; for regression in their own unit.
      predicted: [rows, ...] probabilities or numbers; for sequences [rows, length] generated IDs.
      weights: [rows] sample weights, or None.

    Returns:
      Numbers by name; a metric that is undefined, as an AUC of one class, is None. Rows that
      weigh nothing together have no metrics but their number.

    Raises:
      TrainingError: If a prediction is not finite.
    """
    finite = np.isfinite(predicted)
    if not finite.all():
        bad = int((~finite).reshape(len(predicted), -1).any(axis=1).sum())
        raise TrainingError(
            f"{bad} of {len(predicted)} predictions are not finite; look for extreme numbers, "
            "set `clip` on numeric features or lower training.learning_rate"
        )
    if not len(truth) or (weights is not None and not weights.sum() > 0):
        return {"rows": len(truth)}
    return {"rows": len(truth), **_METRICS[type(label)](truth, predicted, weights)}


def compute_metric(
    metric: str, label: Label, truth: Array, predicted: Array, weights: Array | None
) -> float:
    """Returns one of `compute_metrics`, which is defined; alone where it is quicker."""
    if metric == "auc" and isinstance(label, BinaryLabel) and np.isfinite(predicted).all():
        auc = _auc(truth.reshape(-1), predicted.reshape(-1).astype(np.float64), weights)
        if auc is not None:
            return auc
    return float(compute_metrics(label, truth, predicted, weights)[metric])


def expected_calibration_error(
    correct: Array, confidence: Array, weights: Array | None = None
) -> float:
    """Returns the ECE over 15 equal bins (Guo et al. 2017).

    Args:
      correct: [rows] 0 or 1, whether what was predicted came true.
      confidence: [rows] in [0, 1], how probable it was said to be.
      weights: [rows] or None.
    """
    weights = np.ones(len(correct)) if weights is None else weights
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    total = np.bincount(bins, weights, _BINS)
    gap = np.bincount(bins, weights * (correct - confidence), _BINS)
    return float(np.abs(gap).sum() / total.sum())


def _defined(metric: Callable[..., Any], *arguments: Any, **options: Any) -> float | None:
    try:
        value = float(metric(*arguments, **options))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _auc(truth: Array, predicted: Array, weights: Array | None) -> float | None:
    return _defined(sk.roc_auc_score, truth, predicted, sample_weight=weights)


def _binary(truth: Array, predicted: Array, weights: Array | None) -> dict[str, Any]:
    truth, predicted = truth.reshape(-1), predicted.reshape(-1).astype(np.float64)
    both = len(np.unique(truth)) == 2
    loss = _defined(sk.log_loss, truth, predicted, sample_weight=weights, labels=[0, 1])
    return {
        "loss": loss,
        "log_loss": loss,
        "accuracy": _defined(sk.accuracy_score, truth, predicted > 0.5, sample_weight=weights),
        "auc": _auc(truth, predicted, weights) if both else None,
        "pr_auc": (
            _defined(sk.average_precision_score, truth, predicted, sample_weight=weights)
            if both
            else None
        ),
        "ece": expected_calibration_error(truth, predicted, weights),
        "positive_share": float(np.average(truth, weights=weights)),
    }


def _multiclass(truth: Array, predicted: Array, weights: Array | None) -> dict[str, Any]:
    predicted = predicted.astype(np.float64)
    chosen = predicted.argmax(axis=1)
    likelihood = np.clip(predicted[np.arange(len(truth)), truth], 1e-15, 1)
    loss = float(np.average(-np.log(likelihood), weights=weights))
    one_hot = truth[:, None] == np.arange(predicted.shape[1])
    ranked = np.argsort(-predicted, axis=1)[:, :5]
    return {
        "loss": loss,
        "log_loss": loss,
        "accuracy": float(np.average(chosen == truth, weights=weights)),
        "top_5_accuracy": float(
            np.average((ranked == truth[:, None]).any(axis=1), weights=weights)
        ),
        "auc": _macro_auc(one_hot, predicted, weights),
        "ece": expected_calibration_error(chosen == truth, predicted.max(axis=1), weights),
    }


def _multilabel(truth: Array, predicted: Array, weights: Array | None) -> dict[str, Any]:
    predicted = predicted.astype(np.float64)
    clipped = np.clip(predicted, 1e-7, 1 - 1e-7)
    losses = -(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)).mean(axis=1)
    loss = float(np.average(losses, weights=weights))
    return {
        "loss": loss,
        "log_loss": loss,
        "accuracy": float(np.average(((predicted > 0.5) == truth).mean(axis=1), weights=weights)),
        "subset_accuracy": float(
            np.average(((predicted > 0.5) == truth).all(axis=1), weights=weights)
        ),
        "auc": _macro_auc(truth, predicted, weights),
        "micro_auc": _defined(
            sk.roc_auc_score,
            truth.reshape(-1),
            predicted.reshape(-1),
            sample_weight=None if weights is None else np.repeat(weights, truth.shape[1]),
        ),
    }


def _macro_auc(truth: Array, predicted: Array, weights: Array | None) -> float | None:
    """Returns the mean AUC of the classes that some rows have and some have not."""
    counted = truth if weights is None else truth[weights > 0]
    areas = [
        _defined(sk.roc_auc_score, truth[:, place], predicted[:, place], sample_weight=weights)
        for place in range(truth.shape[1])
        if counted[:, place].any() and not counted[:, place].all()
    ]
    present = [area for area in areas if area is not None]
    return float(np.mean(present)) if present else None


def _regression(truth: Array, predicted: Array, weights: Array | None) -> dict[str, Any]:
    truth, predicted = (
        truth.reshape(-1).astype(np.float64),
        predicted.reshape(-1).astype(np.float64),
    )
    squared = sk.mean_squared_error(truth, predicted, sample_weight=weights)
    return {
        "loss": float(squared),
        "rmse": float(np.sqrt(squared)),
        "mae": float(sk.mean_absolute_error(truth, predicted, sample_weight=weights)),
        "r2": _defined(sk.r2_score, truth, predicted, sample_weight=weights)
        if len(truth) > 1
        else None,
    }


def _sequence(truth: Array, predicted: Array, weights: Array | None) -> dict[str, Any]:
    asked = truth != 0
    right = (truth == predicted) & asked
    each = np.ones(len(truth)) if weights is None else weights
    return {
        "exact_match": float(np.average((right == asked).all(axis=1), weights=weights)),
        "token_accuracy": float(
            (right.sum(axis=1) * each).sum() / max(1e-12, (asked.sum(axis=1) * each).sum())
        ),
    }


_METRICS: dict[type, Callable[[Array, Array, Array | None], dict[str, Any]]] = {
    BinaryLabel: _binary,
    MulticlassLabel: _multiclass,
    MultilabelLabel: _multilabel,
    RegressionLabel: _regression,
    SequenceLabel: _sequence,
}
