"""Statistics of a data set, per split and feature, gathered while its records are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.statistics.distribution import id_distribution, number_distribution
from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary, SummaryCoder
from skewless.beam_pipelines.statistics.pattern_counts import MOST_BINS, bins_allowed
from skewless.schemas.records.id_contract import FIRST_ID, MISSING_ID, PADDING_ID
from skewless.schemas.records.records import LABEL, label_name, seen_name, time_name, tokens_name
from skewless.schemas.rows.times.calendar import DAY
from skewless.schemas.rows.times.parsing import NO_TIME
from skewless.schemas.spec.spec import Spec

__all__ = [
    "IdStatistics",
    "SplitStatistics",
    "label_summary",
    "merge_statistics",
    "number_columns",
]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_LONGEST = 10_000
# What the statistics of times count: a float32 holds the time of day to the minute or so.
DAYS = "days since 1970-01-01"


def _add(total: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Returns `total`, made longer where it must be, with `more` added in place."""
    if len(total) < len(more):
        total = np.pad(total, (0, len(more) - len(total)))
    total[: len(more)] += more
    return total


@dataclass
class IdStatistics:
    """What is counted of an integer feature.

    Attributes:
      ids: [largest ID + 1] int64, how often each ID occurs, padding left out.
      lengths: [longest + 1] int64, rows by their number of tokens before truncation.
    """

    rows: int = 0
    missing: int = 0
    truncated: int = 0
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, ids: np.ndarray, tokens: np.ndarray | None) -> None:
        """Adds [rows] or [rows, length] IDs and, for sequences, [rows] true lengths."""
        self.rows += len(ids)
        counts = np.bincount(ids.reshape(-1)) if ids.size else np.zeros(0, np.int64)
        if len(counts):
            counts[PADDING_ID] = 0
        self.ids = _add(self.ids, counts)
        if tokens is None:
            self.missing += int(np.count_nonzero(ids == MISSING_ID))
        else:
            self.missing += int(np.count_nonzero(tokens == 0))
            self.truncated += int(np.count_nonzero(tokens > ids.shape[1]))
            self.lengths = _add(self.lengths, np.bincount(np.minimum(tokens, _LONGEST)))

    def merge(self, other: IdStatistics) -> None:
        """Adds what another worker has counted."""
        self.rows += other.rows
        self.missing += other.missing
        self.truncated += other.truncated
        self.ids = _add(self.ids, other.ids)
        self.lengths = _add(self.lengths, other.lengths)

    def summary(self, oov_buckets: int) -> dict[str, Any]:
        """Returns the entry of `statistics.json`; `distinct` counts IDs in use."""
        known = self.ids[FIRST_ID:]
        tokens = int(known.sum())
        result: dict[str, Any] = {
            "rows": self.rows,
            "missing": self.missing,
            "distinct": int(np.count_nonzero(known)),
            "oov_share": float(known[:oov_buckets].sum() / tokens) if tokens else 0.0,
            "distribution": id_distribution(self.ids),
        }
        if len(self.lengths):
            result |= self.length_summary()
        return result

    def length_summary(self) -> dict[str, Any]:
        """Returns what the entry of a sequence says of rows and their lengths."""
        cumulative = np.cumsum(self.lengths)
        quantiles = {
            str(share): int(np.searchsorted(cumulative, share * cumulative[-1]))
            for share in QUANTILES
            if len(cumulative)
        }
        return {
            "rows": self.rows,
            "missing": self.missing,
            "length_quantiles": quantiles,
            "truncated_share": self.truncated / self.rows if self.rows else 0.0,
        }


@dataclass
class SplitStatistics:
    """Everything counted of one split; `label_counts` are rows by class, by record entry.

    Of sequences of numbers the numbers are under `numbers`, the lengths under `steps`.
    """

    rows: int = 0
    ids: dict[str, IdStatistics] = field(default_factory=dict)
    numbers: dict[str, NumericSummary] = field(default_factory=dict)
    steps: dict[str, IdStatistics] = field(default_factory=dict)
    label_counts: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, spec: Spec, columns: pa.RecordBatch, outputs: Mapping[str, np.ndarray]) -> None:
        """Adds [rows] raw columns and the transform's outputs for them."""
        self.rows += columns.num_rows
        most = bins_allowed(spec)
        for name, feature in spec.features.items():
            if feature.is_number:
                read = feature.columns_read(name)
                for entry, column in zip(feature.statistics_names(name), read, strict=True):
                    self._add_numbers(entry, columns.column(column), most)
            elif feature.holds_times:
                self._add_times(name, outputs[time_name(name)], most)
            elif feature.numbers_of_step:
                seen, size = outputs[seen_name(name)], feature.numbers_of_step
                steps = seen.reshape(-1, seen.shape[1] // size, size)
                self._add_steps(name, steps, outputs[tokens_name(name)], most)
            else:
                tokens = outputs.get(tokens_name(name)) if feature.is_sequence else None
                self.ids.setdefault(name, IdStatistics()).add(outputs[name], tokens)
        for entry, label in spec.targets.items():
            if label.is_number:
                self._add_numbers(entry, columns.column(label.column), most)
            elif tokens_name(entry) in outputs:
                lengths = outputs[tokens_name(entry)]
                self.ids.setdefault(entry, IdStatistics()).add(outputs[entry], lengths)
            else:
                self._add_classes(entry, outputs[entry])

    def _add_numbers(self, name: str, column: pa.Array, most_bins: int = MOST_BINS) -> None:
        if pa.types.is_list(column.type):
            column = column.flatten()
        values = column.cast(pa.float32()).to_numpy(zero_copy_only=False).astype(np.float32)
        if name not in self.numbers:
            self.numbers[name] = NumericSummary.bounded(most_bins)
        self.numbers[name].add(values)

    def _add_times(self, name: str, times: np.ndarray, most_bins: int) -> None:
        days = np.where(times == NO_TIME, np.nan, times / DAY).astype(np.float32)
        self.numbers.setdefault(name, NumericSummary.bounded(most_bins)).add(days)

    def _add_steps(self, name: str, seen: np.ndarray, count: np.ndarray, most_bins: int) -> None:
        """Adds [rows, length, numbers] kept steps, and [rows] how many there were before the cut."""
        kept = np.arange(seen.shape[1]) < count[:, None]
        numbers = self.numbers.setdefault(name, NumericSummary.bounded(most_bins))
        numbers.add(seen[kept].reshape(-1))
        nothing = np.zeros(seen.shape[:2], np.int64)
        self.steps.setdefault(name, IdStatistics()).add(nothing, count)

    def _add_classes(self, entry: str, label: np.ndarray) -> None:
        """Adds [rows] classes, those that are missing left out, or [rows, classes] of 0 and 1."""
        if label.ndim == 1:
            counts = np.bincount(label[label >= 0].astype(np.int64))
        else:
            counts = label.sum(axis=0).astype(np.int64)
        self._add_counts({entry: counts})

    def _add_counts(self, counts: Mapping[str, np.ndarray]) -> None:
        for entry, more in counts.items():
            self.label_counts[entry] = _add(
                self.label_counts.get(entry, np.zeros(0, np.int64)), more
            )

    def merge(self, other: SplitStatistics) -> None:
        """Adds what another worker has counted."""
        self.rows += other.rows
        for name, ids in other.ids.items():
            self.ids.setdefault(name, IdStatistics()).merge(ids)
        for name, steps in other.steps.items():
            self.steps.setdefault(name, IdStatistics()).merge(steps)
        for name, numbers in other.numbers.items():
            self.numbers.setdefault(name, NumericSummary()).merge(numbers)
        self._add_counts(other.label_counts)

    def encoded(self) -> dict[str, Any]:
        """Returns everything counted as JSON has it."""
        names = list(self.numbers)
        numbers = SummaryCoder().encode_cache([self.numbers[name] for name in names])
        return {
            "rows": self.rows,
            "ids": _encoded_ids(self.ids),
            "steps": _encoded_ids(self.steps),
            "numbers": {"names": names, "summaries": numbers.decode()},
            "label_counts": {name: counts.tolist() for name, counts in self.label_counts.items()},
        }

    @classmethod
    def decoded(cls, encoded: Mapping[str, Any]) -> SplitStatistics:
        """Returns what `encoded` was called on."""
        numbers = encoded["numbers"]
        summaries = SummaryCoder().decode_cache(numbers["summaries"].encode())
        return cls(
            rows=encoded["rows"],
            ids=_decoded_ids(encoded["ids"]),
            steps=_decoded_ids(encoded.get("steps", {})),
            numbers=dict(zip(numbers["names"], summaries, strict=True)),
            label_counts={
                name: np.array(counts, np.int64)
                for name, counts in _by_entry(encoded["label_counts"]).items()
            },
        )

    def summary(self, spec: Spec) -> dict[str, Any]:
        """Returns the split's entry of `statistics.json`."""
        features: dict[str, Any] = {}
        for name, ids in self.ids.items():
            features[name] = ids.summary(spec.declared(name).unknown_ids)
        for name, numbers in self.numbers.items():
            features[name] = {
                "rows": numbers.rows,
                "missing": numbers.rows - numbers.count,
                "distinct": len(numbers.counts),
                "min": numbers.low if numbers.count else None,
                "max": numbers.high if numbers.count else None,
                "mean": numbers.mean,
                "standard_deviation": numbers.standard_deviation,
                "quantiles": dict(
                    zip(map(str, QUANTILES), numbers.quantiles(QUANTILES), strict=True)
                ),
                "quantile_error": numbers.patterns.relative_error,
                "distribution": number_distribution(numbers),
            }
            if name in spec.features and spec.features[name].holds_times:
                # New rows are later than those before: that is no drift.
                del features[name]["distribution"]
                features[name] |= {"unit": DAYS, **_first_and_last(numbers)}
        for name, steps in self.steps.items():
            features[name] |= {
                "values": features[name]["rows"],
                "values_missing": features[name]["missing"],
                **steps.length_summary(),
            }
        entry: dict[str, Any] = {"rows": self.rows, "features": features}
        for name, counts in self.label_counts.items():
            if len(counts):
                label_summary(entry, name)["label_counts"] = counts.tolist()
        return entry


def _encoded_ids(counted: Mapping[str, IdStatistics]) -> dict[str, Any]:
    return {
        name: {**vars(ids), "ids": ids.ids.tolist(), "lengths": ids.lengths.tolist()}
        for name, ids in counted.items()
    }


def _decoded_ids(encoded: Mapping[str, Any]) -> dict[str, IdStatistics]:
    return {
        name: IdStatistics(
            **{
                **ids,
                "ids": np.array(ids["ids"], np.int64),
                "lengths": np.array(ids["lengths"], np.int64),
            }
        )
        for name, ids in encoded.items()
    }


def label_summary(split: dict[str, Any], entry: str) -> dict[str, Any]:
    """Returns where a split's summary tells of a label: in itself, of several under `labels`."""
    if entry == LABEL:
        return split
    of_label: dict[str, Any] = split.setdefault("labels", {}).setdefault(label_name(entry), {})
    return of_label


def _by_entry(counts: Mapping[str, Any] | list[int]) -> Mapping[str, Any]:
    """Returns label counts as now, of ones that were left when there could be one label only."""
    if isinstance(counts, Mapping):
        return counts
    return {LABEL: counts} if counts else {}


def _first_and_last(days: NumericSummary) -> dict[str, Any]:
    """Returns the earliest and the latest day as ISO 8601."""
    if not days.count:
        return {"earliest": None, "latest": None}
    first, last = np.floor([days.low, days.high]).astype("datetime64[D]").astype(str)
    return {"earliest": str(first), "latest": str(last)}


def number_columns(spec: Spec) -> list[str]:
    """Returns the raw columns that statistics are taken of as they are, not as transformed."""
    columns = [
        column
        for name, feature in spec.features.items()
        if feature.is_number
        for column in feature.columns_read(name)
    ]
    columns += [label.column for label in spec.targets.values() if label.is_number]
    return list(dict.fromkeys(columns))


def merge_statistics(
    parts: Iterable[Mapping[str, SplitStatistics]],
) -> dict[str, SplitStatistics]:
    """Returns one set of statistics, by split, of all workers'."""
    total: dict[str, SplitStatistics] = {}
    for part in parts:
        for split, statistics in part.items():
            total.setdefault(split, SplitStatistics()).merge(statistics)
    return total
