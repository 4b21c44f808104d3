"""Runs: rows in files, sorted by a key, which are read block by block.

A worker sorts as many rows as it may hold and writes them as one file, in which the rows of each
partition lie together. What goes to other workers is a `Run`: the file's name and where in it the
partition lies. It lies where they can read it: in a directory that all see, or in a bucket.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from skewless.schemas.storage.between.files import new_file, opened

__all__ = [
    "KEY",
    "Run",
    "partition_count",
    "read_blocks",
    "write_blocks",
    "write_runs",
    "write_segments",
]

# The column that runs are sorted by: uint64.
KEY = "key"
# A merge holds about two blocks of each run.
_BLOCK_ROWS = 8192
_BLOCK_BYTES = 256 * 1024
# About five million rows a partition, until there are so many that runs fall into small pieces.
_UNITS_A_PARTITION, _MOST_PARTITIONS = 50, 256
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class Run:
    """Sorted rows: the record batches in [begin, end) of an Arrow file at a path or URI."""

    path: str
    begin: int
    end: int


def partition_count(units: int) -> int:
    """Returns how many partitions the rows of so many work units are merged in."""
    return min(max(1, units // _UNITS_A_PARTITION), _MOST_PARTITIONS)


def write_runs(
    table: pa.Table, partitions: np.ndarray, directory: str
) -> Iterator[tuple[int, Run]]:
    """Writes a run of each partition that has rows; yields it with the partition's number.

    Args:
      table: [rows], one column named `KEY`.
      partitions: [rows] int64.
      directory: A path, made where it is not there, or a URI; the file gets a name that no other has.
    """
    order = np.lexsort((table[KEY].to_numpy(), partitions))
    table = table.take(pa.array(order)).combine_chunks()
    ends = np.cumsum(np.bincount(partitions))
    block = _block_rows(table)
    begin = batches = 0
    found = []
    with _new_file(directory, table.schema) as (path, writer):
        for partition, end in enumerate(ends.tolist()):
            if end > begin:
                writer.write_table(table.slice(begin, end - begin), max_chunksize=block)
                more = math.ceil((end - begin) / block)
                found.append((partition, Run(path, batches, batches + more)))
                begin, batches = end, batches + more
    yield from found


def write_blocks(blocks: Iterable[pa.Table], schema: pa.Schema, directory: str) -> Run:
    """Writes tables, which are sorted already, one after the other as one run."""
    batches = 0
    with _new_file(directory, schema) as (path, writer):
        for table in blocks:
            # One chunk is one batch.
            whole = table.combine_chunks()
            size = _block_rows(whole)
            writer.write_table(whole, max_chunksize=size)
            batches += math.ceil(len(whole) / size)
    return Run(path, 0, batches)


def write_segments(
    blocks: Iterable[pa.Table], segment_of: Callable[[pa.Table], np.ndarray], directory: str
) -> list[tuple[int, Run]]:
    """Writes tables, sorted already, into one file; returns where each segment of the rows lies.

    Args:
      blocks: One at least; rows of a segment follow each other.
      segment_of: Gives [rows] int64, the rising segment of each row of a table.
      directory: Where the file is written.
    """
    rest = iter(blocks)
    first = next(rest)
    found: dict[int, Run] = {}
    batches = 0
    with _new_file(directory, first.schema) as (path, writer):
        for table in itertools.chain([first], rest):
            whole = table.combine_chunks()
            size = _block_rows(whole)
            segments = segment_of(whole)
            cuts = np.flatnonzero(np.diff(segments)) + 1
            for begin, end in itertools.pairwise([0, *cuts.tolist(), len(whole)]):
                writer.write_table(whole.slice(begin, end - begin), max_chunksize=size)
                more = math.ceil((end - begin) / size)
                segment = int(segments[begin])
                known = found.get(segment, Run(path, batches, batches))
                batches += more
                found[segment] = Run(path, known.begin, batches)
    return list(found.items())


def read_blocks(run: Run) -> Iterator[pa.Table]:
    """Yields the run's rows in order, some thousands at once."""
    # A file, not a map of it: pages of maps would count as memory of each process that reads them.
    with opened(run.path) as file, pa.ipc.open_file(file) as reader:
        for place in range(run.begin, run.end):
            yield pa.Table.from_batches([reader.get_batch(place)])


@contextlib.contextmanager
def _new_file(
    directory: str, schema: pa.Schema
) -> Iterator[tuple[str, pa.ipc.RecordBatchFileWriter]]:
    """Opens a new Arrow file for writing; yields its name too."""
    with (
        new_file(directory) as (path, name),
        pa.OSFile(path, "wb") as file,
        pa.ipc.new_file(file, schema, options=_OPTIONS) as writer,
    ):
        yield name, writer


def _block_rows(table: pa.Table) -> int:
    """Returns how many rows of a table make a block."""
    row_bytes = max(1, table.nbytes // max(1, len(table)))
    return max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes))
