"""The same jobs on a real Flink cluster and a real Kafka broker, both started by scripts/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import trigger, window

from beam_pipelines.local_runner import pipeline_options
from beam_pipelines.predict import predict
from beam_pipelines.preprocess import preprocess
from schemas.manifest import load_manifest
from tests.conftest import DataSet
from tests.test_preprocess import records_of

ROOT = Path(__file__).parent.parent
REST = "http://localhost:8081"
BROKER = "localhost:9092"
EXPANSION = "localhost:8281"


def script(name: str, *arguments: str) -> str:
    """Runs a script of scripts/ with this Python; returns what it printed."""
    ran = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"scripts/{name} {' '.join(arguments)} failed"
    return ran.stdout


def running(name: str) -> bool:
    status = [sys.executable, str(ROOT / "scripts" / name), "status"]
    return subprocess.run(status, capture_output=True, check=False).returncode == 0


def server(name: str) -> Iterator[None]:
    """Has a server up; one that was up already is left up."""
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.fail("the cluster needs java (11 or 17) and mvn on PATH")
    was_up = running(name)
    script(name, "up")
    yield
    if not was_up:
        script(name, "down")


@pytest.fixture(scope="module")
def flink() -> Iterator[None]:
    yield from server("flink")


@pytest.fixture(scope="module")
def kafka() -> Iterator[None]:
    yield from server("kafka")


def flink_options(*more: str) -> PipelineOptions:
    return pipeline_options([*script("flink", "options", *more).split()])


def rest(path: str) -> Any:
    with urllib.request.urlopen(f"{REST}{path}", timeout=10) as answer:
        return json.load(answer)


def last_job() -> str:
    jobs = rest("/jobs/overview")["jobs"]
    return str(max(jobs, key=lambda job: job["start-time"])["jid"])


def task_managers_of(job: str, step: str) -> set[str]:
    """Returns the TaskManagers whose subtasks of a step were given something to do."""
    vertices = [vertex for vertex in rest(f"/jobs/{job}")["vertices"] if step in vertex["name"]]
    assert vertices, f"no step {step}"
    return {
        subtask["taskmanager-id"]
        for vertex in vertices
        for subtask in rest(f"/jobs/{job}/vertices/{vertex['id']}")["subtasks"]
        if subtask["metrics"]["read-records"] > 0
    }


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def cut(source: Path, directory: Path, parts: int) -> str:
    """Deals the rows of a CSV file out to several; returns their glob."""
    lines = source.read_text(encoding="utf-8").splitlines()
    for part in range(parts):
        chunk = [lines[0], *lines[1 + part :: parts]]
        (directory / f"in-{part}.csv").write_text("\n".join(chunk) + "\n", encoding="utf-8")
    return str(directory / "in-*.csv")


@pytest.mark.flink
def test_two_task_managers_leave_the_same_vocabularies_and_records(
    shop: DataSet, flink: None, tmp_path: Path
) -> None:
    rows = cut(shop.source, tmp_path, 8)
    manifest = preprocess(shop.spec, [rows], tmp_path / "out", options=flink_options())
    assert manifest.runner == "FlinkRunner"
    assert manifest.rows == load_manifest(shop.directory).rows
    assert task_managers_of(last_job(), "WriteRows") == {"taskmanager-1", "taskmanager-2"}
    assert records_of(tmp_path / "out") == records_of(shop.directory)
    assets = shop.directory / "transform" / "transform_fn" / "assets"
    names = {path.name for path in assets.iterdir()}
    assert names >= {"text", "user", "tags"}
    for name in names:
        other = tmp_path / "out" / "transform" / "transform_fn" / "assets" / name
        assert other.read_bytes() == (assets / name).read_bytes()


@pytest.mark.flink
def test_two_task_managers_predict_the_same(
    shop: DataSet, shop_model: Path, flink: None, tmp_path: Path
) -> None:
    rows = cut(shop.source, tmp_path, 8)
    found: list[dict[str, float]] = []
    for output, options in (("direct", pipeline_options()), ("flink", flink_options())):
        summary = predict(shop_model, [rows], tmp_path / output, options=options)
        assert summary["rows"]["written"] == 400
        tables = [pyarrow.parquet.read_table(tmp_path / output / n) for n in summary["files"]]
        found.append(
            {row["key"]: row["predictions"] for table in tables for row in table.to_pylist()}
        )
    direct, on_flink = found
    assert len(on_flink) == 400
    assert on_flink == pytest.approx(direct, abs=1e-6)


def produce(topic: str, ids: Iterable[int], *, rate: float | None = None) -> None:
    """Appends rows with these IDs; with a rate, that many a second."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": BROKER, "enable.idempotence": True})
    begin = time.monotonic()
    for place, row in enumerate(ids):
        if rate is not None:
            producer.poll(max(0.0, begin + place / rate - time.monotonic()))
        producer.produce(topic, key=str(row), value=json.dumps({"id": row}))
    assert producer.flush(60) == 0


@pytest.mark.kafka
def test_broker_keeps_every_row_over_a_restart(kafka: None) -> None:
    from confluent_kafka import Consumer

    topic = f"restart-{uuid.uuid4().hex[:8]}"
    script("kafka", "topic", topic, "--partitions", "3")
    produce(topic, range(500))
    script("kafka", "down")
    assert not running("kafka")
    script("kafka", "up")
    produce(topic, range(500, 700))
    consumer = Consumer(
        {
            "bootstrap.servers": BROKER,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    seen: Counter[int] = Counter()
    ended: set[int] = set()
    end = time.monotonic() + 60
    while len(ended) < 3 and time.monotonic() < end:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            ended.add(message.partition())
        else:
            seen[json.loads(message.value())["id"]] += 1
    consumer.close()
    assert seen == Counter(range(700))


class WriteShard(beam.DoFn):
    """Writes each pane of a shard of a window as one whole file."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def process(
        self,
        element: tuple[int, Iterable[str]],
        window: Any = beam.DoFn.WindowParam,
        pane: Any = beam.DoFn.PaneInfoParam,
    ) -> None:
        shard, rows = element
        folder = Path(self._directory) / f"window={int(window.start)}"
        folder.mkdir(parents=True, exist_ok=True)
        whole = folder / f"shard-{shard}-pane-{pane.index}"
        part = folder / f".{uuid.uuid4().hex}"
        part.write_text("".join(f"{row}\n" for row in sorted(rows)))
        part.rename(whole)


def by_shard(row: tuple[bytes, bytes]) -> tuple[int, str]:
    return int(row[0]) % 4, row[1].decode()


def windows_of(topic: str, output: Path) -> beam.Pipeline:
    from apache_beam.io.kafka import ReadFromKafka

    pipeline = beam.Pipeline(options=flink_options("--streaming"))
    pipeline._options.view_as(beam.options.pipeline_options.StandardOptions).streaming = True
    _ = (
        pipeline
        | "ReadKafka"
        >> ReadFromKafka(
            {"bootstrap.servers": BROKER, "auto.offset.reset": "earliest", "group.id": topic},
            [topic],
            timestamp_policy=ReadFromKafka.create_time_policy,
            expansion_service=EXPANSION,
        )
        | "ByShard" >> beam.Map(by_shard).with_output_types(tuple[int, str])
        | "Windows"
        >> beam.WindowInto(
            window.FixedWindows(5),
            trigger=trigger.AfterWatermark(late=trigger.AfterCount(1)),
            allowed_lateness=3600,
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
        )
        | "Shards" >> beam.GroupByKey()
        | "WriteShard" >> beam.ParDo(WriteShard(str(output)))
    )
    return pipeline


def rows_in(output: Path) -> Counter[int]:
    return Counter(
        json.loads(line)["id"]
        for path in output.glob("window=*/shard-*")
        for line in path.read_text().splitlines()
    )


def python_workers() -> list[int]:
    pool = int((_servers() / "workers.pid").read_text().split()[0])
    children = Path(f"/proc/{pool}/task").glob("*/children")
    return [int(child) for path in children for child in path.read_text().split()]


def _servers() -> Path:
    return Path(os.environ.get("SKEWLESS_SERVERS", ROOT / ".servers")) / "flink"


@pytest.mark.flink
@pytest.mark.kafka
@pytest.mark.slow
def test_windows_from_kafka_hold_each_row_once_though_task_manager_and_worker_are_killed(
    flink: None, kafka: None, tmp_path: Path
) -> None:
    """A window's file is written whole or not at all, and again after a restart."""
    topic = f"killed-{uuid.uuid4().hex[:8]}"
    script("kafka", "topic", topic)
    produce(topic, range(1000))
    result = windows_of(topic, tmp_path).run()
    try:
        assert within(120, lambda: len(rows_in(tmp_path)) >= 500), "no window was finished"
        job = last_job()
        produce(topic, range(1000, 4000), rate=200)
        script("flink", "kill", "taskmanager-2")
        produce(topic, range(4000, 5000), rate=200)
        script("flink", "start", "taskmanager-2")
        produce(topic, range(5000, 8000), rate=200)
        worker = python_workers()[0]
        os.kill(worker, 9)
        produce(topic, range(8000, 12000), rate=200)
        assert within(150, lambda: len(rows_in(tmp_path)) >= 11000), len(rows_in(tmp_path))
        # The last window stays open until rows of a later one come.
        time.sleep(12)
        produce(topic, [12000] * 0 + list(range(12000, 12010)))
        assert within(60, lambda: set(rows_in(tmp_path)) >= set(range(12000)))
        restored = rest(f"/jobs/{job}/checkpoints")["counts"]["restored"]
        assert restored >= 2, "the job was killed twice and must have begun twice anew"
    finally:
        result.cancel()
    rows = rows_in(tmp_path)
    assert [row for row, times in rows.items() if times > 1] == []
    assert set(range(12000)) - set(rows) == set()
