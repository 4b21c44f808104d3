"""Duplicates: of the valid rows with one key, the first in file order is kept.

Hashes of keys are grouped by bucket, so that no worker holds more than its buckets; what comes
out are the record numbers to leave out, per work unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np

from beam_pipelines.analysis_cache import AnalysisCache, UnitKeys
from beam_pipelines.keys import wide_fingerprint
from beam_pipelines.progress import Progress
from beam_pipelines.rows import rows_of
from beam_pipelines.sources import WorkUnit
from schemas.spec import Spec

__all__ = ["FindDuplicates"]

_BUCKETS = 64
Entry = tuple[int, np.ndarray, np.ndarray]


class FindDuplicates(beam.PTransform):
    """[work units] -> one {unit order: [count] int64 sorted record numbers to leave out}."""

    def __init__(self, spec: Spec, cache: AnalysisCache | None = None) -> None:
        super().__init__()
        self._spec = spec
        self._cache = cache

    def expand(self, units: beam.PCollection) -> beam.PCollection:
        return (
            units
            | "HashKeys" >> beam.FlatMap(_hashed_keys, self._spec, self._cache)
            | "GroupByBucket" >> beam.GroupByKey()
            | "KeepFirstOfEachKey" >> beam.FlatMap(_later_rows)
            | "GatherByUnit" >> beam.CombineGlobally(_GatherByUnit())
        )


def _hashed_keys(
    unit: WorkUnit, spec: Spec, cache: AnalysisCache | None = None
) -> Iterator[tuple[int, Entry]]:
    found: Iterable[UnitKeys]
    if cache is None:
        found = _read_keys(unit, spec)
    else:
        found = [cache.keys(unit, lambda: _together(_read_keys(unit, spec)))]
    for keys in found:
        buckets = (keys.hashes[:, 0] % np.uint64(_BUCKETS)).astype(np.int64)
        for bucket in np.unique(buckets):
            chosen = buckets == bucket
            yield int(bucket), (unit.order, keys.numbers[chosen], keys.hashes[chosen])


def _read_keys(unit: WorkUnit, spec: Spec) -> Iterator[UnitKeys]:
    progress = Progress(f"comparing keys of {unit.file}")
    for rows in rows_of(unit, spec):
        progress.advance(rows.read)
        yield UnitKeys(rows.numbers, wide_fingerprint(rows.keys))


def _together(batches: Iterable[UnitKeys]) -> UnitKeys:
    found = list(batches)
    none = UnitKeys(np.empty(0, np.int64), np.empty((0, 2), np.uint64))
    return UnitKeys(
        np.concatenate([none.numbers, *(keys.numbers for keys in found)]),
        np.concatenate([none.hashes, *(keys.hashes for keys in found)]),
    )


def _later_rows(bucket: tuple[int, Iterable[Entry]]) -> Iterator[tuple[int, np.ndarray]]:
    entries = sorted(bucket[1], key=lambda entry: (entry[0], int(entry[1][0])))
    orders = np.concatenate([np.full(len(rows), order) for order, rows, _ in entries])
    numbers = np.concatenate([rows for _, rows, _ in entries])
    hashes = np.concatenate([hashes for _, _, hashes in entries])
    # lexsort is stable: rows of one key stay in file order.
    ranking = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ranked = hashes[ranking]
    repeated = np.concatenate([[False], (ranked[1:] == ranked[:-1]).all(axis=1)])
    later = ranking[repeated]
    for order in np.unique(orders[later]):
        yield int(order), numbers[later][orders[later] == order]


class _GatherByUnit(beam.CombineFn):
    def create_accumulator(self) -> dict[int, list[np.ndarray]]:
        return {}

    def add_input(
        self, accumulator: dict[int, list[np.ndarray]], found: tuple[int, np.ndarray]
    ) -> dict[int, list[np.ndarray]]:
        accumulator.setdefault(found[0], []).append(found[1])
        return accumulator

    def merge_accumulators(
        self, accumulators: Iterable[dict[int, list[np.ndarray]]]
    ) -> dict[int, list[np.ndarray]]:
        total: dict[int, list[np.ndarray]] = {}
        for accumulator in accumulators:
            for order, numbers in accumulator.items():
                total.setdefault(order, []).extend(numbers)
        return total

    def extract_output(self, accumulator: dict[int, list[np.ndarray]]) -> dict[int, np.ndarray]:
        return {order: np.sort(np.concatenate(found)) for order, found in accumulator.items()}
