"""Avro files and tables, through the jobs that follow `preprocess`: the same rows, the same predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.csv
import pytest

from skewless.beam_pipelines.predict import predict
from skewless.cli import main
from tests.conftest import DataSet
from tests.test_predict import read

HALF = 200


def as_avro(table: pa.Table, folder: Path) -> str:
    fields = [{"name": name, "type": ["null", "string"]} for name in table.column_names]
    schema = {"type": "record", "name": "Row", "fields": fields}
    with (folder / "rows.avro").open("wb") as file:
        fastavro.writer(file, schema, table.to_pylist(), codec="deflate", sync_interval=2_000)
    return str(folder / "rows.avro")


def as_delta(table: pa.Table, folder: Path) -> str:
    deltalake = pytest.importorskip("deltalake")
    path = str(folder / "delta")
    deltalake.write_deltalake(path, table.slice(0, HALF), partition_by=["country"])
    # Rows that are deleted again, before the others come.
    deltalake.write_deltalake(path, with_other_keys(table.slice(0, 30)), mode="append")
    deltalake.DeltaTable(path).delete("id LIKE 'gone%'")
    deltalake.write_deltalake(path, table.slice(HALF), mode="append")
    return f"delta://{path}"


def as_iceberg(table: pa.Table, folder: Path) -> str:
    from pyiceberg.catalog import load_catalog

    catalog = load_catalog(
        "road", type="sql", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}"
    )
    catalog.create_namespace("shop")
    made = catalog.create_table("shop.rows", table.schema)
    made.append(table.slice(0, HALF))
    made.append(with_other_keys(table.slice(0, 30)))
    made.delete("id LIKE 'gone%'")
    made.append(table.slice(HALF))
    return "iceberg://road/shop.rows"


def with_other_keys(table: pa.Table) -> pa.Table:
    keys = pa.array([f"gone{row}" for row in range(len(table))])
    return table.set_column(table.column_names.index("id"), "id", keys)


@pytest.mark.slow
@pytest.mark.parametrize("written", [as_avro, as_delta, as_iceberg])
def test_they_are_predicted_and_verified_as_the_csv_they_were_made_of(
    written: Callable[[pa.Table, Path], str],
    shop: DataSet,
    shop_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = pa.csv.ConvertOptions(strings_can_be_null=False)
    names = shop.source.read_text(encoding="utf-8").split("\n", 1)[0].split(",")
    options.column_types = {name: pa.string() for name in names}
    given = written(pa.csv.read_csv(shop.source, convert_options=options), tmp_path)
    if given.startswith("iceberg"):
        for name, value in (("TYPE", "sql"), ("URI", f"sqlite:///{tmp_path}/catalog.db")):
            monkeypatch.setenv(f"PYICEBERG_CATALOG__ROAD__{name}", value)
        from pyiceberg.utils.config import Config

        # The library reads its configuration once, when it is imported.
        monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())

    def predicted(source: str, output: Path, *workers: str) -> dict[str, float]:
        summary = predict(shop_model, [source], output, options=workers)
        assert summary["rows"]["read"] == summary["rows"]["written"] == 400
        return {row["key"]: row["predictions"] for row in read(output, summary)}

    # By processes: what they are told of a unit must be all that they need.
    processes = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    got = predicted(given, tmp_path / "out", *processes)
    # Sums are rounded by the size of a batch.
    assert got == pytest.approx(predicted(str(shop.source), tmp_path / "expected"), abs=1e-5)
    assert (
        main(["verify", str(shop_model), "--records", str(shop.directory), "--input", given]) == 0
    )
    assert "parity holds: 400 rows" in capsys.readouterr().out
