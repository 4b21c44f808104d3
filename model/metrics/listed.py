"""What lists of found candidates are made of: how much they hold by their length, and how popular it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from skewless.model.metrics.ranking import Ranked

__all__ = ["by_popularity", "recall_by_length"]

_LENGTHS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)
_GROUPS = 5


def recall_by_length(ranked: Ranked) -> list[list[float]]:
    """Returns [[length, recall], …] of lists no longer than the longest cutoff."""
    longest = max(ranked.cutoffs)
    lengths = sorted({length for length in _LENGTHS if length < longest} | {longest})
    chosen = ranked.chosen()
    queries = ranked.queries[chosen.pairs]
    places = np.searchsorted(chosen.queries, queries)
    wanted = np.bincount(places, minlength=len(chosen.queries))
    found = []
    for length in lengths:
        held = np.bincount(places, ranked.ranks[chosen.pairs] <= length, len(chosen.queries))
        found.append([length, float(np.average(held / wanted, weights=chosen.weights))])
    return found


def by_popularity(ranked: Ranked) -> list[dict[str, Any]]:
    """Returns candidates in groups, the most popular first, and what lists of the first cutoff hold of each.

    Each group but the last is in about a fifth of the training rows; the last is in none.

    Returns:
      [{"candidates", "trained", "met", "listed"}, …]: how many there are, and their share of the
      training rows, of the pairs that are to be found, and of the places in lists; groups without
      candidates left out.
    """
    counts, chosen = ranked.counts, ranked.chosen()
    order = np.argsort(-counts, kind="stable")
    total = max(1, int(counts.sum()))
    # By the rows before it, so that the most popular is in the first group however popular it is.
    before = np.cumsum(counts[order]) - counts[order]
    group = np.empty(len(counts), np.int64)
    group[order] = np.minimum(before * _GROUPS // total, _GROUPS - 1)
    group[counts == 0] = _GROUPS
    listed = ranked.top[chosen.queries, : ranked.cutoffs[0]].ravel()
    met = ranked.met[chosen.pairs]
    sizes, trained = np.bincount(group), np.bincount(group, counts)
    shares = {
        "trained": trained / total,
        "met": np.bincount(group[met], minlength=len(sizes)) / max(1, len(met)),
        "listed": np.bincount(group[listed], minlength=len(sizes)) / max(1, len(listed)),
    }
    return [
        {"candidates": int(size), **{name: float(of[place]) for name, of in shares.items()}}
        for place, size in enumerate(sizes)
        if size
    ]
