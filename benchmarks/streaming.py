"""A stream from Kafka to windows of records on Flink, under load that it can bear for long.

    python -m benchmarks.streaming [--quick] [--minutes 10] [--json FILE]

Generated reviews of about 600 bytes (benchmarks/preprocessing/data.py), one message each, in JSON.
First the maximum: a topic that is full already is read, and rows/s counted from the first window
that can be seen to the last. Then, at 80% of that, rows are appended as time goes by. Told of it:

- rows/s appended and written, and whether the job kept up: how far behind it was at the end;
- latency, from a row's append to its window in its place: p50 and p99, as it is, and after the
  end of the window, which the length of windows has no part in;
- memory: resident, of TaskManagers and Python workers together, in the first and the last minute.

Flink and Kafka are those of scripts/ and must be up. Exits with 1 if a row is lost or is there twice.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from beam_pipelines.preprocess import preprocess
from benchmarks.preprocessing import data
from schemas.spec import load
from schemas.windows import finished_panes

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
SPEC = Path(__file__).parent / "preprocessing" / "reviews.yaml"
BROKER, EXPANSION, REST = "localhost:9092", "localhost:8281", "http://localhost:8081"
WINDOW, DELAY = 10, 1
_BLOCK = 20_000
_PAGE = 4096


@dataclass
class Run:
    """What is seen of one job: when its windows appeared, and its memory second by second."""

    rows: int = 0
    seen: dict[str, tuple[float, Any]] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)

    def latencies(self, appended: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns [rows] seconds from append, and from the end of the window, to its appearance.

        Args:
          appended: [rows] when each row was appended, which is its time too.
        """
        visible: dict[float, float] = {}
        for when, manifest in self.seen.values():
            if manifest.pane == 0:
                visible[manifest.start.timestamp()] = when
        starts = appended - appended % WINDOW
        found = np.array([visible.get(start, np.nan) for start in starts.tolist()])
        known = ~np.isnan(found)
        return (found - appended)[known], (found - starts - WINDOW)[known]


class Job:
    """`skewless stream` of one topic, watched until it is ended."""

    def __init__(self, topic: str, transform: Path, output: Path) -> None:
        self.run = Run()
        self._output = output
        self._log = output.with_suffix(".log")
        self._stop = threading.Event()
        script = [sys.executable, str(ROOT / "scripts" / "flink"), "options", "--streaming"]
        options = subprocess.run(script, capture_output=True, text=True, check=True).stdout.split()
        command = [
            *(sys.executable, "-m", "skewless", "stream", str(SPEC)),
            f"--source=kafka://{BROKER}/{topic}",
            f"--transform={transform}",
            f"--output={output}",
            *(f"--window={WINDOW}s", f"--delay={DELAY}s", f"--expansion-service={EXPANSION}"),
            *options,
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def wait_for(self, rows: int, seconds: float) -> bool:
        """Waits until so many rows are in windows."""
        end = time.monotonic() + seconds
        while self.run.rows < rows and time.monotonic() < end:
            if self._process.poll() is not None:
                sys.exit(f"the job ended:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.2)
        return self.run.rows >= rows

    def end(self) -> None:
        """Cancels the job."""
        self._stop.set()
        self._watcher.join()
        os.killpg(self._process.pid, signal.SIGKILL)  # Beam's job server, too.
        self._process.wait()
        with urllib.request.urlopen(f"{REST}/jobs", timeout=10) as answer:
            running = [job["id"] for job in json.load(answer)["jobs"] if job["status"] == "RUNNING"]
        for job in running:
            request = urllib.request.Request(f"{REST}/jobs/{job}?mode=cancel", method="PATCH")
            urllib.request.urlopen(request, timeout=10).close()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            now = time.time()
            for folder, manifest in finished_panes(self._output):
                if folder not in self.run.seen:
                    self.run.seen[folder] = (now, manifest)
                    self.run.rows += manifest.rows.read
            if not self.run.memory or now - self.run.memory[-1][0] >= 1:
                self.run.memory.append((now, _resident()))


def _resident() -> int:
    """Returns the bytes resident in the TaskManagers and the Python workers of scripts/flink."""
    servers = Path(os.environ.get("SKEWLESS_SERVERS", ROOT / ".servers")) / "flink"
    pool = int((servers / "workers.pid").read_text().split()[0])
    processes = [int(path.read_text().split()[0]) for path in servers.glob("taskmanager-*.pid")]
    total = 0
    try:
        for path in Path(f"/proc/{pool}/task").glob("*/children"):
            processes += map(int, path.read_text().split())
        for process in processes:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except FileNotFoundError:
        return 0  # A worker ended meanwhile.
    return total


def messages() -> Iterator[bytes]:
    """Yields rows without end: one block of them again and again, new keys."""
    [block] = data.generate(_BLOCK, 3)
    names = [name for name in block.schema.names if name != "review_id"]
    bodies = [json.dumps(row)[1:] for row in block.select(names).to_pylist()]
    for number in itertools.count():
        yield f'{{"review_id": "s{number:09d}", {bodies[number % _BLOCK]}'.encode()


def topic() -> str:
    """Makes a topic of two partitions."""
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    script = [sys.executable, str(ROOT / "scripts" / "kafka"), "topic", name, "--partitions", "2"]
    subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
    return name


def fill(name: str, rows: int, per_second: int) -> None:
    """Appends rows whose timestamps are as if so many had come each second until now."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": BROKER, "linger.ms": 20})
    begin = int(time.time() * 1000) - rows * 1000 // per_second
    for place, message in enumerate(itertools.islice(messages(), rows)):
        when = begin + place * 1000 // per_second
        producer.produce(name, message, partition=place % 2, timestamp=when)
        if place % 1000 == 0:
            producer.poll(0)
    producer.flush(120)


def append(name: str, rows_per_second: float, seconds: float) -> np.ndarray:
    """Appends rows evenly for so long; returns [rows] when each was appended."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": BROKER, "linger.ms": 5})
    begin = time.time()
    appended = []
    for place, message in enumerate(messages()):
        due = begin + place / rows_per_second
        if due - begin > seconds:
            break
        while (now := time.time()) < due:
            producer.poll(min(0.01, due - now))
        when = int(now * 1000)
        producer.produce(name, message, partition=place % 2, timestamp=when)
        appended.append(when / 1000)
    producer.flush(120)
    return np.array(appended)


def maximum(transform: Path, output: Path, rows: int) -> float:
    """Returns the rows/s of a full topic, from the first window seen to the last."""
    name = topic()
    # A window of ten seconds holds a tenth of the rows.
    fill(name, rows, per_second=max(1, rows // (10 * WINDOW)))
    job = Job(name, transform, output)
    done = job.wait_for(rows, 600)
    job.end()
    if not done:
        sys.exit(f"only {job.run.rows} of {rows} rows were written in ten minutes")
    seen = sorted((when, manifest.rows.read) for when, manifest in job.run.seen.values())
    seconds = seen[-1][0] - seen[0][0]
    return sum(count for _, count in seen[1:]) / seconds if seconds > 0 else float("nan")


def sustained(transform: Path, output: Path, rate: float, minutes: float) -> dict[str, Any]:
    """Appends at a rate for so long; returns what was measured."""
    name = topic()
    append(name, min(rate, 500.0), 2)
    job = Job(name, transform, output)
    if not job.wait_for(1, 300):
        sys.exit("the job wrote no window in five minutes")
    begin, warm = time.time(), job.run.rows
    appended = append(name, rate, minutes * 60)
    ended = time.time()
    behind_begin = len(appended) + warm - job.run.rows
    complete = job.wait_for(len(appended) + warm, 120)
    caught_up = time.time() - ended
    job.end()
    from_append, from_end = job.run.latencies(appended)
    memory = [(when, size) for when, size in job.run.memory if begin <= when <= ended]
    minute = min(60.0, (ended - begin) / 2)
    first = [size for when, size in memory if when < begin + minute]
    last = [size for when, size in memory if when >= ended - minute]
    return {
        "minutes": minutes,
        "rows_per_second": len(appended) / (ended - begin),
        "rows": len(appended) + warm,
        "rows_in_windows": job.run.rows,
        "complete": complete and job.run.rows == len(appended) + warm,
        "rows_open_at_the_end": behind_begin,
        "seconds_to_the_last_window": caught_up,
        "latency": _quantiles(from_append),
        "latency_after_window_end": _quantiles(from_end),
        "late_panes": sum(manifest.pane > 0 for _, manifest in job.run.seen.values()),
        "memory_first_minute": float(np.mean(first)) if first else None,
        "memory_last_minute": float(np.mean(last)) if last else None,
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"p{share}": float(np.percentile(values, share)) for share in (50, 99)}


def main() -> int:
    """Runs the benchmark; returns 1 if a row is lost or there twice."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.streaming",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="little data: results, not times")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=500_000, help="of the full topic")
    parser.add_argument("--json", type=Path, metavar="FILE")
    known = parser.parse_args()
    minutes, rows = (0.5, 20_000) if known.quick else (known.minutes, known.rows)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        source = data.write(20_000 if known.quick else 200_000, root / "training.csv", seed=1)
        preprocess(load(SPEC), [str(source)], root / "records")
        transform = root / "records" / "transform"
        highest = maximum(transform, root / "full", rows)
        print(f"maximum: {highest:,.0f} rows/s of a full topic", flush=True)
        result = sustained(transform, root / "live", 0.8 * highest, minutes)
    result = {"maximum_rows_per_second": highest, **result}
    print(json.dumps(result, indent=2))
    if known.json is not None:
        known.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if result["complete"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
