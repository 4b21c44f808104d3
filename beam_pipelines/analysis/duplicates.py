"""Duplicates: of the valid rows with one key, the first in file order is kept.

    keys of all records -> those that repeat -> which of their rows are valid -> all but the first

Only the key column is read and no row is checked until a key is known to repeat, which few do.
Hashes of keys are grouped by bucket, so that no worker holds more than its buckets; what comes
out are the record numbers to leave out, per work unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from skewless.beam_pipelines.analysis.cache import AnalysisCache, UnitKeys
from skewless.beam_pipelines.rows.keys import wide_fingerprint
from skewless.beam_pipelines.rows.read_rows import keys_of, rows_of
from skewless.beam_pipelines.running.job_progress import Tally, progress_of
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.schemas.spec.spec import Spec

__all__ = ["COMPARING_KEYS", "FindDuplicates"]

COMPARING_KEYS = "comparing keys"
_BUCKETS = 64
Entry = tuple[int, np.ndarray, np.ndarray]


class FindDuplicates(beam.PTransform):
    """[work units] -> one {unit order: [count] int64 sorted record numbers to leave out}."""

    def __init__(
        self, spec: Spec, cache: AnalysisCache | None = None, tally: Tally | None = None
    ) -> None:
        super().__init__()
        self._spec = spec
        self._cache = cache
        self._tally = tally

    def expand(self, units: beam.PCollection) -> beam.PCollection:
        repeated = (
            units
            | "HashKeys" >> beam.FlatMap(_hashed_keys, self._spec, self._cache, self._tally)
            | "GroupByBucket" >> beam.GroupByKey()
            | "FindRepeatedKeys" >> beam.FlatMap(_repeated_rows)
            | "GatherRepeated" >> beam.CombineGlobally(_GatherByUnit())
        )
        return (
            units
            | "CheckRepeated" >> beam.FlatMap(_valid_rows, self._spec, AsSingleton(repeated))
            | "GroupValidByBucket" >> beam.GroupByKey()
            | "KeepFirstOfEachKey" >> beam.FlatMap(_later_rows)
            | "GatherByUnit" >> beam.CombineGlobally(_GatherByUnit())
        )


@tells_its_place
def _hashed_keys(
    unit: WorkUnit,
    spec: Spec,
    cache: AnalysisCache | None = None,
    tally: Tally | None = None,
) -> Iterator[tuple[int, Entry]]:
    found: Iterable[UnitKeys]
    if cache is None:
        found = _read_keys(unit, spec)
    else:
        found = [cache.keys(unit, lambda: _together(_read_keys(unit, spec)))]
    progress = progress_of(COMPARING_KEYS, tally)
    rows = 0
    for keys in found:
        yield from _by_bucket(unit, keys)
        rows += len(keys.numbers)
        progress.advance(len(keys.numbers))
    progress.finish(unit, rows)


def _read_keys(unit: WorkUnit, spec: Spec) -> Iterator[UnitKeys]:
    for numbers, keys in keys_of(unit, spec):
        yield UnitKeys(numbers, wide_fingerprint(keys))


def _by_bucket(unit: WorkUnit, keys: UnitKeys) -> Iterator[tuple[int, Entry]]:
    buckets = (keys.hashes[:, 0] % np.uint64(_BUCKETS)).astype(np.int64)
    for bucket in np.unique(buckets):
        chosen = buckets == bucket
        yield int(bucket), (unit.order, keys.numbers[chosen], keys.hashes[chosen])


@tells_its_place
def _valid_rows(
    unit: WorkUnit, spec: Spec, repeated: dict[int, np.ndarray]
) -> Iterator[tuple[int, Entry]]:
    if unit.order in repeated:
        for rows in rows_of(unit, spec, only=repeated[unit.order]):
            yield from _by_bucket(unit, UnitKeys(rows.numbers, wide_fingerprint(rows.keys)))


def _together(batches: Iterable[UnitKeys]) -> UnitKeys:
    found = list(batches)
    none = UnitKeys(np.empty(0, np.int64), np.empty((0, 2), np.uint64))
    return UnitKeys(
        np.concatenate([none.numbers, *(keys.numbers for keys in found)]),
        np.concatenate([none.hashes, *(keys.hashes for keys in found)]),
    )


def _repeated_rows(bucket: tuple[int, Iterable[Entry]]) -> Iterator[tuple[int, np.ndarray]]:
    orders, numbers, ranking, repeats = _ranked(bucket[1])
    # The first row of a repeated key is the one before its second.
    of_repeated = repeats | np.append(repeats[1:], False)
    yield from _numbers_by_unit(orders, numbers, ranking[of_repeated])


def _later_rows(bucket: tuple[int, Iterable[Entry]]) -> Iterator[tuple[int, np.ndarray]]:
    orders, numbers, ranking, repeats = _ranked(bucket[1])
    yield from _numbers_by_unit(orders, numbers, ranking[repeats])


def _ranked(
    entries: Iterable[Entry],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns [rows] unit orders, numbers, a ranking by key and whether a ranked row repeats one.

    Rows of one key rank in file order.
    """
    entries = sorted(entries, key=lambda entry: (entry[0], int(entry[1][0])))
    orders = np.concatenate([np.full(len(rows), order) for order, rows, _ in entries])
    numbers = np.concatenate([rows for _, rows, _ in entries])
    hashes = np.concatenate([hashes for _, _, hashes in entries])
    # lexsort is stable.
    ranking = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ranked = hashes[ranking]
    repeats = np.concatenate([[False], (ranked[1:] == ranked[:-1]).all(axis=1)])
    return orders, numbers, ranking, repeats


def _numbers_by_unit(
    orders: np.ndarray, numbers: np.ndarray, chosen: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    for order in np.unique(orders[chosen]):
        yield int(order), numbers[chosen][orders[chosen] == order]


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
