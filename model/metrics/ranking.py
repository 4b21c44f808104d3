"""Metrics of what is found, over all candidates: never a sample of them.

A query is a distinct row of its features; the candidates that it met in the rows evaluated are what
is to be found. A rank counts every candidate that scores at least as high, so that ties tell against
a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from skewless.model.metrics.confidence import interval_of_mean, interval_of_share
from skewless.model.metrics.gains import best_gains, discounted

__all__ = ["Chosen", "Ranked", "rank_all"]

Array = np.ndarray
# Scores that are held at once, 64 MiB of them.
_SCORES = 1 << 24


@dataclass(frozen=True)
class Ranked:
    """Where what rows met stands among all candidates.

    Attributes:
      pairs: [rows] int, which distinct pair of query and candidate a row is.
      queries: [pairs] int, each pair's query.
      met: [pairs] int, each pair's candidate.
      ranks: [pairs] int from 1 on, where that candidate stands for that query.
      top: [queries, n] int, the candidates found for each query, best first.
      counts: [candidates] int, how often each is in the training rows.
      cutoffs: Lengths of lists; `top` holds as many as the longest, or all candidates.
      weights: [rows] float from 0 on, or None.
    """

    pairs: Array
    queries: Array
    met: Array
    ranks: Array
    top: Array
    counts: Array
    cutoffs: tuple[int, ...]
    weights: Array | None = None

    def metrics(self, rows: Array | None = None) -> dict[str, Any]:
        """Returns numbers by name, of all rows or of those at the places `rows`.

        Of chosen rows only their own candidates are to be found, among all candidates.
        """
        chosen = self.chosen(rows)
        found: dict[str, Any] = {
            "rows": len(self.pairs) if rows is None else len(rows),
            "queries": len(chosen.queries),
            "candidates": len(self.counts),
        }
        if not len(chosen.queries):
            return found
        for name, values in chosen.values.items():
            found[name] = float(np.average(values, weights=chosen.weights))
        popularity = float(self.counts[self.met[chosen.pairs]].mean())
        for cutoff in self.cutoffs:
            listed = self.top[chosen.queries, :cutoff]
            found[f"coverage@{cutoff}"] = len(np.unique(listed)) / len(self.counts)
            found[f"popularity_bias@{cutoff}"] = (
                float(self.counts[listed].mean()) / popularity if popularity > 0 else None
            )
        return found

    def confidence(self, rows: Array | None = None) -> dict[str, list[float]]:
        """Returns 95% intervals, [low, high], of the metrics that are means over queries."""
        chosen = self.chosen(rows)
        if len(chosen.queries) < 2:
            return {}
        found = {}
        for name, values in chosen.values.items():
            interval = interval_of_share if name.startswith("hit_rate") else interval_of_mean
            found[name] = list(interval(values, chosen.weights))
        return found

    def chosen(self, rows: Array | None = None) -> Chosen:
        """Returns what is to be found in all rows, or in those at the places `rows`."""
        pairs = self.pairs if rows is None else self.pairs[rows]
        weights = np.ones(len(pairs))
        if self.weights is not None:
            weights = self.weights if rows is None else self.weights[rows]
        # What weighs nothing is not to be found.
        pairs, weights = pairs[weights > 0], weights[weights > 0]
        asked = np.unique(pairs)
        queries, places = np.unique(self.queries[asked], return_inverse=True)
        of_rows = np.searchsorted(queries, self.queries[pairs])
        # A query weighs what its rows weigh on average.
        each = np.bincount(of_rows, weights, len(queries)) / np.bincount(
            of_rows, minlength=len(queries)
        )
        values = _values(self.ranks[asked], places, len(queries), self.cutoffs)
        return Chosen(asked, queries, each, values)


@dataclass(frozen=True)
class Chosen:
    """Pairs and queries of chosen rows, queries' weights, and each metric's value of each query."""

    pairs: Array
    queries: Array
    weights: Array
    values: dict[str, Array]


def _values(
    ranks: Array, places: Array, queries: int, cutoffs: tuple[int, ...]
) -> dict[str, Array]:
    """Returns each metric of each query from its pairs' ranks; `places` are [pairs] queries."""
    wanted = np.bincount(places, minlength=queries)
    found: dict[str, Array] = {}
    for cutoff in cutoffs:
        listed = ranks <= cutoff
        hits = np.bincount(places, listed, queries)
        gain = np.bincount(places, discounted(ranks, cutoff), queries)
        found[f"recall@{cutoff}"] = hits / wanted
        found[f"hit_rate@{cutoff}"] = (hits > 0).astype(np.float64)
        found[f"ndcg@{cutoff}"] = gain / best_gains(wanted, cutoff)
    first = np.full(queries, np.iinfo(np.int64).max)
    np.minimum.at(first, places, ranks)
    found["mrr"] = 1 / first
    return found


def rank_all(
    queries: Array,
    candidates: Array,
    pairs: tuple[Array, Array],
    longest: int,
    left_out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Ranks by the dot product, in blocks of matrix products.

    Args:
      queries: [queries, width] float32.
      candidates: [candidates, width] float32.
      pairs: [pairs] int each: queries, ascending, and the candidates to rank for them.
      longest: How many candidates to find for each query.
      left_out: As `pairs`: candidates that stand last for a query, unless they are to be ranked.

    Returns:
      [pairs] int, how many candidates score at least as high as the pair's own, itself counted;
      [queries, longest or all candidates] int, those that score highest, best first, of equal ones
      the first.
    """
    pair_queries, pair_candidates = pairs
    ranks = np.empty(len(pair_queries), np.int64)
    top = np.empty((len(queries), min(longest, len(candidates))), np.int64)
    for low, scores in _blocks(queries, candidates):
        high = low + len(scores)
        begin, end = np.searchsorted(pair_queries, [low, high])
        if left_out is not None:
            own = pair_queries[begin:end] - low, pair_candidates[begin:end]
            kept = scores[own]
            first, last = np.searchsorted(left_out[0], [low, high])
            scores[left_out[0][first:last] - low, left_out[1][first:last]] = -np.inf
            scores[own] = kept
        top[low:high] = _best(scores, top.shape[1])
        for pair in range(begin, end):
            row = scores[pair_queries[pair] - low]
            ranks[pair] = np.count_nonzero(row >= row[pair_candidates[pair]])
    return ranks, top


def _blocks(queries: Array, candidates: Array) -> Iterator[tuple[int, Array]]:
    size = max(1, _SCORES // max(1, len(candidates)))
    across = np.ascontiguousarray(candidates.T)
    for low in range(0, len(queries), size):
        yield low, queries[low : low + size] @ across


def _best(scores: Array, count: int) -> Array:
    """Returns the places of each row's highest scores, descending, of equal ones the first."""
    if count < scores.shape[1]:
        # Everything at least as high as the last that is listed may be listed.
        least = np.partition(scores, -count, axis=1)[:, -count]
    else:
        least = np.full(len(scores), -np.inf, scores.dtype)
    best = np.empty((len(scores), count), np.int64)
    for place, row in enumerate(scores):
        may_be = np.flatnonzero(row >= least[place])
        best[place] = may_be[np.argsort(-row[may_be], kind="stable")[:count]]
    return best
