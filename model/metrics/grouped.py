"""Metrics within groups of rows, such as what one query was shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skewless.model.metrics.confidence import interval_of_mean
from skewless.model.metrics.gains import best_gains, discounted

__all__ = ["Groups", "grouped"]

_CUTOFF = 10


@dataclass(frozen=True)
class Groups:
    """The groups that hold a positive and a negative row; the others tell nothing.

    Attributes:
      values: [groups] each, by metric.
      weights: [groups] above 0.
    """

    values: dict[str, np.ndarray]
    weights: np.ndarray

    def metrics(self) -> dict[str, Any]:
        """Returns `groups`, how many there are, and of any the means `ndcg@10`, `mrr` and `gauc`."""
        found: dict[str, Any] = {"groups": len(self.weights)}
        if len(self.weights):
            for name, values in self.values.items():
                found[name] = float(np.average(values, weights=self.weights))
        return found

    def confidence(self) -> dict[str, list[float]]:
        """Returns 95% intervals, [low, high], of the means."""
        if len(self.weights) < 2:
            return {}
        return {
            name: list(interval_of_mean(values, self.weights))
            for name, values in self.values.items()
        }


def grouped(
    groups: np.ndarray, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None
) -> Groups:
    """Returns how well rows stand in their groups.

    A positive row stands behind the negative ones of its score: ties tell against a model; in `gauc`, the
    AUC of a group's rows (Zhou et al. 2018, where a group weighs its rows), they count as half. A group weighs what its rows weigh on average; rows that weigh nothing are not there.

    Args:
      groups: [rows] int from 0 on, equal within a group; -1 where a row is of none.
      truth: [rows] 0 or 1.
      scores: [rows] float, the higher the earlier.
      weights: [rows] float from 0 on, or None.
    """
    weights = np.ones(len(groups)) if weights is None else weights
    there = (weights > 0) & (groups >= 0)
    truth, scores = truth.reshape(-1)[there] > 0.5, scores.reshape(-1)[there]
    _, places = np.unique(groups[there], return_inverse=True)
    order = np.lexsort((truth, -scores, places))
    places, truth, weights = places[order], truth[order], weights[there][order]
    rows = np.bincount(places)
    positives = np.bincount(places, truth, len(rows)).astype(np.int64)
    told = (positives > 0) & (positives < rows)
    begins = np.cumsum(rows) - rows
    ranks = np.arange(len(places)) - begins[places] + 1
    gain = np.bincount(places, np.where(truth, discounted(ranks, _CUTOFF), 0.0), len(rows))
    ndcg = gain / best_gains(np.maximum(positives, 1), _CUTOFF)
    first = np.full(len(rows), len(places) + 1)
    np.minimum.at(first, places[truth], ranks[truth])
    each = np.bincount(places, weights, len(rows)) / rows
    values = {f"ndcg@{_CUTOFF}": ndcg, "mrr": 1 / first}
    ranked = np.where(truth, _ranks(places, scores[order], begins), 0.0)
    above = np.bincount(places, ranked, len(rows)) - positives * (positives + 1) / 2
    values["gauc"] = 1 - above / np.maximum(positives * (rows - positives), 1)
    return Groups({name: value[told] for name, value in values.items()}, each[told])


def _ranks(places: np.ndarray, scores: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Returns [rows] the ranks from 1 on of rows in their groups, the highest score first; equal ones share theirs."""
    new = np.ones(len(places), bool)
    new[1:] = (places[1:] != places[:-1]) | (scores[1:] != scores[:-1])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(places)) - 1
    return ((first + last) / 2)[np.cumsum(new) - 1] - begins[places] + 1
