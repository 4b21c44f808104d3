"""A process asked to end: what it says, how soon it ends, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from skewless.beam_pipelines.running.beam_internals import job_pipeline
from skewless.commands.table import COMMANDS
from skewless.model.training.stopped_run import to_resume
from tests.inherited import on_interrupt

ROOT = Path(__file__).parent.parent
# A command that stages a file and a folder, and does what its argument says.
COMMAND = """
import os, sys, threading, time
from pathlib import Path
from skewless.schemas.ending import ended
from skewless.schemas.interrupts import held
from skewless.schemas.staged import put_in_place, staging_beside

out = Path(sys.argv[2])

def writes_on(folder):
    while True:
        with open(folder / str(time.monotonic_ns()), "w") as file:
            file.write("x")
        time.sleep(0.002)

def work():
    with staging_beside(out) as staging:
        staging.mkdir()
        (staging / "data").write_text("half")
        if sys.argv[1] == "threads":
            for _ in range(3):
                threading.Thread(target=writes_on, args=[staging], daemon=True).start()
        if sys.argv[1] != "commits":
            print("working", flush=True)
        while True:
            try:
                if sys.argv[1] == "commits":
                    with held():
                        print("working", flush=True)
                        time.sleep(1)
                        put_in_place(staging, out)
                time.sleep(60)
            except KeyboardInterrupt:
                if sys.argv[1] in ("waits", "threads", "commits"):
                    raise
                if sys.argv[1] == "wraps":
                    raise RuntimeError("INTERNAL: KeyboardInterrupt at op.cc:12") from None
                # else swallows

code = ended("job", work)
print("unwound", flush=True)
os._exit(code)
"""


class Job:
    """A running command."""

    def __init__(self, kind: str, out: Path) -> None:
        with on_interrupt(signal.default_int_handler):
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, kind, str(out)],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "working\n"

    def ended(self) -> tuple[int, str, float]:
        """Returns exit code, standard error and the seconds it took."""
        begun = time.monotonic()
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors, time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["waits", "wraps", "threads"])
def test_it_ends_with_one_line_and_nothing_staged(
    tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    job = Job(kind, tmp_path / "out")
    job.process.send_signal(number)
    code, errors, seconds = job.ended()
    assert code == 128 + number
    assert errors == "job: interrupted; nothing half-written is left\n"
    assert list(tmp_path.iterdir()) == []
    assert seconds < 30


def test_asked_twice_it_ends_at_once_whatever_swallows_the_interruption(tmp_path: Path) -> None:
    job = Job("swallows", tmp_path / "out")
    job.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    job.process.send_signal(signal.SIGINT)
    code, errors, _ = job.ended()
    assert code == 130
    assert errors == "job: interrupted; nothing half-written is left\n"
    assert list(tmp_path.iterdir()) == []


def test_asked_once_it_ends_soon_whatever_swallows_the_interruption(tmp_path: Path) -> None:
    job = Job("swallows", tmp_path / "out")
    job.process.send_signal(signal.SIGTERM)
    code, errors, seconds = job.ended()
    assert code == 143
    assert errors == "job: interrupted; nothing half-written is left\n"
    assert list(tmp_path.iterdir()) == []
    assert seconds < 30


def test_what_is_being_put_in_place_gets_there_first(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "data").write_text("old")
    job = Job("commits", out)
    job.process.send_signal(signal.SIGINT)
    job.process.send_signal(signal.SIGINT)
    code, _, _ = job.ended()
    assert code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "data").read_text() == "half"


def test_an_interruption_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    with on_interrupt(signal.SIG_IGN):
        job = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "waits", str(tmp_path / "out")],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert job.stdout is not None
    job.stdout.readline()
    os.kill(job.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(0.5)
    job.terminate()
    assert job.wait(30) == 143


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("leave", "words"),
    [
        (lambda run: None, ""),
        (lambda run: _write(run / "notes.txt", "no run"), ""),
        (lambda run: _write(run / "spec.yaml", ""), "no checkpoint yet; begin it anew with --resume"),
        (
            lambda run: (
                _write(run / "spec.yaml", ""),
                _write(run / "checkpoints/state.json", json.dumps({"epoch": 1, "step": 500})),
            ),
            "up to epoch 2, step 500; go on with --resume",
        ),
        (
            lambda run: (
                _write(run / "spec.yaml", ""),
                _write(run / "checkpoints/state.json", json.dumps({"epoch": 1, "step": 500})),
                _write(run / "metrics.json", "{}"),
            ),
            "",
        ),
    ],
)  # fmt: skip
def test_resume_is_named_exactly_when_there_is_something_to_resume(
    tmp_path: Path, leave: Callable[[Path], object], words: str
) -> None:
    leave(tmp_path / "run")
    text = to_resume(tmp_path / "run")
    assert text.startswith(str(tmp_path / "run") if words else "")
    assert text.endswith(words)
    assert bool(text) == bool(words)


@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_command_of_several_steps_names_what_they_left(tmp_path: Path, command: str) -> None:
    out = tmp_path / "out"
    left = COMMANDS[command].what_is_left
    assert left(str(out)) == ""
    (out / "records").mkdir(parents=True)
    _write(out / "spec.yaml", "")
    _write(out / ".summary.json.partial", "")
    assert left(str(out)) == (
        f"{out} holds records/, spec.yaml of the steps begun; begin anew with --overwrite"
    )


def test_a_step_that_is_interrupted_ends_the_call_as_any_other_would() -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    options = PipelineOptions(["--runner=FnApiRunner"])
    with pytest.raises(KeyboardInterrupt), job_pipeline(options) as pipeline:
        _ = pipeline | beam.Create([1]) | beam.Map(interrupted)
