"""Servers on loopback, known by process id.

A server is started in a session of its own, its output in a log file, its process id and the
time it started in a `.pid` file. Only a process whose id *and* start time are those written is
taken for it, so that a process id used again by something else is never signalled.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Server", "ServerError", "java_jars", "listening", "wait_until", "work_directory"]

_ROOT = Path(__file__).resolve().parent.parent


class ServerError(Exception):
    """A server could not be installed, started or stopped; the message says what to look at."""


class Server:
    """One server process, running or not."""

    def __init__(self, name: str, directory: Path) -> None:
        """Names it.

        Args:
          name: Of the process, for people.
          directory: Where its `NAME.pid` and `NAME.log` are.
        """
        self.name = name
        self.log = directory / f"{name}.log"
        self._file = directory / f"{name}.pid"

    @property
    def process(self) -> int | None:
        """Its process id while it runs, else None."""
        try:
            process, started = self._file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(process) if _started(int(process)) == started else None

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Starts it, unless it runs already."""
        if self.process is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            ).pid
        self._file.write_text(f"{process} {_started(process)}\n")

    def stop(self, patience: float = 30.0) -> bool:
        """Ends it and the processes it started, by force after `patience` seconds; returns whether it was running."""
        process = self.process
        if process is None:
            self._file.unlink(missing_ok=True)
            return False
        os.killpg(process, signal.SIGTERM)
        if not wait_until(lambda: self.process is None, patience):
            self.kill()
        self._file.unlink(missing_ok=True)
        return True

    def kill(self) -> None:
        """Ends it and the processes it started, at once and without a goodbye."""
        if (process := self.process) is not None:
            os.killpg(process, signal.SIGKILL)
            wait_until(lambda: self.process is None, 5.0)

    def wait_for(self, ready: object, seconds: float = 90.0) -> None:
        """Waits until `ready()`, for as long as the process lives.

        Raises:
          ServerError: If it ends, or is not ready in time; with the end of its log.
        """
        assert callable(ready)
        if not wait_until(lambda: self.process is None or ready(), seconds) or not self.process:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise ServerError(f"{self.name} did not come up; the end of {self.log}:\n{tail}")


def _started(process: int) -> str | None:
    """Returns when a process started, in clock ticks since boot; None when it is gone."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may hold spaces; the state and the start time come after it.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def wait_until(condition: object, seconds: float) -> bool:
    """Waits until `condition()`; returns False when `seconds` have passed without it."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def listening(port: int) -> bool:
    """Returns whether something accepts connections at this port of the loopback interface."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def work_directory(name: str) -> Path:
    """Returns where a server's programs, data and logs are: `$SKEWLESS_SERVERS`, or `.servers`."""
    return Path(os.environ.get("SKEWLESS_SERVERS", _ROOT / ".servers")).resolve() / name


def java_jars(pom: str, goals: Sequence[str], into: Path) -> None:
    """Has Maven put what a pom of `scripts/maven` declares into a directory, once.

    Args:
      pom: Its file name.
      goals: Maven's goals and properties.
      into: The directory; complete if the copy of the pom in it is this very pom.

    Raises:
      ServerError: If Maven is not there or fails.
    """
    source = _ROOT / "scripts" / "maven" / pom
    done = into / pom
    if done.exists() and done.read_text() == source.read_text():
        return
    if shutil.which("mvn") is None:
        raise ServerError("mvn is not on PATH; install Maven and a Java 11 or 17")
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    print(f"resolving {pom} with Maven into {into}", flush=True)
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(source), *goals]
    if subprocess.run(command, check=False).returncode:
        raise ServerError(f"failed: {' '.join(command)}")
    shutil.copy(source, done)
