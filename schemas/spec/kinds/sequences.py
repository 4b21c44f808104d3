"""Sequences of numbers: lists of numbers or vectors of a row, and the time between events."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from skewless.schemas.spec.encoders import Encoder, Transformer
from skewless.schemas.spec.kinds.column import Column, Kind, TimeUnit
from skewless.schemas.spec.kinds.scale import Scale, learned_step, measured_after
from skewless.schemas.spec.sizes import Steps, Width

__all__ = ["NumericSequenceFeature", "StepsOfNumbers", "TimeGapsFeature"]


class StepsOfNumbers(Column):
    """What is declared of every sequence whose steps are numbers."""

    length: Steps
    """Steps kept of a row; shorter lists are padded."""
    separator: str | None = Field(default=None, min_length=1)
    """What separates values in one string; without it the column holds lists."""
    beside: str | None = None
    """The categorical feature with `length` whose values these lists hold one step for each of. What is no
    value takes its step with it; a row whose lists differ in length is rejected.
    """
    truncate: Literal["end", "start"] = "end"
    """The side that longer lists are cut at."""
    pad: Literal["end", "start"] = "end"
    """The side that shorter lists are padded at."""
    scale: Scale = "none"
    """As of `numeric`, by constants of all steps of the training split."""
    embedding: Width | Literal["none"] = 16
    """The width of the vector that a linear layer makes of each step's numbers; `none` leaves them as they
    are.
    """
    encoder: Encoder = Field(default="mean", validate_default=True)
    """How the steps' vectors become one."""

    @model_validator(mode="after")
    def _wide_enough(self) -> Any:
        if self.embedding == "none" and isinstance(self.encoder, Transformer):
            raise ValueError(
                "encoder: transformer normalizes each step's vector, of which a few numbers leave nothing; "
                "give embedding a width"
            )
        return self

    @property
    def is_sequence(self) -> bool:
        """True."""
        return True

    @property
    def multivalued(self) -> bool:
        """True."""
        return True

    @property
    def parted_by(self) -> str | None:
        """As declared."""
        return self.separator

    @property
    def stands_beside(self) -> str | None:
        """As declared."""
        return self.beside

    @property
    def needs_constants(self) -> bool:
        """For a scale of the data."""
        return learned_step(self.scale) is not None

    @property
    def quantile_buckets(self) -> int:
        """Quarters for a scale by quartiles."""
        return 4 if learned_step(self.scale) == "robust_clip" else 1

    @property
    def measured_after(self) -> tuple[str, ...]:
        """The steps of `scale` after which the constants are measured."""
        return measured_after(self.scale)


class NumericSequenceFeature(StepsOfNumbers):
    """Numbers, or vectors of them, one after the other: [batch, length] or [batch, length, dimensions] float32.

    How many steps a row has is an entry beside it.
    """

    type: Literal["numeric_sequence"] = "numeric_sequence"
    dimensions: Width = 1
    """Numbers of a step; from 2 on the column holds lists of lists, or all their numbers in one list."""
    missing: Literal["mean", "median"] | FiniteFloat = 0.0
    """What replaces a missing number before scaling. Steps at a list's end without any number are none."""
    clip: tuple[float, float] | None = None
    """Bounds, applied before anything else."""

    @model_validator(mode="after")
    def _bounds(self) -> NumericSequenceFeature:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip: expected [low, high] with low < high, got {list(self.clip)}")
        return self

    @property
    def kind(self) -> Kind:
        """Numbers."""
        return "float32"

    @property
    def width(self) -> int:
        """The numbers of a step."""
        return self.dimensions

    @property
    def numbers_of_step(self) -> int:
        """As declared."""
        return self.dimensions

    @property
    def needs_constants(self) -> bool:
        """For a scale of the data, or for what replaces a missing number."""
        return super().needs_constants or isinstance(self.missing, str)


class TimeGapsFeature(StepsOfNumbers):
    """The time since the step before, of a list of times: [batch, length] float32, 0 for a list's first.

    Seconds, of whole microseconds inside. The gap of the first step that is kept is to the time before
    it, even where that is cut off. How many steps a row has is an entry beside it.
    """

    type: Literal["time_gaps"] = "time_gaps"
    unit: TimeUnit = "auto"
    """What numbers count from 1970, as of `timestamp`."""
    scale: Scale = "log1p"
    """As of `numeric`, of seconds; of lists that go back in time gaps are negative, and `log1p` is
    sign(x) * log(1 + abs(x)).
    """

    @property
    def time_unit(self) -> TimeUnit:
        """As declared."""
        return self.unit

    @property
    def holds_times(self) -> bool:
        """False: what comes of its times are numbers."""
        return False

    @property
    def numbers_of_step(self) -> int:
        """One: the gap."""
        return 1

    @property
    def missing(self) -> float:
        """What stands for a gap from or to a time that is not known."""
        return 0.0
