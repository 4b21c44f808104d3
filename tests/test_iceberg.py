"""Iceberg tables: a snapshot's rows and no others, as the library itself reads them."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan, read
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.spec.spec import Spec, parse

pytest.importorskip("pyiceberg")

DAY = datetime.date(2024, 2, 29)
ROWS = pa.table(
    {
        "n": pa.array([1, 2, 3, 4]),
        "text": ["a", "b", None, "d"],
        "day": pa.array([DAY, DAY, None, DAY]),
        "from": pa.array([{"zone": "p"}, None, {"zone": None}, {"zone": "r"}]),
    }
)
EVERY = ("n", "words", "day", "from.zone", "text")


def spec_of(*columns: str) -> Spec:
    features = {
        f"f{at}": {"type": "categorical", "column": name} for at, name in enumerate(columns)
    }
    return parse({"name": "t", "features": features})


def values(given: str, spec: Spec) -> list[dict[str, Any]]:
    batches = [rows for unit in plan([given], spec) for rows in rows_of(unit, spec)]
    assert not any(batch.rejected for batch in batches)
    rows = [row for batch in batches for row in batch.columns.to_pylist()]
    return sorted(rows, key=lambda row: str(row.get("n")))


def said(table: pa.Table) -> list[dict[str, Any]]:
    """Returns the rows that the library reads, as text, sorted by `n`."""
    rows = []
    for row in table.to_pylist():
        inner = row.pop("from")
        row |= {"from.zone": inner and inner["zone"]}
        rows.append({name: None if held is None else str(held) for name, held in row.items()})
    return sorted(rows, key=lambda row: str(row["n"]))


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A table that was written, whose column was renamed and made anew, appended to and deleted from."""
    from pyiceberg.catalog import load_catalog
    from pyiceberg.types import StringType
    from pyiceberg.utils.config import Config

    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", f"file://{tmp_path}")
    # The library reads its configuration once, when it is imported.
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())
    catalog = load_catalog("lake")
    catalog.create_namespace("shop")
    found = catalog.create_table("shop.reviews", ROWS.schema)
    with found.update_spec() as partitions:
        partitions.add_identity("day")
    found.append(ROWS)
    with found.update_schema() as schema:
        schema.rename_column("text", "words")
    with found.update_schema() as schema:
        schema.add_column("text", StringType())
    more = ROWS.slice(0, 2).rename_columns(["n", "words", "day", "from"])
    more = more.set_column(0, "n", pa.array([5, 6]))
    found.append(more.append_column("text", pa.array(["new", None], pa.string())))
    found.delete("n = 2")
    return found


TABLE = "iceberg://lake/shop.reviews"


def test_rows_are_those_that_the_library_reads(table: Any) -> None:
    spec = spec_of(*EVERY)
    wanted = said(table.scan().to_arrow())
    assert [row["n"] for row in wanted] == ["1", "3", "4", "5", "6"]
    got = values(TABLE, spec)
    assert [{name: row[name] for name in wanted[0]} for row in got] == wanted
    first, *_, last = [snapshot.snapshot_id for snapshot in table.snapshots()]
    assert values(f"{TABLE}@{last}", spec) == got
    before = values(f"{TABLE}@{first}", spec_of("n", "text"))
    assert [(row["n"], row["text"]) for row in before] == [
        ("1", "a"),
        ("2", "b"),
        ("3", None),
        ("4", "d"),
    ]
    (unit, *_) = plan([TABLE], spec)
    assert unit.table is not None and unit.table.snapshot == f"{TABLE}@{last}"
    sample = take_sample([TABLE])
    assert sample.whole and set(sample.columns) == set(EVERY)


def test_identity_partitions_fill_what_files_lack(table: Any, tmp_path: Path) -> None:
    spec = spec_of("n", "day")
    wanted = values(TABLE, spec)
    # Hive's way: the files are without the column that the table is partitioned by.
    for unit in plan([TABLE], spec):
        held = pq.read_table(unit.file, partitioning=None)
        pq.write_table(held.drop_columns(["day"]), unit.file)
    assert values(TABLE, spec) == wanted


def delete_places(table: Any, folder: Path, places: dict[str, list[int]], equality: bool) -> None:
    """Adds a file of deletes, which the library reads and does not write."""
    from pyiceberg.manifest import (
        DataFile,
        DataFileContent,
        FileFormat,
        ManifestContent,
        ManifestWriterV2,
    )
    from pyiceberg.table.update.snapshot import Operation, _FastAppendFiles
    from pyiceberg.typedef import Record

    class Deletes(ManifestWriterV2):
        def content(self) -> ManifestContent:
            return ManifestContent.DELETES

        @property
        def _meta(self) -> dict[str, str]:
            return {**super()._meta, "content": "deletes"}

    class Producer(_FastAppendFiles):
        def new_manifest_writer(self, spec: Any) -> Deletes:
            schema = self._transaction.table_metadata.schema()
            return Deletes(spec, schema, self.new_manifest_output(), self._snapshot_id, "null")

    rows = [(file, place) for file, held in places.items() for place in held]
    path = folder / "deletes.parquet"
    held = pa.table({"file_path": [file for file, _ in rows], "pos": [place for _, place in rows]})
    pq.write_table(held, path)
    content = DataFileContent.EQUALITY_DELETES if equality else DataFileContent.POSITION_DELETES
    entry = DataFile.from_args(
        content=content, file_path=f"file://{path}", file_format=FileFormat.PARQUET, partition=Record(DAY.toordinal() - 719163),
        record_count=len(rows), file_size_in_bytes=path.stat().st_size, equality_ids=[1] if equality else None,
    )  # fmt: skip
    entry.spec_id = table.spec().spec_id
    with table.transaction() as transaction:
        producer = Producer(Operation.APPEND, transaction, table.io)
        producer.append_data_file(entry)
        transaction._apply(*producer._commit())


@pytest.mark.parametrize("equality", [False, True])
def test_positional_deletes_are_honoured_and_equality_deletes_refused(
    equality: bool, table: Any, tmp_path: Path
) -> None:
    spec = spec_of("n", "words")
    file = next(
        task.file.file_path
        for task in table.scan().plan_files()
        if 5 in pq.read_table(task.file.file_path.removeprefix("file://")).column("n").to_pylist()
    )
    delete_places(table, tmp_path, {file: [0]}, equality)
    if equality:
        with pytest.raises(DataError, match=r"equality deletes.*write the table's data files anew"):
            plan([TABLE], spec)
        return
    wanted = sorted(str(n) for n in table.scan().to_arrow().column("n").to_pylist())
    assert wanted == ["1", "3", "4", "6"]
    assert [row["n"] for row in values(TABLE, spec)] == wanted
    numbers = {
        unit.file: [int(row) for batch in read(unit, spec) for row in batch.rows]
        for unit in plan([TABLE], spec)
    }
    assert numbers[file.removeprefix("file://")] == [2]


def test_what_cannot_be_read_is_refused(table: Any) -> None:
    spec = spec_of("n")
    with pytest.raises(UsageError, match=r"expected iceberg://CATALOG/NAMESPACE.TABLE"):
        plan(["iceberg://lake"], spec)
    with pytest.raises(UsageError, match=r"nowhere.*PYICEBERG_CATALOG__NOWHERE__URI"):
        plan(["iceberg://nowhere/shop.reviews"], spec)
    with pytest.raises(UsageError, match=r"expected an Iceberg table, got: .*shop.orders"):
        plan(["iceberg://lake/shop.orders"], spec)
    with pytest.raises(UsageError, match=r"there is no snapshot 7; name one of the newest: \d+"):
        plan([f"{TABLE}@7"], spec)
    with table.update_schema() as schema:
        schema.rename_column(("from", "zone"), "region")
    with pytest.raises(DataError, match=r"fields within column 'from' were renamed or made anew"):
        values(TABLE, spec_of("from.region"))
