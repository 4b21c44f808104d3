"""Splits: which rows train, which evaluate. A function of the row itself, and of edges in time."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from skewless.schemas.spec.declared import Declared

__all__ = ["SPLITS", "Split", "SplitName"]

SplitName = Literal["train", "eval", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "eval", "test")
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _moment(text: str) -> datetime:
    try:
        # Python 3.10 knows no Z.
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(
            f"expected a time as ISO 8601, such as 2026-01-01 or 2026-01-01T12:00:00+01:00, got {text!r}"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _as_text(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        _moment(value)
    return value


# YAML makes a date of 2026-01-01.
Moment = Annotated[str, BeforeValidator(_as_text)]


class Split(Declared):
    """Shares of rows, by a stable hash of the key or of the column `by`; or a split `column`.

    Rows with the same hashed value fall into the same split. With `column`, that column's
    values name the split (`train`, `eval`, `test`); other values are rejected. With `time` the
    oldest rows train: by shares, or up to dates.
    """

    train: Share = 0.8
    """The share to learn from; shares sum to 1, and one not given beside another is 0."""
    eval: Share = 0.1
    """The share that picks the best epoch."""
    test: Share = 0.1
    """The share that is kept for the end."""
    by: str | None = None
    """The column hashed instead of the key: all rows of one value fall into one split."""
    column: str | None = None
    """The column that names each row's split: train, eval or test."""

    time: str | None = None
    """The column of the time that splits: the oldest rows train, the newest test. Rows of one time
    share a split; a row without a time is rejected.
    """
    eval_from: Moment | None = None
    """With `time`: the first time (ISO 8601) that evaluates. Beside shares: where they came to lie,
    which holds then.
    """
    test_from: Moment | None = None
    """With `time`: the first time (ISO 8601) that tests."""

    @model_validator(mode="before")
    @classmethod
    def _absent_shares_are_zero(cls, data: Any) -> Any:
        """Lets `{train: 0.9, eval: 0.1}` mean no test split, rather than a wrong sum."""
        if isinstance(data, dict) and any(name in data for name in SPLITS):
            return {**dict.fromkeys(SPLITS, 0.0), **data}
        return data

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        edges = [edge for edge in (self.eval_from, self.test_from) if edge is not None]
        if self.time is None and edges:
            raise ValueError("'eval_from' and 'test_from' are times of the column 'time'; give it")
        if self.time is not None and (self.by is not None or self.column is not None):
            raise ValueError("'time' splits by itself; remove 'by' and 'column'")
        if len(edges) > 1 and _moment(edges[0]) > _moment(edges[1]):
            raise ValueError(f"eval_from: expected a time up to test_from ({edges[1]})")
        return self

    @model_validator(mode="after")
    def _sums_to_one(self) -> Split:
        if self.column is not None:
            if self.by is not None or {"train", "eval", "test"} & self.model_fields_set:
                raise ValueError("'column' names every row's split; remove 'by' and the shares")
        elif abs(self.train + self.eval + self.test - 1.0) > 1e-9:
            total = self.train + self.eval + self.test
            raise ValueError(f"expected shares that sum to 1, got {total:g}")
        elif self.train <= 0:
            raise ValueError(
                "train: expected a share above 0, there would be nothing to learn from"
            )
        return self

    @model_serializer(mode="wrap")
    def _shares_only_where_they_hold(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out shares beside `column`: written out, they would be refused on reading."""
        # Keys that came later leave the digests of older specs alone.
        later = {"time", "eval_from", "test_from"}
        written: dict[str, Any] = {
            name: value
            for name, value in dump(self).items()
            if name not in later or value is not None
        }
        edges_alone = self.has_edges and not set(SPLITS) & self.model_fields_set
        if self.column is None and not edges_alone:
            return written
        return {name: value for name, value in written.items() if name not in SPLITS}

    @property
    def has_edges(self) -> bool:
        """Whether it says from when on rows evaluate or test."""
        return self.eval_from is not None or self.test_from is not None

    @property
    def needs_edges(self) -> bool:
        """Whether shares of time are still to be found in the data."""
        return self.time is not None and not self.has_edges and self.train < 1

    @property
    def as_declared(self) -> Split:
        """The split without the edges that were found for its shares."""
        if not self.has_edges or not set(SPLITS) & self.model_fields_set:
            return self
        return self.model_copy(update={"eval_from": None, "test_from": None})

    @property
    def is_random(self) -> bool:
        """Whether rows are dealt out by a hash of what names them alone."""
        return self.by is None and self.column is None and self.time is None

    @property
    def shares(self) -> dict[SplitName, float]:
        """The declared share of each split, in the order of `SPLITS`."""
        return {"train": self.train, "eval": self.eval, "test": self.test}
