"""Delta tables: a snapshot's rows and no others, as the library itself reads them."""

from __future__ import annotations

import datetime
import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.sources.digest import unit_sha256
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.spec.spec import Spec, parse

deltalake = pytest.importorskip("deltalake")

DAY = datetime.date(2024, 2, 29)
ROWS = pa.table(
    {
        "n": pa.array([1, 2, 3, 4, 5]),
        "text": ["a", "b", "c", None, "e"],
        "place": ["x", "x", "y z", "y z", None],
        "day": pa.array([DAY, DAY, DAY, None, DAY]),
        "level": pa.array([1, 1, 2, 2, 2], pa.int32()),
        "from": pa.array([{"zone": "p"}, None, {"zone": "q"}, {"zone": None}, {"zone": "r"}]),
    }
)


def spec_of(*columns: str, **more: Any) -> Spec:
    features = {
        f"f{at}": {"type": "categorical", "column": name} for at, name in enumerate(columns)
    }
    return parse({"name": "t", "features": features, **more})


EVERY = ("n", "text", "place", "day", "level", "from.zone")


def values(given: str, spec: Spec, **cut: int) -> list[dict[str, Any]]:
    batches = [rows for unit in plan([given], spec, **cut) for rows in rows_of(unit, spec)]
    assert not any(batch.rejected for batch in batches)
    rows = [row for batch in batches for row in batch.columns.to_pylist()]
    return sorted(rows, key=lambda row: str(row.get("n")))


def said(table: pa.Table) -> list[dict[str, Any]]:
    """Returns the rows that the library reads, as text, sorted by `n`."""
    rows = []
    for row in table.to_pylist():
        inner = row.pop("from", None)
        row |= {"from.zone": inner and inner["zone"]}
        rows.append({name: None if held is None else str(held) for name, held in row.items()})
    return sorted(rows, key=lambda row: str(row["n"]))


@pytest.fixture
def table(tmp_path: Path) -> str:
    """A table of four versions: written, appended to with a new column, deleted from, overwritten in part."""
    path = str(tmp_path / "reviews")
    deltalake.write_deltalake(path, ROWS, partition_by=["place", "day", "level"])
    more = ROWS.slice(0, 2).set_column(0, "n", pa.array([6, 7]))
    more = more.append_column("late", pa.array(["l", "m"]))
    deltalake.write_deltalake(path, more, mode="append", schema_mode="merge")
    deltalake.DeltaTable(path).delete("n = 1")
    return path


def test_rows_are_those_that_the_library_reads(table: str) -> None:
    for version in (0, 1, 2):
        names = [*EVERY, "late"] if version else EVERY
        wanted = said(deltalake.DeltaTable(table, version=version).to_pyarrow_table())
        got = values(f"delta://{table}@v{version}", spec_of(*names))
        assert [{name: row[name] for name in names} for row in got] == wanted, version
    assert values(f"delta://{table}", spec_of(*EVERY)) == values(
        f"delta://{table}@v2", spec_of(*EVERY)
    )
    # Partition columns alone, and one that older files lack.
    assert len(values(f"delta://{table}", spec_of("place", "level"))) == 6
    assert {row["late"] for row in values(f"delta://{table}", spec_of("late"))} == {None, "l", "m"}
    (unit, *_) = units = plan([f"train=delta://{table}"], spec_of("n"))
    assert {each.split for each in units} == {"train"}
    assert unit.table is not None and unit.table.snapshot == "delta://reviews@v2"


def test_contents_of_rows_are_of_all_columns(table: str) -> None:
    spec = spec_of("n")
    found = [
        content
        for unit in plan([f"delta://{table}@v0"], spec)
        for batch in read(unit, spec, contents=True)
        if batch.contents is not None
        for content in batch.contents().to_pylist()
    ]
    assert len(found) == len(set(found)) == 5
    assert sum(b"place\x1e" in content for content in found) == 4


def test_init_samples_partitions_too(table: str) -> None:
    sample = take_sample([f"delta://{table}"])
    assert sample.whole and sample.rows == 6
    assert set(sample.columns) == {*EVERY, "late"}
    assert sorted(sample.columns["place"].to_pylist(), key=str) == [
        None,
        "x",
        "x",
        "x",
        "y z",
        "y z",
    ]


Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data: bytes) -> str:
    words = [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4)]
    return "".join(Z85[word // 85**power % 85] for word in words for power in (4, 3, 2, 1, 0))


def bitmap(places: list[int]) -> bytes:
    """Returns a 64-bit Roaring bitmap of few small numbers, as Delta stores it, padded to words."""
    array = b"".join(struct.pack("<H", place) for place in places)
    inner = struct.pack("<IIHHI", 12346, 1, 0, len(places) - 1, 16) + array
    data = struct.pack("<IQI", 1681511377, 1, 0) + inner
    return data + b"\0" * (-len(data) % 4)


def log_entries(path: str, version: int) -> list[dict[str, Any]]:
    text = Path(path, "_delta_log", f"{version:020}.json").read_text()
    return [json.loads(line) for line in text.splitlines()]


def append_entries(path: str, version: int, entries: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    Path(path, "_delta_log", f"{version:020}.json").write_text(text)


def asking(feature: str) -> dict[str, Any]:
    features = {"readerFeatures": [feature], "writerFeatures": [feature]}
    return {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}}


def test_deletion_vectors_are_honoured(tmp_path: Path) -> None:
    path = str(tmp_path / "a b")
    deltalake.write_deltalake(path, ROWS.select(["n", "text"]))
    (add,) = [entry["add"] for entry in log_entries(path, 0) if "add" in entry]
    data = bitmap([1, 3])
    vector = {
        "storageType": "i",
        "pathOrInlineDv": z85(data),
        "sizeInBytes": len(data),
        "cardinality": 2,
    }
    gone = {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}
    again = {"add": add | {"deletionVector": vector}}
    append_entries(path, 1, [asking("deletionVectors"), {"remove": gone}, again])
    assert len(values(f"delta://{path}@v0", spec_of("n"))) == 5
    spec = spec_of("n", "text")
    assert [row["n"] for row in values(f"delta://{path}", spec)] == ["1", "3", "5"]
    (unit,) = plan([f"delta://{path}"], spec)
    (batch,) = read(unit, spec)
    assert batch.rows.tolist() == [1, 3, 5]
    (before,) = plan([f"delta://{path}@v0"], spec)
    assert unit_sha256(unit) != unit_sha256(before)
    sample = take_sample([f"delta://{path}"])
    assert sample.whole and sample.columns["n"].to_pylist() == ["1", "3", "5"]


def test_what_cannot_be_read_is_refused(table: str, tmp_path: Path) -> None:
    spec = spec_of("n")
    with pytest.raises(UsageError, match=r"delta:///nowhere.*expected a Delta table"):
        plan(["delta:///nowhere"], spec)
    with pytest.raises(UsageError, match=r"expected version 9 of a Delta table"):
        plan([f"delta://{table}@v9"], spec)
    with pytest.raises(UsageError, match=r"is a Delta table; write delta://"):
        plan([table], spec)
    with pytest.raises(DataError, match="no column 'absent'"):
        plan([f"delta://{table}"], spec_of("absent"))
    path = str(tmp_path / "mapped")
    deltalake.write_deltalake(path, ROWS.select(["n"]))
    (meta,) = [entry for entry in log_entries(path, 0) if "metaData" in entry]
    meta["metaData"]["configuration"] = {"delta.columnMapping.mode": "name"}
    schema = json.loads(meta["metaData"]["schemaString"])
    schema["fields"][0]["metadata"] = {
        "delta.columnMapping.id": 1,
        "delta.columnMapping.physicalName": "c1",
    }
    meta["metaData"]["schemaString"] = json.dumps(schema)
    append_entries(path, 1, [asking("columnMapping"), meta])
    with pytest.raises(
        DataError, match=r"asks of its readers columnMapping \(mode name\), which is not read"
    ):
        plan([f"delta://{path}"], spec)
