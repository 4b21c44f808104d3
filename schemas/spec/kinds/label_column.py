"""What every kind of label is asked, whatever it is; a kind answers where it differs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.kinds.column import HasIds

__all__ = ["LabelColumn", "Values"]

Values = tuple[str | int | float | bool, ...]


class LabelColumn(Declared, HasIds):
    """What every kind of label is asked; a kind answers where it differs from these."""

    column: str
    """The column it is read from."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """How much its loss counts beside those of the other `labels`; 1 if not given."""

    @property
    def needs_value(self) -> bool:
        """Whether a row without a value has no label; else it has that of no class."""
        return True

    @property
    def is_binary(self) -> bool:
        """Whether rows are on one of two sides, negative and positive."""
        return False

    @property
    def names_classes(self) -> bool:
        """Whether its classes have names, which stand in a vocabulary in the order of their IDs."""
        return False

    @property
    def has_classes(self) -> bool:
        """Whether its values say of which class a row is."""
        return self.is_binary or self.names_classes

    @property
    def one_of_classes(self) -> bool:
        """Whether a row is of exactly one of the classes that have names."""
        return self.names_classes and not self.multivalued

    @property
    def one_output(self) -> bool:
        """Whether a prediction is one number: of the positive side, or the value."""
        return self.is_binary or self.is_number

    @property
    def declared_classes(self) -> tuple[str, ...] | None:
        """The classes that it names, in their order; None where they are those of the data."""
        return None

    @property
    def named_values(self) -> dict[str, Values]:
        """Whole values of its column that it names, by key."""
        return {}

    @property
    def unknown_ids(self) -> int:
        """How many IDs, from 2 on, are those of values outside the vocabulary."""
        return 1
