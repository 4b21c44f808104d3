"""How delimited files are written, told by their beginnings: encoding, delimiter, header or none."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skewless.beam_pipelines.init.delimited.encoding import encoding_of
from skewless.beam_pipelines.sources.files import file_bytes
from skewless.beam_pipelines.sources.formats.encodings import as_utf8, unit_encoding
from skewless.beam_pipelines.sources.streams import BrokenStreamError, chunks
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.errors import DataError
from skewless.schemas.rows.csv_format import UTF_8, CsvFormat

__all__ = ["Dialect", "dialect_of"]

_HEAD_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024
_PIECES = 8
_FILES = 8
_DELIMITERS = (",", ";", "\t", "|")
_RECORDS = 500
_DELIMITED_BY = 20
_MOST_NUMBERS = 0.9
_NUMERIC = re.compile(
    r"[+-]?[^\w\s]{0,3}\s?\d[\d.,'\u2019\u00a0\u202f /:-]*(?:[eE][+-]?\d+)?\s?[^\w\s]{0,3}"
)


@dataclass(frozen=True)
class Dialect:
    """A format without what is said of numbers, and what it was told by."""

    written: CsvFormat
    seen: tuple[str, ...] = ()


def dialect_of(files: Sequence[WorkUnit]) -> Dialect:
    """Looks at the beginnings of up to eight delimited files, and at pieces of them.

    Args:
      files: Whole files of any format.
    """
    delimited = [whole for whole in files if whole.format in ("csv", "tsv")]
    if not delimited:
        return Dialect(CsvFormat())
    some = delimited[:: max(1, len(delimited) // _FILES)][:_FILES]
    heads = [_head(whole) for whole in some]
    encoding, seen = _encoding(some, heads)
    texts = [_text(whole, head, encoding) for whole, head in zip(some, heads, strict=True)]
    of_csv = [text for whole, text in zip(some, texts, strict=True) if whole.format == "csv"]
    delimiter = _delimiter(of_csv[0]) if of_csv else ","
    tables = [
        _records(text, "\t" if whole.format == "tsv" else delimiter)
        for whole, text in zip(some, texts, strict=True)
    ]
    header = None
    firsts = {tuple(table[0]) for table in tables if table}
    if len(firsts) == 1 and len(tables) > 1:
        firsts = set()  # Files with one first line have a header.
    if firsts and not _has_header(tables[0]):
        header = tuple(f"c{place}" for place in range(1, len(tables[0][0]) + 1))
        seen.append(
            f"the first line, {_shown(tables[0][0])}, is a row like the others: the columns are "
            "named c1, c2, … here; name them as you like"
        )
    written = CsvFormat(delimiter=delimiter, header=header, encoding=encoding)
    return Dialect(written, tuple(seen))


def _encoding(files: Sequence[WorkUnit], heads: Sequence[bytes]) -> tuple[str, list[str]]:
    found = [
        encoding_of(head + b"\n" + _pieces(whole)) for whole, head in zip(files, heads, strict=True)
    ]
    beyond = [name for name, head in zip(found, heads, strict=True) if not head.isascii()]
    other = next((name for name in beyond if name != UTF_8), None)
    if other is None:
        return UTF_8, []
    seen = [f"letters are not UTF-8; {other} gives words: look at names with accents"]
    unlike = [
        f"{whole.file} ({name})"
        for whole, name, head in zip(files, found, heads, strict=True)
        if name != other and not head.isascii()
    ]
    if unlike:
        seen.append(f"one spec has one encoding; other files differ: {', '.join(unlike)}")
    return other, seen


def _head(whole: WorkUnit) -> bytes:
    head = b""
    try:
        for chunk in chunks(whole.file, whole.compression):
            head += chunk
            if len(head) >= _HEAD_BYTES:
                break
    except BrokenStreamError as error:
        if not head:
            raise DataError(
                f"{whole.file}: cannot be decompressed: {error}; write the file again"
            ) from error
    return head[:_HEAD_BYTES]


def _pieces(whole: WorkUnit) -> bytes:
    """Returns whole lines from all over an uncompressed file: one may have its accents late."""
    size = 0 if whole.compression else file_bytes(whole.file)
    if size <= _HEAD_BYTES:
        return b""
    lines = []
    for place in range(1, _PIECES + 1):
        begin = _HEAD_BYTES + (size - _HEAD_BYTES - _PIECE_BYTES) * place // _PIECES
        piece = b"".join(chunks(whole.file, "", max(0, begin), max(0, begin) + _PIECE_BYTES))
        lines.append(piece[piece.find(b"\n") + 1 : piece.rfind(b"\n") + 1])
    return b"".join(lines)


def _text(whole: WorkUnit, head: bytes, encoding: str) -> str:
    try:
        codec, mark = unit_encoding(whole.file, head, CsvFormat(encoding=encoding))
    except DataError:
        codec, mark = "", 0  # Refused by its name when it is read.
    return b"".join(as_utf8([head[mark:]], codec)).decode("utf-8", "replace")


def _records(text: str, delimiter: str, most: int = _RECORDS) -> list[list[str]]:
    """Returns the first records that are not blank; the last of a text that was cut is left out."""
    found: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if record:
                found.append([field.strip() for field in record])
            if len(found) > most:
                break
    except csv.Error:
        pass  # A field without an end: what came before is enough.
    return found[:-1] if len(found) > most or len(text) >= _HEAD_BYTES // 4 else found


def _delimiter(text: str) -> str:
    """Returns what cuts records alike into most fields; among several what leaves numbers whole."""

    def score(delimiter: str) -> tuple[bool, float, int]:
        found = _records(text[: _HEAD_BYTES // 4 - 1], delimiter, _DELIMITED_BY)
        if not found:
            return False, 0.0, 0
        width, _ = Counter(map(len, found[:])).most_common(1)[0]
        fields = width if len(found[0]) == width else 1
        rows = [record for record in found[1:] if len(record) == width]
        cells = [field for record in rows for field in record]
        numbers = sum(1 for field in cells if _NUMERIC.fullmatch(field)) / max(1, len(cells))
        return fields > 1, numbers, fields

    return max(_DELIMITERS, key=score)


def _has_header(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record names columns, by what sets it apart from the values below."""
    first = records[0]
    rest = [record for record in records[1:] if len(record) == len(first)]
    if not rest or _counts_up(first):
        return True
    names = rows = 0
    for name, *values in zip(first, *rest, strict=True):
        like = _is_like(name, [value for value in values if value])
        names += like is False
        rows += like is True
    return names >= rows


def _counts_up(first: Iterable[str]) -> bool:
    """Whether the numbers among names are years or positions in a row: 2019, 2020, 2021."""
    numbers = [int(name) for name in first if name.isdecimal()]
    return len(numbers) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _is_like(name: str, values: Sequence[str]) -> bool | None:
    """Whether a first value is like those below it; None where that cannot be known."""
    if not values or not name:
        return None
    numbers = [value for value in values if _NUMERIC.fullmatch(value)]
    if len(numbers) > _MOST_NUMBERS * len(values):
        if not _NUMERIC.fullmatch(name):
            return False
        known = [number for value in numbers if (number := _number(value)) is not None]
        own = _number(name)
        if own is None or not known or min(known) <= own <= max(known):
            return True
        return None  # A year above numbers of another size, or the first of rows in order.
    distinct = set(values)
    if len(values) >= 5 and len(distinct) * 2 <= len(values):
        return name in distinct
    return None


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _shown(record: Sequence[str]) -> str:
    text = ", ".join(record)
    return repr(text if len(text) <= 60 else text[:60] + "…")
