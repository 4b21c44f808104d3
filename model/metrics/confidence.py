"""How far a metric may be off by chance: 95% intervals from the rows it was computed on.

Closed forms, so that a million rows cost no more than a sort: Wilson's interval for shares, the
normal one for means of rows, the delta method for their root, DeLong's for the AUC. Rows with
weights count as many as they weigh together, less what uneven weights lose (Kish).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from skewless.schemas.spec.label import (
    BinaryLabel,
    Label,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)

__all__ = [
    "Interval",
    "confidence_intervals",
    "interval_of_auc",
    "interval_of_mean",
    "interval_of_share",
]

Array = np.ndarray
Interval = tuple[float, float]
_Z = 1.959964  # of 95%, two-sided


def confidence_intervals(
    label: Label, truth: Array, predicted: Array, weights: Array | None
) -> dict[str, list[float]]:
    """Returns 95% intervals, [low, high], of the metrics that have one, by the metric's name.

    Args:
      label: The declared label.
      truth: [rows, ...] labels; for regression in their own unit.
      predicted: [rows, ...] as for `compute_metrics`.
      weights: [rows] sample weights, or None.
    """
    each = np.ones(len(truth)) if weights is None else weights.astype(np.float64).reshape(-1)
    used = each > 0
    if used.sum() < 2:
        return {}
    found = _INTERVALS[type(label)](truth[used], predicted[used], each[used])
    return {name: list(interval) for name, interval in found.items()}


def interval_of_share(right: Array, weights: Array) -> Interval:
    """Returns Wilson's interval of the weighted share of true values.

    Args:
      right: [rows] bool or 0 and 1.
      weights: [rows] above 0.
    """
    count = float(weights.sum() ** 2 / (weights**2).sum())
    share = float(np.average(right, weights=weights))
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    reach = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


def interval_of_mean(values: Array, weights: Array) -> Interval:
    """Returns the normal interval of the weighted mean of [rows] values."""
    mean = float(np.average(values, weights=weights))
    reach = _Z * _standard_error(values, weights)
    return mean - reach, mean + reach


def interval_of_auc(truth: Array, predicted: Array, weights: Array) -> Interval | None:
    """Returns DeLong's interval of the AUC (DeLong et al. 1988), None where one class is absent.

    Args:
      truth: [rows] 0 or 1.
      predicted: [rows] scores.
      weights: [rows] above 0.
    """
    positive = truth > 0.5
    if positive.all() or not positive.any():
        return None
    above = _share_below(predicted[positive], predicted[~positive], weights[~positive])
    below = 1 - _share_below(predicted[~positive], predicted[positive], weights[positive])
    area = float(np.average(above, weights=weights[positive]))
    error = np.hypot(
        _standard_error(above, weights[positive]), _standard_error(below, weights[~positive])
    )
    return max(0.0, area - _Z * float(error)), min(1.0, area + _Z * float(error))


def _share_below(values: Array, others: Array, weights: Array) -> Array:
    """Returns [values] the weighted share of `others` below each value, ties half."""
    order = np.argsort(others, kind="stable")
    ranked, cumulative = others[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    low = cumulative[np.searchsorted(ranked, values, side="left")]
    high = cumulative[np.searchsorted(ranked, values, side="right")]
    return np.asarray((low + high) / (2 * cumulative[-1]))


def _standard_error(values: Array, weights: Array) -> float:
    if len(values) < 2:
        return 0.0
    mean = np.average(values, weights=weights)
    squares = (weights**2 * (values - mean) ** 2).sum() / weights.sum() ** 2
    return float(np.sqrt(squares * len(values) / (len(values) - 1)))


def _binary(truth: Array, predicted: Array, weights: Array) -> Mapping[str, Interval]:
    truth, predicted = truth.reshape(-1), predicted.reshape(-1).astype(np.float64)
    likelihood = np.clip(np.where(truth > 0.5, predicted, 1 - predicted), 1e-15, 1)
    loss = interval_of_mean(-np.log(likelihood), weights)
    found: dict[str, Interval] = {
        "loss": loss,
        "log_loss": loss,
        "accuracy": interval_of_share((predicted > 0.5) == (truth > 0.5), weights),
    }
    area = interval_of_auc(truth, predicted, weights)
    return found if area is None else {**found, "auc": area}


def _multiclass(truth: Array, predicted: Array, weights: Array) -> Mapping[str, Interval]:
    likelihood = np.clip(predicted[np.arange(len(truth)), truth].astype(np.float64), 1e-15, 1)
    loss = interval_of_mean(-np.log(likelihood), weights)
    return {
        "loss": loss,
        "log_loss": loss,
        "accuracy": interval_of_share(predicted.argmax(axis=1) == truth, weights),
    }


def _multilabel(truth: Array, predicted: Array, weights: Array) -> Mapping[str, Interval]:
    right = (predicted > 0.5) == (truth > 0.5)
    return {
        "accuracy": interval_of_mean(right.mean(axis=1), weights),
        "subset_accuracy": interval_of_share(right.all(axis=1), weights),
    }


def _regression(truth: Array, predicted: Array, weights: Array) -> Mapping[str, Interval]:
    errors = predicted.reshape(-1).astype(np.float64) - truth.reshape(-1).astype(np.float64)
    low, high = interval_of_mean(errors**2, weights)
    return {
        "loss": (low, high),
        "rmse": (float(np.sqrt(max(0.0, low))), float(np.sqrt(high))),
        "mae": interval_of_mean(np.abs(errors), weights),
    }


def _sequence(truth: Array, predicted: Array, weights: Array) -> Mapping[str, Interval]:
    asked = truth != 0
    right = ((truth == predicted) & asked) == asked
    return {"exact_match": interval_of_share(right.all(axis=1), weights)}


_INTERVALS: dict[type, Callable[[Array, Array, Array], Mapping[str, Interval]]] = {
    BinaryLabel: _binary,
    MulticlassLabel: _multiclass,
    MultilabelLabel: _multilabel,
    RegressionLabel: _regression,
    SequenceLabel: _sequence,
}
