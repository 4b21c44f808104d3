"""Vocabularies: which values get an ID of their own."""

from __future__ import annotations

from pydantic import model_validator

from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.sizes import Count

__all__ = ["Vocabulary"]


class Vocabulary(Declared):
    """Which values get an ID of their own; counted on the training split only.

    Exactly one of: counted here (`max_size`, `min_count`), read from `file` (one entry a line,
    in ID order), or `shared_with` another feature (counted over both).
    """

    max_size: Count | None = None
    """At most so many entries, the most frequent ones; without it all."""
    min_count: Count = 1
    """Entries seen less often in the training split are left out."""
    file: str | None = None
    """A file of entries, one a line, in ID order, instead of counting."""
    shared_with: str | None = None
    """The feature whose vocabulary this one shares; it is counted over both."""

    @model_validator(mode="after")
    def _one_source(self) -> Vocabulary:
        if self.file and self.shared_with:
            raise ValueError("'file' and 'shared_with' exclude each other; keep one")
        counted = {"max_size", "min_count"} & self.model_fields_set
        if (
            (self.file or self.shared_with)
            and counted
            and (self.max_size, self.min_count) != (None, 1)
        ):
            other = "file" if self.file else "shared_with"
            raise ValueError(
                f"{sorted(counted)[0]!r} has no effect beside {other!r}; remove one of them"
            )
        return self
