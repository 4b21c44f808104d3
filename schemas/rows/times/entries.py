"""Times to what a model is given: IDs or cycles of parts, and scaled numbers beside them."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from skewless.schemas.records.id_contract import FIRST_ID, MISSING_ID
from skewless.schemas.rows.times.calendar import DAY, part_of
from skewless.schemas.rows.times.parsing import NO_TIME
from skewless.schemas.spec.kinds.timestamp import NEWEST, PART_SIZES, TimestampFeature

__all__ = ["Spread", "days", "measured_times", "part_entries", "time_numbers"]

# Days are counted from 2000-01-01: a float32 near it holds them to the minute, the analysis' place.
_ORIGIN = 10_957 * DAY


class Spread(Protocol):
    """Constants of `measured_times`."""

    @property
    def mean(self) -> np.ndarray:
        """[measured] float32."""

    @property
    def standard_deviation(self) -> np.ndarray:
        """[measured] float32."""

    @property
    def low(self) -> np.ndarray:
        """[measured] float32, the least."""

    @property
    def high(self) -> np.ndarray:
        """[measured] float32, the greatest."""


def days(times: tf.Tensor) -> tf.Tensor:
    """Returns [...] float64, days since 2000-01-01 of microseconds; NaN where there is no time."""
    since = tf.cast(times - _ORIGIN, tf.float64) / DAY
    return tf.where(tf.equal(times, NO_TIME), tf.constant(math.nan, tf.float64), since)


def measured_times(feature: TimestampFeature, times: tf.Tensor) -> tf.Tensor:
    """Returns the numbers that constants are found of.

    Args:
      feature: The declaration.
      times: [batch, columns read] int64 microseconds.

    Returns:
      [batch, feature.measured] float32: days since 2000-01-01 where they are needed, then the age
      by the other column; NaN where there is none.
    """
    numbers = []
    if feature.trend or feature.age_from == NEWEST:
        numbers.append(days(times[:, 0]))
    if feature.age_from not in (None, NEWEST):
        numbers.append(_age_by_column(times))
    return tf.cast(tf.stack(numbers, axis=1), tf.float32)


def time_numbers(feature: TimestampFeature, times: tf.Tensor, spread: Spread | None) -> tf.Tensor:
    """Returns [batch, feature.numbers] float32: the trend, then the age; 0 where there is none."""
    numbers = []
    if feature.trend:
        assert spread is not None
        # What is newer than all training rows is as new as the newest: a network that was never
        # shown where a trend leads would follow it to anywhere.
        within = tf.clip_by_value(days(times[:, 0]), float(spread.low[0]), float(spread.high[0]))
        numbers.append(_standardized(within, spread, 0))
    if feature.age_from == NEWEST:
        assert spread is not None
        # Over the training rows from 0 to 1.
        whole = float(np.log1p(np.float64(spread.high[0]) - np.float64(spread.low[0])))
        age = _signed_log(np.float64(spread.high[0]) - days(times[:, 0]))
        numbers.append(age / whole if whole > 0 else tf.zeros_like(age))
    elif feature.age_from is not None:
        assert spread is not None
        numbers.append(_standardized(_age_by_column(times), spread, feature.measured - 1))
    if not numbers:
        return tf.zeros([tf.shape(times)[0], 0], tf.float32)
    found = tf.cast(tf.stack(numbers, axis=1), tf.float32)
    return tf.where(tf.math.is_finite(found), found, 0.0)


def part_entries(feature: TimestampFeature, times: tf.Tensor) -> tf.Tensor:
    """Returns the parts of [batch] int64 microseconds.

    Returns:
      [batch, parts] int64 IDs, each part's after those of the parts before it, 1 for missing; or,
      where they are cyclic, [batch, 2 * parts] float32 sines and cosines, 0 for missing.
    """
    missing = tf.equal(times, NO_TIME)
    columns, first = [], FIRST_ID
    for part in feature.parts:
        value = part_of(part, tf.where(missing, tf.zeros_like(times), times))
        if feature.cyclic:
            # Looked up, so that no host's own sine shows in a record.
            circle = tf.gather(tf.constant(_circle(PART_SIZES[part])), value)
            columns.append(tf.where(missing[:, None], 0.0, circle))
        else:
            columns.append(
                tf.where(missing, tf.constant(MISSING_ID, tf.int64), value + first)[:, None]
            )
            first += PART_SIZES[part]
    return tf.concat(columns, axis=1)


def _circle(size: int) -> np.ndarray:
    angles = 2 * np.pi * np.arange(size) / size
    return np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _age_by_column(times: tf.Tensor) -> tf.Tensor:
    """Returns [batch] float64, the logarithm of the days up to the second column's time."""
    return _signed_log(days(times[:, 1]) - days(times[:, 0]))


def _signed_log(values: tf.Tensor) -> tf.Tensor:
    return tf.sign(values) * tf.math.log1p(tf.abs(values))


def _standardized(values: tf.Tensor, spread: Any, place: int) -> tf.Tensor:
    deviation = float(spread.standard_deviation[place])
    return (values - float(spread.mean[place])) / deviation if deviation else tf.zeros_like(values)
