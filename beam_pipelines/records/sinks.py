"""Sinks of one worker's bundle: records, raw rows and rejected rows, under temporary names.

A bundle that fails and is tried again leaves files that nobody names; only what `close` returns
is moved into the data set (beam_pipelines/records/parts.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf

from skewless.beam_pipelines.records.encoding import RecordEncoder
from skewless.beam_pipelines.records.parts import Part, create, finished, new_path
from skewless.beam_pipelines.sources import Rejected
from skewless.schemas.records.records import FILE, KEY, ROW

__all__ = ["SHARD_BYTES", "RawRowSink", "RecordSink", "RejectedSink", "ShardFormat"]

SHARD_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True)
class ShardFormat:
    """How records lie in files.

    Attributes:
      shard_bytes: About how large a shard gets.
      compression: `none` or `gzip`.
      rows_per_record: How many rows a record holds.
    """

    shard_bytes: int = SHARD_BYTES
    compression: Literal["none", "gzip"] = "none"
    rows_per_record: int = 1


class RecordSink:
    """TFRecord shards of each split, cut at about `shard_bytes`."""

    def __init__(self, directory: str, format: ShardFormat) -> None:
        self._directory = directory
        self._format = format
        self._open: dict[str, _Shard] = {}
        self._parts: list[Part] = []

    def write(self, split: str, outputs: Mapping[str, np.ndarray], keys: pa.Array) -> None:
        """Appends [rows, ...] transformed rows to the split's shard."""
        self._shard(split).write(outputs, keys)
        self._cut(split)

    def write_encoded(self, split: str, records: list[bytes]) -> None:
        """Appends rows that are serialized already, one a record, to the split's shard."""
        self._shard(split).write_encoded(records)
        self._cut(split)

    def close(self) -> list[Part]:
        """Closes all shards and returns them."""
        parts = self._parts + [self._closed(split) for split in list(self._open)]
        self._parts = []
        return parts

    def _closed(self, split: str) -> Part:
        return finished(self._open.pop(split).close(split), self._directory)

    def _shard(self, split: str) -> _Shard:
        if split not in self._open:
            path = new_path(self._directory, "records")
            self._open[split] = _Shard(path, self._format)
        return self._open[split]

    def _cut(self, split: str) -> None:
        if self._open[split].bytes >= self._format.shard_bytes:
            self._parts.append(self._closed(split))


class _Shard:
    def __init__(self, path: str, format: ShardFormat) -> None:
        self._path = path
        self._encoder = RecordEncoder(format.rows_per_record)
        self._writer = tf.io.TFRecordWriter(path, "GZIP" if format.compression == "gzip" else "")
        # The base class's method: the Python wrapper around it costs as much as the writing.
        self._write = super(tf.io.TFRecordWriter, self._writer).write  # type: ignore[misc]
        self._rows = 0
        self.bytes = 0

    def write(self, outputs: Mapping[str, np.ndarray], keys: pa.Array) -> None:
        self._append(self._encoder.encode(outputs, keys))
        self._rows += len(keys)

    def write_encoded(self, records: list[bytes]) -> None:
        self._append(records)
        self._rows += len(records)

    def close(self, split: str) -> Part:
        self._append(self._encoder.rest())
        self._writer.close()
        size, digest = _size_and_sha256(self._path)
        return Part("records", split, self._path, self._rows, size, digest)

    def _append(self, records: list[bytes]) -> None:
        write = self._write
        for record in records:
            write(record)
        self.bytes += sum(map(len, records)) + 16 * len(records)


def _size_and_sha256(path: str) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with tf.io.gfile.GFile(path, "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


class RawRowSink:
    """Parquet of raw rows, beside the records that they became."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._open: dict[str, _RawFile] = {}

    def write(
        self, split: str, columns: pa.RecordBatch, keys: pa.Array, file: str, numbers: np.ndarray
    ) -> None:
        """Appends rows with their key, file and record number."""
        if not columns.num_rows:
            return
        names = [KEY, FILE, ROW, *columns.schema.names]
        arrays = [keys, pa.array([file] * len(keys)), pa.array(numbers), *columns.columns]
        table = pa.Table.from_arrays(arrays, names=names)
        if split not in self._open:
            self._open[split] = _RawFile(new_path(self._directory, "raw"), table.schema)
        self._open[split].write(table)

    def close(self) -> list[Part]:
        """Closes all files and returns them."""
        parts = [finished(file.close(split), self._directory) for split, file in self._open.items()]
        self._open = {}
        return parts


class _RawFile:
    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._path = path
        self._stream = create(path)
        self._writer = pa.parquet.ParquetWriter(self._stream, schema)
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)
        self._rows += table.num_rows

    def close(self, split: str) -> Part:
        self._writer.close()
        self._stream.close()
        return Part("raw", split, self._path, self._rows)


class RejectedSink:
    """Rejected rows as JSON lines."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._path = ""
        self._file: BinaryIO | None = None
        self._rows = 0

    def write(self, rejected: list[Rejected]) -> None:
        """Appends rejected rows."""
        if not rejected:
            return
        if self._file is None:
            self._path = new_path(self._directory, "rejected")
            self._file = create(self._path)
        for entry in rejected:
            line = json.dumps(asdict(entry), ensure_ascii=False, default=str)
            self._file.write(line.encode("utf-8", "backslashreplace") + b"\n")
        self._rows += len(rejected)

    def close(self) -> list[Part]:
        """Closes the file and returns it, if there is one."""
        if self._file is None:
            return []
        self._file.close()
        part = Part("rejected", "", self._path, self._rows)
        self._file, self._rows = None, 0
        return [finished(part, self._directory)]
