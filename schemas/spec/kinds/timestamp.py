"""Times: a moment as calendar parts, as an age, and as a place on the line of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from pydantic import model_validator

from skewless.schemas.spec.kinds.column import Column, DateOrder, TimeUnit, TimeWriting
from skewless.schemas.spec.sizes import Width

__all__ = ["NEWEST", "PART_SIZES", "Part", "TimestampFeature", "date_problems"]

Part = Literal[
    "second", "minute", "hour", "weekday", "day", "week", "yearday", "month", "quarter"
]  # fmt: skip
# How many values each part has; 0 is the first (Monday, January, the 1st).
PART_SIZES: dict[Part, int] = {
    "second": 60, "minute": 60, "hour": 24, "weekday": 7, "day": 31, "week": 53, "yearday": 366,
    "month": 12, "quarter": 4,
}  # fmt: skip
assert tuple(PART_SIZES) == get_args(Part)
# What `age_from` names instead of a column.
NEWEST = "newest"
# The pair of a cycle.
_PAIR = 2


class TimestampFeature(Column):
    """A date or a time: ISO 8601 text, or a number counted from 1970; int64 microseconds inside.

    Its parts are IDs ([batch, parts] int64), `trend` and the age numbers beside them; with `cyclic`
    or without parts all are numbers ([batch, width] float32). Parts are those of UTC.
    """

    type: Literal["timestamp"] = "timestamp"
    parts: tuple[Part, ...] = ("hour", "weekday", "month")
    """Parts of the calendar that the model is told; those of UTC."""
    cyclic: bool = False
    """Gives each part as the sine and cosine of its place in its cycle, instead of an ID."""
    trend: bool = False
    """Adds the time itself as a number, scaled by mean and deviation of the training split; what is
    newer, or older, than all training rows counts as their newest, or oldest.
    """
    age_from: str | None = None
    """Adds the time that had passed up to the time in this column, or, for `newest`, up to the
    newest training row.
    """
    unit: TimeUnit = "auto"
    """What numbers count from 1970. `auto` tells by their size: seconds below 1e11, milliseconds
    below 1e14, microseconds below 1e17, then nanoseconds.
    """
    dates: DateOrder | None = None
    """How dates are written that are not ISO 8601: `month_first` is 1/31/2026, `day_first` 31/1/2026 or
    31.1.26, `year_first` 2026/1/31 or 20260131; months may have English names, and clocks AM or PM.
    """
    indicator: bool = False
    """Adds an input that says whether the value was missing."""
    embedding: Width | Literal["one_hot"] | None = None
    """The width of a part's vector, or `one_hot`; 8 if not given. Not with `cyclic`."""

    @model_validator(mode="before")
    @classmethod
    def _default_embedding(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("cyclic") and data.get("parts", True):
            return {**data, "embedding": 8 if data.get("embedding") is None else data["embedding"]}
        return data

    @model_validator(mode="after")
    def _combinations(self) -> TimestampFeature:
        if len(set(self.parts)) != len(self.parts):
            raise ValueError(f"parts: expected each once, got {list(self.parts)}")
        if not self.parts and not self.trend and self.age_from is None:
            raise ValueError("expected 'parts', 'trend' or 'age_from': nothing of the time is used")
        if self.dates is not None and self.unit != "auto":
            raise ValueError("'unit' has no effect beside 'dates': there are no numbers; remove it")
        if self.cyclic and not self.parts:
            raise ValueError("'cyclic' needs 'parts'; remove it")
        if self.embedding is not None and (self.cyclic or not self.parts):
            why = "beside 'cyclic'" if self.cyclic else "without 'parts'"
            raise ValueError(f"'embedding' has no effect {why}: there are no IDs; remove it")
        return self

    def columns_read(self, name: str) -> tuple[str, ...]:
        """Returns its column, and the column that its age is told by."""
        own = super().columns_read(name)
        return own if self.age_from in (None, NEWEST) else (*own, str(self.age_from))

    @property
    def time_unit(self) -> TimeWriting:
        """As declared: what numbers count, or the order of dates."""
        return self.dates or self.unit

    @property
    def has_part_ids(self) -> bool:
        """Whether its parts are IDs, and numbers have an entry of their own."""
        return bool(self.parts) and not self.cyclic

    @property
    def fixed_ids(self) -> int | None:
        """Of all parts, one after the other; None where parts are no IDs."""
        return sum(PART_SIZES[part] for part in self.parts) if self.has_part_ids else None

    @property
    def measured(self) -> int:
        """How many numbers of a row constants are found of: the time, the age by a column."""
        return (self.trend or self.age_from == NEWEST) + (self.age_from not in (None, NEWEST))

    @property
    def needs_constants(self) -> bool:
        """For the trend and for ages."""
        return self.measured > 0

    @property
    def numbers(self) -> int:
        """How many numbers the model is given beside the parts."""
        return self.trend + (self.age_from is not None)

    @property
    def vector_width(self) -> int:
        """The width of its tower."""
        if self.cyclic:
            parts = _PAIR * len(self.parts)
        elif self.embedding == "one_hot":
            parts = len(self.parts) * (2 + (self.fixed_ids or 0))
        else:
            parts = len(self.parts) * (self.embedding or 0)
        return parts + self.numbers + self.indicator

    @property
    def encoder(self) -> None:
        """None: the parts' vectors are put side by side."""
        return None


def date_problems(spec: Any) -> Iterator[str]:
    """Yields which features read dates of one column in different orders: one would find no times there."""
    readers: dict[str, tuple[str, TimeWriting]] = {}
    for name, feature in spec.features.items():
        for column in feature.columns_read(name) if feature.time_unit is not None else ():
            other, order = readers.setdefault(column, (name, feature.time_unit))
            if order != feature.time_unit and {order, feature.time_unit} & {*get_args(DateOrder)}:
                yield (
                    f"features.{name}.dates: column {column!r} is read by features.{other} in another order; "
                    "give both the same 'dates'"
                )
