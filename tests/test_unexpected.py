"""Errors that are not our own, and signals: what a person is told, and what is left."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import pytest

from skewless import cli
from skewless.beam_pipelines.running.local_runner import pipeline_options
from skewless.schemas.errors import DataError
from skewless.schemas.unexpected import told

ROOT = Path(__file__).parent.parent
SPEC = "name: t\nfeatures:\n  a: {type: numeric}\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "not permitted"),
        (errno.ENOENT, "no such file"),
    ],
)
def test_what_the_system_refuses_names_the_path_and_a_remedy(code: int, words: str) -> None:
    failed = RuntimeError("wrapped")
    failed.__cause__ = OSError(code, "strerror", "/some/where")
    assert told(failed).startswith("/some/where: ")
    assert words in told(failed)


@pytest.mark.parametrize(
    "text",
    [
        # As TensorFlow, Arrow, HDF5 and a process of Beam's put it.
        "/full/out/.records.12-0123abcd.partial/x; No space left on device",
        "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device",
        "[Errno 28] Can't write data (file write failed: errno = 28, error message = 'No space "
        "left on device', buf = 0x5572, total write size = 1536)",
        'Traceback (most recent call last):\n  File "/usr/lib/x.py", line 1, in write\n'
        "OSError: [Errno 28] No space left on device: '/full/out/records/x'",
    ],
)
def test_what_a_library_says_of_the_system_is_told_as_the_system(text: str) -> None:
    line = told(RuntimeError(text), "/full/out/records")
    assert line.startswith(("/full/out/records: the disk is full", "/full/out/records/x: the disk"))


def test_a_disk_too_full_for_tensorboards_file_is_told_as_full() -> None:
    class ResourceExhaustedError(Exception):
        """As TensorFlow's is called."""

    failed = ResourceExhaustedError("Could not initialize events writer. [Op:X] name: ")
    assert told(failed, "/full/run").startswith("/full/run: the disk is full")


def test_any_other_error_is_one_line_that_asks_for_a_report() -> None:
    text = told(ValueError("first\n" + "x" * 10_000))
    assert text.startswith("ValueError: x")
    assert len(text) < 500
    assert "\n" not in text
    assert "-v" in text


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DataError("rows.csv: row 7, column a: expected a number"), "rows.csv: row 7, column a"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/full/part"),
            "/full/part: the disk is full",
        ),
        (KeyError("b"), "KeyError: "),
    ],
)
def test_a_workers_error_is_told_without_its_traceback(error: Exception, words: str) -> None:
    with pytest.raises(Exception) as failed, beam.Pipeline(options=pipeline_options([], units=1)) as pipeline:  # fmt: skip
        _ = pipeline | beam.Create([error]) | "FailingStep" >> beam.Map(_raise)
    text = told(failed.value)
    assert words in text
    assert "\n" not in text
    assert "FailingStep" not in text
    if isinstance(error, DataError):
        assert text == str(error)


def test_an_output_inside_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    rows, spec = str(tmp_path / "rows.csv"), str(tmp_path / "spec.yaml")
    assert cli.main(["preprocess", spec, "--input", rows, "--output", f"{rows}/out"]) == 1
    told_to_a_person = capsys.readouterr().err.strip()
    assert told_to_a_person.endswith(
        f"{rows}: a file is in the way; choose another path, or remove it"
    )
    assert "\n" not in told_to_a_person


def test_a_job_asked_to_end_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "rows.csv").write_text("a\n" + "1\n" * 400_000)
    job = subprocess.Popen(
        [sys.executable, "-m", "skewless", "preprocess", "spec.yaml", "--input", "rows.csv", "--output", "out"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".out*")) and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 128 + signal.SIGTERM, errors
    assert "interrupted; nothing half-written is left" in errors
    assert "Traceback" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "spec.yaml"]
