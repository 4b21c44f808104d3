"""The server of worker processes: it forks them, ends with the command, and hides no CPU seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skewless.beam_pipelines.running.fork_server import fork_server
from skewless.beam_pipelines.running.local_worker import share_of_cores
from skewless.cli import main
from tests.conftest import DataSet
from tests.test_preprocess import records_of

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="workers are forked on Linux only"
)

_WORKER = """
import os, sys, threading, time
from skewless.beam_pipelines.running import fork_server

def worker():
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    with open(os.environ["OUTPUT"], "a") as file:
        print(os.getpid(), os.getppid(), os.environ.get("ELSE"), file=file, flush=True)
    time.sleep(float(os.environ.get("SLEEP", 0)))

"""


def _python(text: str, output: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER + text],
        env={**os.environ, "OUTPUT": str(output), "ELSE": "here", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def _lines(output: Path, count: int) -> list[list[str]]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        lines = output.read_text().splitlines() if output.exists() else []
        if len(lines) >= count:
            return [line.split() for line in lines]
        time.sleep(0.02)
    raise AssertionError(f"{output}: no {count} lines")


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_workers_have_the_environment_they_are_sent_and_their_seconds_count(tmp_path: Path) -> None:
    command = _python(
        "fork_server.start(worker)\n"
        "server = fork_server.fork_server()\n"
        "forked = [server.fork({'OUTPUT': os.environ['OUTPUT']}) for _ in range(2)]\n"
        "server.close()\n"
        "spent = os.times()\n"
        "print(spent.children_user + spent.children_system >= 0.35, *sorted(forked))\n",
        tmp_path / "output",
    )
    seen, *forked = command.communicate()[0].split()
    assert seen == "True"
    lines = _lines(tmp_path / "output", 2)
    assert sorted(line[0] for line in lines) == sorted(forked)
    assert {line[2] for line in lines} == {"None"}


def test_no_process_is_forked_beside_threads(tmp_path: Path) -> None:
    command = _python(
        "threading.Thread(target=time.sleep, args=[1], daemon=True).start()\n"
        "fork_server.start(worker)\n"
        "print(fork_server.fork_server())\n",
        tmp_path / "output",
    )
    assert command.communicate()[0].strip() == "None"


def test_server_ends_with_a_command_that_is_killed(tmp_path: Path) -> None:
    command = _python(
        "fork_server.start(worker)\n"
        "fork_server.fork_server().fork({**os.environ, 'SLEEP': '0.5'})\n"
        "time.sleep(60)\n",
        tmp_path / "output",
    )
    [[worker, server, _]] = _lines(tmp_path / "output", 1)
    assert _runs(int(server))
    command.kill()
    command.communicate()
    end = time.monotonic() + 20
    while time.monotonic() < end and (_runs(int(server)) or _runs(int(worker))):
        time.sleep(0.05)
    assert not _runs(int(server))
    assert not _runs(int(worker))


def test_a_process_in_which_tensorflow_may_have_run_is_not_forked(shop: DataSet) -> None:
    assert "tensorflow" in sys.modules
    assert main(["init", str(shop.source), "--label", "rating"]) == 0
    assert fork_server() is None


_COMMAND = """
import os, signal, sys
from skewless.beam_pipelines.running import fork_server
from skewless.cli import main

start = fork_server.start
def started(worker):
    # By now the command's modules are loaded.
    from skewless.beam_pipelines.records.write_rows import WriteRows

    written = WriteRows.process
    def process(self, *arguments):
        with open(os.environ["OUTPUT"], "a") as file:
            threads = os.environ["TF_NUM_INTRAOP_THREADS"]
            print(os.getpid(), os.getppid(), fork_server.fork_server(), threads, file=file)
        if "KILL" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return written(self, *arguments)

    WriteRows.process = process
    start(worker)

fork_server.start = started
code = main(sys.argv[1:])
print(os.getpid(), code)
os._exit(code)
"""


def _preprocess(
    shop: DataSet, directory: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    header, *rows = shop.source.read_text().splitlines()
    for part in range(4):
        rest = "\n".join([header, *rows[part::4]]) + "\n"
        (directory / f"{part}.csv").write_text(rest)
    (directory / "spec.yaml").write_text(shop.spec.to_yaml())
    words = ["preprocess", str(directory / "spec.yaml"), "--input", str(directory / "*.csv")]
    return subprocess.run(
        [sys.executable, "-c", _COMMAND, *words, "--output", str(directory / "records")],
        env={**os.environ, "OUTPUT": str(directory / "seen"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(2, 2, 1), (8, 2, 4), (2, 3, 1), (4, 0, 1)]
)
def test_workers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, threads: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "7")
    assert share_of_cores(workers) == {"TF_NUM_INTRAOP_THREADS": str(threads)}


@pytest.mark.slow
def test_a_command_forks_its_workers_and_writes_the_same_records(
    shop: DataSet, tmp_path: Path
) -> None:
    done = _preprocess(shop, tmp_path)
    assert done.returncode == 0, done.stderr
    command = done.stdout.split()[-2]
    lines = _lines(tmp_path / "seen", 4)
    servers = {line[1] for line in lines}
    assert {line[3] for line in lines} == {"1"}  # A worker for each core.
    assert command not in servers
    assert len(servers) == 1
    assert records_of(tmp_path / "records") == records_of(shop.directory)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_one_line(shop: DataSet, tmp_path: Path) -> None:
    done = _preprocess(shop, tmp_path, KILL="1")
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("skewless preprocess: a worker process ended in the midst of its work")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "records").exists()
