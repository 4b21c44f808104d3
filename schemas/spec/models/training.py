"""What goes together of a training and a label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from skewless.schemas.errors import nearest
from skewless.schemas.records.records import label_name
from skewless.schemas.spec.label import (
    BinaryLabel,
    Label,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)

__all__ = ["group_problems", "training_problems"]

# What is measured of each kind of label while training, and which may have weights or be smoothed.
_MEASURED: dict[type, tuple[str, ...]] = {
    BinaryLabel: ("loss", "auc", "accuracy"),
    MulticlassLabel: ("loss", "accuracy"),
    MultilabelLabel: ("loss", "auc", "accuracy"),
    RegressionLabel: ("loss", "rmse", "mae"),
    SequenceLabel: ("loss", "accuracy"),
}
# What goes by the probabilities of labels, with the value that asks for nothing; and, with ranking
# losses, all that asks for a label that the model learns from.
_OF_PROBABILITIES = {
    "best_by": "loss",
    "class_weights": None,
    "label_smoothing": 0,
    "focal": None,
    "keep_negatives": None,
}
# What makes a step one over all rows of a table, whatever the optimizer is.
_OF_WHOLE_TABLES = ("clip_norm", "weight_decay", "ema", "mixed_precision")
_OF_LABELS = {**_OF_PROBABILITIES, "loss": None, "group": None}
_OF_ONE_LABEL = {"keep_negatives": None, "loss": None, "group": None}
_OF_CLASSES = (BinaryLabel, MulticlassLabel)
_SMOOTHED = (*_OF_CLASSES, MultilabelLabel)


def training_problems(
    targets: Mapping[str, Label], training: Any, *, learns: bool
) -> Iterator[str]:
    """Yields what is wrong between the training and the labels, each being sound by itself.

    Args:
      targets: The labels: none, one or several.
      training: The section.
      learns: Whether the model learns from a label.
    """
    if training.optimizer == "lazy_adam":
        for key in _OF_WHOLE_TABLES:
            if getattr(training, key):
                yield f"training.{key}: goes over whole tables, which lazy_adam is not to; remove it"
    if len(targets) > 1:
        for key, default in _OF_ONE_LABEL.items():
            if getattr(training, key) != default:
                yield f"training.{key}: goes with one `label`, not with several `labels`; remove it"
        yield from _best_by_problems(training.best_by, "several labels", _measured_of(targets))
        yield from _problems_of_classes(targets.values(), training, "labels that are all numbers")
        return
    label = next(iter(targets.values()), None)
    if label is None or not learns:
        for key, default in _OF_LABELS.items():
            if getattr(training, key) != default:
                yield f"training.{key}: goes with a label that the model learns from; remove it"
        return
    of = f"a {label.type} label"
    yield from _best_by_problems(training.best_by, of, _MEASURED[type(label)])
    yield from _problems_of_classes([label], training, of)
    if training.loss is not None:
        if not isinstance(label, BinaryLabel):
            yield f"training.loss: {training.loss} orders rows of a binary label, not {label.type}"
        for key, default in _OF_PROBABILITIES.items():
            if getattr(training, key) != default:
                yield f"training.{key}: does not go with training.loss {training.loss}; remove it"
    if training.keep_negatives is not None:
        if not isinstance(label, BinaryLabel):
            yield f"training.keep_negatives: goes with a binary label, not {label.type}"
        elif training.class_weights is not None:
            yield "training.keep_negatives: does not go with class_weights; remove one of them"


def _problems_of_classes(labels: Iterable[Label], training: Any, of: str) -> Iterator[str]:
    """Yields what is wrong with that which goes by classes, where no label has any."""
    labels = list(labels)
    smoothed = any(isinstance(label, _SMOOTHED) for label in labels)
    if training.class_weights is not None and not any(
        isinstance(label, _OF_CLASSES) for label in labels
    ):
        yield f"training.class_weights: goes with a binary or multiclass label, not with {of}"
    if training.label_smoothing and not smoothed:
        yield f"training.label_smoothing: goes with classes, not with {of}"
    if training.focal is not None and not smoothed:
        yield f"training.focal: goes with classes, not with {of}"
    elif training.focal is not None and training.label_smoothing:
        yield "training.focal: does not go with label_smoothing; remove one of them"


def _measured_of(targets: Mapping[str, Label]) -> tuple[str, ...]:
    """Returns what is measured of several labels: the loss of all, and what each has by its name."""
    own = (
        f"{label_name(entry)}_{metric}"
        for entry, label in targets.items()
        for metric in _MEASURED.get(type(label), ())
    )
    return ("loss", *own)


def _best_by_problems(best_by: str, of: str, measured: tuple[str, ...]) -> Iterator[str]:
    if best_by not in measured:
        yield (
            f"training.best_by: of {of} expected one of {', '.join(measured)}, got "
            f"{best_by!r}{nearest(best_by, measured)}"
        )


def group_problems(training: Any, features: Mapping[str, Any], model: Any) -> Iterator[str]:
    """Yields what is wrong between a ranking loss, its group and the model.

    Args:
      training: The section.
      features: By name.
      model: The section.
    """
    if training.loss is None:
        if training.group is not None:
            yield "training.group: goes with training.loss: pairwise or listwise; remove it, or add that"
        return
    if getattr(model, "ensemble", None) is not None:
        yield f"training.loss: {training.loss} goes with no ensemble; remove one of them"
    able = [
        name
        for name, feature in features.items()
        if feature.kind == "string" and not feature.is_sequence and feature.type == "categorical"
    ]
    if training.group is None:
        yield f"training.group: {training.loss} orders the rows of a group; name a feature"
    elif training.group not in able:
        yield (
            f"training.group: expected a categorical feature of one value a row "
            f"({', '.join(able) or 'there is none'}), got {training.group!r}"
            f"{nearest(training.group, able)}"
        )
