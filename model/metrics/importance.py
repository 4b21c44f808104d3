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
    scores: Callable[[Features], Mapping[str, float]],
    features: Features,
    entries: Mapping[str, Sequence[str]],
    metrics: Mapping[str, str],
    *,
    repeats: int = 3,
    seed: int = 1,
) -> dict[str, list[dict[str, Any]]]:
    """Returns how much metrics worsen when a feature's rows are shuffled, the most first.

    Args:
      scores: By label, the metric of the model's predictions for features.
      features: [rows, …] values by record entry.
      entries: The record entries of each feature, which are shuffled together.
      metrics: By label, the metric's name, which says whether less is better.
      repeats: Shuffles of each feature.
      seed: Of the shuffles; the same for each feature.

    Returns:
      By label, {"feature", "worse": the mean over the shuffles, "low", "high": their extremes};
      negative where shuffling did no harm.
    """
    whole = scores(features)
    rows = len(next(iter(features.values())))
    orders = [np.random.default_rng([seed, at]).permutation(rows) for at in range(repeats)]
    found: dict[str, list[dict[str, Any]]] = {label: [] for label in metrics}
    for feature, names in entries.items():
        shuffled = [
            scores({**features, **{name: features[name][order] for name in names}})
            for order in orders
        ]
        for label, metric in metrics.items():
            sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
            worse = [sign * (whole[label] - other[label]) for other in shuffled]
            found[label].append(
                {
                    "feature": feature,
                    "worse": float(np.mean(worse)),
                    "low": float(min(worse)),
                    "high": float(max(worse)),
                }
            )
    return {
        label: sorted(entries_found, key=lambda entry: -entry["worse"])
        for label, entries_found in found.items()
    }
