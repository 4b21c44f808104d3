"""The Flink cluster and the Kafka broker of the tests, both started by scripts/."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from skewless.beam_pipelines.running.local_runner import pipeline_options

ROOT = Path(__file__).parent.parent
REST = "http://localhost:8081"
BROKER, SECURED = "localhost:9092", "localhost:9094"
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


def flink_options(*more: str) -> PipelineOptions:
    return pipeline_options([*script("flink", "options", *more).split()])


def rest(path: str, method: str = "GET") -> Any:
    """Asks the JobManager."""
    request = urllib.request.Request(f"{REST}{path}", method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
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


def produce(topic: str, messages: Iterable[str], *, rate: float | None = None) -> None:
    """Appends messages, each taken from the iterable when it is sent; with a rate, that many a second."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": BROKER, "enable.idempotence": True})
    begin = time.monotonic()
    for place, message in enumerate(messages):
        if rate is not None:
            producer.poll(max(0.0, begin + place / rate - time.monotonic()))
        producer.produce(topic, message)
    assert producer.flush(60) == 0


def python_workers(pool: int) -> list[int]:
    """Returns the processes of the workers of a pool."""
    children = Path(f"/proc/{pool}/task").glob("*/children")
    return [int(child) for path in children for child in path.read_text().split()]


def works_again(job: str) -> None:
    """Waits for two more checkpoints.

    A worker that dies between its first connection and its last is missed only after Beam's three
    minutes of waiting for it; so it may take that long.
    """
    before = completed(job)
    assert within(600, lambda: completed(job) >= before + 2), "no checkpoint after the kill"


def completed(job: str) -> int:
    return int(rest(f"/jobs/{job}/checkpoints")["counts"]["completed"])
