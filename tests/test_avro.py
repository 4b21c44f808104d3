"""Avro: what fastavro's own reader says, and what Parquet of the same rows holds; damage and cuts."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from skewless.beam_pipelines.init import pieces
from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.sources.digest import unit_sha256
from skewless.schemas.errors import DataError
from skewless.schemas.spec.spec import Spec, parse

DAY = datetime.date(2024, 2, 29)
NOON = datetime.datetime(2024, 2, 29, 12, 30, 0, 250_000)
UTC = NOON.replace(tzinfo=datetime.timezone.utc)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
# Of each column its type in Avro, its values, and how it is read where it is no text.
COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "text": ("string", ["a", "", "é"]),
    "maybe": (["null", "string"], [None, "b", "c"]),
    "last": (["string", "null"], ["x", None, "y"]),
    "raw": ("bytes", [b"a", b"b", "é".encode()]),
    "pair": ({"type": "fixed", "name": "Pair", "size": 2}, [b"ab", b"cd", b"ef"]),
    "again": (["null", "Pair"], [None, b"gh", b"ij"]),
    "suit": ({"type": "enum", "name": "Suit", "symbols": ["RED", "BLACK"]}, ["RED", "BLACK", "RED"]),
    "flag": ("boolean", [True, False, True]),
    "small": ("int", [-(2**31), 2**31 - 1, 0]),
    "large": ("long", [2**53 + 1, -(2**63), 2**63 - 1]),
    "single": ("float", [0.5, -2.0, 0.25]),
    "double": ("double", [0.1, 2.0, 1e-300]),
    "mixed": (["null", "int", "double", "string", "boolean"], [7, 0.5, "seven"]),
    "wider": (["int", "long"], [1, 2**40, -3]),
    "day": ({"type": "int", "logicalType": "date"}, [DAY, datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    "milli": ({"type": "int", "logicalType": "time-millis"}, [NOON.time(), datetime.time(0), datetime.time(23, 59, 59)]),
    "micro": ({"type": "long", "logicalType": "time-micros"}, [NOON.time(), datetime.time(0), datetime.time(1, 2, 3, 4)]),
    "then": ({"type": "long", "logicalType": "timestamp-millis"}, [UTC, UTC, UTC]),
    "finer": (["null", {"type": "long", "logicalType": "timestamp-micros"}], [UTC, None, UTC]),
    "local": ({"type": "long", "logicalType": "local-timestamp-millis"}, [NOON, NOON, NOON]),
    "lofine": ({"type": "long", "logicalType": "local-timestamp-micros"}, [NOON, NOON, NOON]),
    "price": ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, [decimal.Decimal("1.50"), decimal.Decimal("-2.25"), decimal.Decimal("0.01")]),
    "cost": ({"type": "fixed", "name": "Cost", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 4}, [decimal.Decimal("1.5000"), decimal.Decimal("-2.2500"), decimal.Decimal("0.0001")]),
    "huge": ({"type": "bytes", "logicalType": "decimal", "precision": 90, "scale": 1}, [decimal.Decimal("7" * 85 + ".5"), decimal.Decimal("-0.1"), decimal.Decimal("1.5")]),
    "id": ({"type": "string", "logicalType": "uuid"}, [ID, ID, ID]),
}  # fmt: skip
LISTS: dict[str, tuple[Any, list[Any]]] = {
    "tags": ({"type": "array", "items": "string"}, [["a", "b"], [], ["c"]]),
    "some": (["null", {"type": "array", "items": ["null", "long"]}], [[1, None], None, [2]]),
}
NESTED = {
    "type": "record",
    "name": "From",
    "fields": [
        {"name": "zone", "type": ["null", "string"]},
        {"name": "at", "type": ["null", {"type": "record", "name": "At", "fields": [
            {"name": "lat", "type": "double"}, {"name": "day", "type": {"type": "int", "logicalType": "date"}}]}]},
    ],
}  # fmt: skip
FROM = [{"zone": "a", "at": {"lat": 1.5, "day": DAY}}, None, {"zone": None, "at": None}]


def written(path: Path, columns: dict[str, tuple[Any, list[Any]]], **options: Any) -> str:
    fields = [{"name": name, "type": kind} for name, (kind, _) in columns.items()]
    schema = {"type": "record", "name": "Row", "fields": fields}
    values = [kept for _, kept in columns.values()]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
    with path.open("wb") as file:
        fastavro.writer(file, schema, rows, **options)
    return str(path)


# fastavro packs by these only where packages are installed that we do without.
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "zstandard": lambda data: zstandard.ZstdCompressor().compress(data),
    "snappy": lambda data: pa.Codec("snappy").compress(data, asbytes=True) + zlib.crc32(data).to_bytes(4, "big"),
}  # fmt: skip


def number(value: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    return out.getvalue()


def repacked(plain: str, path: str, codec: str) -> None:
    """Writes a file of the codec null again, by another."""
    with open(plain, "rb") as file:
        reader = fastavro.block_reader(file)
        kept = [(block.num_records, block.bytes_.getvalue()) for block in reader]
        schema = json.dumps(reader.writer_schema)
    sync = bytes(range(16))
    head = {"avro.schema": schema.encode(), "avro.codec": codec.encode()}
    out = io.BytesIO(b"Obj\x01")
    out.seek(4)
    fastavro.schemaless_writer(out, {"type": "map", "values": "bytes"}, head)
    out.write(sync)
    for count, data in kept:
        packed = PACKED.get(codec, bytes)(data)
        out.write(number(count) + number(len(packed)) + packed + sync)
    Path(path).write_bytes(out.getvalue())


def spec_of(*names: str, **more: Any) -> Spec:
    lists = {name for name in names if name in LISTS}
    features = {
        f"f{at}": {"type": "categorical", "column": name} | ({"length": 3} if name in lists else {})
        for at, name in enumerate(names)
    }
    return parse({"name": "t", "features": features, **more})


def values(path: str, spec: Spec, **cut: int) -> tuple[list[dict[str, Any]], list[Any]]:
    batches = [rows for unit in plan([path], spec, **cut) for rows in rows_of(unit, spec)]
    rows = [row for batch in batches for row in batch.columns.to_pylist()]
    return rows, [entry for batch in batches for entry in batch.rejected]


def said(value: Any) -> str | None:
    """Returns what a value that fastavro read is as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f").rstrip("0")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@pytest.mark.parametrize("codec", ["null", "deflate", "zstandard", "snappy", "bzip2", "xz"])
def test_values_are_those_of_fastavros_own_reader(codec: str, tmp_path: Path) -> None:
    plain = written(tmp_path / "plain.avro", COLUMNS | LISTS)
    path = str(tmp_path / "x.avro")
    if codec in PACKED:
        repacked(plain, path, codec)
    else:
        written(Path(path), COLUMNS | LISTS, codec=codec)
    rows, rejected = values(path, spec_of(*COLUMNS, *LISTS))
    assert not rejected
    with open(plain, "rb") as file:
        held = list(fastavro.reader(file))
    for row, wanted in zip(rows, held, strict=True):
        for name in COLUMNS:
            assert row[name] == said(wanted[name]), name
        for name in LISTS:
            items = wanted[name] and [said(item) for item in wanted[name] if item is not None]
            assert (row[name] or None) == (items or None), name


def test_rows_and_their_contents_are_those_of_parquet(tmp_path: Path) -> None:
    # Parquet has no decimals of 90 digits, no UUID, and no unions.
    kept = {name: COLUMNS[name] for name in COLUMNS if name not in ("huge", "id", "mixed")}
    path = written(tmp_path / "x.avro", kept | LISTS | {"from": (["null", NESTED], FROM)})
    table = {name: pa.array(held) for name, (_, held) in (kept | LISTS).items()}
    table |= {name: table[name].cast(pa.timestamp("ms", "UTC")) for name in ("then",)}
    table |= {name: table[name].cast(pa.timestamp("ms")) for name in ("local",)}
    table |= {"milli": table["milli"].cast(pa.time32("ms")), "from": pa.array(FROM)}
    table |= {
        "small": table["small"].cast(pa.int32()),
        "single": table["single"].cast(pa.float32()),
    }
    other = tmp_path / "x.parquet"
    pq.write_table(pa.table(table), other)
    spec = spec_of(*kept, *LISTS, "from.zone", "from.at.lat", "from.at.day")
    rows, rejected = values(path, spec)
    assert not rejected and rows == values(str(other), spec)[0]
    contents = []
    for file in (path, str(other)):
        (unit,) = plan([file], spec)
        (batch,) = read(unit, spec, contents=True)
        assert batch.contents is not None
        contents.append(batch.contents().to_pylist())
    assert contents[0] == contents[1]


def many(path: Path, rows: int, **options: Any) -> str:
    columns = {"n": ("long", list(range(rows))), "t": ("string", [f"t{n}" for n in range(rows)])}
    return written(path, columns, sync_interval=400, **options)


@pytest.mark.parametrize("unit_bytes", [1, 500, 3000])
def test_any_cut_reads_each_row_once(unit_bytes: int, tmp_path: Path) -> None:
    spec = spec_of("n", "t")
    # Markers that are no block's end: the first row's text holds the file's own marker.
    sync = b"0123456789abcdef"
    rows = [f"t{n}" for n in range(900)]
    rows[3] = sync.decode() + "\x02\x02"
    columns = {"n": ("long", list(range(900))), "t": ("string", rows)}
    path = written(tmp_path / "x.avro", columns, sync_interval=400, sync_marker=sync)
    units = plan([path], spec, unit_bytes=unit_bytes)
    assert len(units) > 2
    read_rows = [
        row for unit in units for batch in rows_of(unit, spec) for row in batch.columns.to_pylist()
    ]
    assert [(int(row["n"]), row["t"]) for row in read_rows] == list(enumerate(rows))
    numbers = [int(row) for unit in units for batch in read(unit, spec) for row in batch.rows]
    assert numbers == list(range(1, 901))
    assert len({unit_sha256(unit) for unit in units}) == len(units)


def block_places(path: str) -> list[tuple[int, int]]:
    with open(path, "rb") as file:
        return [(block.offset, block.num_records) for block in fastavro.block_reader(file)]


def test_damage_rejects_the_rows_that_it_costs(tmp_path: Path) -> None:
    spec = spec_of("n", "t")
    path = Path(many(tmp_path / "x.avro", 300, codec="deflate"))
    sound = path.read_bytes()
    (_, in_first), (second, in_second), (third, _), *_ = block_places(str(path))
    # Within a block: its own rows are lost, those of others are not.
    path.write_bytes(
        sound[: second + 20] + bytes([sound[second + 20] ^ 0xFF]) + sound[second + 21 :]
    )
    rows, rejected = values(str(path), spec)
    lost = {entry.row for entry in rejected}
    assert lost and lost <= set(range(in_first + 1, in_first + in_second + 1))
    assert {int(row["n"]) + 1 for row in rows} == set(range(1, 301)) - lost
    assert {
        (entry.file, "deflate" in entry.reason or "decoded" in entry.reason) for entry in rejected
    } == {(str(path), True)}
    # A marker gone: nothing behind it can be known.
    path.write_bytes(sound[: third - 1] + b"?" + sound[third:])
    rows, rejected = values(str(path), spec)
    assert len(rows) == in_first
    assert [(entry.row, "sync marker: the rest" in entry.reason) for entry in rejected] == [
        (in_first + 1, True)
    ]
    # Cut off.
    path.write_bytes(sound[:-5])
    rows, rejected = values(str(path), spec, unit_bytes=500)
    assert len(rows) < 300 and [entry.row for entry in rejected] == [len(rows) + 1]
    assert "ends inside a block" in rejected[0].reason


def test_a_record_that_ends_early_costs_those_behind_it(tmp_path: Path) -> None:
    path = many(tmp_path / "x.avro", 20)
    with open(path, "rb") as file:
        (block,) = [block.bytes_.getvalue() for block in fastavro.block_reader(file)][:1]
    # The fifth text says that it is longer than the block.
    place = block.index(b"t4") - 1
    data = Path(path).read_bytes()
    Path(path).write_bytes(data.replace(block, block[:place] + b"\xfe\x7f" + block[place + 2 :]))
    rows, rejected = values(path, spec_of("n", "t"))
    assert [int(row["n"]) for row in rows] == [0, 1, 2, 3]
    assert [entry.row for entry in rejected] == list(range(5, 21))
    assert "cannot be decoded" in rejected[0].reason


def test_a_value_that_its_type_cannot_hold_rejects_its_row(tmp_path: Path) -> None:
    schema = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
    path = str(tmp_path / "x.avro")
    # By the type below the logical one, which checks nothing.
    raw = written(tmp_path / "raw.avro", {"price": ("bytes", [b"\x01", b"\x7f\xff\xff", b"\xff"])})
    data = Path(raw).read_bytes()
    told = json.dumps(schema).encode()
    with open(raw, "rb") as file:
        reader = fastavro.block_reader(file)
        (block,) = list(reader)
    fields = [{"name": "price", "type": json.loads(told)}]
    head = {"avro.schema": json.dumps({"type": "record", "name": "R", "fields": fields}).encode()}
    out = io.BytesIO(b"Obj\x01")
    out.seek(4)
    fastavro.schemaless_writer(out, {"type": "map", "values": "bytes"}, head)
    body = block.bytes_.getvalue()
    out.write(data[-16:] + number(3) + number(len(body)) + body + data[-16:])
    Path(path).write_bytes(out.getvalue())
    rows, rejected = values(path, spec_of("price"))
    assert [row["price"] for row in rows] == ["0.01", "-0.01"]
    ((row, column, reason),) = [(entry.row, entry.column, entry.reason) for entry in rejected]
    assert (row, column) == (2, "price") and "decimal128(4, 2)" in reason


ODD: dict[str, tuple[Any, list[Any], str]] = {
    "map": ({"type": "map", "values": "int"}, [{"a": 1}, {}], "holds maps"),
    "either": (["null", {"type": "array", "items": "int"}, "string"], ["a", [1]], "one of several types"),
    "lists": ({"type": "array", "items": {"type": "array", "items": "int"}}, [[[1]], []], "lists of lists"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_no_feature_reads_is_refused_by_name(name: str, tmp_path: Path) -> None:
    kind, held, why = ODD[name]
    path = written(tmp_path / "x.avro", {"a": ("int", [1, 2]), name: (kind, held)})
    with pytest.raises(
        DataError, match=rf"x.avro: column '{name}' .*{why}.*take it out of the spec"
    ):
        plan([path], spec_of(name))
    # Beside what is read it plays no part, but for knowing rows without a key.
    assert [row["a"] for row in values(path, spec_of("a"))[0]] == ["1", "2"]
    (unit,) = plan([path], spec_of("a"))
    (batch,) = read(unit, spec_of("a"), contents=True)
    assert batch.contents is not None and len(set(batch.contents().to_pylist())) == 2
    assert name in take_sample([path]).unreadable


def test_init_samples_values_and_fields(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.avro", {"n": ("long", [1, 2, 3]), "from": (["null", NESTED], FROM)}
    )
    sample = take_sample([path])
    assert sample.whole and sample.rows == 3
    assert sample.columns["from.zone"].to_pylist() == ["a", None, None]
    assert sample.columns["from.at.lat"].to_pylist() == ["1.5", None, None]


def test_init_takes_pieces_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(tmp_path / "x.avro", 5000)
    monkeypatch.setattr(pieces, "_READ_WHOLE_BYTES", 1)
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 1500)
    monkeypatch.setattr(pieces, "CHUNK_BYTES", 1)
    sample = take_sample([path])
    assert 500 < sample.rows < 5000 and not sample.rejected
    assert 4000 < sample.total < 6000


def test_files_that_are_not_what_their_name_says(tmp_path: Path) -> None:
    spec = spec_of("n")
    path = tmp_path / "x.avro"
    path.write_bytes(b"n\n1\n2\n")
    with pytest.raises(DataError, match=r"x.avro: expected Avro, as its ending says"):
        plan([str(path)], spec)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"x.avro: expected an Avro file"):
        plan([str(path)], spec)
    path.write_bytes(b"Obj\x01\x02\x16avro")
    with pytest.raises(DataError, match=r"x.avro: its Avro header cannot be read"):
        plan([str(path)], spec)
    with path.open("wb") as file:
        fastavro.writer(file, "long", [1, 2])
    with pytest.raises(DataError, match="expected an Avro file of records, got one of long"):
        plan([str(path)], spec)
    plain = many(tmp_path / "plain.avro", 5)
    repacked(plain, str(path), "lz4")
    with pytest.raises(
        DataError, match=r"packed by 'lz4', which is not read; write it with one of null"
    ):
        plan([str(path)], spec)
    with pytest.raises(DataError, match="no column 'absent'"):
        plan([plain], spec_of("absent"))


@pytest.mark.parametrize("kind, why", [
    ({"type": "record", "name": "Link", "fields": [{"name": "next", "type": ["null", "Link"]}]}, "column.next: records of 'Link' hold themselves"),
    ({"type": "array", "items": "null"}, "column: a list of values that take no bytes"),
])  # fmt: skip
def test_schemas_that_could_take_any_time_are_refused(kind: Any, why: str, tmp_path: Path) -> None:
    path = written(tmp_path / "x.avro", {"n": ("long", []), "column": (kind, [])})
    with pytest.raises(DataError, match=rf"x.avro: its Avro schema cannot be read: .*{why}"):
        plan([path], spec_of("n"))
