"""Texts to microseconds since 1970 in UTC, by ops of the graph: what is served reads as what was trained.

ISO 8601 dates (`2026-03-01`) and times (`2026-03-01T12:30:15.25+02:00`), a space or a `t` for the
`T` too, minutes, seconds, fraction and zone left out from the end; `Z`, `UTC` and `GMT`; without a
zone it is UTC; `20260301T123015Z` too. Or a number counted from 1970. The years 1 to 9999; what is
finer than microseconds is cut off.
"""

from __future__ import annotations

from typing import cast, get_args

import tensorflow as tf

from skewless.schemas.rows.times.calendar import DAY, SECOND, Date, days_in_month, days_of
from skewless.schemas.rows.times.dates import dates_as_iso
from skewless.schemas.spec.kinds.column import DateOrder, TimeUnit, TimeWriting

__all__ = ["NO_TIME", "parse_times"]

# Stands for "no time"; no time of the years 1 to 9999 is near it.
NO_TIME = tf.int64.min
# 0001-01-01 and what comes after 9999-12-31.
_FIRST, _END = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND
_COMPACT = r"^(\d{4})(\d\d)(\d\d)[Tt](\d\d)(\d\d)(\d\d)"
_ISO = (
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:(?:[Tt]| +)(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?"
    r" ?([Zz]|UTC|GMT|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?)?"
)
_NUMBER = r"([+-]?)0*(\d*)(?:\.(\d*))?"
_SCIENTIFIC = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
# Whole digits kept; more are no time in any unit.
_DIGITS, _LOW = 20, 9
# By unit: microseconds in one, and how many digits of a fraction are whole microseconds.
_UNITS: dict[TimeUnit, tuple[float, int]] = {
    "s": (1e6, 6), "ms": (1e3, 3), "us": (1.0, 0), "ns": (1e-3, 0),
}  # fmt: skip
# The size from which on a number counts the next finer unit.
_NEXT_UNIT = {"s": 1e11, "ms": 1e14, "us": 1e17}


def parse_times(texts: tf.Tensor, unit: TimeWriting = "auto") -> tf.Tensor:
    """Returns microseconds since 1970 in UTC.

    Args:
      texts: [batch] string, without white space around them.
      unit: What numbers count; or the order of dates, and numbers are no times.

    Returns:
      [batch] int64; `NO_TIME` where a text is none, or beyond the years 1 to 9999.
    """
    if unit in get_args(DateOrder):
        return _dates(texts, cast(DateOrder, unit))
    iso = tf.strings.regex_replace(texts, _COMPACT, r"\1-\2-\3T\4:\5:\6")
    is_iso = tf.strings.regex_full_match(iso, _ISO)
    number = tf.strings.regex_full_match(texts, _SCIENTIFIC)
    times = tf.fill(tf.shape(texts), tf.constant(NO_TIME, tf.int64))
    # Each way of writing costs only where it is met.
    for chosen, found in (
        (is_iso, _iso_times(tf.boolean_mask(iso, is_iso))),
        (number, _number_times(tf.boolean_mask(texts, number), cast(TimeUnit, unit))),
    ):
        times = tf.tensor_scatter_nd_update(times, tf.where(chosen), found)
    return _of_years(times)


def _dates(texts: tf.Tensor, order: DateOrder) -> tf.Tensor:
    """Returns the microseconds of dates in that order, and of ISO 8601."""
    written, hours = dates_as_iso(texts, order)
    iso = tf.strings.regex_replace(written, _COMPACT, r"\1-\2-\3T\4:\5:\6")
    is_iso = tf.strings.regex_full_match(iso, _ISO)
    found = _iso_times(tf.boolean_mask(iso, is_iso))
    moved = found + tf.boolean_mask(hours, is_iso) * (3_600 * SECOND)
    found = tf.where(tf.equal(found, NO_TIME), found, moved)
    times = tf.fill(tf.shape(texts), tf.constant(NO_TIME, tf.int64))
    return _of_years(tf.tensor_scatter_nd_update(times, tf.where(is_iso), found))


def _of_years(times: tf.Tensor) -> tf.Tensor:
    """Returns times of the years 1 to 9999, `NO_TIME` for others."""
    return tf.where((times >= _FIRST) & (times < _END), times, NO_TIME)


def _iso_times(texts: tf.Tensor) -> tf.Tensor:
    """Returns the microseconds of texts that match `_ISO`; `NO_TIME` for a 30th of February."""
    parts = tf.strings.split(
        tf.strings.regex_replace(texts, f"^{_ISO}$", r"\1\2\3,\4\5\6,\7,\8"), ","
    ).to_tensor("", shape=[None, 4])
    zone = tf.strings.regex_replace(parts[:, 3], "[^0-9]", "")
    # Dates of 8 digits, 6 of the clock, 6 of the fraction, 6 of the zone; what is left out is 0.
    digits = tf.strings.join(
        [
            parts[:, 0],
            *(tf.strings.substr(tf.strings.join([part, "000000"]), 0, 6)
              for part in (parts[:, 1], parts[:, 2], zone)),
        ]
    )  # fmt: skip
    places = ((0, 4), (4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 6), (20, 2), (22, 2), (24, 2))
    fields = tf.strings.to_number(
        tf.stack([tf.strings.substr(digits, *place) for place in places]), tf.int64
    )
    year, month, day, hour, minute, second, fraction, *offset = tf.unstack(fields)
    real = (year > 0) & (month > 0) & (month <= 12) & (day > 0)
    month = tf.clip_by_value(month, 1, 12)
    real &= day <= days_in_month(year, month)
    for clock, size in (
        (hour, 24),
        (minute, 60),
        (second, 60),
        *zip(offset, (24, 60, 60), strict=True),
    ):
        real &= clock < size
    east = _seconds(*offset) * SECOND
    west = tf.strings.regex_full_match(parts[:, 3], "-.*")
    times = (
        days_of(Date(year, month, day)) * DAY + _seconds(hour, minute, second) * SECOND + fraction
    ) - tf.where(west, -east, east)
    return tf.where(real, times, NO_TIME)


def _seconds(hours: tf.Tensor, minutes: tf.Tensor, seconds: tf.Tensor) -> tf.Tensor:
    return (hours * 60 + minutes) * 60 + seconds


def _number_times(texts: tf.Tensor, unit: TimeUnit) -> tf.Tensor:
    """Returns the microseconds of texts that are numbers; `NO_TIME` for what is far out."""
    # A number with an exponent was a double, and is read as one.
    exact = tf.strings.regex_full_match(texts, _NUMBER)
    doubles = tf.strings.to_number(texts, tf.float64)
    plain = tf.where(exact, texts, "0")
    negative = tf.strings.regex_full_match(plain, "-.*")
    whole = tf.strings.regex_replace(plain, f"^{_NUMBER}$", r"\2")
    fraction = tf.strings.regex_replace(plain, f"^{_NUMBER}$", r"\3")
    short = tf.strings.length(whole) <= _DIGITS
    padded = tf.strings.join(["0" * _DIGITS, tf.where(short, whole, "")])
    high = _integer(tf.strings.substr(padded, -_DIGITS, _DIGITS - _LOW))
    low = _integer(tf.strings.substr(padded, -_LOW, _LOW))
    size = tf.abs(doubles)
    times = tf.fill(tf.shape(texts), tf.constant(NO_TIME, tf.int64))
    # From the finest on: a coarser unit takes what is small enough for it.
    for name, (factor, digits) in reversed(_UNITS.items()):
        if unit not in (name, "auto"):
            continue
        found = tf.where(
            exact, _exact_times(high, low, fraction, name, digits), _double_times(size, factor)
        )
        # Beyond, 64 bits do not hold the products above; no year up to 9999 is there.
        fits = short & (size * factor < 1e18)
        here = size < _NEXT_UNIT.get(name, float("inf")) if unit == "auto" else True
        times = tf.where(here, tf.where(fits, found, NO_TIME), times)
    return tf.where((negative | (doubles < 0)) & tf.not_equal(times, NO_TIME), -times, times)


def _exact_times(
    high: tf.Tensor, low: tf.Tensor, fraction: tf.Tensor, unit: TimeUnit, digits: int
) -> tf.Tensor:
    if unit == "ns":
        return high * 10 ** (_LOW - 3) + low // 1_000
    times = (high * 10**_LOW + low) * 10**digits
    if not digits:
        return times
    padded = tf.strings.join([fraction, "0" * digits])
    return times + _integer(tf.strings.substr(padded, 0, digits))


def _double_times(size: tf.Tensor, factor: float) -> tf.Tensor:
    micros = size * factor
    return tf.cast(tf.round(tf.where(micros < 1e18, micros, 0.0)), tf.int64)


def _integer(digits: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_number(digits, tf.int64)
