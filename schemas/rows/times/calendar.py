"""The proleptic Gregorian calendar on int64 tensors: days since 1970 to dates, and back.

After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March there, so
that the day that leap years add is the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from skewless.schemas.spec.kinds.timestamp import Part

__all__ = [
    "DAY",
    "SECOND",
    "Date",
    "date_of",
    "days_in_month",
    "days_of",
    "part_of",
]

SECOND = 1_000_000
DAY = 86_400 * SECOND
# Days from the 1st of March of the year 0 to the 1st of January 1970, and of 400 years.
_EPOCH, _ERA = 719_468, 146_097


@dataclass(frozen=True)
class Date:
    """[...] int64 each; months and days from 1."""

    year: tf.Tensor
    month: tf.Tensor
    day: tf.Tensor


def days_of(date: Date) -> tf.Tensor:
    """Returns [...] int64, days since 1970-01-01; a 30th of February counts on into March."""
    year = date.year - tf.cast(date.month <= 2, tf.int64)
    era = year // 400
    year_of_era = year - era * 400
    month = (date.month + 9) % 12
    day_of_year = (153 * month + 2) // 5 + date.day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _ERA + day_of_era - _EPOCH


def date_of(days: tf.Tensor) -> Date:
    """Returns the date of [...] int64 days since 1970-01-01."""
    shifted = days + _EPOCH
    era = shifted // _ERA
    day_of_era = shifted - era * _ERA
    year_of_era = (
        day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month = (month + 2) % 12 + 1
    year = year_of_era + era * 400 + tf.cast(month <= 2, tf.int64)
    return Date(year, month, day)


def days_in_month(year: tf.Tensor, month: tf.Tensor) -> tf.Tensor:
    """Returns [...] int64; `month` from 1 to 12."""
    lengths = tf.constant([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], tf.int64)
    leap = tf.equal(year % 4, 0) & (tf.not_equal(year % 100, 0) | tf.equal(year % 400, 0))
    return tf.gather(lengths, month - 1) + tf.cast(leap & tf.equal(month, 2), tf.int64)


def part_of(part: Part, times: tf.Tensor) -> tf.Tensor:
    """Returns a calendar part, from 0 on, of [...] int64 microseconds since 1970 in UTC.

    Weeks are those of ISO 8601: the first has the year's first Thursday.
    """
    return _PARTS[part](times)


def _days(times: tf.Tensor) -> tf.Tensor:
    return times // DAY


def _weekday(times: tf.Tensor) -> tf.Tensor:
    # 1970-01-01 was a Thursday.
    return (_days(times) + 3) % 7


def _yearday(days: tf.Tensor) -> tf.Tensor:
    year = date_of(days).year
    return days - days_of(Date(year, tf.ones_like(year), tf.ones_like(year)))


def _week(times: tf.Tensor) -> tf.Tensor:
    return _yearday(_days(times) - _weekday(times) + 3) // 7


_PARTS: dict[Part, Callable[[tf.Tensor], tf.Tensor]] = {
    "second": lambda times: times // SECOND % 60,
    "minute": lambda times: times // (60 * SECOND) % 60,
    "hour": lambda times: times // (3_600 * SECOND) % 24,
    "weekday": _weekday,
    "day": lambda times: date_of(_days(times)).day - 1,
    "week": _week,
    "yearday": lambda times: _yearday(_days(times)),
    "month": lambda times: date_of(_days(times)).month - 1,
    "quarter": lambda times: (date_of(_days(times)).month - 1) // 3,
}
