"""Label values that were seen, to say what is there where what the spec names is not."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.sources import Rejected
from skewless.schemas.rows.reasons import Reason, shown
from skewless.schemas.spec.label import BinaryLabel, Label
from skewless.schemas.spec.spec import Spec

__all__ = ["count_labels", "label_problems", "most_seen", "tell_labels"]

_MOST_DISTINCT = 1_000
_SHOWN = 8
_LOGGER = logging.getLogger(__name__)


def count_labels(
    spec: Spec, seen: Counter[str], columns: pa.RecordBatch, rejected: Iterable[Rejected]
) -> None:
    """Counts the label values of [rows] canonical columns, and of rows rejected for theirs.

    After a thousand different values no new one is taken up: these are for a message.
    """
    label = spec.label
    if label is None or not label.has_classes:
        return
    values = columns.column(label.column)
    if pa.types.is_list(values.type):
        values = values.flatten()
    counted = pc.value_counts(values)
    found = Counter(
        dict(
            zip(
                map(shown, counted.field("values").to_pylist()),
                counted.field("counts").to_pylist(),
                strict=True,
            )
        )
    )
    found.update(
        entry.reason.got
        for entry in rejected
        if entry.column == label.column and isinstance(entry.reason, Reason)
    )
    for value, count in found.items():
        if value in seen or len(seen) < _MOST_DISTINCT:
            seen[value] += count


def most_seen(seen: Counter[str]) -> str:
    """Returns the most frequent values with their counts, in words."""
    ranked = sorted(seen.items(), key=lambda entry: (-entry[1], entry[0]))
    rest = f" and {len(ranked) - _SHOWN:,} others" if len(ranked) > _SHOWN else ""
    return ", ".join(f"{value} {count:,} times" for value, count in ranked[:_SHOWN]) + rest


def label_problems(label: Label | None, counts: np.ndarray) -> Iterator[str]:
    """Yields what a model cannot learn from the training rows.

    Args:
      label: The declaration.
      counts: [classes] rows of each class; of a binary label the negative, then the positive ones.
        Classes at the end that have none may be left out.
    """
    if isinstance(label, BinaryLabel):
        sides = (
            ("negative", label.negative, label.negative_texts),
            ("positive", label.positive, label.positive_texts),
        )
        for place, (side, declared, texts) in enumerate(sides):
            if place >= len(counts) or not counts[place]:
                named = ", ".join(map(repr, declared) if declared else texts or ["any other value"])
                yield f"no row is {side} ({named})"
    elif label is not None and label.names_classes:
        classes = label.declared_classes or ()
        padded = np.pad(counts, (0, max(0, len(classes) - len(counts))))
        absent = [name for name, rows in zip(classes, padded, strict=False) if not rows]
        if absent:
            more = f" and {len(absent) - _SHOWN:,} others" if len(absent) > _SHOWN else ""
            yield f"no row has the class {', '.join(map(repr, absent[:_SHOWN]))}{more}"
        elif label.declared_classes is None and np.count_nonzero(counts) < 2:
            yield "all rows have one class"


def tell_labels(label: Label | None, counts: np.ndarray, seen: Counter[str], where: str) -> None:
    """Warns of what a model cannot learn, with the values that were seen instead."""
    for problem in label_problems(label, counts):
        _LOGGER.warning(
            "label: %s in %s; seen: %s; name values as rows hold them (docs/labels.md)",
            problem,
            where,
            most_seen(seen) or "no value",
        )
