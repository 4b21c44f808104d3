"""An output is complete or not there, wherever the job that writes it is killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skewless.beam_pipelines.running.output_directory import OutputDirectory
from skewless.schemas.errors import UsageError
from skewless.schemas.staged import check_place, staging_beside

ROOT = Path(__file__).parent.parent
MARKER = "manifest.json"
# Writes data and marker, commits, and kills itself before the step of that number. A step is
# one rename, one removal or one file.
JOB = """
import os, shutil, signal, sys
from pathlib import Path
from skewless.beam_pipelines.running.output_directory import OutputDirectory

left = int(sys.argv[3])

def counted(step):
    def run(*arguments, **named):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return step(*arguments, **named)
    return run

Path.rename, Path.write_text = counted(Path.rename), counted(Path.write_text)
shutil.rmtree = counted(shutil.rmtree)
with OutputDirectory(sys.argv[1], overwrite=True, marker="manifest.json") as directory:
    (directory.staging / "data").write_text(sys.argv[2])
    (directory.staging / "manifest.json").write_text(sys.argv[2])
    directory.commit()
"""


def written(path: Path, text: str = "first", *, overwrite: bool = False) -> None:
    with OutputDirectory(path, overwrite=overwrite, marker=MARKER) as directory:
        (directory.staging / "data").write_text(text)
        (directory.staging / MARKER).write_text(text)
        directory.commit()


def job(path: Path, text: str, steps: int) -> int:
    command = [sys.executable, "-c", JOB, str(path), text, str(steps)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def contents(path: Path) -> dict[str, str]:
    return {entry.name: entry.read_text() for entry in path.iterdir()}


def test_the_output_appears_at_commit_and_nothing_else_is_left(tmp_path: Path) -> None:
    with OutputDirectory(tmp_path / "out", marker=MARKER) as directory:
        (directory.staging / MARKER).write_text("m")
        assert not (tmp_path / "out").exists()
        directory.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert contents(tmp_path / "out") == {MARKER: "m"}


def test_a_failed_job_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        OutputDirectory(tmp_path / "out", marker=MARKER) as directory,
    ):
        (directory.staging / "data").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_finished_output_is_refused_unless_overwritten(tmp_path: Path) -> None:
    written(tmp_path / "out")
    with pytest.raises(UsageError, match="is finished already; add --overwrite to replace it"):
        OutputDirectory(tmp_path / "out", marker=MARKER)
    written(tmp_path / "out", "second", overwrite=True)
    assert contents(tmp_path / "out") == {"data": "second", MARKER: "second"}


def test_the_old_output_stays_when_its_replacement_fails(tmp_path: Path) -> None:
    written(tmp_path / "out")
    with (
        pytest.raises(ZeroDivisionError),
        OutputDirectory(tmp_path / "out", overwrite=True, marker=MARKER),
    ):
        raise ZeroDivisionError
    assert contents(tmp_path / "out") == {"data": "first", MARKER: "first"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"is not empty and has no manifest\.json"):
        OutputDirectory(tmp_path / "out", overwrite=overwrite, marker=MARKER)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="expected a directory or nothing, got a file"):
        OutputDirectory(tmp_path / "file", overwrite=overwrite, marker=MARKER)


def test_an_incomplete_output_cannot_be_committed(tmp_path: Path) -> None:
    with (
        OutputDirectory(tmp_path / "out", marker=MARKER) as directory,
        pytest.raises(RuntimeError, match=r"has no manifest\.json: it is not complete"),
    ):
        directory.commit()


def test_of_two_jobs_for_one_output_the_first_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with OutputDirectory(tmp_path / "out", marker=MARKER) as second:
        (second.staging / MARKER).write_text("second")
        written(tmp_path / "out")
        with pytest.raises(
            UsageError, match="another job was here first and is finished; add --over"
        ):
            second.commit()
    assert contents(tmp_path / "out") == {"data": "first", MARKER: "first"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_live_job_for_the_same_output_is_left_alone(tmp_path: Path) -> None:
    live = tmp_path / f".out.{os.getppid()}-0.partial"
    other = tmp_path / ".output.999999999-0.partial"
    for path in (live, other):
        path.mkdir()
    written(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {live.name, other.name, "out"}


def test_killed_before_any_step_of_a_first_job_the_next_starts_clean(tmp_path: Path) -> None:
    steps = 0
    while job(tmp_path / "out", "first", steps) == -signal.SIGKILL:
        if (tmp_path / "out").exists():
            assert contents(tmp_path / "out") == {"data": "first", MARKER: "first"}
        steps += 1
        assert job(tmp_path / "out", "again", 1000) == 0
        assert contents(tmp_path / "out") == {"data": "again", MARKER: "again"}
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        for file in (tmp_path / "out").iterdir():
            file.unlink()
        (tmp_path / "out").rmdir()
    assert steps >= 3


def test_killed_before_any_step_of_an_overwrite_no_complete_output_is_lost(tmp_path: Path) -> None:
    steps = 0
    while True:
        root = tmp_path / str(steps)
        written(root / "out")
        if job(root / "out", "second", steps) == 0:
            break
        # The next job for this output finds one whole data set: the old one or the new one.
        with pytest.raises(UsageError, match="is finished already"):
            OutputDirectory(root / "out", marker=MARKER)
        data = contents(root / "out")["data"]
        assert contents(root / "out") == {"data": data, MARKER: data}
        assert data in ("first", "second")
        written(root / "out", "third", overwrite=True)
        assert [path.name for path in root.iterdir()] == ["out"]
        steps += 1
    assert steps >= 5


@pytest.mark.parametrize(
    ("name", "message"),
    [("n" * 240, r"n: its name may have up to 2\d\d bytes"), ("runs [1]", "a path with a bracket")],
)
def test_a_place_where_nothing_could_be_left_is_refused(
    name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        check_place(tmp_path / name / "x" if "[" in name else tmp_path / name, graph=True)
    check_place(tmp_path / name[:200])


@pytest.mark.parametrize("there", [True, False])
def test_an_output_that_is_a_link_lies_where_it_leads(there: bool, tmp_path: Path) -> None:
    real, link = tmp_path / "disk" / "real", tmp_path / "link"
    if there:
        real.mkdir(parents=True)
    link.symlink_to(real)
    for overwrite in (False, True):
        with OutputDirectory(link, overwrite=overwrite, marker="manifest.json") as directory:
            assert directory.staging.parent == real.parent
            (directory.staging / "manifest.json").write_text(str(overwrite))
            directory.commit()
        assert link.is_symlink() and [*real.parent.iterdir()] == [real]
        assert (real / "manifest.json").read_text() == str(overwrite)


def test_lines_that_name_what_is_staged_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = "Assets written to: %s/assets"
    with staging_beside(tmp_path / "served") as staging, caplog.at_level("INFO", "tensorflow"):
        for place in (staging, tmp_path / "served"):
            logging.getLogger("tensorflow").info(said, place)
    assert caplog.messages == [said % (tmp_path / "served")]
