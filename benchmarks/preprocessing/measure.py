"""One command, measured from outside: wall and CPU seconds, peak memory, time to first record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

__all__ = ["MEMORY", "Measured", "Process", "measure"]

_INTERVAL = 0.05
# Where `python -m skewless` and `python -m benchmarks…` are found.
_ROOT = Path(__file__).parents[2]
_PROC = Path("/proc")
# Shared pages count once in PSS, once a process in RSS.
MEMORY = "PSS" if (_PROC / "self/smaps_rollup").exists() else "RSS"


@dataclass
class Process:
    """One process of the command's tree or of a server's.

    Attributes:
      root: The command, or the server that started it.
      pid: Itself.
      cpu: Seconds.
      peak_bytes: The most memory that was seen.
    """

    root: int
    pid: int
    cpu: float = 0.0
    peak_bytes: int = 0


@dataclass
class Measured:
    """What a command took.

    Attributes:
      exit_code: As the shell knows it; negative for a signal.
      wall, cpu: Seconds from start to exit, and of CPU time in the whole process tree, and in those
        of servers that worked for it.
      peak_bytes: The greatest sum of their memory that was seen (`MEMORY`).
      first_record: Seconds from start until a record file had its first bytes, or None.
      last_line: The last line of standard output, as JSON, if it is an object.
      tail: The end of standard error.
      processes: Each by itself; those of the command have the first one's as their root.
    """

    exit_code: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    peak_bytes: int = 0
    first_record: float | None = None
    last_line: dict[str, Any] = field(default_factory=dict)
    tail: str = ""
    processes: list[Process] = field(default_factory=list)


def measure(
    command: Sequence[str], folder: Path, *, timeout: float = 7200.0, servers: Sequence[int] = ()
) -> Measured:
    """Runs a command in its own process group and returns what it took.

    Args:
      command: Writes its records somewhere below `folder`.
      folder: Watched for the first record file with bytes in it.
      timeout: Seconds after which the group is killed.
      servers: Processes that ran before and work for the command. They and what they start are
        measured with it, from its start to its exit.
    """
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    outputs, errors = folder / "stdout.txt", folder / "stderr.txt"
    result = Measured()
    with open(outputs, "wb") as out, open(errors, "wb") as err:
        begin = time.monotonic()
        process = subprocess.Popen(
            command, cwd=_ROOT, stdout=out, stderr=err, env=environment, start_new_session=True
        )
        watcher = _Watcher([process.pid, *servers], folder, begin)
        watcher.start()
        try:
            result.exit_code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            result.exit_code = process.wait()
        except BaseException:  # Interrupted: a group of its own would live on.
            os.killpg(process.pid, signal.SIGKILL)
            raise
        result.wall = time.monotonic() - begin
        watcher.done.set()
        watcher.join()
    for pid, process_seen in watcher.seen.items():
        first, last = watcher.cpu.get(pid, (0.0, 0.0))
        process_seen.cpu = last - first
        result.processes.append(process_seen)
    result.cpu = sum(last - first for first, last in watcher.cpu.values())
    result.peak_bytes = watcher.peak
    result.first_record = watcher.first_record
    lines = outputs.read_text(errors="replace").strip().splitlines()
    # Spark draws its progress bar before the line.
    last = lines[-1] if lines else ""
    if "{" in last:
        try:
            result.last_line = json.loads(last[last.index("{") :])
        except ValueError:
            result.last_line = {}
    result.tail = errors.read_text(errors="replace")[-2000:]
    return result


class _Watcher(threading.Thread):
    """Samples process trees every 50 ms, or less often where a sample itself takes long.

    Attributes:
      peak: Bytes.
      cpu: By process, CPU seconds that do not count, and CPU seconds when it was last seen.
      seen: The processes, in the order in which they were seen first.
    """

    def __init__(self, roots: Sequence[int], folder: Path, begin: float) -> None:
        super().__init__(daemon=True)
        self.done = threading.Event()
        self.peak = 0
        self.first_record: float | None = None
        self._roots = roots
        self._folder = folder
        self._begin = begin
        before = {pid: _cpu(pid) or 0.0 for root in roots[1:] for pid in _tree(root)}
        self.cpu = {pid: (seconds, seconds) for pid, seconds in before.items()}
        self.seen: dict[int, Process] = {}

    def run(self) -> None:
        """Samples until `done`."""
        pause = _INTERVAL
        while not self.done.wait(pause):
            begin = time.monotonic()
            total = 0
            for root in self._roots:
                for pid in _tree(root):
                    memory = _memory(pid)
                    total += memory
                    seen = self.seen.setdefault(pid, Process(root, pid))
                    seen.peak_bytes = max(seen.peak_bytes, memory)
                    seconds = _cpu(pid)
                    if seconds is not None:
                        self.cpu[pid] = (self.cpu.get(pid, (0.0, 0.0))[0], seconds)
            self.peak = max(self.peak, total)
            if self.first_record is None and _has_record(self._folder):
                self.first_record = time.monotonic() - self._begin
            # At most a tenth of a core goes to watching.
            pause = max(_INTERVAL, 9 * (time.monotonic() - begin))


def _tree(root: int) -> list[int]:
    found: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            tasks = os.listdir(_PROC / str(pid) / "task")
        except OSError:
            continue
        for task in tasks:
            try:
                children = (_PROC / str(pid) / "task" / task / "children").read_text()
            except OSError:
                continue
            waiting += map(int, children.split())
    return found if _PROC.exists() else [root, *_children(root)]


def _children(root: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(root).children(recursive=True)]
    except psutil.Error:
        return []


def _memory(pid: int) -> int:
    if MEMORY == "PSS":
        try:
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _cpu(pid: int) -> float | None:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)


def _has_record(folder: Path) -> bool:
    """Whether a record file, finished or under a temporary name, has bytes in it."""
    for directory, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in ("raw", "transform", "temporary")]
        for file in files:
            records = file.endswith((".tfrecord", ".parquet")) or directory.endswith("records")
            try:
                if records and os.path.getsize(os.path.join(directory, file)):
                    return True
            except OSError:
                continue
    return False
