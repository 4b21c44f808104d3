"""Constants of numeric columns: everything that scaling and bucketing need, from one summary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from beam_pipelines.analyzers.numeric_summary import NumericSummary

__all__ = ["NumericConstants", "numeric_constants", "standardized"]


@dataclass(frozen=True)
class NumericConstants:
    """Constants of a numeric feature, each [width] float32 but the boundaries.

    Attributes:
      mean, standard_deviation, low, high, median: Of the present values; 0 when there is none.
      boundaries: [width, buckets - 1] float32, ascending.
    """

    mean: np.ndarray
    standard_deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray
    median: np.ndarray
    boundaries: np.ndarray


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
        [[s.quantile(bucket / buckets) for bucket in range(1, buckets)] for s in summaries],
    ]
    return NumericConstants(*(np.array(column, np.float32) for column in columns))


def standardized(values: tf.Tensor, mean: np.ndarray, deviation: np.ndarray) -> tf.Tensor:
    """Returns (values - mean) / deviation, 0 where the deviation is 0.

    In halves, because the difference of two float32 numbers may itself be no float32.
    """
    return tf.math.divide_no_nan(values / 2 - mean / 2, deviation / 2)
