"""What metrics mean, apart from how they are computed. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["LOWER_IS_BETTER", "main_metric"]

LOWER_IS_BETTER = frozenset({"loss", "log_loss", "rmse", "mae", "ece"})


def main_metric(metrics: Mapping[str, Any]) -> str:
    """Returns the metric to judge by: the one least bound to a threshold that there is."""
    found = (name for name in metrics if name.startswith("ndcg@"))
    order = (*found, "auc", "accuracy", "rmse", "exact_match", "loss")
    return next((name for name in order if metrics.get(name) is not None), "loss")
