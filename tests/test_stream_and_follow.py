"""The road of a stream whole: one command writes windows while another trains on them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless.model.follow import WINDOWS
from skewless.model.verify import verify
from skewless.schemas.records.windows import finished_panes
from tests.cluster import ROOT, within
from tests.conftest import DataSet
from tests.test_follow import assert_same
from tests.test_stream import Row, batch_records, records_in, rows, write

__all__ = ["rows"]
MINUTES = 7


class Commands:
    """Commands in processes of their own; those that still run at the end are ended."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "commands.log"
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "skewless", *arguments]
        with self._log.open("ab") as log:
            self._running.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))
        return self._running[-1]

    def succeeds(self, process: subprocess.Popen[bytes]) -> None:
        assert process.wait(timeout=900) == 0, self.log()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        assert process.poll() is None, f"it ended by itself: {self.log()}"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                self.kill(process)

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path)
    yield commands
    commands.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_windows_are_trained_on_once_while_the_stream_writes_them_and_both_are_killed(
    shop: DataSet, rows: list[Row], commands: Commands, tmp_path: Path
) -> None:
    source, windows, run, served = (tmp_path / name for name in ("in", "windows", "run", "served"))
    source.mkdir()
    minutes = [rows[60 * minute : 60 * minute + 57] for minute in range(MINUTES - 1)]
    minutes.append([*rows[360:400], rows[365], {**rows[361], "id": "unfit", "age": "old"}])

    def feed(*which: int) -> None:
        for minute in which:
            write(source / f"{minute}.jsonl", minutes[minute])

    def stream(*more: str) -> subprocess.Popen[bytes]:
        command = ("stream", str(shop.directory / "spec.yaml"), f"--source=dir://{source}/*.jsonl")
        transform = f"--transform={shop.directory / 'transform'}"
        window = ("--window=60s", "--timestamp-column=at")
        return commands.start(*command, transform, f"--output={windows}", *window, *more)

    def train(*more: str) -> subprocess.Popen[bytes]:
        command = ("train", f"--follow={windows}", f"--output={run}", "--poll=0.2")
        exports = (f"--export-to={served}", "--export-every=2", f"--prove-on={shop.directory}")
        return commands.start(*command, "--checkpoint-steps=1", *exports, *more)

    def consumed() -> int:
        state = run / "checkpoints" / "state.json"
        return len(json.loads(state.read_text())["consumed"]) if state.is_file() else 0

    feed(0, 1, 2)
    writing, training = stream(), train()
    assert within(600, lambda: consumed() >= 2), commands.log()
    feed(3)
    assert within(600, lambda: consumed() >= 3), commands.log()
    feed(4)
    commands.kill(training)
    stopped_at = consumed()
    feed(5)
    commands.kill(writing)
    feed(6)
    training = train("--resume", f"--max-windows={MINUTES}")
    commands.succeeds(stream("--until-idle=0"))
    commands.succeeds(training)
    assert 3 <= stopped_at < MINUTES

    panes = finished_panes(windows)
    expected = batch_records(shop, sorted(source.iterdir()), tmp_path / "batch")
    assert records_in(windows) == expected
    lines = [json.loads(line) for line in (run / WINDOWS).read_text().splitlines()]
    written = {folder: manifest.rows.written for folder, manifest in panes}
    assert {line["pane"]: line["rows"] for line in lines} == written
    assert len(lines) == len(panes) == MINUTES
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["rows"] == expected.total()

    versions = sorted(int(path.name) for path in served.iterdir())
    assert versions == [1, 2, 3]
    assert verify(served / "3", shop.directory).passed

    # What it came to is what one process that is never killed comes to. It is a command too: those
    # turn off oneDNN, which rounds otherwise.
    whole = tmp_path / "whole"
    undisturbed = ("train", f"--follow={windows}", f"--output={whole}", f"--max-windows={MINUTES}")
    commands.succeeds(commands.start(*undisturbed))
    assert_same(whole, run, training=False)
