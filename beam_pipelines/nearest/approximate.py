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

__all__ = ["INDEX", "built", "check_installed", "measured", "restored"]

INDEX = "vectors.usearch"
# How many candidates a search keeps in sight; more find more, and take longer. The least that finds
# enough is chosen.
_SEARCH_WIDTHS = (64, 128, 256, 512, 1024)
_ENOUGH = 0.95
_BLOCK_BYTES = 1 << 28
_TIMED = 200


def check_installed() -> None:
    """Raises:
    UsageError: If usearch is not installed.
    """
    _usearch()


def built(vectors: np.ndarray) -> Index:
    """Returns an index over [candidates, width] float32 unit vectors, by inner product."""
    index = _usearch().Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
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
    index: Index,
    vectors: np.ndarray,
    queries: np.ndarray,
    cutoffs: Sequence[int],
    search_width: int | None = None,
) -> dict[str, Any]:
    """Returns how much of what brute force finds the index finds, and how long either takes.

    What is as near as the last that brute force finds counts as found: equals have no order.

    Args:
      index: Over `vectors`, numbered by row; left with the search width that was measured.
      vectors: [candidates, width] float32.
      queries: [queries, width] float32.
      cutoffs: How many are to be found; those above the number of candidates mean all of them.
      search_width: How many candidates a search keeps in sight; if not given the least of 64 to
        1,024 whose recall at each cutoff is 0.95.
    """
    least = _least_scores(vectors, queries, cutoffs)
    for width in (search_width,) if search_width is not None else _SEARCH_WIDTHS:
        index.expansion_search = width  # type: ignore[misc]  # Its setter takes it, its stub says no.
        recall = _recall(index, vectors, queries, least)
        if min(recall.values()) >= _ENOUGH:
            break
    timed = queries[:_TIMED]
    first = min(cutoffs)
    return {
        "search_width": width,
        "recall": recall,
        "p50_milliseconds": {
            "index": _p50(lambda query: index.search(query, first), timed),
            "brute_force": _p50(lambda query: _nearest(vectors, query, first), timed),
        },
    }


def _least_scores(
    vectors: np.ndarray, queries: np.ndarray, cutoffs: Sequence[int]
) -> dict[int, np.ndarray]:
    """Returns by cutoff [queries] float32, the score of the last candidate that brute force finds."""
    most = min(max(cutoffs), len(vectors))
    block = max(1, _BLOCK_BYTES // (4 * len(vectors)))
    found: dict[int, list[np.ndarray]] = {cutoff: [] for cutoff in cutoffs}
    for at in range(0, len(queries), block):
        scores = queries[at : at + block] @ vectors.T
        exact = -np.partition(-scores, most - 1, axis=1)[:, :most]
        exact.sort(axis=1)
        for cutoff, least in found.items():
            least.append(exact[:, most - min(cutoff, len(vectors))])
    return {cutoff: np.concatenate(least) for cutoff, least in found.items()}


def _recall(
    index: Index, vectors: np.ndarray, queries: np.ndarray, least: dict[int, np.ndarray]
) -> dict[str, float]:
    """Returns by cutoff the mean share of what is to be found that the index finds."""
    recall = {}
    for cutoff, scores in least.items():
        count = min(cutoff, len(vectors))
        shares = []
        for query, last in zip(queries, scores, strict=True):
            keys = index.search(query, count).keys.astype(np.int64)
            # The same sums by another route may round otherwise.
            shares.append((vectors[keys] @ query >= last - 1e-6).sum() / count)
        recall[str(cutoff)] = float(np.mean(shares))
    return recall


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
