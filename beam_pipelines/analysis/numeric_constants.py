"""Summaries of numeric columns to the constants of scaling and bucketing."""

from __future__ import annotations

import numpy as np

from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary
from skewless.beam_pipelines.transform.numeric import NumericConstants

__all__ = ["numeric_constants"]


def numeric_constants(summaries: list[NumericSummary], buckets: int = 1) -> NumericConstants:
    """Returns the constants of [width] summarised columns.

    Args:
      summaries: One of each column.
      buckets: The number of quantile buckets to find boundaries for.
    """
    columns = [
        [summary.mean for summary in summaries],
        [summary.standard_deviation for summary in summaries],
        [summary.low if summary.count else 0.0 for summary in summaries],
        [summary.high if summary.count else 0.0 for summary in summaries],
        [summary.quantile(0.5) for summary in summaries],
        [s.quantiles([bucket / buckets for bucket in range(1, buckets)]) for s in summaries],
    ]
    return NumericConstants(*(np.array(column, np.float32) for column in columns))
