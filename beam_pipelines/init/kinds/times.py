"""Columns of times: told by how they are written, or of numbers by their name and range too."""

from __future__ import annotations

import re
from typing import Any, get_args

import numpy as np
import pyarrow.compute as pc
import tensorflow as tf

from skewless.beam_pipelines.init.profile import Profile
from skewless.schemas.rows.times.calendar import DAY, part_of
from skewless.schemas.rows.times.columns import times_of
from skewless.schemas.rows.times.parsing import NO_TIME
from skewless.schemas.rows.times.words import as_iso
from skewless.schemas.spec.kinds.column import DateOrder, TimeWriting

__all__ = ["named_as_time", "time_feature", "time_range"]

_NAME = re.compile(
    r"(^|_|[a-z])(time|times?tamp|date|datetime|at|on|ts|utc|epoch|created|updated|modified|posted"
    r"|started|ended|when)(_?(utc|ms|us|ns|s|sec|seconds|millis))?$",
    re.IGNORECASE,
)
# Numbers are times if all lie between 1990 and 2100: few other quantities do.
_FROM, _UNTIL = 7_305 * DAY, 47_482 * DAY
_VALUES = 50_000
_MOST_ARE, _FEWEST_DATES = 0.99, 5
# What makes a part worth telling: its cycle is seen this often.
_TWO_WEEKS, _YEAR = 14 * DAY, 365 * DAY


def named_as_time(name: str) -> bool:
    """Whether a column's name says that its numbers may be times."""
    return _NAME.search(name) is not None


def time_feature(profile: Profile) -> tuple[dict[str, Any], str] | None:
    """Returns the declaration of a column of times, and from what it follows; None if it is none."""
    numbers = profile.share_of_numbers > 0.99
    order = _order(profile, numbers)
    if order is None and numbers and not (named_as_time(profile.name) and profile.distinct > 20):
        return None
    times = _times(profile, order or "auto")
    known = times[times != NO_TIME]
    if len(known) < _MOST_ARE * len(times) or not len(known):
        return None
    if order is None and numbers and not ((known >= _FROM) & (known < _UNTIL)).all():
        return None
    first, last = int(known.min()), int(known.max())
    values = tf.constant(known, tf.int64)
    # Of dates alone, every hour is the first.
    hours = len(np.unique(part_of("hour", values).numpy()))
    parts = [
        *(["hour"] if hours > 1 else []),
        *(["weekday"] if last - first >= _TWO_WEEKS else []),
        *(["month"] if last - first >= _YEAR else []),
    ]
    feature: dict[str, Any] = {"type": "timestamp", "parts": parts, "trend": True}
    if order is not None:
        feature["dates"] = order
    if profile.missing_share >= 0.01:
        feature["indicator"] = True
    written = order.replace("_", " ") if order else "numbers since 1970" if numbers else ""
    why = f"{written}{': ' if written else ''}{time_range(first, last)}"
    unread = len(times) - len(known)
    if unread:
        why += f"; {unread:,} values are no times: preprocess rejects their rows"
    return feature, why


def time_range(first: int, last: int) -> str:
    """Returns in words from when to when times lie, both microseconds since 1970."""
    return f"{as_iso(first)[:16]} to {as_iso(last)[:16]}".replace("T00:00", "")


def _order(profile: Profile, numbers: bool) -> DateOrder | None:
    """Returns the order of dates that are not ISO 8601; None of those that are, and of no dates.

    None too where days up to the 12th leave open which is the month, but for dates of one day in each
    month, such as the first.
    """
    if numbers:
        # By chance hardly one in thirty numbers of eight digits is a date of these years.
        eight = (
            profile.integral
            and profile.distinct > _FEWEST_DATES
            and ((profile.numbers >= 1900_01_01) & (profile.numbers < 2100_01_01)).all()
        )
        return "year_first" if eight and _share(_times(profile, "year_first")) == 1 else None
    if _share(_times(profile, "auto")) >= _MOST_ARE:
        return None
    read = {order: _times(profile, order) for order in get_args(DateOrder)}
    fit = {order: times for order, times in read.items() if _share(times) >= _MOST_ARE}
    if len(fit) < 2 or len(np.unique(np.stack(list(fit.values())), axis=0)) == 1:
        return next(iter(fit), None)
    one_day = [order for order, times in fit.items() if _days(times) == 1]
    return one_day[0] if len(one_day) == 1 else None


def _share(times: np.ndarray) -> float:
    return float((times != NO_TIME).mean()) if len(times) else 0.0


def _days(times: np.ndarray) -> int:
    """Returns how many days of the month there are, if there are several dates."""
    known = tf.constant(np.unique(times[times != NO_TIME]), tf.int64)
    return len(np.unique(part_of("day", known).numpy())) if len(known) > 1 else 0


def _times(profile: Profile, unit: TimeWriting) -> np.ndarray:
    """Returns [values] int64 of values spread over the sample."""
    values = profile.flat
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), _VALUES)).astype(np.int64))
    return times_of(pc.utf8_trim_whitespace(values.take(places)), unit)
