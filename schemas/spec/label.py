"""Labels: what is predicted. One frozen type for each kind of task.

In records a label is: binary [batch] float32 in {0, 1}; multiclass [batch] int64 in
[0, classes); multilabel [batch, classes] float32 in {0, 1}; regression [batch] float32;
sequence [batch, length + 1] int64 under the ID contract, closed by the end ID.
Classes are ordered by descending count in the training split, ties by descending bytes.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from skewless.schemas.rows.label_values import NEGATIVE_WORDS, POSITIVE_WORDS, label_text
from skewless.schemas.spec.features import Kind, Tokenizer, Vocabulary
from skewless.schemas.spec.kinds.label_column import LabelColumn, Values
from skewless.schemas.spec.kinds.scale import LabelScale, learned_step, measured_after, steps_of
from skewless.schemas.spec.sizes import Generated, Ids, Width

__all__ = [
    "BinaryLabel",
    "Label",
    "MulticlassLabel",
    "MultilabelLabel",
    "RegressionLabel",
    "SequenceLabel",
]


class BinaryLabel(LabelColumn):
    """1 where the value is among `positive`, else 0.

    Values are compared as text, numbers by value: 5 equals "5.0", and "05" only itself
    (schemas/rows/label_values.py has the rule).
    Without `positive`: 1, true, yes (any case) are positive; 0, false, no are negative;
    anything else is rejected. With `negative` given, values in neither list are rejected.
    """

    type: Literal["binary"] = "binary"
    positive: Values | None = None
    """Values that count as 1; without it 1, true and yes."""
    negative: Values | None = None
    """Values that count as 0; rows with any other value are rejected. Without it every other value
    is 0.
    """

    @model_validator(mode="after")
    def _disjoint(self) -> BinaryLabel:
        if self.positive is not None and not self.positive:
            raise ValueError("positive: expected at least one value")
        if self.negative is not None and self.positive is None:
            raise ValueError("'negative' needs 'positive'")
        for key, values in (("positive", self.positive), ("negative", self.negative)):
            for value in values or ():
                if not label_text(value) or (isinstance(value, float) and math.isnan(value)):
                    raise ValueError(
                        f"{key}: no row can hold {value!r}: a label without a value is missing; "
                        "name the values that rows hold"
                    )
        both = set(map(label_text, self.positive or ())) & set(map(label_text, self.negative or ()))
        if both:
            raise ValueError(f"{sorted(both)[0]!r} is in both 'positive' and 'negative'")
        return self

    @property
    def is_binary(self) -> bool:
        """True."""
        return True

    @property
    def named_values(self) -> dict[str, Values]:
        """Those of both sides."""
        return {"positive": self.positive or (), "negative": self.negative or ()}

    @property
    def any_case(self) -> bool:
        """Whether values are compared in lower case, which those that are not declared are."""
        return self.positive is None

    @property
    def positive_texts(self) -> tuple[str, ...]:
        """The texts that count as 1."""
        return POSITIVE_WORDS if self.positive is None else tuple(map(label_text, self.positive))

    @property
    def negative_texts(self) -> tuple[str, ...] | None:
        """The texts that count as 0; None where every other text does."""
        if self.positive is None:
            return NEGATIVE_WORDS
        return None if self.negative is None else tuple(map(label_text, self.negative))


def _each_class_once(classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if not classes:
        raise ValueError("expected at least one class, or none declared to take them from the data")
    first: dict[str, str] = {}
    for name in classes:
        if not name.strip() or name != name.strip() or "\n" in name or "\r" in name:
            raise ValueError(f"expected names on one line without outer white space, got {name!r}")
        if classes.count(name) > 1:
            raise ValueError(f"expected each class once, got {name!r} twice")
        other = first.setdefault(label_text(name), name)
        if other != name:
            raise ValueError(f"expected each class once, but {other!r} and {name!r} are one value")
    return classes


def _as_text(value: Any) -> Any:
    """Returns a class as the text that its rows are compared by; YAML reads `100` and `yes` as no text."""
    return label_text(value) if isinstance(value, (int, float)) else value


# A spec may write what YAML takes for a number or a boolean; the text is what is kept.
ClassName = Annotated[
    str, BeforeValidator(_as_text, json_schema_input_type=str | int | float | bool)
]
Classes = Annotated[tuple[ClassName, ...] | None, AfterValidator(_each_class_once)]


class MulticlassLabel(LabelColumn):
    """One of the classes seen in the training split, or of `classes` in their order."""

    type: Literal["multiclass"] = "multiclass"
    classes: Classes = None
    """The classes in their order; those of the training split, by count, if not given."""

    @property
    def names_classes(self) -> bool:
        """True."""
        return True

    @property
    def declared_classes(self) -> tuple[str, ...] | None:
        """As declared."""
        return self.classes

    @property
    def named_values(self) -> dict[str, Values]:
        """Its classes."""
        return {"classes": self.classes or ()}


class MultilabelLabel(LabelColumn):
    """Any number of the classes; values split by `separator` unless the column holds lists."""

    type: Literal["multilabel"] = "multilabel"
    separator: str = Field(default="|", min_length=1)
    """What separates the classes of a row in one string."""
    classes: Classes = None
    """The classes in their order; those of the training split, by count, if not given."""

    empty: Literal["no_classes"] | None = None
    """What a row without any class is: one of none of them, or if not given one without a label, which is
    rejected.
    """

    @property
    def needs_value(self) -> bool:
        """Unless `empty` says what a row without one is."""
        return self.empty is None

    @property
    def multivalued(self) -> bool:
        """True."""
        return True

    @property
    def names_classes(self) -> bool:
        """True."""
        return True

    @property
    def declared_classes(self) -> tuple[str, ...] | None:
        """As declared."""
        return self.classes

    @model_validator(mode="after")
    def _uncut(self) -> MultilabelLabel:
        for name in self.classes or ():
            if self.separator in name:
                raise ValueError(
                    f"classes: no row can hold {name!r}, which {self.separator!r} separates; "
                    "declare another separator, or the parts"
                )
        return self


class RegressionLabel(LabelColumn):
    """A number, predicted in its own unit; `log1p` trains on sign(y) * log(1 + abs(y))."""

    type: Literal["regression"] = "regression"
    scale: LabelScale = "none"
    """What it is trained on, `[log1p, z_score]` too; predictions are in its own unit."""

    @property
    def kind(self) -> Kind:
        """Numbers."""
        return "float32"

    @property
    def is_number(self) -> bool:
        """True."""
        return True

    @property
    def needs_constants(self) -> bool:
        """For a scale of the data."""
        return self.standardized

    @property
    def standardized(self) -> bool:
        """Whether a z-score ends its scale."""
        return learned_step(self.scale) is not None

    @property
    def logarithmic(self) -> bool:
        """Whether its scale begins with a logarithm."""
        return "log1p" in steps_of(self.scale)

    @property
    def measured_after(self) -> tuple[str, ...]:
        """The steps of `scale` after which the constants are measured."""
        return measured_after(self.scale)

    @property
    def error_unit(self) -> str:
        """The unit of errors while it is trained, a z-score's scale undone; a logarithm's cannot be."""
        return f"log1p({self.column})" if self.logarithmic else self.column


class SequenceLabel(LabelColumn):
    """A text to generate, of at most `length` tokens before the end token."""

    type: Literal["sequence"] = "sequence"
    length: Generated
    """Tokens kept, before the end token."""
    tokenizer: Tokenizer = "words"
    """How the text is cut into tokens, which are put together again where it is generated. `subword` learns
    pieces of words, so that words that were never seen whole can be written.
    """
    lowercase: bool = True
    """Whether case is folded."""
    normalize: Literal["none", "nfkc", "strip_accents"] = "none"
    """Unicode normalization before anything else."""
    vocabulary: Vocabulary = Vocabulary(max_size=20_000)
    """Which tokens can be generated."""
    oov_buckets: Ids = 1
    """IDs that tokens outside the vocabulary are hashed to."""
    embedding: Width = 64
    """The width of a token's vector in the decoder."""

    @property
    def is_sequence(self) -> bool:
        """True."""
        return True

    @property
    def own_vocabulary(self) -> Vocabulary | None:
        """Of tokens."""
        return self.vocabulary

    @property
    def learns_pieces(self) -> bool:
        """Of `tokenizer: subword`."""
        return self.tokenizer == "subword"

    @property
    def unknown_ids(self) -> int:
        """As declared."""
        return self.oov_buckets


Label = Annotated[
    BinaryLabel | MulticlassLabel | MultilabelLabel | RegressionLabel | SequenceLabel,
    Field(discriminator="type"),
]
