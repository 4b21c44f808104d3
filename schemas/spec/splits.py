"""Splits: which rows train, which evaluate. Always a pure function of the row itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from skewless.schemas.spec.declared import Declared

__all__ = ["SPLITS", "Split", "SplitName"]

SplitName = Literal["train", "eval", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "eval", "test")
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Split(Declared):
    """Shares of rows, by a stable hash of the key or of the column `by`; or a split `column`.

    Rows with the same hashed value fall into the same split. With `column`, that column's
    values name the split (`train`, `eval`, `test`); other values are rejected.
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

    @model_validator(mode="before")
    @classmethod
    def _absent_shares_are_zero(cls, data: Any) -> Any:
        """Lets `{train: 0.9, eval: 0.1}` mean no test split, rather than a wrong sum."""
        if isinstance(data, dict) and any(name in data for name in SPLITS):
            return {**dict.fromkeys(SPLITS, 0.0), **data}
        return data

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
        written: dict[str, Any] = dump(self)
        if self.column is None:
            return written
        return {name: value for name, value in written.items() if name not in SPLITS}

    @property
    def shares(self) -> dict[SplitName, float]:
        """The declared share of each split, in the order of `SPLITS`."""
        return {"train": self.train, "eval": self.eval, "test": self.test}
