"""Calendar parts in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from skewless.schemas.spec.kinds.timestamp import PART_SIZES, Part

__all__ = ["as_iso", "id_word", "part_word"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def as_iso(time: int) -> str:
    """Returns microseconds since 1970 as ISO 8601 in UTC; nothing for what is no time."""
    try:
        moment = _EPOCH + timedelta(microseconds=time)
    except OverflowError:
        return ""
    return moment.isoformat()


def part_word(part: Part, value: int) -> str:
    """Returns a part's value in words: `hour 13`, `weekday Tuesday`, `day 31`."""
    if part == "weekday":
        return f"weekday {_WEEKDAYS[value]}"
    if part == "month":
        return f"month {_MONTHS[value]}"
    # Clocks count from 0, calendars from 1.
    return f"{part} {value if part in ('second', 'minute', 'hour') else value + 1}"


def id_word(parts: Sequence[Part], place: int) -> str:
    """Returns what the ID `FIRST_ID + place` of a feature with such parts stands for.

    Raises:
      ValueError: If the place is beyond the parts' IDs.
    """
    for part in parts:
        if place < PART_SIZES[part]:
            return part_word(part, place)
        place -= PART_SIZES[part]
    raise ValueError(f"expected a place among the IDs of {', '.join(parts)}")
