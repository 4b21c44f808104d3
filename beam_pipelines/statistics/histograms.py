"""Histograms for people to look at: of numbers, of frequent values, of lengths.

Taken from what `statistics` has counted anyway, once at the end of a job, over the same bins in
every split, so that splits can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary
from skewless.beam_pipelines.statistics.split_statistics import (
    IdStatistics,
    SplitStatistics,
    label_summary,
)
from skewless.beam_pipelines.transform.record_entries import vocabulary_of
from skewless.schemas.records.id_contract import FIRST_ID
from skewless.schemas.spec.spec import Spec

__all__ = ["add_histograms"]

_BINS = 24
_FREQUENT = 30
_LENGTH_BINS = 32


def add_histograms(
    summaries: Mapping[str, dict[str, Any]],
    statistics: Mapping[str, SplitStatistics],
    spec: Spec,
    transform_directory: str,
) -> None:
    """Adds to each split's summary of each feature:

    `histogram` {"edges", "counts"} of numbers, the outermost bins open; `frequent` [{"value",
    "count"}] of IDs, the training split's most frequent, the same in each split, with `others` and
    `out_of_vocabulary` beside; `lengths` {"edges", "counts"} of sequences, the last bin open; and
    to the split `label_values`, the classes that `label_counts` counts, of each label.

    Args:
      summaries: By split, what `SplitStatistics.summary` gives.
      statistics: By split.
      spec: The declaration.
      transform_directory: Where the vocabularies are.
    """
    first = statistics.get("train") or next(iter(statistics.values()), None)
    if first is None:
        return
    for name, numbers in first.numbers.items():
        edges = _edges(numbers)
        for split, other in statistics.items():
            if name in other.numbers and len(edges) > 1:
                summaries[split]["features"][name]["histogram"] = {
                    "edges": edges.tolist(),
                    "counts": _counts(other.numbers[name], edges),
                }
    for name, steps in first.steps.items():
        edges = _length_edges(steps.lengths)
        for split, other in statistics.items():
            if name in other.steps:
                summaries[split]["features"][name] |= _lengths(other.steps[name].lengths, edges)
    for name, ids in first.ids.items():
        _add_ids(name, ids, summaries, statistics, spec, transform_directory)
    for entry, label in spec.targets.items():
        if label.names_classes:
            classes = _words(vocabulary_of(spec, entry, transform_directory))
            for whole in summaries.values():
                summary = label_summary(whole, entry)
                if "label_counts" in summary:
                    summary["label_values"] = classes[: len(summary["label_counts"])]


def _add_ids(
    name: str,
    first: IdStatistics,
    summaries: Mapping[str, dict[str, Any]],
    statistics: Mapping[str, SplitStatistics],
    spec: Spec,
    transform_directory: str,
) -> None:
    declared = spec.declared(name)
    hashed = declared.fixed_ids is not None
    begin = FIRST_ID + declared.unknown_ids
    known = first.ids[begin:]
    ranked = np.argsort(-known, kind="stable")[:_FREQUENT]
    ranked = ranked[known[ranked] > 0]
    if hashed:
        values = [f"bucket {place}" for place in ranked.tolist()]
    else:
        vocabulary = vocabulary_of(spec, name, transform_directory)
        # A sequence label's IDs end with start and end, which are no words.
        ranked = ranked[ranked < len(vocabulary)]
        values = _words([vocabulary[place] for place in ranked.tolist()])
    edges = _length_edges(first.lengths)
    for split, other in statistics.items():
        if name not in other.ids:
            continue
        entry = summaries[split]["features"][name]
        counts = np.zeros(max(len(other.ids[name].ids), begin + len(known)), np.int64)
        counts[: len(other.ids[name].ids)] = other.ids[name].ids
        chosen = counts[begin + ranked]
        entry["frequent"] = [
            {"value": value, "count": count}
            for value, count in zip(values, chosen.tolist(), strict=True)
        ]
        entry["others"] = int(counts[begin:].sum() - chosen.sum())
        entry["out_of_vocabulary"] = int(counts[FIRST_ID:begin].sum())
        entry |= _lengths(other.ids[name].lengths, edges)


def _lengths(lengths: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    """Returns how many rows have how many steps; nothing where there is nothing to tell."""
    if not len(lengths) or len(edges) < 2:
        return {}
    places = np.searchsorted(edges, np.arange(len(lengths)), side="right") - 1
    binned = np.bincount(np.minimum(places, len(edges) - 2), lengths, minlength=len(edges) - 1)
    return {"lengths": {"edges": edges.tolist(), "counts": binned.astype(int).tolist()}}


def _edges(numbers: NumericSummary) -> np.ndarray:
    """Returns [bins + 1] rising edges: one bin a value where there are few, else evenly spaced.

    Between the 0.5% and the 99.5% quantile; of a long tail evenly in asinh(x / typical size).
    """
    if not numbers.count:
        return np.empty(0)
    values = numbers.values()
    if len(values) <= _BINS:
        middles = (values[1:] + values[:-1]) / 2
        return (
            np.concatenate([[numbers.low], middles, [numbers.high]]) if len(values) > 1 else values
        )
    low, quarter, middle, three, high = numbers.quantiles((0.005, 0.25, 0.5, 0.75, 0.995))
    if high <= low:
        low, high = numbers.low, numbers.high
    spread = three - quarter
    if high - low > 20 * max(spread, 1e-30):
        unit = max(abs(middle), spread, (high - low) * 1e-6)
        edges = (
            np.sinh(np.linspace(np.arcsinh(low / unit), np.arcsinh(high / unit), _BINS + 1)) * unit
        )
    else:
        edges = np.linspace(low, high, _BINS + 1)
    return np.unique(edges)


def _counts(numbers: NumericSummary, edges: np.ndarray) -> list[int]:
    if not numbers.count:
        return [0] * (len(edges) - 1)
    places = np.searchsorted(edges, numbers.values(), side="right") - 1
    places = np.clip(places, 0, len(edges) - 2)
    return np.bincount(places, numbers.counts, minlength=len(edges) - 1).astype(int).tolist()


def _length_edges(lengths: np.ndarray) -> np.ndarray:
    """Returns whole edges from 0 to beyond the 99.5% quantile, at most `_LENGTH_BINS` bins."""
    if not len(lengths):
        return np.empty(0, np.int64)
    longest = int(np.searchsorted(np.cumsum(lengths), 0.995 * lengths.sum())) + 1
    width = -(-longest // _LENGTH_BINS)
    return np.arange(0, longest + width, width)


def _words(values: list[bytes]) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]
