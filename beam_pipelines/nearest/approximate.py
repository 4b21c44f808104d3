"""The approximate index: HNSW graphs (Malkov and Yashunin 2016) by usearch, over unit vectors.

An entry's number in the index is its row in `vectors.parquet`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skewless.schemas.errors import DataError, UsageError

if TYPE_CHECKING:
    from usearch.index import Index

__all__ = ["INDEX", "SEARCH_WIDTH", "built", "check_installed", "measured", "restored"]

INDEX = "vectors.usearch"
# How many candidates a search keeps in sight; more find more, and take longer. usearch's own default.
SEARCH_WIDTH = 64
_BLOCK_BYTES = 1 << 28
_TIMED = 200


def check_installed() -> None:
    """Raises:
    UsageError: If usearch is not installed.
    """
    _usearch()


def built(vectors: np.ndarray, search_width: int) -> Index:
    """Returns an index over [candidates, width] float32 unit vectors, by inner product."""
    index = _usearch().Index(
        ndim=vectors.shape[1], metric="ip", dtype="f32", expansion_search=search_width
    )
    index.add(np.arange(len(vectors), dtype=np.uint64), vectors)
    return index


def restored(path: Path, search_width: int) -> Index:
    """Opens a saved index, in memory, ready to be added to.

    Raises:
      DataError: If it cannot be read.
    """
    try:
        index = _usearch().Index.restore(str(path))
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}; run `skewless index` again") from error
    if index is None:
        raise DataError(f"{path}: is no index of usearch; run `skewless index` again")
    index.expansion_search = search_width
    return index


def measured(
    index: Index, vectors: np.ndarray, queries: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, Any]:
    """Returns how much of what brute force finds the index finds, and how long either takes.

    What is as near as the last that brute force finds counts as found: equals have no order.

    Args:
      index: Over `vectors`, numbered by row.
      vectors: [candidates, width] float32.
      queries: [queries, width] float32.
      cutoffs: How many are to be found; those above the number of candidates mean all of them.
    """
    most = min(max(cutoffs), len(vectors))
    found: dict[int, list[float]] = {cutoff: [] for cutoff in cutoffs}
    block = max(1, _BLOCK_BYTES // (4 * len(vectors)))
    for at in range(0, len(queries), block):
        scores = queries[at : at + block] @ vectors.T
        exact = -np.partition(-scores, most - 1, axis=1)[:, :most]
        exact.sort(axis=1)
        for row, query in enumerate(queries[at : at + block]):
            for cutoff, shares in found.items():
                count = min(cutoff, len(vectors))
                keys = index.search(query, count).keys.astype(np.int64)
                # The same sums by another route may round otherwise.
                least = exact[row, most - count] - 1e-6
                shares.append(float((scores[row, keys] >= least).sum() / count))
    timed = queries[:_TIMED]
    first = min(cutoffs)
    return {
        "recall": {str(cutoff): float(np.mean(shares)) for cutoff, shares in found.items()},
        "p50_milliseconds": {
            "index": _p50(lambda query: index.search(query, first), timed),
            "brute_force": _p50(lambda query: _nearest(vectors, query, first), timed),
        },
    }


def _nearest(vectors: np.ndarray, query: np.ndarray, count: int) -> np.ndarray:
    scores = vectors @ query
    count = min(count, len(scores))
    places = np.argpartition(-scores, count - 1)[:count]
    return places[np.argsort(-scores[places])]


def _p50(search: Callable[[np.ndarray], Any], queries: np.ndarray) -> float:
    seconds = []
    for query in queries:
        begin = time.perf_counter()
        search(query)
        seconds.append(time.perf_counter() - begin)
    return round(float(np.median(seconds)) * 1000, 4)


def _usearch() -> Any:
    try:
        import usearch.index
    except ModuleNotFoundError as error:
        raise UsageError(
            "index needs usearch; install it with: pip install 'skewless[index]'"
        ) from error
    return usearch.index
