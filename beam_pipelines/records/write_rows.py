"""The writing stage: each work unit is read, transformed, encoded and written in one place.

No row leaves the worker that read it: what comes out are the names of finished files, an
account of each unit and statistics.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.utils.windowed_value import WindowedValue

from skewless.beam_pipelines.records.accounting import UnitAccount
from skewless.beam_pipelines.records.sinks import RawRowSink, RecordSink, RejectedSink, ShardFormat
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.rows.seen_labels import count_labels
from skewless.beam_pipelines.rows.unknown_classes import reject_unknown_classes
from skewless.beam_pipelines.running.job_progress import Tally, progress_of
from skewless.beam_pipelines.running.tagged import tagged
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics
from skewless.beam_pipelines.transform.graph import TransformGraph, opened_graph
from skewless.schemas.rows.reasons import kind_of
from skewless.schemas.spec.spec import Spec
from skewless.schemas.spec.splits import SPLITS
from skewless.schemas.storage.between.files import folder_at_hand

__all__ = ["ACCOUNTS", "PARTS", "STATISTICS", "WRITING", "WriteRows"]

WRITING = "writing"
PARTS, ACCOUNTS, STATISTICS = "parts", "accounts", "statistics"
_SAMPLED_TRAIN_ROWS = 64
_LOGGER = logging.getLogger(__name__)


class WriteRows(beam.DoFn):
    """Work units to finished files (`PARTS`), accounts (`ACCOUNTS`) and `STATISTICS`."""

    def __init__(
        self,
        spec: Spec,
        directory: str,
        shards: ShardFormat,
        tally: Tally | None = None,
    ) -> None:
        self._spec = spec
        self._directory = directory
        self._shards = shards
        self._tally = tally
        self._graph: tuple[str, TransformGraph] | None = None

    def start_bundle(self) -> None:
        """Opens fresh sinks: a bundle that is tried again must not see the first try's files."""
        self._records = RecordSink(self._directory, self._shards)
        self._raw = RawRowSink(self._directory)
        self._rejected = RejectedSink(self._directory)
        self._accounts: list[UnitAccount] = []
        self._statistics: dict[str, SplitStatistics] = {}
        self._progress = progress_of(WRITING, self._tally)

    @tells_its_place
    def process(
        self, unit: WorkUnit, saved_model: str, duplicates: dict[int, np.ndarray]
    ) -> Iterator[Any]:
        """Writes one unit."""
        if self._graph is None or self._graph[0] != saved_model:
            graph = opened_graph(self._spec, folder_at_hand(saved_model))
            self._graph = (saved_model, graph)
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
            masks = {split: rows.splits == place for place, split in enumerate(SPLITS)}
            by_split = {split: rows.take(mask) for split, mask in masks.items()}
            count_labels(self._spec, account.labels, by_split["train"].columns, rejected)
            for split, here in by_split.items():
                keep = here.columns.num_rows
                if not keep:
                    continue
                transformed = {name: value[masks[split]] for name, value in outputs.items()}
                self._records.write(split, transformed, here.keys)
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
