"""Histories: what the rows of one user, say, held before a row, in the order of their times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from skewless.schemas.errors import nearest
from skewless.schemas.spec.encoders import Encoder
from skewless.schemas.spec.kinds.column import FeatureKind, Kind
from skewless.schemas.spec.kinds.vocabulary import Vocabulary
from skewless.schemas.spec.sizes import Steps, Width

__all__ = ["HistoryFeature", "bind_histories", "histories_of", "history_problems"]


class HistoryFeature(FeatureKind):
    """The values of another feature in earlier rows, oldest first: [batch, length] int64.

    `preprocess` builds it from the rows; a row to predict for holds the list itself, under the
    feature's name. IDs are those of the other feature, which alone is counted.
    """

    type: Literal["history"] = "history"
    of: str
    """The feature whose values are gathered: a categorical one of one value a row."""
    by: str
    """The column that says whose past it is: rows of one value have one past."""
    time: str
    """The column of rows' times. Only rows of an earlier time are past, none of the same time."""
    length: Steps
    """Values kept of a row, the newest; fewer are padded."""
    pad: Literal["end", "start"] = "end"
    """The side that shorter lists are padded at."""
    embedding: Width | Literal["one_hot"] = 16
    """The width of a value's vector, or `one_hot`."""
    encoder: Encoder = Field(default="mean", validate_default=True)
    """How the values' vectors become one."""

    _values: FeatureKind | None = PrivateAttr(None)

    def columns_read(self, name: str) -> tuple[str, ...]:
        """Returns the column that it is built into, of its own name."""
        return (name,)

    @property
    def is_built(self) -> bool:
        """True."""
        return True

    @property
    def truncate(self) -> Literal["start"]:
        """The oldest values are cut."""
        return "start"

    @property
    def kind(self) -> Kind:
        """That of the values gathered."""
        return "string" if self._values is None else self._values.kind

    @property
    def multivalued(self) -> bool:
        """True."""
        return True

    @property
    def is_sequence(self) -> bool:
        """True."""
        return True

    @property
    def own_vocabulary(self) -> Vocabulary | None:
        """That of the values gathered, shared."""
        declared = None if self._values is None else self._values.own_vocabulary
        return declared and Vocabulary(shared_with=declared.shared_with or self.of)

    @property
    def unknown_ids(self) -> int:
        """Those of the values gathered."""
        return 0 if self._values is None else self._values.unknown_ids

    @property
    def fixed_ids(self) -> int | None:
        """Those of the values gathered."""
        return None if self._values is None else self._values.fixed_ids


def histories_of(features: Mapping[str, Any]) -> dict[str, HistoryFeature]:
    """Returns the features whose columns are built from rows, by name."""
    return {name: feature for name, feature in features.items() if feature.is_built}


def bind_histories(features: dict[str, Any]) -> None:
    """Tells each history of a new spec the feature whose values it gathers."""
    for name, history in histories_of(features).items():
        # A copy: the same object may be in another spec, beside another feature of that name.
        bound = history.model_copy()
        bound._values = features[history.of] if _can_be_gathered(features, history.of) else None
        features[name] = bound


def history_problems(spec: Any) -> Iterator[str]:
    """Yields what is wrong between histories and the rest of a spec."""
    histories = histories_of(spec.features)
    labels = {label.column for label in spec.targets.values()}
    for name, history in histories.items():
        path = f"features.{name}"
        if not _can_be_gathered(spec.features, history.of):
            able = [other for other in spec.features if _can_be_gathered(spec.features, other)]
            yield (
                f"{path}.of: expected a categorical feature without 'length' "
                f"({', '.join(able) or 'there is none'}), got {history.of!r}"
                f"{nearest(history.of, able)}; declare it: a history is of a feature, not of a column"
            )
        for key, column in (("by", history.by), ("time", history.time)):
            if column in labels:
                yield f"{path}.{key}: column {column!r} is the label; name another column"
            if column in histories:
                yield f"{path}.{key}: {column!r} is itself a history; name a column of the data"
            yield from _reading_problems(spec, path, key, column)
        yield from _name_problems(spec, name)


def _can_be_gathered(features: Mapping[str, Any], name: str) -> bool:
    feature = features.get(name)
    return feature is not None and feature.combinable and not feature.is_number


def _reading_problems(spec: Any, path: str, key: str, column: str) -> Iterator[str]:
    for other, feature in spec.features.items():
        if feature.is_built or column not in feature.columns_read(other):
            continue
        if feature.multivalued:
            yield (
                f"{path}.{key}: features.{other} reads column {column!r} as lists; name a column of "
                "one value a row"
            )
        elif key == "time" and feature.kind != "string":
            yield (
                f"{path}.time: features.{other} reads column {column!r} as {feature.kind}, and not as a "
                "time; make a timestamp of that feature"
            )
        elif feature.kind == "float32":
            yield (
                f"{path}.by: features.{other} reads column {column!r} as numbers, which may round; make "
                "that feature categorical"
            )


def _name_problems(spec: Any, name: str) -> Iterator[str]:
    split = spec.split
    labels = (label.column for label in spec.targets.values())
    named = {spec.key, spec.weight, split.by, split.column, split.time, *labels, *spec.keep}
    for other, feature in spec.features.items():
        if other != name and not feature.is_built:
            named.update(feature.columns_read(other))
    if name in named:
        yield (
            f"features.{name}: column {name!r} is named elsewhere in the spec, and this history is "
            "built into a column of its own name; rename the history"
        )
