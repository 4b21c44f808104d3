"""What every kind of feature is asked, whatever it is; a kind answers where it differs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal, TypeAlias

from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.kinds.vectors import Vectors
from skewless.schemas.spec.kinds.vocabulary import Vocabulary

__all__ = ["Column", "DateOrder", "FeatureKind", "HasIds", "Kind", "TimeUnit", "TimeWriting"]

Kind = Literal["string", "int64", "float32"]
TimeUnit = Literal["auto", "s", "ms", "us", "ns"]
DateOrder = Literal["year_first", "month_first", "day_first"]
# How times are written that are not ISO 8601: as numbers of a unit, or as dates.
TimeWriting: TypeAlias = TimeUnit | DateOrder


class HasIds:
    """What a feature or a label is asked of its values and IDs; a kind answers where it differs."""

    @property
    def kind(self) -> Kind:
        """What a value of its columns is."""
        return "string"

    @property
    def multivalued(self) -> bool:
        """Whether a row's value may be several."""
        return False

    @property
    def is_sequence(self) -> bool:
        """Whether it becomes a padded sequence of IDs, [batch, length] int64; a label's is generated."""
        return False

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, and statistics those of numbers; a label is predicted as one."""
        return False

    @property
    def needs_constants(self) -> bool:
        """Whether its transform holds constants of the training split's numbers."""
        return False

    @property
    def own_vocabulary(self) -> Vocabulary | None:
        """The vocabulary that it declares, whether its own or shared, if it is looked up in one."""
        return None

    @property
    def weighs_terms(self) -> bool:
        """Whether its steps are averaged by weights that are counted of their IDs."""
        return False

    @property
    def own_vectors(self) -> Vectors | None:
        """What rows of its embedding table begin with, if that is declared."""
        return None

    @property
    def learns_pieces(self) -> bool:
        """Whether its vocabulary is of pieces that are learned, and not of what is counted."""
        return False

    @property
    def unknown_ids(self) -> int:
        """How many IDs, from 2 on, are those of values outside the vocabulary."""
        return 0

    @property
    def fixed_ids(self) -> int | None:
        """How many IDs there are from 2 on, whatever the data; None where a vocabulary says."""
        return None


class FeatureKind(Declared, HasIds):
    """What every kind of feature is asked; a kind answers where it differs from these."""

    def columns_read(self, name: str) -> tuple[str, ...]:
        """Returns the columns that a feature of this name reads itself."""
        return ()

    @property
    def combines(self) -> tuple[str, ...]:
        """The features whose values it is made of, where it reads no columns itself."""
        return ()

    @property
    def combinable(self) -> bool:
        """Whether a row has one value of it, equal or not to another's, that others may combine."""
        return False

    @property
    def needs_value(self) -> bool:
        """Whether rows without a value in its columns are rejected."""
        return False

    @property
    def is_built(self) -> bool:
        """Whether a batch job builds its column from other rows; rows to predict for hold it."""
        return False

    def kinds_read(self, name: str) -> dict[str, Kind]:
        """Returns the columns that it reads itself, and what a value of each is."""
        return dict.fromkeys(self.columns_read(name), self.kind)

    @property
    def parted_by(self) -> str | None:
        """What parts its values where one text holds them all."""
        return None

    @property
    def stands_beside(self) -> str | None:
        """The feature whose values it holds one step for each of, if it does."""
        return None

    @property
    def numbers_of_step(self) -> int:
        """How many numbers a step of it is made of; 0 where its steps are IDs, or it has none."""
        return 0

    @property
    def weights_column(self) -> str | None:
        """The column of a weight for each of its values, if it has one."""
        return None

    def statistics_names(self, name: str) -> tuple[str, ...]:
        """Returns what each of its columns is called in `statistics.json`."""
        return (name,)

    @property
    def together(self) -> Hashable:
        """What features agree in that may be prepared and transformed together; None where alone."""
        return None

    @property
    def width(self) -> int:
        """The numbers that a row holds; 1 where values are no numbers."""
        return 1

    @property
    def measured(self) -> int:
        """How many numbers of a row those constants are of."""
        return self.width if self.needs_constants else 0

    @property
    def time_unit(self) -> TimeWriting | None:
        """What numbers count, where its columns hold times; None where they do not."""
        return None

    @property
    def holds_times(self) -> bool:
        """Whether its values are times."""
        return self.time_unit is not None

    @property
    def quantile_buckets(self) -> int:
        """Into how many buckets of equally many rows its numbers are cut; 1 for not at all."""
        return 1

    @property
    def linear_bins(self) -> int:
        """Into how many bins its numbers are cut for a piecewise-linear embedding; 0 for none."""
        return 0


class Column(FeatureKind):
    """What is declared of every feature that is read from columns."""

    column: str | None = None
    """The column it is read from; the feature's name if not given."""
    required: bool = False
    """Rejects rows without a value."""

    def columns_read(self, name: str) -> tuple[str, ...]:
        """Returns the columns that a feature of this name reads."""
        return (self.column or name,)

    @property
    def needs_value(self) -> bool:
        """As declared."""
        return self.required
