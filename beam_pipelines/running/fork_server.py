"""Worker processes forked off one that has loaded the command's modules and run nothing yet.

A fresh worker takes seconds to load TensorFlow and Beam anew; a forked one has them, and shares their
memory. TensorFlow cannot be forked once it has run, so the server is made between the two: `start`
forks it off a command that has loaded its modules, and whoever later wants a worker asks it.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing.connection
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import NoReturn

__all__ = ["ForkServer", "fork_server", "start"]

_Worker = Callable[[], None]
_SERVER: list[ForkServer] = []


class ForkServer:
    """A child of this process, that forks a worker for each environment it is sent.

    It ends with this process, however that ends, and its workers with it.
    """

    def __init__(self, worker: _Worker) -> None:
        self._connection, theirs = multiprocessing.connection.Pipe()
        self._lock = threading.Lock()
        sys.stdout.flush()
        sys.stderr.flush()
        self._command = os.getpid()
        with warnings.catch_warnings():
            # Of threads that libraries in C started, which look after forking themselves.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:
            self._connection.close()
            _serve(theirs, worker)
        theirs.close()

    def fork(self, environment: Mapping[str, str]) -> int:
        """Starts a worker in an environment; returns its process.

        Raises:
          ChildProcessError: If the server has ended.
        """
        with self._lock:
            try:
                self._connection.send(dict(environment))
                worker: int = self._connection.recv()
            except (EOFError, OSError) as error:
                raise ChildProcessError("the server of worker processes has ended") from error
        return worker

    def close(self) -> None:
        """Waits for the workers, and so counts their seconds as this process' children's."""
        if os.getpid() != self._command:
            return
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._connection.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def start(worker: _Worker) -> None:
    """Makes the server of this process, where forking is safe: not once threads or TensorFlow run."""
    if _SERVER or threading.active_count() > 1 or not _can_wait_for_others_children():
        return
    _SERVER.append(ForkServer(worker))
    atexit.register(_SERVER[0].close)


def _can_wait_for_others_children() -> bool:
    """Whether the system tells of the end of a process that another one forked: Linux from 5.3 on."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def fork_server() -> ForkServer | None:
    """Returns the server of this process, if it has one."""
    return _SERVER[0] if _SERVER else None


def _serve(connection: multiprocessing.connection.Connection, worker: _Worker) -> NoReturn:
    """Forks until the command wants no more, or has ended."""
    # The command alone is told to end; what it leaves behind ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    workers = []
    try:
        while (environment := connection.recv()) is not None:
            forked = os.fork()
            if not forked:
                connection.close()
                _work(environment, worker)
            workers.append(forked)
            connection.send(forked)
        for forked in workers:
            os.waitpid(forked, 0)
    finally:
        os._exit(0)


def _work(environment: Mapping[str, str], worker: _Worker) -> NoReturn:
    code = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        _SERVER.clear()
        worker()
        code = 0
    finally:
        # TensorFlow's threads may abort a process that ends while they run.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
