"""The form of the page: a field for each raw column, with values that the model knows.

Known values and the example row come from the statistics that an export carries, which are of the
training records; where there are none, from the vocabularies, whose first entries are the commonest.
The example is nobody's row: each of its fields holds what is common in its column by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skewless.model.serve.models.servable import Servable
from skewless.schemas.records.layout import EXTRA, STATISTICS
from skewless.schemas.rows.raw_columns import served_columns
from skewless.schemas.spec.features import (
    CategoricalFeature,
    HistoryFeature,
    NumericFeature,
    NumericSequenceFeature,
    TextFeature,
    TimeGapsFeature,
    TimestampFeature,
    of_kind,
)

__all__ = ["Field", "fields_of"]

_SUGGESTIONS, _NAMED = 50, 5
_EXAMPLE_TOKENS, _EXAMPLE_VALUES = 6, 2
_EXAMPLE_TIME = "2026-03-01T12:30:00+01:00"


@dataclass(frozen=True)
class Field:
    """One column that a person may fill in.

    Attributes:
      column: Its name in a row.
      features: The features that read it, where their names differ from it.
      kind: `text`, `value` or `number`.
      separator: What values of a list are parted by; None where there is one value.
      hint: What to type.
      suggestions: Known values, the commonest first.
      example: What the example row has here; empty where nothing is known.
    """

    column: str
    features: str
    kind: str
    separator: str | None
    hint: str
    suggestions: tuple[str, ...]
    example: str


def fields_of(servable: Servable) -> Iterator[Field]:
    """Yields the fields of a model's form, in the order of its spec."""
    spec = servable.model.spec
    path = servable.model.directory / EXTRA / STATISTICS
    statistics: dict[str, Any] = {}
    if path.is_file():
        statistics = json.loads(path.read_text(encoding="utf-8"))["features"]
    for name, column in served_columns(spec).items():
        readers = [
            feature
            for feature, declared in spec.features.items()
            if name in declared.columns_read(feature)
        ]
        declared = spec.features[readers[0]]
        separator = None
        if column.multivalued:
            separator = getattr(declared, "separator", None) or ","
        about = _Values(
            separator,
            column.width,
            _known(servable, readers[0], statistics),
            _of(statistics, readers[0], name),
        )
        asked = (
            _weights(declared, about)
            if name == declared.weights_column
            else of_kind(_ASKED, declared)(declared, about)
        )
        yield Field(
            column=name,
            features=", ".join(reader for reader in readers if reader != name),
            separator=separator,
            **asdict(asked),
        )


def _known(servable: Servable, feature: str, statistics: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the commonest tokens of a feature; none of one without a vocabulary."""
    if "frequent" in statistics.get(feature, {}):
        frequent = statistics[feature]["frequent"][:_SUGGESTIONS]
        return tuple(str(entry["value"]) for entry in frequent)
    if servable.model.spec.features[feature].own_vocabulary is None:
        return ()
    entries = servable.model.words.vocabulary(feature)[:_SUGGESTIONS]
    return tuple(entry.decode("utf-8", "replace") for entry in entries)


def _of(statistics: Mapping[str, Any], feature: str, column: str) -> Mapping[str, Any]:
    """Returns a column's statistics: its own, where its feature reads several."""
    found: Mapping[str, Any] = statistics.get(feature) or statistics.get(f"{feature}.{column}", {})
    return found


@dataclass(frozen=True)
class _Values:
    """What is known of a column's values."""

    separator: str | None
    width: int
    known: tuple[str, ...]
    statistics: Mapping[str, Any]

    def joined(self, values: Sequence[str]) -> str:
        """Returns values as they are typed."""
        return (self.separator or "").join(values)

    @property
    def several(self) -> str:
        """Says how several values are parted."""
        return "" if self.separator is None else f", several parted by {self.separator!r}"


@dataclass(frozen=True)
class _Asked:
    """How a column is asked for; the example is what is common: first tokens, first values, median."""

    kind: str
    hint: str
    example: str
    suggestions: tuple[str, ...] = ()


def _text(feature: TextFeature, values: _Values) -> _Asked:
    joined = "" if feature.tokenizer == "characters" else " "
    tokens = values.known[: min(feature.length, _EXAMPLE_TOKENS)]
    example = joined.join(token.removeprefix("##") for token in tokens)
    return _Asked("text", f"text, of which {feature.length} tokens are read", example)


def _numbers(feature: NumericFeature, values: _Values) -> _Asked:
    hint = f"{values.width} numbers{values.several}" if values.width > 1 else "number"
    median = values.statistics.get("quantiles", {}).get("0.5")
    example = "" if median is None else values.joined([f"{median:.6g}"] * values.width)
    return _Asked("number", hint, example)


def _time(feature: TimestampFeature, values: _Values) -> _Asked:
    hint = f"date and time such as {_EXAMPLE_TIME}, or a number counted from 1970"
    return _Asked("value", hint, _EXAMPLE_TIME)


def _categories(feature: CategoricalFeature, values: _Values) -> _Asked:
    kind = "whole number" if feature.dtype == "int64" else "value"
    if values.separator is None:  # A browser offers whole values only.
        return _Asked("value", kind, "".join(values.known[:1]), values.known)
    such = f", such as {', '.join(values.known[:_NAMED])}" if values.known else ""
    hint = f"{kind}{values.several}{such}"
    return _Asked("value", hint, values.joined(values.known[:_EXAMPLE_VALUES]))


def _weights(feature: Any, values: _Values) -> _Asked:
    hint = f"a number for each value of {feature.column or 'the list'}{values.several}; 1 if left empty"
    return _Asked("number", hint, values.joined(["1"] * len(values.known[:_EXAMPLE_VALUES])))


def _sequence(feature: NumericSequenceFeature, values: _Values) -> _Asked:
    size = feature.dimensions
    hint = f"numbers, {size} a step{values.several}" if size > 1 else f"numbers{values.several}"
    median = values.statistics.get("quantiles", {}).get("0.5")
    example = "" if median is None else values.joined([f"{median:.6g}"] * _EXAMPLE_VALUES * size)
    return _Asked("number", hint, example)


def _gaps(feature: TimeGapsFeature, values: _Values) -> _Asked:
    hint = f"dates and times such as {_EXAMPLE_TIME}{values.several}"
    return _Asked("value", hint, values.joined([_EXAMPLE_TIME] * _EXAMPLE_VALUES))


def _past(feature: HistoryFeature, values: _Values) -> _Asked:
    hint = f"past values of {feature.of}, the oldest first{values.several}"
    return _Asked("value", hint, values.joined(values.known[:_EXAMPLE_VALUES]))


_ASKED: dict[type, Callable[[Any, _Values], _Asked]] = {
    CategoricalFeature: _categories,
    HistoryFeature: _past,
    NumericFeature: _numbers,
    NumericSequenceFeature: _sequence,
    TextFeature: _text,
    TimeGapsFeature: _gaps,
    TimestampFeature: _time,
}
