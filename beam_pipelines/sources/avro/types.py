"""Avro's types as Arrow's, and the schema by which records are decoded.

    null, boolean, int, long, float, double   the same
    string, bytes, fixed, enum                 bytes, or text of an enum; nobody has checked UTF-8 yet
    date, time-*, timestamp-*, local-*, decimal, uuid   dates, times, decimals and text
    array, map, record                         lists, maps and structs
    a union with null                          the other type
    a union of plain types                     the wider number, or text

What Arrow cannot say (a union of records) is bytes that say what it is: no
feature reads it, but rows without a key are known by it. Logical types are taken off before records
are decoded, so that a date that Python cannot hold spoils its own row at most.
"""

from __future__ import annotations

import decimal
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from skewless.beam_pipelines.sources.formats.jsonl_reader import number_text
from skewless.beam_pipelines.sources.nested.fields import unfit_fields
from skewless.schemas.errors import DataError
from skewless.schemas.unexpected import told

__all__ = ["Read", "Records", "records_of"]

_PLAIN: dict[str, pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.binary(),
    "bytes": pa.binary(),
}
_TIMES: dict[tuple[str, str], pa.DataType] = {
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    ("long", "timestamp-millis"): pa.timestamp("ms", "UTC"),
    ("long", "timestamp-micros"): pa.timestamp("us", "UTC"),
    ("long", "timestamp-nanos"): pa.timestamp("ns", "UTC"),
    ("long", "local-timestamp-millis"): pa.timestamp("ms"),
    ("long", "local-timestamp-micros"): pa.timestamp("us"),
    ("long", "local-timestamp-nanos"): pa.timestamp("ns"),
}
_MOST_DIGITS = 76
_EXACT = decimal.Context(prec=1000)
_Said = Callable[[Any], Any]


@dataclass(frozen=True)
class Read:
    """How values of one Avro type are read.

    Attributes:
      type: What they become.
      said: Gives of what fastavro decodes what Arrow takes; None where they are the same.
      why: Why no feature can read them; empty where one can.
      plain: Whether it is a plain type without a logical one, that a union may hold beside others.
    """

    type: pa.DataType
    said: _Said | None = None
    why: str = ""
    plain: bool = False


@dataclass(frozen=True)
class Records:
    """A file's records.

    Attributes:
      decoded_by: The schema for fastavro, parsed.
      columns: How each field is read.
      schema: Of the table that they become.
      not_read: Why a column or a field within one can be read by no feature, by path.
    """

    decoded_by: Any
    columns: Mapping[str, Read]
    schema: pa.Schema
    not_read: Mapping[str, str]


def records_of(file: str, schema: Any) -> Records:
    """Returns how a file's records are read.

    Args:
      file: For errors.
      schema: As its header holds it.

    Raises:
      DataError: If it is no schema, or not one of records.
    """
    from fastavro import parse_schema

    types = _Types()
    try:
        parsed = parse_schema(schema)
        decoded_by, read = types.read(parsed, "")
        decoded_by = parse_schema(decoded_by)
    except Exception as error:  # fastavro's errors share no class with KeyError and the like
        raise DataError(
            f"{file}: its Avro schema cannot be read: {told(error)}; write it by another one"
        ) from error
    if not pa.types.is_struct(read.type) or isinstance(parsed, list):
        raise DataError(
            f"{file}: expected an Avro file of records, got one of {_told(parsed)}; write each row as a "
            "record"
        )
    columns = types.columns
    table = pa.schema([(name, column.type) for name, column in columns.items()])
    return Records(decoded_by, columns, table, unfit_fields(table) | types.not_read)


@dataclass
class _Types:
    """Goes through one schema.

    Attributes:
      columns: Of the outermost record.
      not_read: As in `Records`.
      named: The types that have names, by these; None while one is being gone through.
    """

    columns: dict[str, Read] = field(default_factory=dict)
    not_read: dict[str, str] = field(default_factory=dict)
    named: dict[str, Read | None] = field(default_factory=dict)

    def read(self, schema: Any, path: str) -> tuple[Any, Read]:
        """Returns the schema to decode by, and how values are read; `path` leads to them."""
        if isinstance(schema, list):
            return self._union(schema, path)
        if isinstance(schema, str):
            if schema in _PLAIN:
                return "bytes" if schema == "string" else schema, Read(_PLAIN[schema], plain=True)
            found = self.named[schema]
            if found is None:
                # Records nested a million deep would end the process: the decoder recurses in C.
                raise ValueError(f"{path}: records of {schema!r} hold themselves")
            return schema, found
        kind = schema["type"]
        if kind in ("record", "error"):
            return self._record(schema, path)
        if kind in ("enum", "fixed"):
            name = schema["name"]
            self.named[name] = found = _named(schema)
            return {
                key: schema[key] for key in ("type", "name", "symbols", "size") if key in schema
            }, found
        if kind in ("array", "map"):
            return self._repeated(schema, path)
        if not isinstance(kind, str) or kind not in _PLAIN:
            return self.read(kind, path)
        return "bytes" if kind == "string" else kind, _logical(schema)

    def _record(self, schema: dict[str, Any], path: str) -> tuple[Any, Read]:
        name = schema["name"]
        outermost = not self.named and not path
        self.named[name] = None
        decoded, fields, said = [], [], {}
        for each in schema["fields"]:
            within = f"{path}.{each['name']}" if path else each["name"]
            inner, read = self.read(each["type"], within)
            decoded.append({"name": each["name"], "type": inner})
            fields.append((each["name"], read.type))
            if read.said is not None:
                said[each["name"]] = read.said
            if read.why:
                self.not_read[within] = (
                    f"holds {read.why}; only plain values and lists of them are read"
                )
            if outermost:
                self.columns[each["name"]] = read
        found = Read(pa.struct(fields), _of_fields(said) if said else None)
        self.named[name] = found
        return {"type": "record", "name": name, "fields": decoded}, found

    def _repeated(self, schema: dict[str, Any], path: str) -> tuple[Any, Read]:
        is_list = schema["type"] == "array"
        within = "items" if is_list else "values"
        inner, read = self.read(schema[within], f"{path}[]")
        if is_list and _takes_no_bytes(read.type):
            raise ValueError(f"{path}: a list of values that take no bytes can be of any length")
        why = f"lists of {read.why}" if read.why and is_list else ""
        said = None if read.said is None else _of_items(read.said)
        kind = pa.list_(read.type)
        if not is_list:
            kind, said = pa.map_(pa.string(), read.type), _of_map(read.said)
        return {"type": schema["type"], within: inner}, Read(kind, said, why)

    def _union(self, schema: Sequence[Any], path: str) -> tuple[Any, Read]:
        read = [self.read(each, path) for each in schema]
        decoded = [inner for inner, _ in read]
        kinds = [kind for _, kind in read if not pa.types.is_null(kind.type)]
        if not kinds:
            return decoded, Read(pa.null(), plain=True)
        if len(kinds) == 1:
            return decoded, kinds[0]
        if not all(kind.plain for kind in kinds):
            told = [_told(each) for each in schema if each != "null"]
            return decoded, _as_told(f"one of several types ({', '.join(told)})")
        types = {kind.type for kind in kinds}
        for wider in ({pa.int32(), pa.int64()}, {pa.float32(), pa.float64()}):
            if types <= wider:
                return decoded, Read(max(types, key=lambda kind: kind.bit_width), plain=True)
        return decoded, Read(pa.binary(), _as_text, plain=True)


def _takes_no_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return all(_takes_no_bytes(field.type) for field in kind)
    is_empty = pa.types.is_fixed_size_binary(kind) and kind.byte_width == 0
    return bool(pa.types.is_null(kind) or is_empty)


def _named(schema: dict[str, Any]) -> Read:
    if schema["type"] == "enum":
        return Read(pa.string(), plain=True)
    if schema.get("logicalType") == "uuid" and schema["size"] == 16:
        return Read(pa.string(), lambda value: str(uuid.UUID(bytes=value)))
    return _decimal(schema) or Read(pa.binary(schema["size"]), plain=True)


def _logical(schema: dict[str, Any]) -> Read:
    kind, logical = str(schema["type"]), str(schema.get("logicalType"))
    if (kind, logical) in _TIMES:
        return Read(_TIMES[kind, logical])
    found = _decimal(schema) if kind == "bytes" else None
    return found or Read(_PLAIN[kind], plain=True)


def _decimal(schema: dict[str, Any]) -> Read | None:
    """Returns how decimals are read; None where the schema is of none, or of one that is not valid."""
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    valid = isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision
    if schema.get("logicalType") != "decimal" or not valid or not precision:
        return None

    def said(value: bytes) -> decimal.Decimal:
        return decimal.Decimal(int.from_bytes(value, "big", signed=True)).scaleb(-scale, _EXACT)

    if precision > _MOST_DIGITS:
        return Read(pa.string(), lambda value: format(said(value), "f"))
    return Read((pa.decimal128 if precision <= 38 else pa.decimal256)(precision, scale), said)


def _as_told(why: str) -> Read:
    return Read(pa.binary(), lambda value: repr(value).encode("utf-8", "backslashreplace"), why)


def _as_text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else number_text(value)).encode()


def _of_fields(said: Mapping[str, _Said]) -> _Said:
    def of(record: dict[str, Any]) -> dict[str, Any]:
        changed = {
            name: way(record[name]) for name, way in said.items() if record[name] is not None
        }
        return record | changed

    return of


def _of_items(said: _Said) -> _Said:
    return lambda items: [None if item is None else said(item) for item in items]


def _of_map(said: _Said | None) -> _Said:
    def of(held: dict[str, Any]) -> list[tuple[str, Any]]:
        if said is None:
            return list(held.items())
        return [(key, None if value is None else said(value)) for key, value in held.items()]

    return of


def _told(schema: Any) -> str:
    if isinstance(schema, list):
        return f"one of {', '.join(map(_told, schema))}"
    if isinstance(schema, str):
        return schema
    return str(schema.get("logicalType") or schema["type"])
