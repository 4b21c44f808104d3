"""What a process that a test starts inherits."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Action = signal.Handlers | Callable[[int, FrameType | None], object]


@contextmanager
def on_interrupt(action: Action) -> Iterator[None]:
    """Processes started meanwhile ignore SIGINT or, by any other action, are ended by it.

    The shell that runs the tests may have it ignored. `preexec_fn` would do the same for one process, but runs
    between fork and exec, where libraries that this process has loaded may write to that process' streams.
    """
    before = signal.signal(signal.SIGINT, action)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
