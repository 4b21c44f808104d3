"""Crosses: what a row's values mean together, beside what each means alone."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from skewless.schemas.spec.kinds.column import FeatureKind
from skewless.schemas.spec.sizes import Ids, Width

__all__ = ["CrossFeature"]

_LEAST = 2


class CrossFeature(FeatureKind):
    """The combination of other features' values, as one hashed ID: [batch] int64.

    It reads no column of its own. Where any of the values is missing, so is the combination (ID 1).
    """

    type: Literal["cross"] = "cross"
    of: tuple[str, ...]
    """Two or more features of one value a row: categorical ones, or numeric ones with `buckets`."""
    hash_buckets: Ids
    """Hashes every combination to one of so many IDs."""
    embedding: Width | Literal["one_hot"] = 16
    """The width of a combination's vector, or `one_hot`."""

    @field_validator("of")
    @classmethod
    def _several(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) < _LEAST or len(set(value)) != len(value):
            raise ValueError(f"expected two or more features, each once, got {list(value)}")
        return value

    @property
    def combines(self) -> tuple[str, ...]:
        """As declared."""
        return self.of

    @property
    def fixed_ids(self) -> int | None:
        """Of hashed combinations."""
        return self.hash_buckets

    @property
    def encoder(self) -> None:
        """None: a row has one vector."""
        return None
