"""Two towers: a query's vector and a candidate's, close where the two go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from skewless.schemas.errors import nearest
from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.encoders import Rate
from skewless.schemas.spec.features import Feature, columns_behind
from skewless.schemas.spec.sizes import Count, Width

__all__ = ["TwoTowerSpec"]


class TwoTowerSpec(Declared):
    """A tower over a query's features and one over a candidate's, to find candidates by nearness."""

    type: Literal["two_tower"] = "two_tower"
    query: tuple[str, ...] = Field(min_length=1)
    """Features of the one who asks, by name."""
    candidate: tuple[str, ...] = Field(min_length=1)
    """Features of what is to be found, by name. Rows that agree in all of them are one candidate."""
    width: Width = 64
    """Of both vectors."""
    hidden: tuple[Width, ...] = ()
    """Widths of the dense layers of each tower, before its vector."""
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    """Of the hidden layers."""
    dropout: Rate = 0.0
    """After each hidden layer."""
    temperature: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 0.05
    """What cosines are divided by before the softmax over a batch's candidates."""
    hard_negatives: Count | None = None
    """Learns against so many of a batch's other candidates, those that score highest; against all
    if not given.
    """
    cutoffs: tuple[Count, ...] = Field(default=(10, 100), min_length=1)
    """The lengths of lists of found candidates that metrics are of."""

    repeats: bool = True
    """Whether a query may meet a candidate again; if not, metrics leave out of its list what it met in
    training rows.
    """

    @property
    def needs_label(self) -> bool:
        """Whether it learns from a label; without one, every row is a query that met its candidate."""
        return False

    def naming(self, features: Mapping[str, Feature]) -> str | None:
        """Returns the feature that names candidates: the first of one value a row and a vocabulary."""
        for name in self.candidate:
            feature = features.get(name)
            if feature is not None and feature.own_vocabulary and not feature.is_sequence:
                return name
        return None

    def query_columns(self, spec: Any) -> set[str] | None:
        """Returns the columns that features of the query read; None for all, where own code reads them."""
        if spec.preprocessing is not None:
            return None
        return {column for name in self.query for column in columns_behind(spec.features, name)}

    def problems(self, spec: Any) -> Iterator[str]:
        """Yields what is wrong between this and the rest of a spec."""
        for side in ("query", "candidate"):
            names: tuple[str, ...] = getattr(self, side)
            for name in names:
                if name not in spec.features and spec.preprocessing is None:
                    yield f"model.{side}: no feature {name!r}{nearest(name, spec.features)}"
            if len(set(names)) < len(names):
                yield f"model.{side}: expected each feature once, got {list(names)}"
        for name in sorted(set(self.query) & set(self.candidate)):
            yield (
                f"model.candidate: {name!r} is in query too, so its column would tell what to find; "
                "keep it on one side"
            )
        read = {
            column: name
            for name in self.query
            if name in spec.features
            for column in columns_behind(spec.features, name)
        }
        for name in dict.fromkeys(self.candidate):
            if name not in spec.features or name in self.query:
                continue
            for column in columns_behind(spec.features, name):
                if column in read:
                    yield (
                        f"model.candidate: {name!r} reads column {column!r}, as {read[column]!r} in "
                        "query does, which would tell what to find; keep it on one side"
                    )
        if spec.label is not None and not spec.label.is_binary:
            yield (
                "label.type: two_tower takes binary, whose positive rows are what is to be found, or "
                f"no label where all rows are; got {spec.label.type!r}"
            )
