"""Importance by permutation: how much worse a model does when one feature is another row's.

It says what this model leans on, not what the label depends on: features that say the same stand in
for each other, and each then seems to matter little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from skewless.model.metrics.names import LOWER_IS_BETTER

__all__ = ["permutation_importance"]

Features = Mapping[str, np.ndarray]


def permutation_importance(
    score: Callable[[Features], float],
    features: Features,
    entries: Mapping[str, Sequence[str]],
    metric: str,
    *,
    repeats: int = 3,
    seed: int = 1,
) -> list[dict[str, Any]]:
    """Returns how much a metric worsens when a feature's rows are shuffled, the most first.

    Args:
      score: The metric of the model's predictions for features.
      features: [rows, …] values by record entry.
      entries: The record entries of each feature, which are shuffled together.
      metric: The metric's name, which says whether less is better.
      repeats: Shuffles of each feature.
      seed: Of the shuffles; the same for each feature.

    Returns:
      {"feature", "worse": the mean over the shuffles, "low", "high": their extremes}; negative
      where shuffling did no harm.
    """
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    whole = score(features)
    rows = len(next(iter(features.values())))
    orders = [np.random.default_rng([seed, at]).permutation(rows) for at in range(repeats)]
    found = []
    for feature, names in entries.items():
        worse = [
            sign * (whole - score({**features, **{name: features[name][order] for name in names}}))
            for order in orders
        ]
        found.append(
            {
                "feature": feature,
                "worse": float(np.mean(worse)),
                "low": float(min(worse)),
                "high": float(max(worse)),
            }
        )
    return sorted(found, key=lambda entry: -entry["worse"])
