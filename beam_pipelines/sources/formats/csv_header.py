"""How a delimited file begins: its byte order mark, its header, and where its records start."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from skewless.beam_pipelines.sources.formats.csv_blocks import fields_of, record_pattern
from skewless.beam_pipelines.sources.formats.encodings import as_utf8, source_length, unit_encoding
from skewless.beam_pipelines.sources.formats.text_blocks import MAX_RECORD_BYTES
from skewless.beam_pipelines.sources.streams import BrokenStreamError, chunks
from skewless.schemas.errors import DataError
from skewless.schemas.rows.csv_format import CsvFormat

__all__ = ["Header", "read_header"]

_MAX_HEADER_BYTES = 4 * 1024 * 1024
_RECORDS_LOOKED_AT = 10
# By default Python's csv takes no field of more than 128 KiB.
csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_RECORD_BYTES))


@dataclass(frozen=True)
class Header:
    """What is known of a file before its records.

    Attributes:
      columns: Their names.
      start: The offset of the first byte of records, in the decompressed file.
      encoding: The codec that its characters are in; empty for UTF-8.
    """

    columns: tuple[str, ...]
    start: int
    encoding: str = ""


def read_header(file: str, compression: str, delimiter: str, written: CsvFormat) -> Header:
    """Reads the header line, or takes the declared one.

    Args:
      file: The path.
      compression: Its compression, or nothing.
      delimiter: What stands between fields.
      written: The declared format.

    Raises:
      DataError: If the file has no sound header, is not in the declared encoding, or is declared to
        have no header and has one, or has another number of columns.
    """
    head = _head(file, compression)
    codec, mark = unit_encoding(file, head, written)
    text = b"".join(itertools.islice(as_utf8([head[mark:]], codec), 1)) if codec else head[mark:]
    if written.header is not None:
        whole = len(head) < _MAX_HEADER_BYTES
        _check_declared(file, written.header, text, delimiter, whole)
        return Header(written.header, mark, codec)
    found = next(_records(text, delimiter), None)
    if found is None:
        raise DataError(
            f"{file}: expected a header line with column names, got none; add one, or name the "
            "columns in csv.header"
        )
    record, end = found
    try:
        line = record.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: the header is not {written.encoding.upper()} ({error}); declare the file's encoding "
            "in csv.encoding (`skewless init` proposes one), or convert the file to UTF-8"
        ) from error
    names = _fields(line, delimiter)
    return Header(names, mark + source_length(head[mark:], codec, end), codec)


def _head(file: str, compression: str) -> bytes:
    head = b""
    try:
        for chunk in chunks(file, compression):
            head += chunk
            if len(head) >= _MAX_HEADER_BYTES or b"\n" in chunk:
                break
    except BrokenStreamError as error:
        if not head:
            raise DataError(
                f"{file}: cannot be decompressed: {error}; write the file again"
            ) from error
    return head


def _records(text: bytes, delimiter: str) -> Iterator[tuple[bytes, int]]:
    """Yields records that are not blank, each with where it ends; the last may be cut off."""
    pattern, place = record_pattern(delimiter), 0
    while place < len(text):
        match = pattern.match(text, place)
        if match is None:
            return
        place = match.end()
        if match.group(1):
            yield match.group(1), place


def _check_declared(
    file: str, header: tuple[str, ...], text: bytes, delimiter: str, whole: bool
) -> None:
    """Refuses a file whose first records do not fit the declared columns."""
    found = list(itertools.islice(_records(text, delimiter), _RECORDS_LOOKED_AT))
    if found and not whole and found[-1][1] == len(text):
        found.pop()
    if not found:
        return
    if _fields(found[0][0].decode("utf-8", "replace"), delimiter) == header:
        raise DataError(
            f"{file}: its first line holds the names of csv.header; it has a header: remove "
            "csv.header, or the line"
        )
    widths = [fields_of(record, delimiter) for record, _ in found]
    if len(header) not in widths:
        raise DataError(
            f"{file}: expected {len(header)} fields, as csv.header names, got {widths[0]} in the "
            f"first record, {found[0][0][:80].decode('utf-8', 'backslashreplace')!r}; name every "
            "column in csv.header, or correct csv.delimiter"
        )


def _fields(record: str, delimiter: str) -> tuple[str, ...]:
    fields = next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter))
    return tuple(name.strip() for name in fields)
