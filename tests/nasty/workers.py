"""Worker processes that try files one after the other, each within a time and an amount of memory."""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.nasty.outcomes import Outcome

__all__ = ["Task", "outcomes_of"]

_PATIENCE = 12
Task = tuple[Path, str]
Attempt = Callable[[Path, str], Outcome]


class _OverTime(BaseException):
    """Raised by the alarm: no `except Exception` on the way may swallow it."""


def outcomes_of(
    attempt: Attempt, tasks: Sequence[Task], *, processes: int, seconds: float, memory: int
) -> Iterator[Outcome]:
    """Tries each task in one of `processes` workers; yields outcomes as they come.

    Args:
      attempt: What to do with a file: importable.
      tasks: Files and their families.
      processes: How many at a time.
      seconds: A file's time of the processor, so that a busy machine makes no hang of what is only
        slow. A worker that takes no alarm, or waits, is killed after `_PATIENCE` times as long.
      memory: Bytes that a worker may take beyond those it began with.
    """
    waiting = list(reversed(tasks))
    workers = [_Worker(attempt, seconds, memory) for _ in range(min(processes, len(tasks)))]
    try:
        while True:
            for worker in workers:
                if worker.task is None and waiting:
                    worker.give(waiting.pop())
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                return
            patience = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
            ready = wait([worker.connection for worker in busy], patience)
            for worker in busy:
                if worker.connection in ready or time.monotonic() >= worker.deadline:
                    yield worker.outcome()
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    def __init__(self, attempt: Attempt, seconds: float, memory: int) -> None:
        self._attempt, self._seconds, self._memory = attempt, seconds, memory
        self.task: Task | None = None
        self.deadline = 0.0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.nasty.attempt"])
        self._begin()

    def _begin(self) -> None:
        self._log = Path(tempfile.mkstemp(prefix="nasty-stack-")[1])
        self.connection, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve,
            args=(theirs, self._attempt, self._seconds, self._memory, str(self._log)),
            daemon=False,
        )
        self._process.start()
        theirs.close()
        self._fresh = True

    def give(self, task: Task) -> None:
        self.task = task
        # The first file waits for the imports.
        patience = self._seconds * _PATIENCE + (120 if self._fresh else 0)
        self.deadline, self._fresh = time.monotonic() + patience, False
        self.connection.send(task)

    def outcome(self) -> Outcome:
        """Returns what became of the task, once it is done, its worker is gone or time is up."""
        assert self.task is not None
        (path, family), self.task = self.task, None
        try:
            if self.connection.poll():
                outcome: Outcome = self.connection.recv()
                return outcome
            kind, detail = (
                "HANG",
                f"no answer in {self._seconds * _PATIENCE:g} s, in code that takes no alarm",
            )
        except EOFError:
            self._process.join(5)
            kind, detail = "CRASH", f"the process ended with {self._process.exitcode}"
        stack = self._log.read_text(errors="replace")
        self.end()
        self._begin()
        return Outcome(
            str(path), family, kind, "", f"{detail}\n{stack[:3000]}", seconds=self._seconds
        )

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()
        self._log.unlink(missing_ok=True)


def _serve(connection: Connection, attempt: Attempt, seconds: float, memory: int, log: str) -> None:
    def alarm(signal_number: int, frame: Any) -> None:
        raise _OverTime

    signal.signal(signal.SIGPROF, alarm)
    stacks = open(log, "w")  # noqa: SIM115 (open for as long as the worker lives)
    faulthandler.enable(stacks)
    # What a worker writes to its terminal is not part of the table.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    limit = _data_bytes() + memory
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    while True:
        try:
            path, family = connection.recv()
        except EOFError:
            return
        faulthandler.dump_traceback_later(seconds * _PATIENCE * 0.9, file=stacks)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            outcome = attempt(path, family)
        except _OverTime as error:
            from tests.nasty.attempt import _where

            outcome = Outcome(str(path), family, "HANG", "", _where(error), seconds=seconds)
        except Exception as error:
            detail = f"the attempt itself failed: {type(error).__name__}: {error}"
            outcome = Outcome(str(path), family, "CRASH", "", detail)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()
        connection.send(outcome)
        gc.collect()


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
