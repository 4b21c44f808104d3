"""Label values that were seen, to say what is there where what the spec names is not."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.sources import Rejected
from skewless.schemas.records.records import label_name
from skewless.schemas.rows.reasons import Reason, shown
from skewless.schemas.spec.label import BinaryLabel, Label
from skewless.schemas.spec.models.labels import label_path
from skewless.schemas.spec.spec import Spec

__all__ = ["count_labels", "label_problems", "most_seen", "tell_labels"]

_MOST_DISTINCT = 1_000
_SHOWN = 8
_LOGGER = logging.getLogger(__name__)


def count_labels(
    spec: Spec, seen: Counter[str], columns: pa.RecordBatch, rejected: Iterable[Rejected]
) -> None:
    """Counts the label values of [rows] canonical columns, and of rows rejected for theirs.

    Those of several labels as `label=value`.

    After a thousand different values no new one is taken up: these are for a message.
    """
    for entry, label in spec.targets.items():
        if label.has_classes:
            _count(seen, _prefix(entry), label.column, columns, rejected)


def _prefix(entry: str) -> str:
    """Returns what stands before the values of one of several labels."""
    name = label_name(entry)
    return f"{name}=" if name else ""


def _count(
    seen: Counter[str],
    prefix: str,
    column: str,
    columns: pa.RecordBatch,
    rejected: Iterable[Rejected],
) -> None:
    values = columns.column(column)
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
        if entry.column == column and isinstance(entry.reason, Reason)
    )
    for value, count in found.items():
        value = f"{prefix}{value}"
        if value in seen or len(seen) < _MOST_DISTINCT:
            seen[value] += count


def most_seen(seen: Counter[str]) -> str:
    """Returns the most frequent values with their counts, in words."""
    ranked = sorted(seen.items(), key=lambda entry: (-entry[1], entry[0]))
    rest = f" and {len(ranked) - _SHOWN:,} others" if len(ranked) > _SHOWN else ""
    return ", ".join(f"{value} {count:,} times" for value, count in ranked[:_SHOWN]) + rest


def label_problems(label: Label, counts: np.ndarray) -> Iterator[str]:
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
    elif label.names_classes:
        classes = label.declared_classes or ()
        padded = np.pad(counts, (0, max(0, len(classes) - len(counts))))
        absent = [name for name, rows in zip(classes, padded, strict=False) if not rows]
        if absent:
            more = f" and {len(absent) - _SHOWN:,} others" if len(absent) > _SHOWN else ""
            yield f"no row has the class {', '.join(map(repr, absent[:_SHOWN]))}{more}"
        elif label.declared_classes is None and np.count_nonzero(counts) < 2:
            yield "all rows have one class"


def tell_labels(
    spec: Spec, counts: Mapping[str, np.ndarray], seen: Counter[str], where: str
) -> None:
    """Warns of what a model cannot learn, with the values that were seen instead."""
    for entry, label in spec.targets.items():
        prefix = _prefix(entry)
        own = Counter(
            {
                value.removeprefix(prefix): count
                for value, count in seen.items()
                if value.startswith(prefix)
            }
        )
        for problem in label_problems(label, counts.get(entry, np.zeros(0, np.int64))):
            _LOGGER.warning(
                "%s: %s in %s; seen: %s; name values as rows hold them (docs/labels.md)",
                label_path(entry),
                problem,
                where,
                most_seen(own) or "no value",
            )
