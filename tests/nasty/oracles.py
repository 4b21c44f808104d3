"""What Python's own csv and json make of a file: the answer to compare with.

Delimited text is decoded as Latin-1, where every byte is one character, and the values are encoded
back: so the comparison is of bytes, whatever the text's encoding.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

__all__ = [
    "UNKNOWN",
    "Delimited",
    "as_utf8",
    "delimited",
    "example_values",
    "json_objects",
    "same_text",
    "text_of",
    "whole_number",
]

csv.field_size_limit(1 << 30)
UNKNOWN: Any = object()  # What the other reader cannot say.
MOST_BYTES = 16 << 20  # Of a record, as docs/limits.md says.
_END = "\x00the end\x01"


@dataclass(frozen=True)
class Delimited:
    """A delimited text as Python's csv reads it; blank lines are no records.

    Attributes:
      header: The first record, stripped; empty where there is none.
      rows: [records] of fields, as bytes.
      unclosed: Whether the last record is one whose quote is never closed. Python takes the rest of
        the text for it, and we its first line only.
    """

    header: list[bytes]
    rows: list[list[bytes]]
    unclosed: bool


def text_of(path: Path) -> tuple[bytes, bool]:
    """Returns the decompressed bytes, and whether they are all: damage ends them."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        text = b""
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while True:
                try:
                    piece = file.read1(1 << 16)
                except (OSError, EOFError, zlib.error):
                    return text, False
                if not piece:
                    return text, True
                text += piece
    if path.suffix == ".zst":
        import zstandard

        text = b""
        while data:
            frame = zstandard.ZstdDecompressor().decompressobj()
            try:
                text += frame.decompress(data)
            except zstandard.ZstdError:
                return text, False
            if not frame.eof:
                return text, False
            data = frame.unused_data
        return text, True
    return data, True


def as_utf8(data: bytes, encoding: str) -> tuple[bytes, str]:
    """Returns a text as UTF-8, and that name; as it is, and its own, where it cannot be decoded."""
    try:
        return data.decode(encoding).encode(), "utf-8"
    except UnicodeError:
        return data, encoding


def delimited(data: bytes, delimiter: str, header: Sequence[str] = ()) -> Delimited:
    """Reads delimited text; `header` stands in for a first record that is not there."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    records = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    # An open quote swallows a line appended after it.
    probe = io.StringIO(f"{text}\n{_END}\n", newline="")
    last: list[str] = []
    for row in csv.reader(probe, delimiter=delimiter):
        last = row or last
    unclosed = last != [_END]
    rows = [[field.encode("latin-1") for field in row] for row in records]
    if header:
        return Delimited([name.encode() for name in header], rows, unclosed)
    first = rows[0] if rows else []
    return Delimited([name.strip() for name in first], rows[1:], unclosed and len(rows) > 1)


def json_objects(data: bytes) -> list[dict[str, Any] | None]:
    """Returns each line's object; None for a line that is none, or says a key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        seen["\x00twice"] = [key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1]
        return seen

    found: list[dict[str, Any] | None] = []
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if not line.strip(b" \t\r"):
            continue
        if len(line) > MOST_BYTES:
            found.append(None)
            continue
        try:
            # Python makes no int of more than 4,300 digits.
            value = json.loads(line.decode("utf-8"), object_pairs_hook=once, parse_int=Decimal)
        except (ValueError, RecursionError):
            value = None
        found.append(value if isinstance(value, dict) else None)
    return found


def same_text(value: Any, text: str | None) -> bool:
    """Whether `text` says the same as a JSON value."""
    if value is None or text is None:
        return text is None and (value is None or value != value)
    if isinstance(value, str):
        return text == value
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, int):
        return text.lstrip("-").isdigit() and Decimal(text) == value
    if isinstance(value, bytes):
        return text == value.decode()
    if isinstance(value, Decimal):
        return Decimal(text) == value
    if isinstance(value, datetime.timedelta):
        return text == str(value)
    if not isinstance(value, float):
        return text == value.isoformat()
    try:
        # A narrow number is written as shortly as its own width allows.
        return float(text) == value or np.float32(text) == value or np.float16(text) == value
    except ValueError:
        return False


def example_values(data: bytes, columns: Sequence[str]) -> Iterator[list[Any] | None]:
    """Yields the values of each tf.Example that TensorFlow reads; None for a record that is none.

    It reads no further than the first damage.
    """
    import tensorflow as tf

    with tempfile.NamedTemporaryFile(suffix=".tfrecord") as file:
        file.write(data)
        file.flush()
        records = tf.compat.v1.io.tf_record_iterator(file.name)
        while True:
            try:
                record = next(records)
            except (StopIteration, tf.errors.OpError):
                return
            try:
                features = tf.train.Example.FromString(record).features.feature
            except DecodeError:
                yield None
                continue
            row = []
            for column in columns:
                kind = features[column].WhichOneof("kind") if column in features else None
                held = list(getattr(features[column], kind).value) if kind else []
                row.append(held if len(held) > 1 else held[0] if held else None)
            yield row


def whole_number(text: str) -> int | None:
    """Returns the number in 64 bits that a text says, or None: `5`, `+5`, `5.0` and `5e0` say 5."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if "_" in text or not number.is_finite() or number.adjusted() > 19:
        return None
    if number != 0 and number.adjusted() < 0:
        return None
    whole = int(number)
    return whole if whole == number and -(2**63) <= whole < 2**63 else None
