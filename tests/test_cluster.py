"""The batch jobs on a real Flink cluster, and on Spark; a real Kafka broker that is restarted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from skewless.beam_pipelines.predict import predict
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.running.local_runner import pipeline_options
from skewless.cli import main
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.storage import location
from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.windows import RemoteWindows
from tests.cluster import (
    BROKER,
    ROOT,
    flink_options,
    last_job,
    produce,
    running,
    script,
    task_managers_of,
)
from tests.conftest import DataSet
from tests.object_stores import STORES
from tests.test_preprocess import records_of
from tests.test_stream import batch_records, records_in
from tests.workers_apart import workers_apart


def cut(source: Path, directory: Path, parts: int) -> str:
    """Deals the rows of a CSV file out to several; returns their glob."""
    lines = source.read_text(encoding="utf-8").splitlines()
    for part in range(parts):
        chunk = [lines[0], *lines[1 + part :: parts]]
        (directory / f"in-{part}.csv").write_text("\n".join(chunk) + "\n", encoding="utf-8")
    return str(directory / "in-*.csv")


def is_the_local_runners(output: Path, shop: DataSet) -> None:
    """Checks that records, as multisets, and vocabularies, in bytes, are those of the shop."""
    assert records_of(output) == records_of(shop.directory)
    assets = shop.directory / "transform" / "transform_fn" / "assets"
    names = {path.name for path in assets.iterdir()}
    assert names >= {"text", "user", "tags"}
    for name in names:
        other = output / "transform" / "transform_fn" / "assets" / name
        assert other.read_bytes() == (assets / name).read_bytes()


@pytest.mark.flink
def test_two_task_managers_leave_the_same_vocabularies_and_records(
    shop: DataSet, flink: None, tmp_path: Path
) -> None:
    rows = cut(shop.source, tmp_path, 8)
    manifest = preprocess(shop.spec, [rows], tmp_path / "out", options=flink_options())
    assert manifest.runner == "FlinkRunner"
    assert manifest.rows == load_manifest(shop.directory).rows
    assert task_managers_of(last_job(), "WriteRows") == {"taskmanager-1", "taskmanager-2"}
    is_the_local_runners(tmp_path / "out", shop)


OWN_FUNCTION = """
import tensorflow_transform as tft
from own_helpers import dense

def preprocessing_fn(inputs):
    user, age = dense(inputs["user"]), dense(inputs["age"])
    return {"who": tft.compute_and_apply_vocabulary(user), "old": tft.scale_to_0_1(age)}
"""
OWN_HELPERS = """
import tensorflow as tf

def dense(column):
    return tf.sparse.to_dense(column)[:, 0]
"""


@pytest.mark.flink
def test_workers_that_share_a_bucket_alone_leave_the_same(
    shop: DataSet, flink: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    cut(shop.source, tmp_path, 8)
    # Where no worker sees them.
    (tmp_path / "own_functions.py").write_text(OWN_FUNCTION, encoding="utf-8")
    (tmp_path / "own_helpers.py").write_text(OWN_HELPERS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    own = shop.spec.model_copy(update={"preprocessing": "own_functions:preprocessing_fn"})
    preprocess(own, [str(shop.source)], tmp_path / "own")
    monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / "commands"))
    with STORES["s3"]() as variables, workers_apart(tmp_path, variables) as apart:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        location._system.cache_clear()
        bucket = Location.of("s3://bucket/in")
        bucket.system.put([str(path) for path in tmp_path.glob("in-*.csv")], f"{bucket.path}/")
        bucket.system.pipe_file("bucket/spec.yaml", shop.spec.to_yaml().encode())
        rows = ["s3://bucket/spec.yaml", "--input", "s3://bucket/in/*.csv"]
        output = ["--output", "s3://bucket/records", "--cache", "s3://bucket/analysis"]
        options = [*script("flink", "options").split(), *apart.options]
        assert main(["preprocess", *rows, *output, *options]) == 0
        assert "s3://bucket/records: 400 records" in capfd.readouterr().out
        assert task_managers_of(last_job(), "WriteRows") == {"taskmanager-1", "taskmanager-2"}
        is_the_local_runners(fetched("s3://bucket/records"), shop)
        caches = apart.caches()
        fetching = [cache for cache in caches if any("transform_fn" in path for path in cache)]
        assert len(caches) >= 2 and len(fetching) >= 2
        assert not (tmp_path / "caches").exists()
        left = bucket.system.find("bucket/records")
        assert len({path.split("/")[2] for path in left}) == 2
        bucket.system.pipe_file("bucket/own.yaml", own.to_yaml().encode())
        rows[0], output[1] = "s3://bucket/own.yaml", "s3://bucket/own"
        assert main(["preprocess", *rows, *output, *options]) == 0
        assert records_of(fetched("s3://bucket/own")) == records_of(tmp_path / "own")
        source = [
            "--source",
            "s3://bucket/in/*.csv",
            "--transform",
            "s3://bucket/records/transform",
        ]
        windows = ["--output", "s3://bucket/windows", "--window", "1d", "--until-idle", "0"]
        assert main(["stream", "s3://bucket/spec.yaml", *source, *windows, *options]) == 0
        remote = RemoteWindows(Location.of("s3://bucket/windows"), tmp_path / "windows")
        for folder in remote.panes():
            remote.bring(folder)
        files = sorted(tmp_path.glob("in-*.csv"))
        assert records_in(remote.path) == batch_records(shop, files, tmp_path / "batch")
    location._system.cache_clear()


# Spark's own processes are in the job server: local[2].
@pytest.mark.slow
def test_spark_leaves_the_same_vocabularies_and_records(shop: DataSet, tmp_path: Path) -> None:
    pom = ROOT / "scripts" / "maven" / "spark-job-server.xml"
    maven = ["mvn", "--batch-mode", "--quiet", "--file", str(pom), "package"]
    subprocess.run([*maven, f"-Doutput={tmp_path / 'spark'}"], check=True)
    options = [
        "--runner=SparkRunner",
        "--spark_master_url=local[2]",
        f"--spark_job_server_jar={tmp_path / 'spark' / 'spark-job-server.jar'}",
    ]
    manifest = preprocess(
        shop.spec, [cut(shop.source, tmp_path, 8)], tmp_path / "out", options=options
    )
    assert manifest.runner == "SparkRunner"
    assert manifest.rows == load_manifest(shop.directory).rows
    is_the_local_runners(tmp_path / "out", shop)


@pytest.mark.flink
def test_the_command_leaves_no_process(shop: DataSet, flink: None, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "skewless", "preprocess", str(shop.directory / "spec.yaml")]
    files = ["--input", str(shop.source), "--output", str(tmp_path / "out")]
    options = script("flink", "options").split()
    process = subprocess.Popen([*command, *files, *options], cwd=ROOT, start_new_session=True)
    assert process.wait() == 0
    # No process is in its group any more.
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


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


@pytest.mark.kafka
def test_broker_keeps_every_row_over_a_restart(kafka: None) -> None:
    from confluent_kafka import Consumer

    topic = f"restart-{uuid.uuid4().hex[:8]}"
    script("kafka", "topic", topic, "--partitions", "3")
    produce(topic, map(str, range(500)))
    script("kafka", "down")
    assert not running("kafka")
    script("kafka", "up")
    produce(topic, map(str, range(500, 700)))
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
            seen[int(message.value())] += 1
    consumer.close()
    assert seen == Counter(range(700))
