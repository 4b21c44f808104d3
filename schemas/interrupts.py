"""Interrupted: a process asked to end by Ctrl-C (SIGINT) or SIGTERM cleans up and ends.

The first signal is raised as an exception where the main thread is, so that blocks are left as
after any error. Libraries may turn that exception into another, swallow it or wait for threads; so
what was asked for is kept here, and a process that has not ended after `GRACE_SECONDS`, or is asked
a second time, removes what it staged and ends at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["GRACE_SECONDS", "Interruption", "held", "interruptible"]

GRACE_SECONDS = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """What a running command was asked; `signal` is 0 until it is asked to end."""

    def __init__(self, end: Callable[[], None], *, verbose: bool = False) -> None:
        """Begins with nothing asked.

        Args:
          end: Called at most once, by whoever ends the process: it removes what
            is staged and tells a person.
          verbose: Keeps what libraries say about being interrupted.
        """
        self.signal = 0
        self._end = end
        self._verbose = verbose
        self._telling = threading.RLock()
        self._told = False
        self._over = threading.Event()
        self._committing = threading.RLock()
        self._holds = 0

    @property
    def exit_code(self) -> int:
        """What shells expect of a process that a signal ended."""
        return 128 + self.signal

    def finish(self) -> None:
        """Tells that the command was interrupted, or waits until that is told."""
        with self._telling:
            if not self._told:
                self._told = True
                self._end()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Takes a signal, in the main thread."""
        again, self.signal = self.signal != 0, number
        if again:
            if not self._holds and not self._told:
                self._end_at_once()
            return
        if not self._verbose:
            _silence()
        threading.Thread(target=self._end_late, name="interrupted", daemon=True).start()
        if not self._holds:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Puts a signal off until the block is left."""
        main = _in_main_thread()  # Where signals are handled.
        with self._committing:
            self._holds += main
            try:
                yield
            finally:
                self._holds -= main
        if self.signal and main and not self._holds:
            raise KeyboardInterrupt

    def over(self) -> None:
        """Says that the command has come to its end."""
        self._over.set()

    def _end_late(self) -> None:
        if not self._over.wait(GRACE_SECONDS):
            self._end_at_once()

    def _end_at_once(self) -> None:
        with self._committing:
            self.finish()
            os._exit(self.exit_code)


_current: Interruption | None = None


@contextlib.contextmanager
def interruptible(interruption: Interruption) -> Iterator[None]:
    """Lets signals interrupt the block; outside the main thread, and in a block inside, nothing.

    A SIGINT that the process was started to ignore, as by `nohup` or `&`, stays ignored.
    """
    global _current
    if _current is not None or not _in_main_thread():
        yield
        return
    before = {
        number: signal.signal(number, interruption.handle)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    _current = interruption
    try:
        yield
    finally:
        interruption.over()
        _current = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Lets what must not be cut in two, such as two renames, be done before an interruption."""
    if _current is None:
        yield
        return
    with _current.held():
        yield


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _silence() -> None:
    """Keeps libraries from telling of the interruption, which they take for an error."""
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    threading.excepthook = lambda _: None
