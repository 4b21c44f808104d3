"""Where a sample is read: pieces of whole records, spread evenly over all files.

A piece is a work unit, so that the readers of `preprocess` read it. Delimited text, JSON lines,
TFRecords and Avro are entered at any byte and followed to the next place where a record begins; of Parquet
the beginning of a row group is read; a compressed file cannot be entered, so only its head is
read, unpacked into a temporary file.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from skewless.beam_pipelines.sources.avro.container import read_header
from skewless.beam_pipelines.sources.files import file_bytes
from skewless.beam_pipelines.sources.formats.csv_blocks import blocks
from skewless.beam_pipelines.sources.formats.encodings import as_utf8
from skewless.beam_pipelines.sources.formats.parquet_reader import open_parquet
from skewless.beam_pipelines.sources.formats.text_blocks import MAX_RECORD_BYTES
from skewless.beam_pipelines.sources.read import read
from skewless.beam_pipelines.sources.streams import (
    CHUNK_BYTES,
    BrokenStreamError,
    chunks,
    decompressed,
    open_raw,
)
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.errors import DataError
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.spec.spec import Spec

__all__ = ["Text", "pieces_of_parquet", "pieces_of_text", "transcoded", "unpacked"]

_PIECES = 24
_FEWEST = 3
_PIECE_BYTES = 1024 * 1024
_READ_WHOLE_BYTES = 48 * 1024 * 1024
_UNPACKED_BYTES = 32 * 1024 * 1024
_CANDIDATES = 12
_TFRECORD_HEADER = struct.Struct("<QI")


@dataclass(frozen=True)
class Text:
    """A file whose bytes can be entered anywhere.

    Attributes:
      unit: The file, uncompressed; of delimited text with its header's columns and end.
      bytes: The bytes after the header that can be read.
      stands_for: The bytes that they were taken from: more, where only a head was unpacked.
    """

    unit: WorkUnit
    bytes: int
    stands_for: float


def unpacked(whole: WorkUnit, folder: str) -> tuple[WorkUnit, float]:
    """Unpacks the head of a compressed file into `folder`.

    Returns:
      The uncompressed file, and about how many times as long the whole would be.
    """
    path = os.path.join(folder, f"{len(os.listdir(folder))}.{whole.format}")
    written, share = 0, 1.0
    with open_raw(whole.file) as packed, Path(path).open("wb") as head:
        try:
            for chunk in decompressed(packed, whole.compression):
                head.write(chunk)
                written += len(chunk)
                if written >= _UNPACKED_BYTES:
                    share = min(1.0, packed.tell() / file_bytes(whole.file))
                    break
        except BrokenStreamError as error:
            # preprocess refuses the damaged rest; what came before tells enough to begin with.
            if not written:
                raise DataError(
                    f"{whole.file}: cannot be decompressed: {error}; write the file again"
                ) from error
    return dataclasses.replace(whole, file=path, compression=""), 1 / share


def transcoded(whole: WorkUnit, folder: str) -> tuple[WorkUnit, float]:
    """Writes the head of an uncompressed file's records into `folder`, as UTF-8.

    Returns:
      That file, and about how many times as long the whole would be.
    """
    path = os.path.join(folder, f"{len(os.listdir(folder))}.{whole.format}")
    end = whole.start + _UNPACKED_BYTES
    with Path(path).open("wb") as head:
        for text in as_utf8(chunks(whole.file, "", whole.start, end), whole.encoding):
            head.write(text)
    size = file_bytes(whole.file)
    share = min(1.0, _UNPACKED_BYTES / max(1, size - whole.start))
    return dataclasses.replace(whole, file=path, start=0, encoding=""), 1 / share


def pieces_of_text(files: Sequence[Text], spec: Spec) -> tuple[list[WorkUnit], float]:
    """Returns pieces of whole records and by how much all their rows stand for more.

    A file, or several, of up to 48 MiB in all are read whole. Of records of a megabyte and more
    there are three pieces of 8 MiB, or larger ones.
    """
    total = sum(file.bytes for file in files)
    stands_for = sum(file.stands_for for file in files)
    size = _size(files[0], spec) if total > CHUNK_BYTES else _PIECE_BYTES
    if total <= _READ_WHOLE_BYTES and size == _PIECE_BYTES:
        return [file.unit for file in files], max(1.0, stands_for / max(total, 1))
    ends = np.cumsum([file.bytes for file in files])
    pieces: list[WorkUnit] = []
    taken = 0
    count = _PIECES if size == _PIECE_BYTES else max(1, min(_FEWEST, total // size))
    for place in np.linspace(0, max(0, total - size), count).astype(np.int64).tolist():
        index = int(np.searchsorted(ends, place, side="right"))
        file = files[index]
        offset = place - int(ends[index]) + file.bytes
        piece = _piece(file, offset, spec, size)
        if piece is not None:
            pieces.append(piece)
            taken += (piece.end or 0) - piece.start
    return pieces, stands_for / max(taken, 1)


def pieces_of_parquet(files: Sequence[WorkUnit]) -> tuple[list[WorkUnit], int]:
    """Returns row groups, one a unit and evenly spread, and the rows of all files."""
    groups: list[WorkUnit] = []
    rows = 0
    for whole in files:
        with open_parquet(whole.file) as footer:
            first = 1
            for index in range(footer.num_row_groups):
                group = dataclasses.replace(whole, start=index, end=index + 1, first_row=first)
                groups.append(group)
                first += footer.metadata.row_group(index).num_rows
        rows += first - 1 - (0 if whole.table is None else len(whole.table.deleted_rows))
    chosen = np.unique(np.linspace(0, max(0, len(groups) - 1), _PIECES).astype(int))
    return [groups[place] for place in chosen.tolist() if groups], rows


def _size(file: Text, spec: Spec) -> int:
    """Returns the bytes of a piece: more than `_PIECE_BYTES` where that holds no whole record."""
    size = _PIECE_BYTES
    while size < 2 * MAX_RECORD_BYTES and size < file.bytes and not _piece(file, 0, spec, size):
        size *= 2
    # Entered anywhere: as much again up to where a record begins. A table of very many columns costs
    # seconds a read, however few rows it has.
    return size if size == _PIECE_BYTES else max(2 * size, CHUNK_BYTES)


def _piece(file: Text, offset: int, spec: Spec, size: int) -> WorkUnit | None:
    """Returns whole records of about `size` bytes from `offset` of the file's records on."""
    begin = file.unit.start + offset
    data = b"".join(chunks(file.unit.file, "", begin, begin + size))
    if file.unit.format == "jsonl":
        bounds = _lines_piece(data)
    elif file.unit.format == "tfrecord":
        bounds = _tfrecord_piece(data)
    elif file.unit.format == "avro":
        bounds = _avro_piece(data, file, offset)
    else:
        bounds = _delimited_piece(data, dataclasses.replace(file.unit, start=begin), spec)
    if bounds is None:
        return None
    start, end = bounds
    return dataclasses.replace(file.unit, start=begin + start, end=begin + end)


def _lines_piece(data: bytes) -> tuple[int, int] | None:
    start, end = data.find(b"\n") + 1, data.rfind(b"\n") + 1
    return (start, end) if start < end else None


def _delimited_piece(data: bytes, unit: WorkUnit, spec: Spec) -> tuple[int, int] | None:
    """Returns bounds under which the piece parses best.

    Whether a line end stands within quotes cannot be known in the middle of a file, so several
    are tried: the first ones, and the first ones after a closing quote.
    """
    delimiter = "\t" if unit.format == "tsv" else spec.csv.delimiter
    best: tuple[float, tuple[int, int]] | None = None
    for start in _record_starts(data, delimiter):
        block = next(blocks([data[start:]], delimiter), None)
        # Without a line end it is half a record, cut where reading stopped.
        if block is None or block.problem or not block.data.endswith(b"\n"):
            continue
        end = start + len(block.data)
        piece = dataclasses.replace(unit, start=unit.start + start, end=unit.start + end)
        wrong = _share_rejected(piece, spec)
        if best is None or wrong < best[0]:
            best = (wrong, (start, end))
        if wrong < 0.01:
            break
    return None if best is None else best[1]


def _record_starts(data: bytes, delimiter: str) -> Iterator[int]:
    """Yields places after line ends, each once, those after the head and closing quotes too."""
    seen = set()
    quotes = (data.find(b'"' + end) for end in (delimiter.encode(), b"\n", b"\r"))
    after_quotes = sorted(place for place in quotes if place >= 0)
    for begin in (0, *after_quotes):
        place = begin
        for _ in range(_CANDIDATES):
            place = data.find(b"\n", place) + 1
            if not place:
                break
            if place not in seen:
                seen.add(place)
                yield place


def _share_rejected(piece: WorkUnit, spec: Spec) -> float:
    first = RawColumn(piece.columns[0], "string")
    good = bad = 0
    for batch in read(piece, spec, {first.name: first}):
        good, bad = good + len(batch.rows), bad + len(batch.rejected)
    return bad / max(1, good + bad)


def _tfrecord_piece(data: bytes) -> tuple[int, int] | None:
    """Finds a record by the checksum of its length, then follows records to the last whole one."""
    if len(data) < _TFRECORD_HEADER.size:
        return None
    lengths = np.lib.stride_tricks.sliding_window_view(
        np.frombuffer(data, np.uint8), _TFRECORD_HEADER.size
    )
    # Records shorter than 16 MiB have five zero bytes at the end of their length.
    for start in np.flatnonzero(~lengths[:, 3:8].any(axis=1)).tolist():
        places = list(_framed(data, start))
        if len(places) > 1:
            return places[0], places[-1]
    return None


def _avro_piece(data: bytes, file: Text, offset: int) -> tuple[int, int] | None:
    """Returns the blocks from the first sync marker, or the first block, to the last marker."""
    sync = read_header(file.unit.file).sync
    first = data.find(sync)
    start = 0 if not offset else first + len(sync)
    end = data.rfind(sync) + len(sync)
    return (start, end) if first >= 0 and start < end else None


def _framed(data: bytes, place: int) -> Iterator[int]:
    """Yields where each sound record from `place` on begins, and where the last one ends."""
    while place + _TFRECORD_HEADER.size <= len(data):
        length, checksum = _TFRECORD_HEADER.unpack_from(data, place)
        value = google_crc32c.value(data[place : place + 8])
        if checksum != (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF:
            return
        yield place
        place += _TFRECORD_HEADER.size + length + 4
    if place <= len(data):
        yield place
