"""Columns of lists that stand beside other lists: what of them cannot be."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from skewless.schemas.errors import nearest

__all__ = ["list_problems"]


def list_problems(spec: Any) -> Iterator[str]:
    """Yields what is wrong between lists, those that they stand beside, and the rest of a spec."""
    readers: dict[str, list[str]] = {}
    for name, feature in spec.features.items():
        for column in feature.columns_read(name):
            readers.setdefault(column, []).append(name)
    for name, feature in spec.features.items():
        if feature.weights_column is not None:
            if feature.weights_column == (feature.column or name):
                yield (
                    f"features.{name}.weights: column {feature.weights_column!r} is that of the values; name "
                    "a column of a list of numbers, one for each value"
                )
            yield from _column_problems(spec, readers, name, "weights", feature.weights_column)
        elif feature.numbers_of_step:
            (column,) = feature.columns_read(name)
            yield from _column_problems(spec, readers, name, "column", column)
            yield from _beside_problems(spec, name)


def _column_problems(
    spec: Any, readers: dict[str, list[str]], name: str, key: str, column: str
) -> Iterator[str]:
    own = _reading(spec, name, column)
    for other in readers[column]:
        if _reading(spec, other, column) != own:
            yield (
                f"features.{name}.{key}: column {column!r} is read by features.{other} too, and "
                "otherwise; name a column that only holds these lists"
            )
    split = spec.split
    if column in (spec.weight, spec.key, split.by, split.time, split.column):
        yield (
            f"features.{name}.{key}: column {column!r} is named elsewhere in the spec, as one of single "
            "values; name a column of lists"
        )


def _reading(spec: Any, name: str, column: str) -> tuple[Hashable, ...]:
    """Returns how a feature reads a column: features that agree in it may share it."""
    feature = spec.features[name]
    if column == feature.weights_column:
        return ("weights", feature.columns_read(name)[0], feature.parted_by)
    steps = (feature.numbers_of_step, feature.stands_beside, feature.parted_by, feature.time_unit)
    return ("steps", *steps) if feature.numbers_of_step else ("values", feature.type)


def _beside_problems(spec: Any, name: str) -> Iterator[str]:
    feature = spec.features[name]
    other = feature.stands_beside
    if other is None:
        return
    able = [
        each
        for each, kind in spec.features.items()
        if kind.type == "categorical" and kind.is_sequence
    ]
    if other not in able:
        yield (
            f"features.{name}.beside: expected a categorical feature with 'length' "
            f"({', '.join(able) or 'there is none'}), got {other!r}{nearest(other, able)}"
        )
        return
    beside = spec.features[other]
    for key in ("length", "truncate", "pad", "separator"):
        if getattr(feature, key) != getattr(beside, key):
            yield (
                f"features.{name}.{key}: expected {getattr(beside, key)!r} as of features.{other}, which "
                f"it stands beside, got {getattr(feature, key)!r}; give both the same"
            )
