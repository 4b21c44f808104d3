"""The form of the page: a field for each raw column, with values that the model knows.

Known values and the example row come from the statistics that an export carries, which are of the
training records; where there are none, from the vocabularies, whose first entries are the commonest.
The example is nobody's row: each of its fields holds what is common in its column by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skewless.model.serve.models.servable import Servable
from skewless.schemas.records.layout import EXTRA, STATISTICS
from skewless.schemas.rows.raw_columns import served_columns
from skewless.schemas.spec.features import (
    CategoricalFeature,
    NumericFeature,
    TextFeature,
    TimestampFeature,
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
        known = _known(servable, readers[0], statistics)
        values = known if isinstance(declared, CategoricalFeature) else ()
        yield Field(
            column=name,
            features=", ".join(reader for reader in readers if reader != name),
            kind=_kind(declared),
            separator=separator,
            hint=_hint(declared, separator, column.width, values),
            # A browser offers whole values only.
            suggestions=values if separator is None else (),
            example=_example(
                declared, separator, column.width, known, _of(statistics, readers[0], name)
            ),
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


def _kind(feature: Any) -> str:
    if isinstance(feature, TextFeature):
        return "text"
    return "number" if isinstance(feature, NumericFeature) else "value"


def _hint(feature: Any, separator: str | None, width: int, known: tuple[str, ...]) -> str:
    if isinstance(feature, TextFeature):
        return f"text, of which {feature.length} tokens are read"
    several = "" if separator is None else f", several parted by {separator!r}"
    if isinstance(feature, NumericFeature):
        return f"{width} numbers{several}" if width > 1 else "number"
    if isinstance(feature, TimestampFeature):
        return f"date and time such as {_EXAMPLE_TIME}, or a number counted from 1970"
    kind = "whole number" if feature.dtype == "int64" else "value"
    such = f", such as {', '.join(known[:_NAMED])}" if separator is not None and known else ""
    return f"{kind}{several}{such}"


def _example(
    feature: Any,
    separator: str | None,
    width: int,
    known: tuple[str, ...],
    statistics: Mapping[str, Any],
) -> str:
    """Returns what is common: the first tokens, the first values, the median."""
    if isinstance(feature, TextFeature):
        joined = "" if feature.tokenizer == "characters" else " "
        tokens = known[: min(feature.length, _EXAMPLE_TOKENS)]
        return joined.join(token.removeprefix("##") for token in tokens)
    if isinstance(feature, NumericFeature):
        median = statistics.get("quantiles", {}).get("0.5")
        return "" if median is None else (separator or "").join([f"{median:.6g}"] * width)
    if feature.holds_times:
        return _EXAMPLE_TIME
    values = known[: 1 if separator is None else _EXAMPLE_VALUES]
    return (separator or "").join(values)
