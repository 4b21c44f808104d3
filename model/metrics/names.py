"""What metrics mean, apart from how they are computed. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "LOWER_IS_BETTER",
    "OF_PROBABILITIES",
    "figure",
    "flat_metrics",
    "lower_is_better",
    "main_metric",
]

LOWER_IS_BETTER = frozenset({"loss", "log_loss", "rmse", "mae", "ece"})
# Metrics and curves that take a prediction for a probability: not of scores that order rows in groups.
OF_PROBABILITIES = frozenset({"loss", "log_loss", "accuracy", "ece", "matrix", "calibration"})


def lower_is_better(name: str) -> bool:
    """Whether less of a metric, or of one of several labels' (`LABEL_rmse`), is better."""
    return name in LOWER_IS_BETTER or name.endswith(tuple(f"_{one}" for one in LOWER_IS_BETTER))


def figure(value: float) -> str:
    """Returns a metric with four decimals, or four digits where those would tell nothing: an RMSE of a billionth."""
    return f"{value:.4f}" if 0.01 <= abs(value) < 1e15 or not value else f"{value:.4g}"


def flat_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metrics, or their intervals, with those of several labels as `LABEL_NAME`."""
    found = {name: value for name, value in metrics.items() if name != "labels"}
    for label, own in metrics.get("labels", {}).items():
        found |= {f"{label}_{name}": value for name, value in own.items()}
    return found


def main_metric(metrics: Mapping[str, Any]) -> str:
    """Returns the metric to judge by: the one least bound to a threshold that there is."""
    found = (name for name in metrics if name.startswith("ndcg@"))
    order = (*found, "auc", "accuracy", "rmse", "exact_match", "loss")
    return next((name for name in order if metrics.get(name) is not None), "loss")
