"""What was read, held against what Python's csv and json, pyarrow and TensorFlow read of the same bytes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.nasty.oracles import (
    UNKNOWN,
    Delimited,
    as_utf8,
    delimited,
    example_values,
    json_objects,
    same_text,
    text_of,
    whole_number,
)
from tests.nasty.outcomes import FoundError, Read

__all__ = ["MOST_RECORDS", "compare", "compare_kind"]

MOST_RECORDS = 200_000


def compare(
    path: Path, format: str, columns: Sequence[str], csv: dict[str, Any], whole: Read
) -> None:
    """Compares rows that were read as text.

    Args:
      path: The file.
      format: Its format.
      columns: [columns] what was read, in the order of the values.
      csv: How the spec says that delimited text is written.
      whole: What was read.

    Raises:
      FoundError: If a row differs, or one is missing.
    """
    data, complete = text_of(path)
    if whole.read > MOST_RECORDS:
        return
    if not complete:
        # Compared as far as both got; the last record may be half of one.
        whole = _before_damage(whole)
    if format in ("csv", "tsv"):
        data, encoding = as_utf8(data, csv.get("encoding", "utf-8"))
        delimiter = "\t" if format == "tsv" else str(csv.get("delimiter", ","))
        expected = delimited(data, delimiter, csv.get("header", ()))
        _compare_delimited(expected, columns, whole, encoding, complete)
    elif format == "jsonl":
        _compare_json(json_objects(data), columns, whole, complete)
    elif format == "parquet":
        _compare_parquet(path, columns, whole)
    elif format == "tfrecord":
        for number, row in enumerate(example_values(data, columns), 1):
            if complete or number <= whole.read:
                _compare_values(number, columns, row, whole)


def compare_kind(kind: str, format: str, csv: dict[str, Any], texts: Read, typed: Read) -> None:
    """Compares whole numbers and numbers with those that Python reads of the same texts.

    Args:
      kind: `int64` or `float32`; no other is compared.
      format: Of the file: only delimited text has no values but texts.
      csv: How it is written; a decimal sign other than the point is not compared.
      texts: Rows read as text.
      typed: The same rows read as `kind`.

    Raises:
      FoundError: If a value differs, or is rejected though Python takes it, or the reverse.
    """
    if kind not in ("int64", "float32") or format not in ("csv", "tsv"):
        return
    if {"decimal", "thousands"} & set(csv):
        return
    read = whole_number if kind == "int64" else _float32
    for number, row in texts.values.items():
        want: tuple[Any, ...] | None = tuple(
            None if not t.strip() else read(t.strip()) for t in row
        )
        assert want is not None
        if any(value is None and text.strip() for value, text in zip(want, row, strict=True)):
            want = None
        else:
            # What is no number is missing.
            want = tuple(None if value != value else value for value in want)
        got = typed.values.get(number)
        if repr(want) != repr(got):
            why = typed.reasons.get(number)
            raise FoundError(
                "DIFFERS",
                f"rows as {kind}",
                f"record {number}, {row!r:.200}: Python says {want!r:.200}, we {got!r:.200} ({why})",
            )


def _before_damage(whole: Read) -> Read:
    """Returns what was read before the record that is told as damage, less the last record."""
    at = [n for n, (_, reason) in whole.reasons.items() if "decompressed" in reason]
    end = max(0, min(at, default=whole.read + 1) - 2)
    values = {number: row for number, row in whole.values.items() if number <= end}
    return Read(values, whole.reasons, end)


def _float32(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    with np.errstate(over="ignore"):
        narrow = float(np.float32(number))
    return None if "_" in text or math.isinf(narrow) else narrow


def _compare_delimited(
    expected: Delimited, columns: Sequence[str], whole: Read, encoding: str, complete: bool
) -> None:
    header = [name.decode(encoding) for name in expected.header]
    places = [header.index(column) for column in columns]
    rows = expected.rows[:-1] if expected.unclosed else expected.rows
    rows = rows if complete else rows[: whole.read]
    for number, row in enumerate(rows, 1):
        want: Any = None
        if len(row) == len(header):
            with contextlib.suppress(UnicodeDecodeError):
                want = tuple(row[place].decode(encoding) for place in places)
        got = whole.values.get(number)
        if got != want:
            why = whole.reasons.get(number)
            raise FoundError(
                "DIFFERS",
                "read",
                f"record {number}: csv says {want!r:.300}, we {got!r:.300} ({why})",
            )
    if complete and not expected.unclosed and whole.read != len(rows):
        raise FoundError("DIFFERS", "read", f"{whole.read} records, csv says {len(rows)}")


def _compare_json(
    objects: Sequence[dict[str, Any] | None], columns: Sequence[str], whole: Read, complete: bool
) -> None:
    objects = objects if complete else objects[: whole.read]
    for number, row in enumerate(objects, 1):
        values = None if row is None else [row.get(column) for column in columns]
        if row is not None and set(row["\x00twice"]) & set(columns):
            values = None
        _compare_values(number, columns, values, whole)
    if complete and whole.read != len(objects):
        raise FoundError("DIFFERS", "read", f"{whole.read} records, json says {len(objects)}")


def _compare_parquet(path: Path, columns: Sequence[str], whole: Read) -> None:
    rows = pq.ParquetFile(path).metadata.num_rows
    if rows != whole.read:
        raise FoundError("DIFFERS", "read", f"{whole.read} rows, the footer says {rows}")
    values = []
    for column in columns:
        try:
            table = pq.ParquetFile(path).read(columns=[column], use_threads=False)
            found = table.column(column).to_pylist() if column in table.column_names else None
        except (pa.ArrowException, ValueError, ArithmeticError, LookupError, OSError, KeyError):
            found = None
        if found is not None and not pa.types.is_map(table.schema.field(column).type):
            found = [_one(value) for value in found]
        values.append([UNKNOWN] * rows if found is None else found)
    for number, row in enumerate(zip(*values, strict=True), 1):
        _compare_values(number, columns, row, whole)


def _one(value: Any) -> Any:
    """Returns a list's only value; a list of none is none."""
    if isinstance(value, list) and len(value) < 2 and not any(isinstance(v, list) for v in value):
        return value[0] if value else None
    return value


def _compare_values(
    number: int, columns: Sequence[str], values: Sequence[Any] | None, whole: Read
) -> None:
    """Compares a row with plain values; None is one that must be rejected."""
    got = whole.values.get(number)
    plain = values is not None and all(_plain(value) for value in values)
    if values is not None and any(value is UNKNOWN for value in values) and got is None:
        return
    if plain != (got is not None):
        raise FoundError(
            "DIFFERS",
            "read",
            f"record {number}: others say {values!r:.300}, we {got!r:.300} ({whole.reasons.get(number)})",
        )
    for column, value, text in zip(columns, values or (), got or (), strict=False):
        if value is not UNKNOWN and not same_text(value, text):
            raise FoundError(
                "DIFFERS",
                "read",
                f"record {number}, column {column!r}: others say {value!r:.300}, we {text!r:.300}",
            )


def _plain(value: Any) -> bool:
    try:
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, bytes):
            value.decode()
    except UnicodeError:
        return False
    return not isinstance(value, (list, dict))
