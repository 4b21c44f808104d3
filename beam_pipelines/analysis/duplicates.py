"""Duplicates: of the valid rows with one key, the first in file order is kept.

    keys of all records -> those that repeat -> which of their rows are valid -> all but the first

Only the key column is read and no row is checked until a key is known to repeat, which few do.
Hashes of keys go as sorted runs to the partition that compares them, block by block; what comes out
are the record numbers to leave out, per work unit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsSingleton
from apache_beam.utils.windowed_value import WindowedValue

from skewless.beam_pipelines.analysis.cache import AnalysisCache, UnitKeys
from skewless.beam_pipelines.analysis.spilled.merged import merged
from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run, write_runs
from skewless.beam_pipelines.rows.keys import wide_fingerprint
from skewless.beam_pipelines.rows.read_rows import keys_of, rows_of
from skewless.beam_pipelines.running.job_progress import Tally, progress_of
from skewless.beam_pipelines.running.tagged import at_the_end
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.schemas.spec.spec import Spec

__all__ = ["COMPARING_KEYS", "FindDuplicates"]

COMPARING_KEYS = "comparing keys"
# What one worker holds before it writes a run: 32 bytes each.
_MOST_KEYS = 1 << 20
# Where a row lies, beside the two halves of its key's hash.
_SECOND, _ORDER, _NUMBER = "second", "order", "number"


class FindDuplicates(beam.PTransform):
    """[work units] -> one {unit order: [count] int64 sorted record numbers to leave out}."""

    def __init__(
        self,
        spec: Spec,
        directory: str,
        partitions: int = 1,
        cache: AnalysisCache | None = None,
        tally: Tally | None = None,
    ) -> None:
        """Prepares the steps.

        Args:
          spec: The declaration.
          directory: Where runs of keys are written, seen by all workers.
          partitions: How many partitions keys are compared in.
          cache: What earlier jobs have kept.
          tally: Where workers count.
        """
        super().__init__()
        self._spec = spec
        self._directory = os.path.join(directory, "keys")
        self._partitions = partitions
        self._cache = cache
        self._tally = tally

    def expand(self, units: beam.PCollection) -> beam.PCollection:
        keys = _KeysOfUnits(self._spec, self._directory, self._partitions, self._cache, self._tally)
        repeated = (
            units
            | "HashKeys" >> beam.ParDo(keys)
            | "GroupByPartition" >> beam.GroupByKey()
            | "FindRepeatedKeys" >> beam.FlatMap(_repeated_rows)
            | "GatherRepeated" >> beam.CombineGlobally(_GatherByUnit())
        )
        valid = _KeysOfValidRows(self._spec, self._directory, self._partitions)
        return (
            units
            | "CheckRepeated" >> beam.ParDo(valid, AsSingleton(repeated))
            | "GroupValidByPartition" >> beam.GroupByKey()
            | "KeepFirstOfEachKey" >> beam.FlatMap(_later_rows)
            | "GatherByUnit" >> beam.CombineGlobally(_GatherByUnit())
        )


class _KeyRuns(beam.DoFn):
    """Work units to runs of hashed keys, by partition."""

    def __init__(
        self,
        spec: Spec,
        directory: str,
        partitions: int,
        cache: AnalysisCache | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._spec = spec
        self._directory = directory
        self._partitions = partitions
        self._cache = cache
        self._tally = tally

    def start_bundle(self) -> None:
        """Begins with nothing."""
        self._waiting: list[tuple[int, UnitKeys]] = []
        self._keys = 0

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Writes what waits."""
        for run in self._written():
            yield at_the_end(run)

    def _add(self, unit: WorkUnit, keys: UnitKeys) -> Iterator[tuple[int, Run]]:
        if len(keys.numbers):
            self._waiting.append((unit.order, keys))
            self._keys += len(keys.numbers)
        if self._keys >= _MOST_KEYS:
            yield from self._written()

    def _written(self) -> Iterator[tuple[int, Run]]:
        if not self._waiting:
            return
        hashes = np.concatenate([keys.hashes for _, keys in self._waiting])
        table = pa.table(
            {
                KEY: hashes[:, 0],
                _SECOND: hashes[:, 1],
                _ORDER: np.concatenate(
                    [np.full(len(keys.numbers), order) for order, keys in self._waiting]
                ),
                _NUMBER: np.concatenate([keys.numbers for _, keys in self._waiting]),
            }
        )
        self._waiting, self._keys = [], 0
        partitions = (hashes[:, 0] % np.uint64(self._partitions)).astype(np.int64)
        yield from write_runs(table, partitions, self._directory)


class _KeysOfUnits(_KeyRuns):
    """Keys of all records."""

    @tells_its_place
    def process(self, unit: WorkUnit) -> Iterator[tuple[int, Run]]:
        """Hashes the keys of one unit."""
        found: Iterable[UnitKeys]
        if self._cache is None:
            found = _read_keys(unit, self._spec)
        else:
            found = [self._cache.keys(unit, lambda: _together(_read_keys(unit, self._spec)))]
        progress = progress_of(COMPARING_KEYS, self._tally)
        rows = 0
        for keys in found:
            yield from self._add(unit, keys)
            rows += len(keys.numbers)
            progress.advance(len(keys.numbers))
        progress.finish(unit, rows)


class _KeysOfValidRows(_KeyRuns):
    """Keys of the valid ones among given records."""

    @tells_its_place
    def process(self, unit: WorkUnit, repeated: dict[int, np.ndarray]) -> Iterator[tuple[int, Run]]:
        """Checks the given records of one unit, and hashes the keys of those that are valid."""
        if unit.order in repeated:
            for rows in rows_of(unit, self._spec, only=repeated[unit.order]):
                yield from self._add(unit, UnitKeys(rows.numbers, wide_fingerprint(rows.keys)))


def _read_keys(unit: WorkUnit, spec: Spec) -> Iterator[UnitKeys]:
    for numbers, keys in keys_of(unit, spec):
        yield UnitKeys(numbers, wide_fingerprint(keys))


def _together(batches: Iterable[UnitKeys]) -> UnitKeys:
    found = list(batches)
    none = UnitKeys(np.empty(0, np.int64), np.empty((0, 2), np.uint64))
    return UnitKeys(
        np.concatenate([none.numbers, *(keys.numbers for keys in found)]),
        np.concatenate([none.hashes, *(keys.hashes for keys in found)]),
    )


def _repeated_rows(partition: tuple[int, Iterable[Run]]) -> Iterator[tuple[int, np.ndarray]]:
    for orders, numbers, repeats in _ranked(partition[1]):
        # The first row of a repeated key is the one before its second.
        of_repeated = repeats | np.append(repeats[1:], False)
        yield from _numbers_by_unit(orders[of_repeated], numbers[of_repeated])


def _later_rows(partition: tuple[int, Iterable[Run]]) -> Iterator[tuple[int, np.ndarray]]:
    for orders, numbers, repeats in _ranked(partition[1]):
        yield from _numbers_by_unit(orders[repeats], numbers[repeats])


def _ranked(runs: Iterable[Run]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields [rows] unit orders, numbers and whether a row repeats the key of the one before.

    Rows that may share their key with another: by key, those of one key in file order.
    """
    for table in merged(list(runs)):
        same = np.diff(table[KEY].to_numpy()) == 0
        shared = np.append(same, False) | np.append(False, same)
        if not shared.any():
            continue
        found = table.filter(pa.array(shared))
        first, second, orders, numbers = (
            found[name].to_numpy() for name in (KEY, _SECOND, _ORDER, _NUMBER)
        )
        ranking = np.lexsort((numbers, orders, second, first))
        first, second = first[ranking], second[ranking]
        repeats = np.append(False, (first[1:] == first[:-1]) & (second[1:] == second[:-1]))
        yield orders[ranking], numbers[ranking], repeats


def _numbers_by_unit(orders: np.ndarray, numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for order in np.unique(orders):
        yield int(order), numbers[orders == order]


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
