"""Event time: when a row happened, the window that is, and when the window is closed.

Times are int64 microseconds since 1970. A window is known by its start. A row has two times: its
own, and its arrival, which is the source's time (a Kafka record's timestamp; for files, how far
event time had come). The watermark is in arrival time, so lateness is a property of the row alone
and the same however often the row is read.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.errors import UsageError
from skewless.schemas.rows.reasons import Faults, Reason, shown

__all__ = ["SECOND", "Windowing", "event_times", "micros_of", "parse_duration"]

SECOND = 1_000_000
_UNITS = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_UNITS["d"] = 24 * _UNITS["h"]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\Z")
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
# Whole numbers as Python has them, too; Arrow alone would also take 0x1F.
_INTEGERS = r"\A-?[0-9]+\z"
# No time has more digits, and Python reads only so many at once.
_MOST_DIGITS = 300
# The last second of the year 9999, which is what a window's name can say.
_LAST = 253_402_300_799 * SECOND


@dataclass(frozen=True)
class Windowing:
    """How rows fall into windows of event time.

    Attributes:
      size: Length of a window, whole seconds.
      delay: How long after its end a window is kept open.
      lateness: Rows that arrive later than so long after their window's end are rejected; None
        takes them all.
      column: Holds the row's own time; None takes the source's.
    """

    size: int
    delay: int = 0
    lateness: int | None = None
    column: str | None = None

    def starts(self, times: np.ndarray) -> np.ndarray:
        """Returns [rows] the starts of the windows that times fall into."""
        return times - times % self.size

    def end(self, start: int) -> int:
        """Returns a window's end; for one that reaches into the year 10000, the last second before it."""
        return min(start + self.size, _LAST)

    def deadline(self, start: int, arrival: int) -> int:
        """Returns when, by the watermark, what is gathered for a window is to be written.

        A window that is over already is written with the window that is open then, so that rows
        that trickle in late become one pane and not many.

        Args:
          start: Of the window.
          arrival: Of the first row gathered for it.
        """
        on_time = start + self.size + self.delay
        if arrival < on_time:
            return on_time
        return arrival - arrival % self.size + self.size + self.delay

    def too_late(self, times: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
        """Returns [rows] bool, the rows that came after the allowed lateness."""
        if self.lateness is None:
            return np.zeros(len(times), bool)
        return arrivals >= self.starts(times) + self.size + self.lateness


def parse_duration(text: str, option: str) -> int:
    """Returns the microseconds of `60s`, `5m`, `1h`, `1d`, `500ms`, or of a number of seconds.

    Raises:
      UsageError: If it is none of these, or longer than windows can reach.
    """
    match = _DURATION.match(text.strip())
    if match is None:
        raise UsageError(f"{option}: expected a duration such as 60s, 5m, 1h or 1d, got {text!r}")
    found = float(match.group(1)) * _UNITS[match.group(2) or "s"]
    if found > _LAST:
        most = _LAST // _UNITS["d"]
        raise UsageError(f"{option}: expected a duration of at most {most}d, got {shown(text)}")
    return round(found)


def event_times(texts: pa.Array) -> tuple[np.ndarray, Faults]:
    """Reads times from texts.

    A number is in seconds since 1970, or, by its size, in milli-, micro- or nanoseconds; anything
    else is ISO 8601, in UTC where it names no zone.

    Args:
      texts: [rows] string, null where missing.

    Returns:
      [rows] int64 times, 0 where a fault is reported.
    """
    times = np.zeros(len(texts), np.int64)
    faults: Faults = {}
    numbers = _whole_numbers(texts)
    if numbers is not None:
        times = _scaled(numbers)
        for at in np.flatnonzero((times < 0) | (times > _LAST)).tolist():
            faults[at] = _not_a_time(texts[at].as_py())
    else:
        for at, text in enumerate(texts.to_pylist()):
            found = None if text is None else micros_of(text)
            if found is not None:
                times[at] = found
            elif text is not None:
                faults[at] = _not_a_time(text)
    for at in np.flatnonzero(texts.is_null().to_numpy(zero_copy_only=False)).tolist():
        faults[at] = "the timestamp is missing"
    times[list(faults)] = 0
    return times, faults


def micros_of(text: str) -> int | None:
    """Returns one time, or None where a text is none that windows can be named after."""
    text = text.strip()
    if len(text) > _MOST_DIGITS:
        return None
    try:
        number = int(text) if _INTEGER.match(text) else float(text)
    except ValueError:
        return _of_iso(text)
    if not math.isfinite(number):
        return None
    if number < 10**11:
        found = round(number * SECOND)
    elif number < 10**14:
        found = round(number * 1000)
    else:
        found = round(number) if number < 10**17 else int(number // 1000)
    return found if 0 <= found <= _LAST else None


def _of_iso(text: str) -> int | None:
    # Python 3.10 knows no "Z", nor fractions of other than 3 or 6 digits.
    text = re.sub(r"[zZ]\Z", "+00:00", text)
    text = re.sub(r"\.(\d+)", lambda match: "." + match.group(1)[:6].ljust(6, "0"), text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    found = (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds
    return found if 0 <= found <= _LAST else None


def _whole_numbers(texts: pa.Array) -> np.ndarray | None:
    """Returns [rows] int64, 0 where missing; None where a text is no such number."""
    if pc.all(pc.match_substring_regex(texts, _INTEGERS)).as_py() is False:
        return None
    try:
        numbers: np.ndarray = pc.cast(texts, pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    return numbers


def _scaled(numbers: np.ndarray) -> np.ndarray:
    """Turns [rows] int64 seconds, milli-, micro- or nanoseconds into microseconds."""
    return np.where(
        numbers < 10**11,
        # Beyond that the product would overflow.
        np.maximum(numbers, -1) * SECOND,
        np.where(
            numbers < 10**14,
            numbers * 1000,
            np.where(numbers < 10**17, numbers, numbers // 1000),
        ),
    )


def _not_a_time(text: str) -> str:
    return Reason(
        "expected a time from 1970 to 9999 as ISO 8601 or as a number since 1970", shown(text)
    )
