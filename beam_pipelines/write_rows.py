"""The writing stage: each work unit is read, transformed, encoded and written in one place.

No row leaves the worker that read it: what comes out are the names of finished files, an
account of each unit and statistics.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beam_pipelines.progress import Tally, progress_of
from beam_pipelines.rows import Rows, rows_of
from beam_pipelines.seen_labels import count_labels
from beam_pipelines.sinks import RawRowSink, RecordSink, RejectedSink
from beam_pipelines.sources import Rejected, WorkUnit
from beam_pipelines.statistics import SplitStatistics
from beam_pipelines.transform_graph import TransformGraph
from schemas.records import LABEL
from schemas.spec import Spec
from schemas.splits import SPLITS

__all__ = [
    "ACCOUNTS",
    "PARTS",
    "STATISTICS",
    "WRITING",
    "UnitAccount",
    "WriteRows",
    "kind_of",
    "reject_unknown_classes",
    "tagged",
]

WRITING = "writing"
PARTS, ACCOUNTS, STATISTICS = "parts", "accounts", "statistics"
_SAMPLED_TRAIN_ROWS = 64
_LOGGER = logging.getLogger(__name__)


@dataclass
class UnitAccount:
    """What became of each record of a work unit; `labels` are values seen, for messages."""

    order: int
    file: str
    read: int = 0
    written: int = 0
    rejected: int = 0
    duplicate: int = 0
    reasons: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


class WriteRows(beam.DoFn):
    """Work units to finished files (`PARTS`), accounts (`ACCOUNTS`) and `STATISTICS`."""

    def __init__(
        self,
        spec: Spec,
        directory: str,
        shard_bytes: int,
        compression: str,
        rows_per_record: int,
        tally: Tally | None = None,
    ) -> None:
        self._spec = spec
        self._directory = directory
        self._shards = (shard_bytes, compression, rows_per_record)
        self._tally = tally
        self._graph: tuple[str, TransformGraph] | None = None

    def start_bundle(self) -> None:
        """Opens fresh sinks: a bundle that is tried again must not see the first try's files."""
        self._records = RecordSink(self._directory, *self._shards)
        self._raw = RawRowSink(self._directory)
        self._rejected = RejectedSink(self._directory)
        self._accounts: list[UnitAccount] = []
        self._statistics: dict[str, SplitStatistics] = {}
        self._progress = progress_of(WRITING, self._tally)

    def process(
        self, unit: WorkUnit, saved_model: str, duplicates: dict[int, np.ndarray]
    ) -> Iterator[Any]:
        """Writes one unit."""
        if self._graph is None or self._graph[0] != saved_model:
            self._graph = (saved_model, TransformGraph(self._spec, saved_model))
        graph = self._graph[1]
        account = UnitAccount(unit.order, unit.file)
        sampled = 0
        for rows in rows_of(unit, self._spec, duplicates=duplicates.get(unit.order)):
            account.read += rows.read
            account.duplicate += rows.duplicates
            outputs = graph(rows.columns)
            rows, outputs, unknown = reject_unknown_classes(self._spec, rows, outputs)
            rejected = rows.rejected + unknown
            self._rejected.write(rejected)
            account.rejected += len(rejected)
            account.reasons.update((entry.column, kind_of(entry.reason)) for entry in rejected)
            train = rows.take(rows.splits == SPLITS.index("train"))
            count_labels(self._spec, account.labels, train.columns, rejected)
            for place, split in enumerate(SPLITS):
                mask = rows.splits == place
                if not mask.any():
                    continue
                here = rows.take(mask)
                transformed = {name: value[mask] for name, value in outputs.items()}
                self._records.write(split, transformed, here.keys)
                keep = here.columns.num_rows
                account.written += keep
                self._statistics.setdefault(split, SplitStatistics()).add(
                    self._spec, here.columns, transformed
                )
                if split == "train":
                    keep = min(keep, _SAMPLED_TRAIN_ROWS - sampled)
                    sampled += keep
                self._raw.write(
                    split, here.columns[:keep], here.keys[:keep], unit.file, here.numbers[:keep]
                )
            self._progress.advance(rows.read)
        self._progress.finish(unit, account.read)
        self._accounts.append(account)
        _LOGGER.info(
            "written: %s rows %d to %d",
            unit.file,
            unit.first_row,
            unit.first_row + account.read - 1,
        )
        return iter(())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Closes the sinks and reports what they hold."""
        for part in self._records.close() + self._raw.close() + self._rejected.close():
            yield tagged(PARTS, part)
        for account in self._accounts:
            yield tagged(ACCOUNTS, account)
        if self._statistics:
            yield tagged(STATISTICS, self._statistics)


def reject_unknown_classes(
    spec: Spec, rows: Rows, outputs: dict[str, np.ndarray]
) -> tuple[Rows, dict[str, np.ndarray], list[Rejected]]:
    """Turns away rows whose class the transform does not know; returns what is left, and those."""
    label = outputs.get(LABEL)
    declared = spec.label
    if declared is None or declared.type != "multiclass" or label is None:
        return rows, outputs, []
    unknown = label < 0
    if not unknown.any():
        return rows, outputs, []
    values = rows.columns.column(declared.column)
    rejected = [
        Rejected(
            rows.unit.file,
            int(rows.numbers[position]),
            rows.keys[position].as_py(),
            declared.column,
            "the class does not occur in the training split",
            str(values[position].as_py()),
        )
        for position in np.flatnonzero(unknown).tolist()
    ]
    return rows.take(~unknown), {name: out[~unknown] for name, out in outputs.items()}, rejected


def kind_of(reason: str) -> str:
    """Returns a reason without the value in it, so that reasons can be counted."""
    return reason.split(", got ")[0]


def tagged(tag: str, value: Any) -> WindowedValue:
    """Returns what `finish_bundle` yields to put a value into a tagged output."""
    window = GlobalWindow()
    return beam.pvalue.TaggedOutput(tag, WindowedValue(value, window.max_timestamp(), [window]))
