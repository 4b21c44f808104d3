"""Counted values as runs: partitions of all vocabularies together, by a hash of the value.

A table of counted values has the columns owner (int32, the vocabulary's place among the spec's),
token (large_binary) and count (int64). A run's key holds the owner above a part of the value's hash,
so that a merge comes to one vocabulary after the other. Two values may share a key; they are told
apart by their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.analysis.spilled.merged import merged
from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run, write_runs
from skewless.beam_pipelines.analysis.token_counts import Counts
from skewless.beam_pipelines.rows.keys import fingerprint

__all__ = ["COUNTED", "ValueRuns", "counted_table", "merged_values"]

COUNTED = pa.schema([("owner", pa.int32()), ("token", pa.large_binary()), ("count", pa.int64())])
_HASH_BITS = 44
# Of values that wait to be written.
_MOST_VALUES, _MOST_BYTES = 1 << 18, 1 << 26


def counted_table(counts: Iterable[tuple[int, Counts]]) -> pa.Table:
    """Returns [values] counted values, of owners with dictionaries; an owner may come again."""
    tables = [
        pa.table(
            [
                pa.array(np.full(len(found), owner, np.int32)),
                pa.array(list(found), pa.large_binary()),
                pa.array(np.fromiter(found.values(), np.int64, len(found))),
            ],
            schema=COUNTED,
        )
        for owner, found in counts
    ]
    return pa.concat_tables(tables) if tables else COUNTED.empty_table()


class ValueRuns:
    """Writes one worker's counted values to runs, as many at once as it may hold."""

    def __init__(self, directory: str, partitions: int) -> None:
        """Begins with nothing.

        Args:
          directory: Where runs are written.
          partitions: How many partitions there are.
        """
        self._directory = directory
        self._partitions = partitions
        self._waiting: list[pa.Table] = []

    def add(self, counted: pa.Table) -> Iterator[tuple[int, Run]]:
        """Takes counted values; yields the runs that were written, by partition."""
        if len(counted):
            self._waiting.append(counted)
        values = sum(len(table) for table in self._waiting)
        if values >= _MOST_VALUES or sum(table.nbytes for table in self._waiting) >= _MOST_BYTES:
            yield from self.flush()

    def flush(self) -> Iterator[tuple[int, Run]]:
        """Writes what waits; yields the runs, by partition."""
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting).combine_chunks()
        self._waiting = []
        hashes = fingerprint(table["token"].chunk(0))
        owners = table["owner"].to_numpy().astype(np.uint64) << np.uint64(_HASH_BITS)
        keys = owners | hashes >> np.uint64(64 - _HASH_BITS)
        keyed = table.drop_columns("owner").add_column(0, KEY, pa.array(keys))
        partitions = (hashes % np.uint64(self._partitions)).astype(np.int64)
        yield from write_runs(keyed, partitions, self._directory)


def merged_values(runs: Sequence[Run]) -> Iterator[tuple[int, pa.Table]]:
    """Yields counted values of one partition, each value once, with their owner, by rising owner.

    Args:
      runs: Of the partition.
    """
    for table in merged(runs, _summed):
        owners = table[KEY].to_numpy() >> np.uint64(_HASH_BITS)
        begins = np.append(np.flatnonzero(np.diff(owners, prepend=owners[0] + 1)), len(owners))
        for begin, end in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
            yield int(owners[begin]), table.slice(begin, end - begin).drop_columns(KEY)


def _summed(table: pa.Table) -> pa.Table:
    """Returns a table, sorted by key, with one row of each value."""
    keys = table[KEY].to_numpy()
    repeats = np.flatnonzero(keys[1:] == keys[:-1])
    if not len(repeats):
        return table
    tokens = table["token"]
    equal = pc.equal(tokens.take(pa.array(repeats)), tokens.take(pa.array(repeats + 1)))
    if not pc.all(equal).as_py():
        grouped = table.group_by([KEY, "token"], use_threads=False).aggregate([("count", "sum")])
        return grouped.rename_columns([KEY, "token", "count"]).sort_by(KEY)
    first = np.ones(len(keys), bool)
    first[repeats + 1] = False
    begins = np.flatnonzero(first)
    counts = np.add.reduceat(table["count"].to_numpy(), begins)
    return table.take(pa.array(begins)).set_column(2, "count", pa.array(counts))
