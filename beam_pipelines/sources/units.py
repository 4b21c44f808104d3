"""What sources hand over: work units, raw batches and rejected rows."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from skewless.schemas.spec.splits import SplitName

__all__ = [
    "MAX_RAW_CHARACTERS",
    "FileState",
    "Format",
    "RawBatch",
    "Rejected",
    "TableFile",
    "WorkUnit",
    "clipped",
    "packed_rows",
]

Format = Literal["csv", "tsv", "jsonl", "parquet", "tfrecord", "avro", "bigquery"]
MAX_RAW_CHARACTERS = 64 * 1024


@dataclass(frozen=True)
class FileState:
    """A file's size and time of last change, or in a bucket the version that its store gave it.

    The time is None where copies of the file may differ.
    """

    bytes: int
    changed: float | str | None


@dataclass(frozen=True)
class TableFile:
    """What a table says of one of its data files.

    Attributes:
      snapshot: The table, and which snapshot of it.
      columns: [(name, type)] of the table, in its order; the file may lack some.
      constants: [(name, value)] of columns that are the same in all rows, where the file lacks them.
      deleted: The places of rows that are deleted, as `packed_rows` gives them.
      ids: [(name, ID)] of columns that files know by IDs; empty where they know them by name.
      stream: What the service calls a stream, where the table is read by streams instead of files.
    """

    snapshot: str
    columns: tuple[tuple[str, pa.DataType], ...]
    constants: tuple[tuple[str, Any], ...] = ()
    deleted: bytes = b""
    ids: tuple[tuple[str, int], ...] = ()
    stream: str = ""

    @property
    def deleted_rows(self) -> np.ndarray:
        """The places, from 0 on, of rows that are deleted: [deleted] int64, ascending."""
        return np.frombuffer(zlib.decompress(self.deleted) if self.deleted else b"", np.int64)


def packed_rows(places: np.ndarray) -> bytes:
    """Returns places of rows, [deleted] int64 and ascending, as `TableFile.deleted`."""
    return zlib.compress(places.astype(np.int64).tobytes(), 1) if len(places) else b""


@dataclass(frozen=True)
class WorkUnit:
    """A piece of one input file that one worker reads from end to end.

    Attributes:
      file: The path, as Beam's filesystems know it.
      format: How the file is read.
      compression: `""`, `"gz"` or `"zst"`.
      start: First byte of records in the decompressed file, or first row group.
      end: End of the half-open range, or None for the rest of the file.
      first_row: 1-based number of the first record, a header and blank lines not counted.
      order: Position among all units: by `--input`, then path, then place in the file.
      split: The split that every row belongs to, when the input named one.
      columns: The header of a delimited file, else empty.
      stretches: [(bytes, records, problem)] that the range of a delimited file falls into, each
        of whole records or one that is not used, and why; where planning found them, else empty,
        and readers look for them. Bytes are of the text in UTF-8.
      encoding: The codec of a delimited file's text; empty for UTF-8.
      state: Of the file when it was planned; None where nobody looks whether it has changed.
      serving: Whether its rows are to be predicted for, without label, weight and split.
      table: The table that the file is part of; None where it is of none.
      past: [(feature, path, begin, end)] of runs that hold its rows' histories; where they are not
        built, or no row has a past, there are none.
    """

    file: str
    format: Format
    compression: str = ""
    start: int = 0
    end: int | None = None
    first_row: int = 1
    order: int = 0
    split: SplitName | None = None
    columns: tuple[str, ...] = ()
    stretches: tuple[tuple[int, int, str | None], ...] = ()
    encoding: str = ""
    state: FileState | None = field(default=None, compare=False)
    serving: bool = False
    table: TableFile | None = None
    past: tuple[tuple[str, str, int, int], ...] = ()


@dataclass(frozen=True)
class Rejected:
    """A row that is not used, and why; `raw` is its text, cut to `MAX_RAW_CHARACTERS`."""

    file: str
    row: int
    key: str | None
    column: str | None
    reason: str
    raw: str | None

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of `rejected/part-*.jsonl`."""
        return dataclasses.asdict(self)


@dataclass
class RawBatch:
    """Rows as read, before any check of their values.

    Attributes:
      unit: Where the rows come from.
      table: [rows] the requested columns that the file has, in native types; binary for text.
      rows: [rows] int64, the 1-based record numbers.
      rejected: Records of this stretch of the file that could not be read as rows.
      raw_text: Gives the text of the row at a position of `table`, for rejections.
      contents: Gives [rows] bytes, all that the file says of each row (`sources.contents`); of
        delimited text and Parquet only where asked for, since every column must be read.
    """

    unit: WorkUnit
    table: pa.RecordBatch
    rows: np.ndarray
    rejected: list[Rejected] = field(default_factory=list)
    raw_text: Callable[[int], str | None] = lambda position: None
    contents: Callable[[], pa.Array] | None = None

    def contents_at(self, places: np.ndarray) -> Callable[[], pa.Array] | None:
        """Returns what gives the contents of some rows only."""
        contents = self.contents
        return None if contents is None else lambda: contents().take(pa.array(places))


def clipped(raw: bytes | str) -> str:
    """Returns `raw` as text fit for a rejection: undecodable bytes escaped, over-long text cut."""
    if isinstance(raw, bytes):
        raw = raw[: 4 * MAX_RAW_CHARACTERS].decode("utf-8", errors="backslashreplace")
    raw = raw.encode("utf-8", errors="backslashreplace").decode("utf-8")
    if len(raw) <= MAX_RAW_CHARACTERS:
        return raw
    return raw[:MAX_RAW_CHARACTERS] + " … (cut)"
