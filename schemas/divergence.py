"""The Jensen-Shannon divergence (Lin 1991), by which windows and splits are compared."""

from __future__ import annotations

import numpy as np

__all__ = ["jensen_shannon_bits"]


def jensen_shannon_bits(left: np.ndarray, right: np.ndarray) -> float:
    """Returns the divergence of two distributions.

    Args:
      left, right: [cells] float64 shares; each sums to 1.

    Returns:
      Bits, 0 where both are the same and 1 where they share no cell, but for rounding.
    """
    middle = (left + right) / 2
    return (_relative_entropy(left, middle) + _relative_entropy(right, middle)) / 2


def _relative_entropy(left: np.ndarray, right: np.ndarray) -> float:
    there = left > 0
    return float(np.sum(left[there] * np.log2(left[there] / right[there])))
