"""Discounted gains of lists (Järvelin and Kekäläinen 2002), of which NDCG is made: what is wanted gains 1."""

from __future__ import annotations

import numpy as np

__all__ = ["best_gains", "discounted"]


def discounted(ranks: np.ndarray, cutoff: int) -> np.ndarray:
    """Returns what is gained at ranks from 1 on, float64 of their shape; 0 beyond the cutoff."""
    return np.where(ranks <= cutoff, 1 / np.log2(1 + ranks), 0.0)


def best_gains(wanted: np.ndarray, cutoff: int) -> np.ndarray:
    """Returns the gain of the best lists, which begin with all that is wanted.

    Args:
      wanted: [lists] int from 1 on, how much that is.
      cutoff: How long lists are.
    """
    sums: np.ndarray = np.cumsum(discounted(np.arange(1, cutoff + 1), cutoff))
    return sums[np.minimum(wanted, cutoff) - 1]
