"""What goes together of labels and the rest of a spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skewless.schemas.records.records import LABEL, label_name
from skewless.schemas.rows.label_values import label_text
from skewless.schemas.spec.features import FEATURE_NAME
from skewless.schemas.spec.label import (
    BinaryLabel,
    Label,
    MulticlassLabel,
    RegressionLabel,
    SequenceLabel,
)

__all__ = ["label_path", "label_problems"]

_AMONG_SEVERAL = (BinaryLabel, MulticlassLabel, RegressionLabel)


def label_path(entry: str) -> str:
    """Returns the key in a spec of the label that a record entry holds."""
    return "label" if entry == LABEL else f"labels.{label_name(entry)}"


def label_problems(spec: Any) -> Iterator[str]:
    """Yields what is wrong between the labels and what else a spec says of columns and values."""
    if spec.label is not None and spec.label.weight is not None:
        yield (
            "label.weight: goes with several `labels`; remove it (a column of weights of rows is "
            "named by `weight` at the top)"
        )
    if spec.labels is not None:
        yield from _problems_of_several(spec)
    elif getattr(spec.model, "experts", None) is not None:
        yield "model.experts: goes with several `labels`, each of which mixes them; remove it"
    for entry, label in spec.targets.items():
        yield from _problems_of_one(label_path(entry), label, spec)
    read = [label.column for label in spec.targets.values()]
    for name, feature in spec.features.items():
        for column in feature.columns_read(name):
            if column in read:
                yield f"features.{name}: column {column!r} is the label; a feature of it would leak"


def _problems_of_several(spec: Any) -> Iterator[str]:
    if spec.label is not None:
        yield "labels: a spec has `label` or `labels`; remove one of them"
    if len(spec.labels) < 2:
        yield "labels: expected at least two; a single one goes under `label`"
    if spec.model.type != "towers":
        yield f"labels: do not go with model.type {spec.model.type}; use towers, or one `label`"
    if getattr(spec.model, "experts", None) is not None:
        if not spec.model.hidden:
            yield "model.experts: are stacks of the hidden layers; give `hidden` widths, or remove it"
        if spec.model.ensemble is not None:
            yield "model.experts: do not go with an ensemble; remove one of them"
    readers: dict[str, str] = {}
    called: dict[str, str] = {}
    for name, label in spec.labels.items():
        if not FEATURE_NAME.match(name):
            yield (
                f"labels.{name}: expected a name of 1 to 200 letters (a to z), digits and _ that "
                "starts with a letter; name it so, and the column as it is under `column`"
            )
        if called.setdefault(name.lower(), name) != name:
            yield f"labels.{name}: differs from {called[name.lower()]} in case alone; rename one"
        if not isinstance(label, _AMONG_SEVERAL):
            yield (
                f"labels.{name}.type: expected binary, multiclass or regression, got "
                f"{label.type!r}; declare that as the only `label`"
            )
        other = readers.setdefault(label.column, name)
        if other != name:
            yield (
                f"labels.{name}: column {label.column!r} is read by labels.{other} already; "
                "give each label a column of its own"
            )


def _problems_of_one(path: str, label: Label, spec: Any) -> Iterator[str]:
    for key, column in (
        ("key", spec.key),
        ("split.by", spec.split.by),
        ("split.column", spec.split.column),
        ("split.time", spec.split.time),
    ):
        if column == label.column:
            yield f"{key}: column {column!r} is the label; name another column"
    if spec.weight is not None and spec.weight == label.column:
        yield f"weight: column {spec.weight!r} is the label"
    missing = set(map(label_text, spec.missing_values))
    for key, values in label.named_values.items():
        for value in values:
            if label_text(value) in missing:
                yield (
                    f"{path}.{key}: no row can hold {value!r}: it is among missing_values; "
                    "remove it from one of them"
                )
    if isinstance(label, SequenceLabel) and label.vocabulary.shared_with is not None:
        yield (
            f"{path}.vocabulary.shared_with: a sequence label counts a vocabulary of its own; "
            "remove it, or give both the same 'file'"
        )
