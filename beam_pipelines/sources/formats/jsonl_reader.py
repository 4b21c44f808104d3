"""JSON lines: one object a line, by Arrow a block at a time, or exactly, line by line.

Arrow reads a block where every line fits one schema. Any other block (mixed types, damage,
repeated keys, undecodable bytes) is read line by line by Python, with the same result for the
lines that Arrow would have read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json

from skewless.beam_pipelines.sources.formats.text_blocks import lines_of
from skewless.beam_pipelines.sources.nested.fields import column_at
from skewless.beam_pipelines.sources.nested.json_schema import places_in, schema_of
from skewless.beam_pipelines.sources.streams import BrokenStreamError, chunks
from skewless.beam_pipelines.sources.units import RawBatch, Rejected, WorkUnit, clipped
from skewless.schemas.nested_paths import NotAnObjectError, value_at
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.rows.reasons import Reason, undecompressed

__all__ = ["number_text", "parse_lines", "parsed_object", "read_jsonl"]

MAX_BATCH_ROWS = 50_000
MAX_DEPTH = 100
_MOST_DIGITS = 4000
_PEEKED_LINES = 20
# Of records of megabytes one is enough: each is parsed once more for it.
_PEEKED_BYTES = 1024 * 1024
_SPACE = b" \t\r"
# Columns for each row of a block.
_WIDE = 8


def read_jsonl(unit: WorkUnit, columns: Mapping[str, RawColumn]) -> Iterator[RawBatch]:
    """Yields the unit's rows; lines that are not objects of plain values are rejected."""
    row = unit.first_row
    problem: list[str] = []

    def source() -> Iterator[bytes]:
        try:
            yield from chunks(unit.file, unit.compression, unit.start, unit.end)
        except BrokenStreamError as error:
            problem.append(str(error))

    for block in lines_of(source()):
        if block.problem:
            unused = Rejected(unit.file, row, None, None, block.problem, clipped(block.data))
            yield RawBatch(unit, _table([], columns), np.empty(0, np.int64), [unused])
            row += 1
            continue
        data = block.data
        if unit.start == 0 and row == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        lines = [line for line in data.split(b"\n") if line.strip(_SPACE)]
        for start in range(0, len(lines), MAX_BATCH_ROWS):
            some = lines[start : start + MAX_BATCH_ROWS]
            numbers = np.arange(row, row + len(some), dtype=np.int64)
            yield parse_lines(some, unit, numbers, columns)
            row += len(some)
    if problem:
        reason = undecompressed(problem[0])
        rejected = Rejected(unit.file, row, None, None, reason, None)
        yield RawBatch(unit, _table([], columns), np.empty(0, np.int64), [rejected])


def number_text(value: bool | int | float) -> str:
    """Returns a number as text: 5 and 5.0 are both "5", booleans "true" and "false"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if isinstance(value, int) else repr(value)


def parse_lines(
    lines: list[bytes], unit: WorkUnit, numbers: np.ndarray, columns: Mapping[str, RawColumn]
) -> RawBatch:
    """Parses JSON objects.

    Args:
      lines: [rows] one object each, none of them blank.
      unit: Where they come from.
      numbers: [rows] int64, their record numbers.
      columns: The columns to read.
    """
    table = _by_arrow(lines, columns)
    if table is not None:
        return RawBatch(
            unit, table, numbers, [], lambda at: clipped(lines[at]), lambda: _contents(lines)
        )
    good: list[dict[str, Any]] = []
    kept: list[int] = []
    rejected: list[Rejected] = []
    for at, line in enumerate(lines):
        try:
            good.append(_object(line, columns))
            kept.append(at)
        except _LineError as error:
            rejected.append(
                Rejected(
                    unit.file,
                    int(numbers[at]),
                    None,
                    error.column,
                    error.reason,
                    clipped(line.strip(_SPACE)),
                )
            )
    return RawBatch(
        unit,
        _table(good, columns),
        numbers[kept],
        rejected,
        lambda at: clipped(lines[kept[at]]),
        lambda: _contents([lines[at] for at in kept]),
    )


def _contents(lines: list[bytes]) -> pa.Array:
    return pa.array([line.strip(_SPACE) for line in lines], pa.large_binary())


def _by_arrow(lines: list[bytes], columns: Mapping[str, RawColumn]) -> pa.RecordBatch | None:
    """Returns the lines' rows, or None where Arrow might read them differently from Python."""
    if not columns or any(line[0] != 0x7B or line.rstrip(_SPACE)[-1] != 0x7D for line in lines):
        return None
    data = b"\n".join(lines)
    if data.count(b"{") + data.count(b"[") > len(lines) and any(map(_too_deep, lines)):
        return None
    if data.count(b"\n") != len(lines) - 1:
        return None  # A message may span lines; Arrow could take one for two rows.
    try:
        data.decode("utf-8")  # Arrow's JSON reader takes any bytes.
        places = places_in(data, columns)
        if places is None:
            return None
        kinds = _peeked_kinds(lines, columns)
        schema = schema_of({place: kinds[name] for name, place in places.items()})
        table = pa.json.read_json(
            pa.BufferReader(data),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=len(data) + 16),
            parse_options=pa.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        )
    except (UnicodeDecodeError, pa.ArrowInvalid, pa.ArrowNotImplementedError, _LineError):
        return None
    if table.num_rows != len(lines):
        return None
    arrays = []
    for field in schema:
        array = table.column(field.name).combine_chunks()
        array = array if isinstance(array, pa.Array) else array.chunk(0)
        arrays.append(array)
    batch = pa.RecordBatch.from_arrays(arrays, names=schema.names)
    if schema.names == list(columns):
        return batch
    read = [column_at(batch, place) for place in places.values()]
    return pa.RecordBatch.from_arrays(read, names=list(columns))


def _peeked_kinds(lines: list[bytes], columns: Mapping[str, RawColumn]) -> dict[str, pa.DataType]:
    """Guesses from the first lines how each column is written; a wrong guess costs time only.

    Raises:
      _LineError: If Arrow cannot read such a line as wanted.
    """
    peeked: list[dict[str, Any]] = []
    seen = 0
    for line in lines[:_PEEKED_LINES]:
        if seen > _PEEKED_BYTES:
            break
        peeked.append(_object(line, columns, check=False))
        seen += len(line)
    kinds: dict[str, pa.DataType] = {}
    for name, column in columns.items():
        value = next((row[name] for row in peeked if row.get(name) not in (None, [])), None)
        if isinstance(value, list):
            if not column.multivalued:
                raise _LineError(Reason("expected one value", "a list"), name)
            kinds[name] = pa.list_(_peeked_type(value[0], column))
            if column.steps and isinstance(value[0], list):
                kinds[name] = pa.list_(pa.list_(pa.float64()))
        else:
            kinds[name] = _peeked_type(value, column)
    return kinds


def _peeked_type(value: Any, column: RawColumn) -> pa.DataType:
    if column.kind == "string":
        if isinstance(value, float):
            raise _LineError("Arrow gives no number with a point as text", column.name)
        return (
            pa.bool_()
            if isinstance(value, bool)
            else pa.int64()
            if isinstance(value, int)
            else pa.string()
        )
    return pa.int64() if column.kind == "int64" else pa.float64()


class _LineError(Exception):
    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.column = reason, column


class _RepeatedKeyError(Exception):
    pass


class _Repeating(dict[str, Any]):
    """An object in which keys came more than once; nobody is given the value of such a key."""

    repeated: frozenset[str] = frozenset()

    def __getitem__(self, key: str) -> Any:
        if key in self.repeated:
            raise _RepeatedKeyError(key)
        return super().__getitem__(key)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    seen: set[str] = set()
    repeating = _Repeating(result)
    repeating.repeated = frozenset(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return repeating


def parsed_object(line: bytes) -> dict[str, Any] | None:
    """Returns a line's object as `read_jsonl` sees it, or None where it would be rejected."""
    try:
        return _parsed(line)
    except _LineError:
        return None


def _too_deep(line: bytes) -> bool:
    """Whether values are nested deeper than `MAX_DEPTH`, brackets within texts left out."""
    if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in re.findall(rb"[][{}]", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line)):
        depth += 1 if bracket in b"{[" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _integer(digits: str) -> int | str:
    # Python converts no more digits than this; as a text they are judged where they are wanted.
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _parsed(line: bytes) -> dict[str, Any]:
    if _too_deep(line):
        raise _LineError(f"nested more than {MAX_DEPTH} deep")
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_pairs, parse_int=_integer)
    except UnicodeDecodeError as error:
        raise _LineError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise _LineError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _LineError(Reason("expected a JSON object", _named(value)))
    return value


def _object(line: bytes, columns: Mapping[str, RawColumn], check: bool = True) -> dict[str, Any]:
    value = _parsed(line)
    row = {}
    for name, column in columns.items():
        try:
            entry = value_at(value, name)
        except _RepeatedKeyError:
            raise _LineError("the key is given more than once", name) from None
        except NotAnObjectError as error:
            wanted = f"expected an object at {error.place!r}"
            raise _LineError(Reason(wanted, _named(error.value)), name) from None
        row[name] = _value(entry, name, column) if check else entry
    return row


def _value(value: Any, name: str, column: RawColumn) -> Any:
    if isinstance(value, list):
        if not column.multivalued:
            raise _LineError(Reason("expected one value", "a list"), name)
        if column.steps and any(isinstance(item, list) for item in value):
            value = list(chain.from_iterable(_step(item, name, column) for item in value))
        return [_value(item, name, _single(column)) for item in value]
    if isinstance(value, dict):
        raise _LineError(Reason("expected a plain value", "an object"), name)
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise _LineError("not UTF-8: a lone surrogate", name) from None
        return value
    # No number is no value, as in a Parquet file's floats.
    if value is None or value != value:
        return None
    return number_text(value)


def _step(step: Any, name: str, column: RawColumn) -> list[Any]:
    """Returns the numbers of one vector among others; of a missing one as many missing numbers."""
    if step is None:
        return [None] * column.width
    if not isinstance(step, list):
        raise _LineError(Reason(f"expected lists of {column.width} numbers", _named(step)), name)
    if len(step) != column.width:
        raise _LineError(Reason(f"expected lists of {column.width} numbers", len(step)), name)
    return step


def _single(column: RawColumn) -> RawColumn:
    return RawColumn(column.name, column.kind)


def _named(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "a string", int: "a number", float: "a number", bool: "a boolean", list: "a list"}
    return names.get(type(value), type(value).__name__)


def _table(rows: list[dict[str, Any]], columns: Mapping[str, RawColumn]) -> pa.RecordBatch:
    """Builds text columns from checked rows; a column with any list holds lists throughout."""
    if not columns:
        return pa.RecordBatch.from_arrays([pa.nulls(len(rows))], names=[""])
    lists = {name for row in rows for name, value in row.items() if isinstance(value, list)}
    plain = [name for name in columns if name not in lists]
    if len(plain) > _WIDE * len(rows):
        # A call of Arrow for each of very many columns would cost more than all that they hold.
        texts = pa.array([row[name] for name in plain for row in rows], pa.string())
        made = {name: texts.slice(at * len(rows), len(rows)) for at, name in enumerate(plain)}
    else:
        made = {name: pa.array([row[name] for row in rows], pa.string()) for name in plain}
    for name in lists:
        # A lone text beside lists stays one text to be split: kept apart by validation.
        values = [row[name] for row in rows]
        wrapped = [
            value if isinstance(value, list) or value is None else [value] for value in values
        ]
        made[name] = pa.array(wrapped, pa.list_(pa.string()))
    return pa.RecordBatch.from_arrays([made[name] for name in columns], names=list(columns))
