"""Summaries of numeric columns to the constants of scaling and bucketing."""

from __future__ import annotations

import numpy as np

from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary
from skewless.beam_pipelines.transform.numeric import NumericConstants

__all__ = ["numeric_constants"]


def numeric_constants(
    summaries: list[NumericSummary], buckets: int = 1, bins: int = 0
) -> NumericConstants:
    """Returns the constants of [width] summarised columns.

    Args:
      summaries: One of each column.
      buckets: The number of quantile buckets to find boundaries for.
      bins: Instead of buckets: the bins of a piecewise-linear embedding.
    """
    shares = [bucket / buckets for bucket in range(1, buckets)]
    columns = [
        [summary.mean for summary in summaries],
        [summary.standard_deviation for summary in summaries],
        [summary.low if summary.count else 0.0 for summary in summaries],
        [summary.high if summary.count else 0.0 for summary in summaries],
        [summary.quantile(0.5) for summary in summaries],
        [_spread(s, bins) if bins else s.quantiles(shares) for s in summaries],
    ]
    return NumericConstants(*(np.array(column, np.float32) for column in columns))


def _spread(summary: NumericSummary, bins: int) -> list[float]:
    """Returns bins - 1 ascending edges between bins.

    Where no value has more rows than a bin, they are the quantiles. A value that has gets an edge of
    its own, and the other rows share the other bins: a column that is 0 in most rows would else
    have hardly an edge where it is not.
    """
    if not summary.count:
        return [0.0] * (bins - 1)
    counts = summary.counts
    heavy = np.zeros(len(counts), bool)
    while heavy.sum() < bins - 1:
        share = counts[~heavy].sum() / (bins - heavy.sum())
        found = heavy | (counts > share)
        if found.sum() in (heavy.sum(), len(counts)):
            break
        heavy = found
    if not heavy.any():
        return summary.quantiles([place / bins for place in range(1, bins)])
    rest = np.where(heavy, 0, counts).cumsum()
    between = np.arange(1, max(1, bins - heavy.sum()))
    ranks = -(-between * rest[-1] // (len(between) + 1))
    places = np.flatnonzero(heavy)[: bins - 1]
    places = np.union1d(places, np.searchsorted(rest, ranks) if rest[-1] else [])
    edges = summary.values()[places.astype(int)].tolist()
    return edges + edges[-1:] * (bins - 1 - len(edges))
