"""A stream from Kafka on Flink, killed in the middle: each row is in one finished window, once.

The broker is read by the listener that wants TLS and a password. Windows lie on this machine, or in a bucket,
which is all that workers share then.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skewless.beam_pipelines.streaming.leftovers import SOURCES
from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.records.manifest import Rows
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.storage import location
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.windows import RemoteWindows
from tests.cluster import (
    EXPANSION,
    ROOT,
    SECURED,
    last_job,
    produce,
    python_workers,
    rest,
    script,
    within,
    works_again,
)
from tests.conftest import DataSet
from tests.object_stores import STORES
from tests.test_stream import Row, batch_records, records_in, rows, write
from tests.workers_apart import Apart, workers_apart

__all__ = ["rows"]
BUCKET = "s3://bucket/windows"
RATE = 100
pytestmark = [pytest.mark.flink, pytest.mark.kafka, pytest.mark.slow]


class Stream:
    """`skewless stream` of a topic in a process of its own, and rows that are appended meanwhile."""

    def __init__(
        self, shop: DataSet, rows: list[Row], directory: Path, apart: Apart | None = None
    ) -> None:
        self.topic = f"stream-{uuid.uuid4().hex[:8]}"
        self.output = directory / "windows"
        self._apart = apart
        self.sent: list[Row] = []
        self._shop, self._rows, self._directory = shop, rows, directory
        self._ended = threading.Event()
        self._producer = threading.Thread(target=self._produce)
        self._process: subprocess.Popen[bytes] | None = None
        script("kafka", "topic", self.topic, "--partitions", "2")
        self._producer.start()

    def begin(self, *more: str) -> None:
        """Starts the command and waits until its job writes windows."""
        before = len(self.read())
        options = script("flink", "options", "--streaming").split()
        command = [
            *(sys.executable, "-m", "skewless", "stream", str(self._shop.directory / "spec.yaml")),
            f"--source=kafka://{SECURED}/{self.topic}",
            f"--transform={self._shop.directory / 'transform'}",
            f"--output={self.output if self._apart is None else BUCKET}",
            *("--window=5s", "--timestamp-column=at", "--delay=1s"),
            f"--expansion-service={EXPANSION}",
            *options,
            *(() if self._apart is None else self._apart.options),
            *more,
        ]
        secured = {"KAFKA_CLIENT_CONFIG": script("kafka", "secured").strip()}
        with (self._directory / "command.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **secured},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert within(900, lambda: len(self.read()) > before), self._log()

    def kill(self) -> None:
        """Ends the command, and with it Beam's job server, at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def end(self) -> None:
        """Appends no more rows, waits until all are in windows, and ends command and job."""
        self._ended.set()
        self._producer.join()
        done = within(600, lambda: sum(self.read().values()) >= len(self.sent))
        self.kill()
        rest(f"/jobs/{last_job()}?mode=cancel", "PATCH")
        assert done, f"{sum(self.read().values())} of {len(self.sent)} rows; {self._log()}"

    def read(self) -> dict[str, int]:
        """Returns the rows read of each finished pane, which are at hand then."""
        if self._apart is not None:
            remote = RemoteWindows(Location.of(BUCKET), self.output)
            for folder in remote.panes():
                if not (self.output / folder / MANIFEST).exists():
                    remote.bring(folder)
        return {folder: manifest.rows.read for folder, manifest in finished_panes(self.output)}

    def close(self) -> None:
        """Stops what a failed test left."""
        self._ended.set()
        if self._process is not None:
            self.kill()
        for job in rest("/jobs")["jobs"]:
            if job["status"] not in ("CANCELED", "FINISHED", "FAILED"):
                rest(f"/jobs/{job['id']}?mode=cancel", "PATCH")

    def _produce(self) -> None:
        produce(self.topic, self._messages(), rate=RATE)

    def _messages(self) -> Iterator[str]:
        for number in itertools.count():
            if self._ended.is_set():
                return
            row: dict[str, Any] = {**self._rows[number % len(self._rows)], "id": f"k{number}"}
            row["at"] = int(time.time() * 1000)
            if number % 97 == 0:
                row["age"] = "old"
            for _ in range(2 if number % 50 == 0 else 1):
                self.sent.append(row)
                yield json.dumps(row)

    def _log(self) -> str:
        return (self._directory / "command.log").read_text(errors="replace")[-3000:]


@pytest.fixture
def stream(
    shop: DataSet, rows: list[Row], flink: None, kafka: None, tmp_path: Path
) -> Iterator[Stream]:
    stream = Stream(shop, rows, tmp_path)
    yield stream
    stream.close()


@pytest.fixture
def apart_stream(
    shop: DataSet,
    rows: list[Row],
    flink: None,
    kafka: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Stream, Apart]]:
    """A stream to a bucket, and the pool of its workers, which see nothing of `tmp_path`."""
    with STORES["s3"]() as variables, workers_apart(tmp_path, variables) as apart:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        location._system.cache_clear()
        stream = Stream(shop, rows, tmp_path, apart)
        yield stream, apart
        stream.close()
    location._system.cache_clear()


def holds_each_row_once(stream: Stream, shop: DataSet, directory: Path) -> None:
    file = write(directory / "sent.jsonl", stream.sent)
    assert records_in(stream.output) == batch_records(shop, [file], directory / "batch")
    panes = finished_panes(stream.output)
    totals = [manifest.rows for _, manifest in panes]
    late = sum(manifest.pane > 0 for _, manifest in panes)
    figures = [sum(getattr(rows, name) for rows in totals) for name in Rows.model_fields]
    names = ", ".join(
        f"{count} {name}" for count, name in zip(figures, Rows.model_fields, strict=True)
    )
    print(f"\n{len(stream.sent)} rows sent: {names}; {len(panes)} panes, {late} of them late")
    unfit = [row for row in stream.sent if row["age"] == "old"]
    assert sum(rows.read for rows in totals) == len(stream.sent)
    assert sum(rows.rejected for rows in totals) == len(unfit)
    assert sum(rows.duplicate for rows in totals) == len(stream.sent) - len(unfit) - len(
        {row["id"] for row in stream.sent if row["age"] != "old"}
    )
    # Kafka's own offsets: those of each partition without a gap, none of them twice.
    offsets: dict[str, list[int]] = {}
    for folder, _ in panes:
        found = json.loads((stream.output / folder / SOURCES).read_text())
        for partition, ranges in found.items():
            for first, last in ranges:
                offsets.setdefault(partition, []).extend(range(first, last + 1))
    assert sum(map(len, offsets.values())) == len(stream.sent)
    for numbers in offsets.values():
        assert sorted(numbers) == list(range(len(numbers)))


def test_a_task_manager_and_a_python_worker_are_killed(
    apart_stream: tuple[Stream, Apart], shop: DataSet, tmp_path: Path
) -> None:
    stream, apart = apart_stream
    stream.begin()
    job = last_job()
    script("flink", "kill", "taskmanager-2")
    time.sleep(2)
    script("flink", "start", "taskmanager-2")
    works_again(job)
    os.kill(python_workers(apart.process)[0], signal.SIGKILL)
    works_again(job)
    stream.end()
    restored = rest(f"/jobs/{job}/checkpoints")["counts"]["restored"]
    assert restored >= 2, "the job was hit twice and must have begun anew twice"
    holds_each_row_once(stream, shop, tmp_path)
    assert not (tmp_path / "caches").exists()


def test_the_whole_job_is_killed_and_goes_on_from_its_last_checkpoint(
    stream: Stream, shop: DataSet, tmp_path: Path
) -> None:
    stream.begin()
    job = last_job()
    works_again(job)
    stream.kill()
    for server in ("taskmanager-1", "taskmanager-2", "workers"):
        script("flink", "kill", server)
    rest(f"/jobs/{job}?mode=cancel", "PATCH")
    assert within(180, lambda: rest(f"/jobs/{job}")["state"] == "CANCELED")
    checkpoint = rest(f"/jobs/{job}/checkpoints")["latest"]["completed"]["external_path"]
    script("flink", "up")
    stream.begin(f"--savepoint_path={checkpoint}")
    stream.end()
    assert rest(f"/jobs/{last_job()}/checkpoints")["counts"]["restored"] == 1
    holds_each_row_once(stream, shop, tmp_path)
