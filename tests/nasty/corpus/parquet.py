"""Parquet: types at their limits, layouts, codecs, names, and files that are none."""

from __future__ import annotations

import datetime
import decimal
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.nasty.corpus.family import Family, File

__all__ = ["FAMILIES", "sound"]


def _written(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def _column(values: Sequence[Any] | pa.Array, kind: pa.DataType | None = None) -> bytes:
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return _written(pa.table({"a": array, "b": [f"x{at}" for at in range(len(array))]}))


def _file(values: Any, kind: pa.DataType | None = None, rejected: int | None = 0) -> File:
    return File(functools.partial(_column, values, kind), len(values), rejected)


def _parquet(about: str, outcome: str, reason: str = "", **files: File) -> Family:
    return Family("parquet", about, outcome, files, reason)


@functools.cache
def sound() -> bytes:
    """Returns a sound file of two row groups, of which damaged ones are made."""
    rows = {"a": ["1", "2", None, "4"], "b": [[1], None, [2, 3], []], "c": [1.5, None, 3.0, 4.0]}
    return _written(pa.table(rows), row_group_size=2)


def _integers() -> dict[str, File]:
    files = {}
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64()):
        half = 2 ** (kind.bit_width - 1)
        files[str(kind)] = _file([-half, half - 1, 0, -1, None], kind)
    for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
        files[str(kind)] = _file([0, 2**kind.bit_width - 1, 7, None], kind)
    return files


def _moments(kind: pa.DataType, *numbers: int | None) -> pa.Array:
    """Returns times by the numbers that they are stored as."""
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array(numbers, width).view(kind)


def _not_utf8(*texts: bytes) -> pa.Array:
    """Returns a string column that is not what it says."""
    return pa.array(texts, pa.binary()).view(pa.string())


def _named(*names: str) -> File:
    def content() -> bytes:
        return _written(pa.table([pa.array(["1", "2"])] * len(names), names=list(names)))

    return File(content, 2)


def _table(count: int = 100, **options: Any) -> File:
    def content() -> bytes:
        numbers = list(range(count))
        rows = {"a": [f"x{at % 7}" for at in numbers], "b": numbers, "c": [x / 7 for x in numbers]}
        return _written(pa.table(rows), **options)

    return File(content, count)


def _row_groups(*sizes: int) -> File:
    def content() -> bytes:
        sink = pa.BufferOutputStream()
        schema = pa.schema([("a", pa.string()), ("b", pa.int64())])
        with pq.ParquetWriter(sink, schema) as writer:
            for size in sizes:
                table = pa.table({"a": ["x"] * size, "b": list(range(size))}, schema=schema)
                writer.write_table(table, row_group_size=max(1, size))
        return bytes(sink.getvalue())

    return File(content, sum(sizes))


LARGEST = float(np.finfo(np.float32).max)
FLOATS = [0.0, -0.0, 0.1, 1e15, 1e16, LARGEST, -LARGEST, float("nan"), float("inf"), None, 5e-324]
NARROW = [0.0, -0.0, 0.1, 65504.0, float("nan"), float("inf"), 6e-8, None]
DECIMALS = [decimal.Decimal(text) for text in ("0.00", "-1.50", "99999999.99", "7.00")]
MICROSECONDS = (0, 1, -1, -62_135_596_800_000_000, 253_402_300_799_999_999)
NOON = datetime.datetime(2026, 3, 29, 2, 30)

FAMILIES = [
    _parquet("whole numbers of every width, at their limits", "ok", **_integers()),
    _parquet(
        "floats and decimals",
        "ok",
        float64=_file([*FLOATS, 1e308, 2.0**53 + 2], pa.float64()),
        float32=_file(pa.array(np.array(FLOATS[:9], np.float32))),
        float16=_file(pa.array(np.array(NARROW[:7], np.float16))),
        decimal128=_file([*DECIMALS, None], pa.decimal128(10, 2)),
        decimal256=_file([*DECIMALS, decimal.Decimal(10) ** 70], pa.decimal256(76, 2)),
        decimal_of_38_digits=_file([decimal.Decimal("9" * 38), None], pa.decimal128(38, 0)),
    ),
    _parquet(
        "texts and bytes in every layout",
        "ok",
        string=_file(["x", "", None, "\x00", "🦆", "x\ny"], pa.string()),
        large_string=_file(["x", "", None], pa.large_string()),
        string_view=_file(["x", "longer than twelve bytes", None], pa.string_view()),
        binary=_file([b"x", b"", None], pa.binary()),
        binary_view=_file([b"x", b"longer than twelve bytes", None], pa.binary_view()),
        fixed_binary=_file([b"xy", b"zz", None], pa.binary(2)),
        dictionary=_file(pa.array(["x", "y", None, "x"]).dictionary_encode()),
        dictionary_of_numbers=_file(pa.array([5, 7, None, 5]).dictionary_encode()),
        booleans=_file([True, False, None], pa.bool_()),
        nulls=_file([None, None, None], pa.null()),
        only_nulls=_file([None, None, None], pa.string()),
    ),
    _parquet(
        "texts and bytes that are not UTF-8",
        "rejected",
        "not UTF-8",
        binary=_file([b"x", b"\xff", b"\xed\xa0\x80", None], pa.binary(), 2),
        string=File(lambda: _column(_not_utf8(b"x", b"\xff\xfe", b"y")), 3, 1),
        fixed_binary=_file([b"xy", b"\xff\xff", None], pa.binary(2), 1),
        dictionary=File(lambda: _column(_not_utf8(b"x", b"\xff", b"\xff").dictionary_encode()), 3, 2),
    ),
    _parquet(
        "dates and times within the years 1 to 9999",
        "ok",
        date32=File(lambda: _column(_moments(pa.date32(), 0, -719_162, 2_932_896, None)), 4),
        date64=File(lambda: _column(_moments(pa.date64(), 0, 86_400_000, None)), 3),
        time32=_file([datetime.time(0), datetime.time(23, 59, 59), None], pa.time32("ms")),
        time64=_file([datetime.time(23, 59, 59, 999_999), None], pa.time64("us")),
        microseconds=File(lambda: _column(_moments(pa.timestamp("us"), *MICROSECONDS)), 5),
        milliseconds=_file([NOON, None], pa.timestamp("ms")),
        utc=_file([NOON, None], pa.timestamp("us", "UTC")),
        zone=_file([NOON, None], pa.timestamp("us", "Europe/Berlin")),
        offset=_file([NOON, None], pa.timestamp("us", "+05:30")),
        nanoseconds=File(lambda: _column(_moments(pa.timestamp("ns"), 0, 1000, None)), 3),
        duration=_file([datetime.timedelta(days=1), None], pa.duration("us")),
    ),
    _parquet(
        "times that no calendar has",
        "rejected",
        "years 1 to 9999",
        date32=File(lambda: _column(_moments(pa.date32(), 0, -719_163, 2_932_897)), 3, 2),
        far_date32=File(lambda: _column(_moments(pa.date32(), 0, 2**31 - 1, -(2**31))), 3, 2),
        microseconds=File(lambda: _column(_moments(pa.timestamp("us"), 2**63 - 1, 0)), 2, 1),
        before=File(lambda: _column(_moments(pa.timestamp("us"), -(2**63), 0)), 2, 1),
        milliseconds=File(lambda: _column(_moments(pa.timestamp("ms"), 2**62, 0)), 2, 1),
        duration=File(lambda: _column(_moments(pa.duration("ms"), 2**62, 0)), 2, 1),
        unknown_zone=_file([NOON, NOON], pa.timestamp("us", "Mars/Olympus"), 2),
    ),
    _parquet(
        "lists of one value or none",
        "ok",
        list=_file([["x"], [], None], pa.list_(pa.string())),
        large_list=_file([["x"], [], None], pa.large_list(pa.string())),
        fixed_list=_file([["x"], ["y"]], pa.list_(pa.string(), 1)),
        null_within=_file([["x"], [None]], pa.list_(pa.string())),
    ),
    _parquet(
        "values that are not plain",
        "rejected",
        "expected (one|a plain) value",
        lists=_file([["x", "y"], ["z"], None], pa.list_(pa.string()), 1),
    ),
    _parquet(
        "columns within columns",
        "refused",
        "take it out of the spec",
        lists_of_lists=_file([[["x"]], None], pa.list_(pa.list_(pa.string()))),
        structs=_file([{"x": 1}, {"x": None}, None], pa.struct([("x", pa.int64())])),
        maps=_file([[("x", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        list_of_structs=_file([[{"x": 1}], None], pa.list_(pa.struct([("x", pa.int64())]))),
    ),
    _parquet(
        "row groups",
        "ok",
        none=_row_groups(),
        empty=_row_groups(0),
        empty_between=_row_groups(2, 0, 3, 0),
        one_row_each=_row_groups(*[1] * 50),
    ),
    _parquet(
        "codecs, encodings and versions",
        "ok",
        **{codec: _table(compression=codec) for codec in ("none", "snappy", "gzip", "brotli")},
        **{codec: _table(compression=codec) for codec in ("zstd", "lz4")},
        pages_of_version_2=_table(data_page_version="2.0"),
        format_1=_table(version="1.0"),
        small_pages=_table(data_page_size=64, write_batch_size=8),
        no_dictionary=_table(use_dictionary=False),
        no_statistics=_table(write_statistics=False),
        checksums=_table(write_page_checksum=True),
        index=_table(write_page_index=True),
        delta=_table(
            use_dictionary=False,
            column_encoding={
                "a": "DELTA_BYTE_ARRAY", "b": "DELTA_BINARY_PACKED", "c": "BYTE_STREAM_SPLIT",
            },
        ),
        lengths=_table(use_dictionary=False, column_encoding={"a": "DELTA_LENGTH_BYTE_ARRAY"}),
        coerced=_table(store_schema=False),
    ),
    _parquet(
        "odd names of columns",
        "ok",
        twice=_named("a", "a", "b"),
        cases=_named("a", "A"),
        empty=_named("", "b"),
        space=_named(" ", " a "),
        dots=_named("a.b", "a", "a.b.c"),
        nul=_named("a\x00b", "c"),
        beyond_ascii=_named("größe", "🦆"),
        of_other_things=_named("__init__", "../x", "%s", "list", "element"),
        long=_named("n" * 5000, "b"),
        three_hundred=_named(*(f"c{at}" for at in range(300))),
    ),
    _parquet(
        "no column that could be told from others",
        "refused",
        "no column",
        none=File(lambda: _written(pa.table({}))),
        twice=_named("a", "a"),
    ),
    _parquet(
        "names of columns that are not UTF-8",
        "refused",
        "not UTF-8",
        one=File(lambda: _written(pa.table({"name": ["x"]})).replace(b"name", b"n\xe4me")),
        all=File(lambda: _written(pa.table({"name": ["x"]})).replace(b"name", b"\xff\xff\xfe\xff")),
        without_arrows_schema=File(
            lambda: _written(pa.table({"name": ["x"]}), store_schema=False).replace(b"name", b"n\xe4me")
        ),
    ),
    _parquet(
        "files that are no Parquet",
        "refused",
        "expected a Parquet file",
        empty=File(b""),
        magic=File(b"PAR1"),
        magic_twice=File(b"PAR1PAR1"),
        no_footer=File(b"PAR1" + bytes(4) + b"PAR1"),
        footer_too_long=File(lambda: sound()[:-8] + b"\xff\xff\xff\x7fPAR1"),
        footer_of_negative_length=File(lambda: sound()[:-8] + b"\xff\xff\xff\xffPAR1"),
        footer_of_noughts=File(lambda: sound()[:-400] + bytes(392) + sound()[-8:]),
        footer_of_ones=File(lambda: sound()[:-80] + b"\xff" * 72 + sound()[-8:]),
        encrypted=File(lambda: b"PARE" + sound()[4:-4] + b"PARE"),
        text=File(b"a,b\n1,x\n" * 20),
        noughts=File(bytes(1000)),
    ),
]  # fmt: skip
