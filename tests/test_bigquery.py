"""BigQuery tables by the Storage Read API, from an emulator on loopback: the rows of the same table as files."""

from __future__ import annotations

import datetime
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan
from skewless.beam_pipelines.sources.digest import unit_sha256
from skewless.beam_pipelines.sources.files import whole_files
from skewless.beam_pipelines.sources.tables import bigquery
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.spec.spec import Spec, parse
from tests.test_preprocess import records_of

ROOT = Path(__file__).parent.parent
ROWS = 40_000
TABLE = "bigquery://shop-1.sales.reviews"
# Geography alone needs the extension, which would be downloaded.
SERVE = """
from bqemulator.storage import engine
for owner in vars(engine).values():
    if hasattr(owner, "_load_spatial"):
        owner._load_spatial = lambda self: None
from bqemulator.cli import main
main()
"""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("bigquery://sales.reviews", "expected bigquery://PROJECT.DATASET.TABLE"),
        ("bigquery://", "expected bigquery://PROJECT.DATASET.TABLE"),
        ("bigquery://p.d.t@yesterday", "expected a time such as 2026-01-31T12:00:00Z after @"),
    ],
)
def test_a_name_that_cannot_be_is_refused(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        whole_files([given])


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery_storage", None)
    with pytest.raises(UsageError, match=r"pip install 'skewless\[bigquery\]'"):
        whole_files([TABLE])


def test_a_table_is_given_once() -> None:
    with pytest.raises(UsageError, match="is already matched by"):
        whole_files([TABLE, f"test={TABLE}"])


def rows() -> pa.Table:
    """Returns [ROWS] of what BigQuery holds: texts, lists, structs, numbers, days and times."""
    draw = np.random.default_rng(1)
    numbers = np.arange(ROWS)
    tags = [[f"t{draw.integers(5)}" for _ in range(number % 3)] for number in numbers]
    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    return pa.table(
        {
            "id": [f"r{number}" for number in numbers],
            "text": [
                f"word{number % 97} été {'x' * 40}" if number % 11 else None for number in numbers
            ],
            "tags": tags,
            "place": [{"zone": f"z{number % 7}"} if number % 5 else None for number in numbers],
            "price": draw.lognormal(size=ROWS),
            "made": [when + datetime.timedelta(minutes=int(number)) for number in numbers],
            "rating": pa.array(numbers % 5 + 1),
        }
    )


SPEC = {
    "name": "shop",
    "key": "id",
    "features": {
        "text": {"type": "text", "length": 6, "embedding": 8},
        "tags": {"type": "categorical", "length": 3, "embedding": 4},
        "zone": {"type": "categorical", "column": "place.zone", "embedding": 4},
        "price": {"type": "numeric", "scale": "z_score"},
        "made": {"type": "timestamp", "parts": ["hour", "weekday"]},
    },
    "label": {"column": "rating", "type": "binary", "positive": [4, 5]},
    "split": {"train": 0.8, "eval": 0.1, "test": 0.1},
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An emulator that holds the rows; gives a Parquet file of them."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery as client_library

    root = tmp_path_factory.mktemp("bigquery")
    pq.write_table(rows(), root / "rows.parquet")
    done = subprocess.run(
        [ROOT / "scripts" / "bigquery"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
        timeout=580,
    )
    rest, grpc = free_port(), free_port()
    command = [
        done.stdout.strip(),
        "-c",
        SERVE,
        "start",
        f"--rest-port={rest}",
        f"--grpc-port={grpc}",
    ]
    log = (root / "log").open("wb")
    process = subprocess.Popen([*command, "--project=shop-1"], stdout=log, stderr=log)
    try:
        for port in (rest, grpc):
            until = time.monotonic() + 120
            while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < until:
                assert process.poll() is None, (root / "log").read_text("utf-8")
                time.sleep(0.2)
        client = client_library.Client(
            "shop-1",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": f"http://127.0.0.1:{rest}"},
        )
        client.create_dataset("sales")
        field = client_library.SchemaField
        schema = [
            field("id", "STRING"),
            field("text", "STRING"),
            field("tags", "STRING", mode="REPEATED"),
            field("place", "RECORD", fields=[field("zone", "STRING")]),
            field("price", "FLOAT64"),
            field("made", "TIMESTAMP"),
            field("rating", "INT64"),
        ]
        client.create_table(client_library.Table("shop-1.sales.reviews", schema))
        lists = client_library.ParquetOptions()
        lists.enable_list_inference = True
        load = client_library.LoadJobConfig(
            source_format="PARQUET", parquet_options=lists, schema=schema
        )
        with (root / "rows.parquet").open("rb") as file:
            client.load_table_from_file(file, "sales.reviews", job_config=load).result()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", f"127.0.0.1:{grpc}")
            bigquery._client.cache_clear()
            yield root / "rows.parquet"
            bigquery._client.cache_clear()
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What sessions were asked for."""
    asked: list[Any] = []
    client = bigquery._client()
    create = client.create_read_session

    def noting(**request: Any) -> Any:
        asked.append(request)
        return create(**request)

    monkeypatch.setattr(client, "create_read_session", noting)
    yield asked


def values(given: str, spec: Spec, **cut: int) -> Counter[str]:
    return Counter(
        str(row)
        for unit in plan([given], spec, **cut)
        for batch in rows_of(unit, spec)
        for row in batch.columns.to_pylist()
    )


@pytest.mark.slow
def test_rows_are_those_of_the_same_table_as_a_file(emulator: Path, sessions: list[Any]) -> None:
    spec = parse(SPEC)
    units = plan([TABLE], spec, unit_bytes=1 << 20)
    assert len(units) > 2 and len({unit.file for unit in units}) == len(units)
    assert values(TABLE, spec, unit_bytes=1 << 20) == values(str(emulator), spec)
    schema, data = (request["read_session"] for request in sessions[:2])
    assert list(schema.read_options.selected_fields) == []
    assert set(data.read_options.selected_fields) == set(rows().schema.names)
    # Both of one time, which the name of each stream holds.
    assert schema.table_modifiers.snapshot_time == data.table_modifiers.snapshot_time
    name = units[0].table.snapshot if units[0].table is not None else ""
    assert units[0].file == f"{name}#0" and name.startswith(f"{TABLE}@20")
    few = plan([f"{TABLE}@2026-01-31T12:00:00+01:00"], parse({**SPEC, "features": {"price": SPEC["features"]["price"]}}))  # type: ignore[index]  # fmt: skip
    assert few[0].file == f"{TABLE}@2026-01-31T11:00:00.000000Z#0"
    fields = sessions[-1]["read_session"].read_options.selected_fields
    assert set(fields) == {"id", "price", "rating"}
    # A stream may be read as often as need be.
    assert unit_sha256(units[0]) == unit_sha256(units[0]) != unit_sha256(units[1])


@pytest.mark.slow
def test_records_are_those_of_the_same_table_as_a_file(emulator: Path, tmp_path: Path) -> None:
    for name, spec in (("key", parse(SPEC)), ("contents", parse({**SPEC, "key": None}))):
        found = tmp_path / name / "table"
        preprocess(spec, [TABLE], found)
        if name == "key":
            preprocess(spec, [str(emulator)], tmp_path / name / "file")
            assert records_of(found) == records_of(tmp_path / name / "file")
        manifest = load_manifest(found)
        assert manifest.rows.read == manifest.rows.written == ROWS
        assert [source[: len(TABLE) + 3] for source in manifest.sources] == [f"{TABLE}@20"]


@pytest.mark.slow
def test_what_the_service_refuses_is_told_in_a_line(emulator: Path) -> None:
    with pytest.raises(UsageError, match=r"sales.nothing@.*: cannot be read: .*check its name"):
        plan(["bigquery://shop-1.sales.nothing"], parse(SPEC))
    features = {"prise": {"type": "numeric"}}
    with pytest.raises(DataError, match=r"@20.*: no column 'prise'; did you mean 'price'"):
        plan([TABLE], parse({**SPEC, "features": features}))
