"""Feature kinds: one frozen, validated type each for text, categories, numbers, times, crosses and histories."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from itertools import chain
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, FiniteFloat, field_validator, model_validator

from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.encoders import Encoder
from skewless.schemas.spec.kinds.column import Column, HasIds, Kind
from skewless.schemas.spec.kinds.cross import CrossFeature
from skewless.schemas.spec.kinds.history import HistoryFeature
from skewless.schemas.spec.kinds.number_embedding import (
    NumberEmbedding,
    Periodic,
    PiecewiseLinear,
)
from skewless.schemas.spec.kinds.scale import Scale, learned_step, measured_after
from skewless.schemas.spec.kinds.sequences import NumericSequenceFeature, TimeGapsFeature
from skewless.schemas.spec.kinds.timestamp import TimestampFeature
from skewless.schemas.spec.kinds.vectors import Vectors
from skewless.schemas.spec.kinds.vocabulary import Vocabulary
from skewless.schemas.spec.sizes import Buckets, Grams, Ids, Steps, Width

__all__ = [
    "FEATURE_NAME",
    "CategoricalFeature",
    "CrossFeature",
    "Feature",
    "HasIds",
    "HistoryFeature",
    "Kind",
    "NumericFeature",
    "NumericSequenceFeature",
    "RegexTokenizer",
    "TextFeature",
    "TimeGapsFeature",
    "TimestampFeature",
    "Tokenizer",
    "Vectors",
    "Vocabulary",
    "columns_behind",
    "of_kind",
]

Entry = TypeVar("Entry")
_BAGS = ("mean", "sum")
# Names of features name files of vocabularies, parts of graphs and entries of records.
FEATURE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}\Z")


class RegexTokenizer(Declared):
    """Tokens are the matches of an RE2 expression (RE2's classes are ASCII; use `\\p{L}`)."""

    regex: str
    """An RE2 expression; its matches are the tokens."""

    @field_validator("regex")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError("expected a regular expression that matches a token, got an empty one")
        return value


Tokenizer = (
    Literal["words", "words_or_letters", "whitespace", "characters", "subword"] | RegexTokenizer
)


class TextFeature(Column):
    """Free text, as a padded sequence of token IDs: [batch, length] int64."""

    type: Literal["text"] = "text"
    length: Steps
    """Tokens kept of a row; shorter texts are padded."""
    tokenizer: Tokenizer = "words"
    """How a text is cut into tokens. `words` keeps letters, digits and inner apostrophes of any
    script; `words_or_letters` takes apart into letters what is in a script without spaces between words, such as
    Chinese.
    """
    lowercase: bool = True
    """Whether case is folded, beyond ASCII too."""
    normalize: Literal["none", "nfkc", "strip_accents"] = "none"
    """Unicode normalization before anything else; it needs tensorflow-text where the model is
    served.
    """
    ngrams: Grams = 1
    """Adds runs of up to so many neighbouring tokens as tokens."""
    truncate: Literal["end", "start"] = "end"
    """The side that longer texts are cut at."""
    pad: Literal["end", "start"] = "end"
    """The side that shorter texts are padded at."""
    vocabulary: Vocabulary = Vocabulary(max_size=20_000)
    """Which tokens get an ID of their own."""
    oov_buckets: Ids = 1
    """IDs that tokens outside the vocabulary are hashed to."""
    embedding: Width = 64
    """The width of a token's vector."""
    vectors: Vectors | None = None
    """Vectors that rows of tokens begin with."""
    encoder: Encoder = Field(default="mean", validate_default=True)
    """How the tokens' vectors become one."""
    weighting: Literal["tf_idf"] | None = None
    """Instead of the mean, a sum in which each token weighs ln((1 + rows) / (1 + rows that hold it)) + 1,
    counted in the training split, divided so that the squares of a text's weights sum to 1.
    """

    @property
    def is_sequence(self) -> bool:
        """True."""
        return True

    @property
    def own_vocabulary(self) -> Vocabulary | None:
        """Of tokens."""
        return self.vocabulary

    @property
    def own_vectors(self) -> Vectors | None:
        """As declared."""
        return self.vectors

    @property
    def weighs_terms(self) -> bool:
        """As declared."""
        return self.weighting is not None

    @property
    def learns_pieces(self) -> bool:
        """Of `tokenizer: subword`."""
        return self.tokenizer == "subword"

    @property
    def unknown_ids(self) -> int:
        """As declared."""
        return self.oov_buckets

    @model_validator(mode="after")
    def _weighted_mean(self) -> TextFeature:
        if self.weighting is not None and self.encoder.type != "mean":
            raise ValueError(
                f"weighting: {self.weighting} stands in place of a mean, not of {self.encoder.type}; remove it, or "
                "use encoder: mean"
            )
        return self

    @model_validator(mode="after")
    def _subword_vocabulary(self) -> TextFeature:
        if self.tokenizer == "subword" and self.vocabulary.shared_with:
            raise ValueError(
                "tokenizer: subword learns its own pieces; remove vocabulary.shared_with"
            )
        return self


class CategoricalFeature(Column):
    """One value a row ([batch] int64), or up to `length` of them ([batch, length] int64).

    With `hash_buckets` there is no vocabulary: an ID is 2 + hash(value) mod hash_buckets.
    """

    type: Literal["categorical"] = "categorical"
    dtype: Literal["string", "int64"] = "string"
    """`int64` reads whole numbers."""
    length: Steps | None = None
    """Values kept of a row; without it a row has one value."""
    separator: str | None = None
    """What separates values in one string; without it the column holds lists."""
    truncate: Literal["end", "start"] = "end"
    """The side that longer lists are cut at."""
    pad: Literal["end", "start"] = "end"
    """The side that shorter lists are padded at."""
    vocabulary: Vocabulary | None = None
    """Which values get an ID of their own; all of the training split's if not given."""
    oov_buckets: Ids = 1
    """IDs that values outside the vocabulary are hashed to."""
    weights: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """A column of a number for each value, in a list beside the list of values: how much it weighs in
    `encoder: mean` or `sum`. A row whose lists differ in length is rejected; without a list each weighs 1.
    """
    hash_buckets: Ids | None = None
    """Hashes every value to one of so many IDs, without a vocabulary."""
    embedding: Width | Literal["one_hot"] = 16
    """The width of a value's vector, or `one_hot`."""
    vectors: Vectors | None = None
    """Vectors that rows of values begin with."""
    encoder: Encoder | None = None
    """How the vectors of several values become one; `mean` if not given."""

    @model_validator(mode="before")
    @classmethod
    def _default_vocabulary(cls, data: Any) -> Any:
        if (
            isinstance(data, dict)
            and not data.get("hash_buckets")
            and data.get("vocabulary") is None
        ):
            return {**data, "vocabulary": {}}
        return data

    @model_validator(mode="after")
    def _combinations(self) -> CategoricalFeature:
        if self.hash_buckets and self.vocabulary:
            raise ValueError("'hash_buckets' and 'vocabulary' exclude each other; keep one")
        if self.hash_buckets and "oov_buckets" in self.model_fields_set and self.oov_buckets != 1:
            raise ValueError(
                "'oov_buckets' has no effect beside 'hash_buckets'; remove one of them"
            )
        if self.length is None:
            for key in ("separator", "encoder", "weights"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key!r} needs 'length', the number of values kept of a row")
        if self.dtype == "int64" and self.separator:
            raise ValueError("'separator' splits strings; remove it or use dtype: string")
        if self.separator == "":
            raise ValueError("separator: expected at least one character, got an empty string")
        if self.vectors is not None and self.hash_buckets:
            raise ValueError("'vectors' needs a vocabulary; remove 'hash_buckets'")
        if self.vectors is not None and self.embedding == "one_hot":
            raise ValueError("'vectors' needs an embedding with a width; set embedding: WIDTH")
        return self

    @model_validator(mode="after")
    def _weighted_bag(self) -> CategoricalFeature:
        if self.weights is not None and self.encoder and self.encoder.type not in _BAGS:
            raise ValueError(
                f"weights: go into a sum, or a mean, of values and not into {self.encoder.type}; remove "
                "them, or use encoder: mean or sum"
            )
        return self

    def kinds_read(self, name: str) -> dict[str, Kind]:
        """Returns the column of values, then that of their weights."""
        kinds: dict[str, Kind] = dict.fromkeys(super().columns_read(name), self.kind)
        return kinds if self.weights is None else {**kinds, self.weights: "float32"}

    def columns_read(self, name: str) -> tuple[str, ...]:
        """Returns the column of values, then that of their weights."""
        return (*super().columns_read(name), *filter(None, [self.weights]))

    @property
    def parted_by(self) -> str | None:
        """As declared."""
        return self.separator

    @property
    def weights_column(self) -> str | None:
        """As declared."""
        return self.weights

    @property
    def kind(self) -> Kind:
        """As declared."""
        return self.dtype

    @property
    def multivalued(self) -> bool:
        """Whether a row holds a sequence of values."""
        return self.length is not None

    @property
    def is_sequence(self) -> bool:
        """Where a row holds several values."""
        return self.multivalued

    @property
    def combinable(self) -> bool:
        """Where a row has one value."""
        return not self.multivalued

    @property
    def together(self) -> Hashable:
        """How single values become IDs."""
        return None if self.multivalued else (self.type, self.oov_buckets, self.hash_buckets)

    @property
    def own_vectors(self) -> Vectors | None:
        """As declared."""
        return self.vectors

    @property
    def own_vocabulary(self) -> Vocabulary | None:
        """Of values, unless they are hashed."""
        return self.vocabulary

    @property
    def unknown_ids(self) -> int:
        """None where values are hashed."""
        return 0 if self.hash_buckets else self.oov_buckets

    @property
    def fixed_ids(self) -> int | None:
        """Of hashed values."""
        return self.hash_buckets


class NumericFeature(Column):
    """Numbers, scaled ([batch, width] float32) or as quantile buckets ([batch] int64)."""

    type: Literal["numeric"] = "numeric"
    columns: tuple[str, ...] | None = None
    """Several columns as one vector."""
    length: Steps | None = None
    """The numbers a row holds, where the column holds lists."""
    scale: Scale = "none"
    """By constants of the training split; `log1p` is sign(x) * log(1 + abs(x)), `robust_clip`
    (x - median) / (upper - lower quartile), bent smoothly to stay within 3 (Holzmüller et al. 2024).
    A list is a chain: `[log1p, z_score]`.
    """
    missing: Literal["mean", "median"] | FiniteFloat = 0.0
    """What replaces a missing value before scaling."""
    indicator: bool = False
    """Adds an input that says whether the value was missing."""
    clip: tuple[float, float] | None = None
    """Bounds, applied before anything else."""
    buckets: Buckets | None = None
    """Cuts into so many quantile buckets, which are IDs, instead of scaling."""
    embedding: Width | Literal["one_hot"] | NumberEmbedding | None = None
    """With `buckets`: the width of a bucket's vector, or `one_hot`. Without: `piecewise_linear` or
    `periodic`, which make each number a vector.
    """
    encoder: Encoder | None = None
    """`dense` or `flatten`; numbers go into the merge as they are if not given."""

    @model_validator(mode="after")
    def _combinations(self) -> NumericFeature:
        if self.columns is not None:
            if self.column is not None:
                raise ValueError("'column' and 'columns' exclude each other; keep one")
            if self.length is not None:
                raise ValueError(
                    "'length' is for one column that holds a list; remove it or 'columns'"
                )
            if not self.columns or len(set(self.columns)) != len(self.columns):
                raise ValueError("columns: expected at least one name, each once")
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip: expected [low, high] with low < high, got {list(self.clip)}")
        if self.buckets is not None:
            if self.width != 1:
                raise ValueError("'buckets' needs a single column, not 'columns' or 'length'")
            for key in ("scale", "encoder", "missing"):
                if key in self.model_fields_set and getattr(self, key) not in ("none", None, 0.0):
                    raise ValueError(f"{key!r} has no effect beside 'buckets' (ID 1 means missing)")
            if self.embedding is None or self.number_embedding is not None:
                raise ValueError("'buckets' needs 'embedding': a width or one_hot")
        elif self.linear_bins and learned_step(self.scale) == "robust_clip":
            raise ValueError(
                "'scale: robust_clip' has no effect on the bins of piecewise_linear, which are of "
                "quantiles; remove one of them"
            )
        elif self.embedding is not None and self.number_embedding is None:
            raise ValueError(
                "a width or one_hot as 'embedding' needs 'buckets': plain numbers are not looked "
                "up; they take piecewise_linear or periodic"
            )
        return self

    def columns_read(self, name: str) -> tuple[str, ...]:
        """Returns the columns that a feature of this name reads, in the order of its numbers."""
        return self.columns or super().columns_read(name)

    def statistics_names(self, name: str) -> tuple[str, ...]:
        """Returns what each of its columns is called in `statistics.json`."""
        return tuple(f"{name}.{column}" for column in self.columns or ()) or (name,)

    @property
    def kind(self) -> Kind:
        """Numbers."""
        return "float32"

    @property
    def multivalued(self) -> bool:
        """Whether its column holds lists of numbers."""
        return (self.length or 1) > 1

    @property
    def is_number(self) -> bool:
        """True."""
        return True

    @property
    def width(self) -> int:
        """The number of values a row holds."""
        return len(self.columns) if self.columns else self.length or 1

    @property
    def combinable(self) -> bool:
        """Where its number is a bucket."""
        return self.buckets is not None

    @property
    def together(self) -> Hashable:
        """What is done to a single number."""
        if self.columns or self.length:
            return None
        done = (self.scale, self.missing, self.indicator, self.clip, self.buckets)
        return (self.type, *done, self.linear_bins)

    @property
    def needs_constants(self) -> bool:
        """For buckets or bins, for a scale of the data, or for what replaces a missing value."""
        return (
            self.buckets is not None
            or self.linear_bins > 0
            or learned_step(self.scale) is not None
            or isinstance(self.missing, str)
        )

    @property
    def number_embedding(self) -> PiecewiseLinear | Periodic | None:
        """What makes each number a vector, if it is declared."""
        return self.embedding if isinstance(self.embedding, PiecewiseLinear | Periodic) else None

    @property
    def quantile_buckets(self) -> int:
        """As declared; quarters for a scale by quartiles."""
        return 4 if learned_step(self.scale) == "robust_clip" else self.buckets or 1

    @property
    def measured_after(self) -> tuple[str, ...]:
        """The steps of `scale` after which the constants are measured."""
        return measured_after(self.scale)

    @property
    def linear_bins(self) -> int:
        """As declared of a piecewise-linear embedding."""
        return self.embedding.bins if isinstance(self.embedding, PiecewiseLinear) else 0

    @property
    def fixed_ids(self) -> int | None:
        """Of buckets."""
        return self.buckets


Feature = Annotated[
    TextFeature
    | CategoricalFeature
    | NumericFeature
    | TimestampFeature
    | CrossFeature
    | HistoryFeature
    | NumericSequenceFeature
    | TimeGapsFeature,
    Field(discriminator="type"),
]


def of_kind(table: Mapping[type, Entry], feature: Feature) -> Entry:
    """Returns a table's entry for a feature's kind, or for the kind that it is derived from."""
    return next(table[kind] for kind in type(feature).__mro__ if kind in table)


def columns_behind(features: Mapping[str, Feature], name: str) -> tuple[str, ...]:
    """Returns the columns that a feature is made of: those it reads, and those of what it combines."""
    feature = features[name]
    others = [features[other].columns_read(other) for other in feature.combines]
    return tuple(dict.fromkeys(chain(feature.columns_read(name), *others)))
