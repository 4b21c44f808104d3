"""Distributions: values in a few cells, as `statistics.json` keeps them to be compared with later.

IDs have a cell each for the most frequent, and one for all others; numbers have cells between the
data's own quantiles. Missing values are in none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary
from skewless.schemas.records.id_contract import FIRST_ID

__all__ = ["id_cells", "id_distribution", "number_cells", "number_distribution"]

_IDS = 50
_SHARES = np.arange(1, 20) / 20


def id_distribution(counts: np.ndarray) -> dict[str, Any]:
    """Returns the most frequent IDs and their shares; the last share is of all others.

    Args:
      counts: [largest ID + 1] how often each ID occurs.
    """
    ranked = np.argsort(-counts[FIRST_ID:], kind="stable")[:_IDS] + FIRST_ID
    ids = np.sort(ranked[counts[ranked] > 0]).tolist()
    return {"ids": ids, "shares": _shares(id_cells(counts, ids))}


def id_cells(counts: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Returns [len(ids) + 1] int64, how often each of `ids` occurs, and all others together."""
    places = np.array(ids, np.int64)
    padded = np.pad(counts, (0, max(0, int(places.max(initial=0)) + 1 - len(counts))))
    chosen = padded[places]
    return np.append(chosen, counts[FIRST_ID:].sum() - chosen.sum())


def number_distribution(summary: NumericSummary) -> dict[str, Any]:
    """Returns rising edges and the shares of values up to the first, up to each next, and above."""
    edges = sorted(set(summary.quantiles(_SHARES.tolist()))) if summary.count else []
    return {"edges": edges, "shares": _shares(number_cells(summary, edges))}


def number_cells(summary: NumericSummary, edges: Sequence[float]) -> np.ndarray:
    """Returns [len(edges) + 1] int64, how many values lie up to each edge, and above them all."""
    cells = np.searchsorted(np.array(edges, np.float64), summary.values(), side="left")
    found = np.zeros(len(edges) + 1, np.int64)
    np.add.at(found, cells, summary.counts)
    return found


def _shares(cells: np.ndarray) -> list[float]:
    total = int(cells.sum())
    return (cells / total).tolist() if total else []
