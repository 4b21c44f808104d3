"""TFRecord files of tf.Example: list columns, as the examples hold them."""

from __future__ import annotations

import contextlib
import itertools
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.sources.formats.jsonl_reader import number_text
from skewless.beam_pipelines.sources.streams import BrokenStreamError, chunks
from skewless.beam_pipelines.sources.units import RawBatch, Rejected, WorkUnit, clipped
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.rows.reasons import undecompressed, unread

__all__ = ["decode_examples", "names_of_examples", "read_tfrecord"]

BATCH_ROWS = 8_192
BATCH_BYTES = 32 * 1024 * 1024
MAX_RECORD_BYTES = 1 << 31
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")


def read_tfrecord(unit: WorkUnit, columns: Mapping[str, RawColumn]) -> Iterator[RawBatch]:
    """Yields the file's examples; damaged records are rejected, each or as a tail."""
    row = unit.first_row
    rows: list[int] = []
    gathered: list[bytes] = []
    rejected: list[Rejected] = []
    size = 0
    for record in _framed(unit):
        if isinstance(record, str):
            rejected.append(Rejected(unit.file, row, None, None, record, None))
        else:
            gathered.append(record)
            rows.append(row)
            size += len(record)
        row += 1
        if len(gathered) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield decode_examples(unit, gathered, rows, rejected, columns)
            gathered, rows, rejected, size = [], [], [], 0
    if gathered or rejected:
        yield decode_examples(unit, gathered, rows, rejected, columns)


def names_of_examples(unit: WorkUnit, records: int = 200) -> list[str]:
    """Returns the names of the features of the unit's first records, in alphabetical order."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example

    names: set[str] = set()
    for record in itertools.islice(_framed(unit), records):
        if isinstance(record, bytes):
            with contextlib.suppress(DecodeError):
                names.update(Example.FromString(record).features.feature)
    return sorted(names)


def _framed(unit: WorkUnit) -> Iterator[bytes | str]:
    """Yields each record's bytes, or in its place why it cannot be read."""
    data = bytearray()
    source = chunks(unit.file, unit.compression, unit.start, unit.end)
    problem = ""
    ended = False
    position = 0

    def fill(wanted: int) -> bool:
        nonlocal position, ended, problem
        while len(data) - position < wanted and not ended:
            try:
                chunk = next(source, None)
            except BrokenStreamError as error:
                problem, chunk = f" ({error})", None
            if chunk is None:
                ended = True
            else:
                del data[:position]
                position = 0
                data.extend(chunk)
        return len(data) - position >= wanted

    while fill(1):
        if not fill(_HEADER.size):
            yield unread(f"the file ends inside a record's header{problem}")
            return
        length, checksum = _HEADER.unpack_from(data, position)
        if _masked(bytes(data[position : position + 8])) != checksum or length > MAX_RECORD_BYTES:
            yield unread("a record's length fails its checksum")
            return
        if not fill(_HEADER.size + length + _CHECKSUM.size):
            yield unread(f"the file ends inside a record{problem}")
            return
        start = position + _HEADER.size
        record = bytes(data[start : start + length])
        (checksum,) = _CHECKSUM.unpack_from(data, start + length)
        position = start + length + _CHECKSUM.size
        yield record if _masked(record) == checksum else "the record fails its checksum"
    if problem:
        yield undecompressed(problem.strip(" ()"))


def _masked(data: bytes) -> int:
    value = google_crc32c.value(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def decode_examples(
    unit: WorkUnit,
    records: list[bytes],
    rows: list[int],
    rejected: list[Rejected],
    columns: Mapping[str, RawColumn],
) -> RawBatch:
    """Decodes serialized examples.

    Args:
      unit: Where they come from.
      records: [rows] serialized tf.Example; one that is none is rejected.
      rows: [rows] their record numbers.
      rejected: What was rejected before, to go with them.
      columns: The columns to read, by name.
    """
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    numbers = np.array(rows, np.int64)

    def text(at: int) -> str:
        from tensorflow.core.example.example_pb2 import Example

        return clipped(str(Example.FromString(records[at])))

    try:
        table = ExamplesToRecordBatchDecoder(None).DecodeBatch(np.array(records, dtype=object))
        held = set(table.schema.names)
        present = [name for name in columns if name in held]
        arrays = [table.column(name) for name in present]
        if not arrays:
            present, arrays = [""], [pa.nulls(len(records))]
        return RawBatch(
            unit,
            pa.RecordBatch.from_arrays(arrays, names=present),
            numbers,
            rejected,
            text,
            lambda: pa.array(records, pa.large_binary()),
        )
    except Exception:
        return _one_by_one(unit, records, numbers, rejected, columns)


def _narrow_text(value: float) -> bytes | None:
    """Returns a float32 as text, as it is where a whole batch is decoded at once."""
    if math.isnan(value):
        return None
    whole = value.is_integer() and abs(value) < 1e15
    return (str(int(value)) if whole else str(np.float32(value))).encode()


def _exact_text(value: float) -> bytes | None:
    """Returns a float32 as text that reads as that very number, 1e16 and -0.0 too."""
    if math.isnan(value):
        return None
    whole = value.is_integer() and 0 < abs(value) < 2**63
    return (str(int(value)) if whole else repr(value)).encode()


def _array(column: list[list[Any] | None], read_as: RawColumn) -> pa.Array:
    """Builds a column from the values of examples one by one.

    Values of one type stay what they are, as where the whole batch is decoded at once: what becomes
    of a value never depends on other rows. Only a column that mixes types is text throughout.
    """
    types = {type(item) for values in column for item in values or ()}
    if types == {int}:
        return pa.array(column, pa.large_list(pa.int64()))
    if types == {float}:
        return pa.array(column, pa.large_list(pa.float32()))
    float_text = _narrow_text if read_as.kind == "string" else _exact_text
    texts = [
        None
        if values is None
        else [
            item
            if isinstance(item, bytes)
            else float_text(item)
            if isinstance(item, float)
            else number_text(item).encode()
            for item in values
        ]
        for values in column
    ]
    return pa.array(texts, pa.large_list(pa.large_binary()))


def _one_by_one(
    unit: WorkUnit,
    records: list[bytes],
    numbers: np.ndarray,
    rejected: list[Rejected],
    columns: Mapping[str, RawColumn],
) -> RawBatch:
    """Decodes examples that differ in their types, or of which some are damaged."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example

    kept: list[int] = []
    values: dict[str, list[list[Any] | None]] = {name: [] for name in columns}
    rejected = list(rejected)
    for at, record in enumerate(records):
        try:
            features = Example.FromString(record).features.feature
        except DecodeError as error:
            rejected.append(
                Rejected(
                    unit.file,
                    int(numbers[at]),
                    None,
                    None,
                    f"not a tf.Example: {error}",
                    clipped(record),
                )
            )
            continue
        kept.append(at)
        for name, column in values.items():
            kind = features[name].WhichOneof("kind") if name in features else None
            column.append(None if kind is None else list(getattr(features[name], kind).value))
    arrays = [_array(column, columns[name]) for name, column in values.items()]
    names = list(values)
    if not arrays:
        names, arrays = [""], [pa.nulls(len(kept))]
    table = pa.RecordBatch.from_arrays(arrays, names=names)
    return RawBatch(
        unit,
        table,
        numbers[kept],
        rejected,
        lambda at: clipped(str(Example.FromString(records[kept[at]]))),
        lambda: pa.array([records[at] for at in kept], pa.large_binary()),
    )
