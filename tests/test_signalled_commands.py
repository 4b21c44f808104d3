"""The real commands, asked to end at several moments, then run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skewless.model.train import train
from tests.conftest import DataSet
from tests.inherited import on_interrupt
from tests.test_preprocess import records_of
from tests.test_resume import _assert_same

ROOT = Path(__file__).parent.parent
_SECONDS = 540
# What is on disk, in the hidden directory beside the output, once a moment has come.
_MOMENTS = [
    ("pending", signal.SIGINT),
    ("transform/transform_fn/saved_model.pb", signal.SIGTERM),
    ("pending/records/*", signal.SIGINT),
]


class Command:
    """A running `skewless` command, in a session of its own."""

    def __init__(self, *arguments: str) -> None:
        with on_interrupt(signal.default_int_handler):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "skewless", *arguments],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip

    def wait_for(self, seen: Callable[[], bool]) -> None:
        """Waits until something is there to be seen."""
        end = time.monotonic() + _SECONDS
        while not seen():
            assert self._process.poll() is None, f"ended before: {self._process.communicate()[1]}"
            assert time.monotonic() < end
            time.sleep(0.002)

    def ended_by(self, number: signal.Signals) -> str:
        """Sends a signal; returns the line that is told, once all that ended is as it should be."""
        self._process.send_signal(number)
        _, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 128 + number, errors
        assert "Traceback" not in errors
        assert not list(_processes(self._process.pid)), errors
        told = [line for line in errors.splitlines() if "interrupted" in line]
        assert len(told) == 1 and errors.endswith(f"{told[0]}\n"), errors
        return told[0]

    def done(self) -> None:
        """Waits until it has ended well."""
        _, errors = self._process.communicate(timeout=_SECONDS)
        assert self._process.returncode == 0, errors


def _processes(session: int) -> Iterator[str]:
    """Yields what runs of a session; what has ended and is only not asked for is left out."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            if os.getsid(int(entry.name)) == session and state != "Z":
                yield (entry / "cmdline").read_text()
        except (OSError, IndexError):
            continue


@contextmanager
def _temporary_files_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        yield
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_preprocess_asked_to_end_leaves_nothing_and_runs_again(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "there" / "out"
    output.parent.mkdir()
    arguments = (
        "preprocess", str(shop.directory / "spec.yaml"), "--input", str(shop.source),
        "--output", str(output),
    )  # fmt: skip
    with _temporary_files_in(tmp_path / "temporary", monkeypatch):
        for path, number in _MOMENTS:
            command = Command(*arguments)
            command.wait_for(lambda: any(output.parent.glob(f".out.*.partial/{path}")))  # noqa: B023
            line = command.ended_by(number)
            assert line == "skewless preprocess: interrupted; nothing half-written is left"
            assert list(output.parent.iterdir()) == []
        Command(*arguments).done()
    assert records_of(output) == records_of(shop.directory)
    assert [path.name for path in output.parent.iterdir()] == ["out"]


@pytest.mark.slow
def test_train_asked_to_end_says_what_is_left_and_resumes(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, epochs = tmp_path / "run", 12
    state = run / "checkpoints" / "state.json"
    arguments = ["train", str(shop.directory), "--output", str(run), "--checkpoint-steps", "1"]
    arguments += ["--epochs", str(epochs)]
    with _temporary_files_in(tmp_path / "temporary", monkeypatch):
        for number in (signal.SIGINT, signal.SIGTERM):
            resume = ["--resume"] if state.exists() else []
            before = state.read_bytes() if resume else b""
            command = Command(*arguments, *resume)
            command.wait_for(lambda: state.exists() and state.read_bytes() != before)  # noqa: B023
            line = command.ended_by(number)
            assert line.startswith(
                f"skewless train: interrupted; {run} holds what was trained up to"
            )
            assert line.endswith("go on with --resume")
            assert not (run / "metrics.json").exists() and not (run / "model.keras").exists()
        Command(*arguments, "--resume").done()
    train(shop.directory, tmp_path / "whole", epochs=epochs)
    _assert_same(tmp_path / "whole", run)
