"""A segment's file: what it holds beside its records, and the records, each section with its digest."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.running.checked_file import (
    batch_section,
    json_section,
    read_batch_section,
    read_checked,
    read_json_section,
    write_checked,
)
from skewless.beam_pipelines.sources import Rejected
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics
from skewless.schemas.storage.between.panes import brought_here
from skewless.schemas.storage.location import is_uri

__all__ = [
    "PENDING",
    "SEGMENTS",
    "SegmentContents",
    "pending_segments",
    "read_records",
    "read_segment",
    "write_segment",
]

PENDING, SEGMENTS = ".pending", "segments"
_KIND = "segment"
_BESIDE, _NUMBERS, _ROWS, _RECORDS = range(4)
_COLUMN, _LENGTH = "column/", "length/"


@dataclass
class SegmentContents:
    """What a segment's file holds beside its records.

    Attributes:
      file: Where the rows come from; empty where their numbers mean nothing.
      numbers: [read] int64, all record numbers, those of rejected rows too; sorted.
      times: [written] int64 micros.
      keys: [written] string.
      statistics: Of all written rows.
      columns: [written] raw columns of numbers, which records hold as transformed only; all columns
        where histories are to be completed, since the records are made anew then.
      lengths: [written] or [written, numbers] by the transform's output: diagnostics, which records do not
        hold.
    """

    file: str
    numbers: np.ndarray
    times: np.ndarray
    keys: pa.Array
    rejected: list[Rejected]
    statistics: SplitStatistics
    columns: pa.RecordBatch
    lengths: dict[str, np.ndarray]


def write_segment(path: str | Path, contents: SegmentContents, records: list[bytes]) -> None:
    """Writes a segment's file.

    Args:
      path: On this machine.
      contents: Of the rows.
      records: [written] serialized tf.Example.
    """
    write_checked(path, _KIND, _sections(contents, records))


def read_segment(path: str) -> SegmentContents:
    """Reads what a segment holds beside its records, which may be large.

    Raises:
      DataError: If it is not as it was written, or of another version.
    """
    with _at_hand(path) as here:
        beside, numbers, rows = read_checked(here, _KIND, [_BESIDE, _NUMBERS, _ROWS])
    document: dict[str, Any] = read_json_section(beside)
    written = read_batch_section(rows)
    names: list[str] = document["columns"]
    columns = written.select([f"{_COLUMN}{name}" for name in names]).rename_columns(names)
    return SegmentContents(
        file=document["file"],
        numbers=read_batch_section(numbers)["number"].to_numpy(),
        times=written["time"].to_numpy(),
        keys=written["key"],
        rejected=[Rejected(**entry) for entry in document["rejected"]],
        statistics=SplitStatistics.decoded(document["statistics"]),
        columns=columns,
        lengths={name: _values(written[f"{_LENGTH}{name}"]) for name in document["lengths"]},
    )


def read_records(path: str) -> list[bytes]:
    """Returns [written] serialized tf.Example of a segment.

    Raises:
      DataError: If it is not as it was written, or of another version.
    """
    with _at_hand(path) as here:
        [section] = read_checked(here, _KIND, [_RECORDS])
    records: list[bytes] = read_batch_section(section)["record"].to_pylist()
    return records


def pending_segments(directory: str | Path) -> Path:
    """Returns the folder of segments, whose names begin with their window's start and `-`."""
    return Path(directory) / PENDING / SEGMENTS


def _at_hand(path: str) -> AbstractContextManager[str | Path]:
    """Gives a segment's file on this machine."""
    return brought_here(path) if is_uri(path) else nullcontext(path)


def _sections(contents: SegmentContents, records: list[bytes]) -> list[bytes | pa.Buffer]:
    columns, lengths = contents.columns, contents.lengths
    beside = {
        "file": contents.file,
        "rejected": [asdict(entry) for entry in contents.rejected],
        "statistics": contents.statistics.encoded(),
        "columns": columns.schema.names,
        "lengths": list(lengths),
    }
    rows = {
        "time": pa.array(contents.times),
        "key": contents.keys,
        **{f"{_COLUMN}{name}": columns.column(name) for name in columns.schema.names},
        **{f"{_LENGTH}{name}": _array(values) for name, values in lengths.items()},
    }
    return [
        json_section(beside),
        batch_section(pa.record_batch({"number": contents.numbers})),
        batch_section(pa.record_batch(rows)),
        batch_section(pa.record_batch({"record": pa.array(records, pa.large_binary())})),
    ]


def _array(values: np.ndarray) -> pa.Array:
    """Returns [rows] values, or [rows, numbers] as lists of one size."""
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _values(array: pa.Array) -> np.ndarray:
    """Returns what `_array` was given."""
    if not pa.types.is_fixed_size_list(array.type):
        values: np.ndarray = array.to_numpy()
        return values
    flat: np.ndarray = array.flatten().to_numpy()
    return flat.reshape(len(array), array.type.list_size)
