"""A stream from Kafka to windows of records on Flink, under load that it can bear for long.

    python -m benchmarks.streaming [--quick] [--minutes 10] [--json FILE] [Beam options]

Generated reviews of about 760 bytes (benchmarks/preprocessing/data.py), one message each, in JSON;
every 200th is sent twice and every 500th is unfit. First a topic that is full already is read, and
rows/s counted from the second window that can be seen to the last. Then as many are appended each
second for two minutes: what the job writes of them is its maximum, as who appends them takes a
share of the same cores. Then, at 80% of the maximum, rows are appended for ten minutes. Told of it:

- rows/s appended, and whether the job kept up: how many rows were in no window at the end, and how
  long it took until they were;
- latency, from a row's append to its pane in its place: p50 and p99, as it is, and after the end of
  the row's window, which the length of windows has no part in;
- memory: resident, of TaskManagers and of Python workers, by minutes.

Flink and Kafka are those of scripts/ and must be up. Exits with 1 unless each row that was appended
is in one pane, once, and read = written + rejected + duplicate with the numbers that were sent.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.preprocessing import data
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.streaming.leftovers import SOURCES
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.spec.spec import load

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
SPEC = Path(__file__).parent / "preprocessing" / "reviews.yaml"
BROKER, EXPANSION, REST = "localhost:9092", "localhost:8281", "http://localhost:8081"
WINDOW, DELAY = 10, 1
RESULTS = Path(__file__).parent / "results" / "streaming.json"
_BLOCK = 20_000
_TWICE, _UNFIT = 200, 500
_PAGE = 4096
_PARTITIONS = 2


@dataclass
class Run:
    """What is seen of one job: when its panes appeared, and its memory second by second.

    Attributes:
      rows: In panes.
      seen: By folder, when a pane was seen first, and its manifest.
      memory: When, and the bytes of TaskManagers and of Python workers.
    """

    rows: int = 0
    seen: dict[str, tuple[float, Any]] = field(default_factory=dict)
    memory: list[tuple[float, int, int]] = field(default_factory=list)

    def visible(self, output: Path, appended: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns [partitions][rows] when the pane that holds a row was seen; NaN if none does.

        Args:
          output: The directory of windows.
          appended: [partitions][rows], for its shape; a row's place is its offset.

        Raises:
          ValueError: If a row is in two panes, or twice in one.
        """
        found = [np.full(len(rows), np.nan) for rows in appended]
        for folder, (when, _) in self.seen.items():
            for source, ranges in json.loads((output / folder / SOURCES).read_text()).items():
                partition = found[int(source.rpartition("/")[2])]
                for first, last in ranges:
                    if not np.isnan(partition[first : last + 1]).all():
                        raise ValueError(f"{folder}: rows {first} to {last} are in a pane already")
                    partition[first : last + 1] = when
        return found

    def rows_per_second(self) -> float:
        """Returns the rows of all panes but the first two by the seconds since these were seen."""
        panes = sorted((when, manifest.rows.read) for when, manifest in self.seen.values())[1:]
        seconds = panes[-1][0] - panes[0][0] if panes else 0.0
        if seconds == 0:
            sys.exit("no window was seen after the second: more rows are needed to tell a rate")
        return sum(count for _, count in panes[1:]) / seconds

    def by_minute(self, begin: float, end: float) -> list[dict[str, float]]:
        """Returns the mean memory of each minute, the last one from its own end backwards."""
        minute = min(60.0, (end - begin) / 2)
        starts = [*np.arange(begin, end - 1.5 * minute, minute), end - minute]
        means = []
        for start in starts:
            inside = [entry[1:] for entry in self.memory if start <= entry[0] < start + minute]
            servers, workers = np.mean(inside, axis=0) if inside else (np.nan, np.nan)
            means.append({"task_managers": float(servers), "python_workers": float(workers)})
        return means


class Job:
    """`skewless stream` of one topic, watched until it is ended."""

    def __init__(self, topic: str, transform: Path, output: Path, options: Sequence[str]) -> None:
        self.run = Run()
        self.topic = topic
        self._output = output
        self._log = output.with_suffix(".log")
        self._stop = threading.Event()
        script = [sys.executable, str(ROOT / "scripts" / "flink"), "options", "--streaming"]
        cluster = subprocess.run(script, capture_output=True, text=True, check=True).stdout.split()
        command = [
            *(sys.executable, "-m", "skewless", "stream", str(SPEC)),
            f"--source=kafka://{BROKER}/{topic}",
            f"--transform={transform}",
            f"--output={output}",
            *(f"--window={WINDOW}s", f"--delay={DELAY}s", f"--expansion-service={EXPANSION}"),
            *cluster,
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
        """Cancels the job, and removes its topic."""
        from confluent_kafka.admin import AdminClient

        self._stop.set()
        self._watcher.join()
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        with urllib.request.urlopen(f"{REST}/jobs", timeout=10) as answer:
            running = [job["id"] for job in json.load(answer)["jobs"] if job["status"] == "RUNNING"]
        for job in running:
            request = urllib.request.Request(f"{REST}/jobs/{job}?mode=cancel", method="PATCH")
            urllib.request.urlopen(request, timeout=10).close()
        admin = AdminClient({"bootstrap.servers": BROKER})
        for removed in admin.delete_topics([self.topic]).values():
            removed.result()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            now = time.time()
            for folder, manifest in finished_panes(self._output):
                if folder not in self.run.seen:
                    self.run.seen[folder] = (now, manifest)
                    self.run.rows += manifest.rows.read
            if not self.run.memory or now - self.run.memory[-1][0] >= 1:
                self.run.memory.append((now, *_resident()))


def _resident() -> tuple[int, int]:
    """Returns the bytes resident in the TaskManagers, and in the Python workers, of scripts/flink."""
    servers = Path(os.environ.get("SKEWLESS_SERVERS", ROOT / ".servers")) / "flink"
    pool = int((servers / "workers.pid").read_text().split()[0])
    managers = [int(path.read_text().split()[0]) for path in servers.glob("taskmanager-*.pid")]
    workers = [
        int(process)
        for path in Path(f"/proc/{pool}/task").glob("*/children")
        for process in path.read_text().split()
    ]
    return sum(map(_resident_in, managers)), sum(map(_resident_in, workers))


def _resident_in(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except FileNotFoundError:
        return 0  # A worker ended meanwhile.


def messages(name: str) -> Iterator[tuple[bytes, bool]]:
    """Yields rows without end, and whether it is the row before again.

    One block of rows comes again and again, with new keys that begin with `name`.
    """
    [block] = data.generate(_BLOCK, 1)
    names = [name for name in block.schema.names if name != "review_id"]
    rows = block.select(names).to_pylist()
    bodies = [json.dumps(row)[1:] for row in rows]
    unfit = json.dumps({**rows[0], "age": "old"})[1:]
    for number in itertools.count():
        body = unfit if number % _UNFIT == 1 else bodies[number % _BLOCK]
        message = f'{{"review_id": "{name}{number:09d}", {body}'.encode()
        yield message, False
        if number % _TWICE == 0:
            yield message, True


def topic() -> str:
    """Makes a topic."""
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    script = [sys.executable, str(ROOT / "scripts" / "kafka"), "topic", name]
    command = [*script, "--partitions", str(_PARTITIONS)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return name


def fill(name: str, rows: int, per_second: int) -> None:
    """Appends rows whose timestamps are as if so many had come each second until now."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": BROKER, "linger.ms": 20})
    begin = int(time.time() * 1000) - rows * 1000 // per_second
    for place, (message, again) in enumerate(itertools.islice(messages("f"), rows)):
        if not again:
            when = begin + place * 1000 // per_second
        producer.produce(name, message, partition=place % _PARTITIONS, timestamp=when)
        if place % 1000 == 0:
            producer.poll(0)
    producer.flush(120)


@dataclass
class Appended:
    """What was appended: when, [partitions][rows], and how many rows are unfit, or there again."""

    times: list[np.ndarray]
    unfit: int = 0
    again: int = 0

    def __add__(self, other: Appended) -> Appended:
        both = zip(self.times, other.times, strict=True)
        times = [np.concatenate(rows) for rows in both]
        return Appended(times, self.unfit + other.unfit, self.again + other.again)

    @property
    def rows(self) -> int:
        """How many."""
        return sum(map(len, self.times))


def append(name: str, keys: str, rows_per_second: float, seconds: float) -> Appended:
    """Appends rows evenly for so long, with keys that begin with `keys`."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": BROKER, "linger.ms": 5})
    begin = time.time()
    times: list[list[float]] = [[] for _ in range(_PARTITIONS)]
    found = Appended([])
    for place, (message, again) in enumerate(messages(keys)):
        due = begin + place / rows_per_second
        if due - begin > seconds:
            break
        while (now := time.time()) < due:
            producer.poll(min(0.01, due - now))
        if not again:  # Twice at one time: in one window.
            when = int(now * 1000)
        producer.produce(name, message, partition=place % _PARTITIONS, timestamp=when)
        times[place % _PARTITIONS].append(when / 1000)
        found.again += again
        found.unfit += b'"age": "old"' in message
    producer.flush(120)
    found.times = [np.array(rows) for rows in times]
    return found


def full_topic(transform: Path, output: Path, rows: int, options: Sequence[str]) -> float:
    """Returns the rows/s of a full topic, from the second window seen to the last."""
    name = topic()
    # A window of ten seconds holds a tenth of the rows.
    fill(name, rows, per_second=max(1, rows // (10 * WINDOW)))
    job = Job(name, transform, output, options)
    done = job.wait_for(rows, 600)
    job.end()
    if not done:
        sys.exit(f"only {job.run.rows} of {rows} rows were written in ten minutes")
    return job.run.rows_per_second()


def maximum(
    transform: Path, output: Path, rate: float, seconds: float, options: Sequence[str]
) -> float:
    """Returns the rows/s of a job that is sent as many as it would read from a full topic."""
    job, _ = begun(transform, output, options)
    append(job.topic, "s", rate, seconds)
    job.end()
    return job.run.rows_per_second()


def begun(transform: Path, output: Path, options: Sequence[str]) -> tuple[Job, Appended]:
    """Starts a job; returns it when it writes windows, and what was appended until then."""
    name = topic()
    warm = append(name, "w", 500.0, 2)
    job = Job(name, transform, output, options)
    if not job.wait_for(1, 300):
        sys.exit("the job wrote no window in five minutes")
    return job, warm


def sustained(
    transform: Path, output: Path, rate: float, minutes: float, options: Sequence[str]
) -> dict[str, Any]:
    """Appends at a rate for so long; returns what was measured."""
    job, warm = begun(transform, output, options)
    begin = time.time()
    appended = append(job.topic, "s", rate, minutes * 60)
    ended = time.time()
    total = warm + appended
    behind = total.rows - job.run.rows
    job.wait_for(total.rows, 180)
    caught_up = time.time() - ended
    job.end()
    visible = job.run.visible(output, total.times)
    live = [seen[len(rows) :] for seen, rows in zip(visible, warm.times, strict=True)]
    seen, times = np.concatenate(live), np.concatenate(appended.times)
    panes = [manifest for _, manifest in job.run.seen.values()]
    rows = {
        kind: sum(getattr(manifest.rows, kind) for manifest in panes)
        for kind in ("read", "written", "rejected", "duplicate")
    }
    fit = total.rows - total.unfit - total.again
    sent = {"read": total.rows, "written": fit, "rejected": total.unfit, "duplicate": total.again}
    return {
        "minutes": minutes,
        "rows_per_second": appended.rows / (ended - begin),
        "rows_sent": sent,
        "rows_in_windows": rows,
        "complete": rows == sent and not any(np.isnan(partition).any() for partition in visible),
        "rows_in_no_window_at_the_end": behind,
        "seconds_to_the_last_window": caught_up,
        "latency": _quantiles(seen - times),
        "latency_after_window_end": _quantiles(seen - (times - times % WINDOW + WINDOW)),
        "panes": len(panes),
        "late_panes": sum(manifest.pane > 0 for manifest in panes),
        "memory_by_minute": job.run.by_minute(begin, ended),
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f"p{share}": float(np.nanpercentile(values, share)) for share in (50, 99)}


def main() -> int:
    """Runs the benchmark; returns 1 if a row is lost or there twice."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.streaming",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="little data: results, not times")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=1_500_000, help="of the full topic")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"(default: {RESULTS.name})")
    known, options = parser.parse_known_args()
    if known.json is None and not known.quick:
        known.json = RESULTS
    minutes, rows, flood = (0.5, 20_000, 30) if known.quick else (known.minutes, known.rows, 120)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        source = data.write(20_000 if known.quick else 200_000, root / "training.csv", seed=1)
        preprocess(load(SPEC), [str(source)], root / "records")
        transform = root / "records" / "transform"
        full = full_topic(transform, root / "full", rows, options)
        print(f"{full:,.0f} rows/s of a full topic", flush=True)
        highest = maximum(transform, root / "flooded", full, flood, options)
        print(f"{highest:,.0f} rows/s at most, while rows are appended", flush=True)
        result = sustained(transform, root / "live", 0.8 * highest, minutes, options)
    speeds = {"full_topic_rows_per_second": full, "maximum_rows_per_second": highest}
    result = {"options": options, **speeds, **result}
    print(json.dumps(result, indent=2))
    if known.json is not None:
        known.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if result["complete"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
