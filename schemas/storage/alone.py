"""One process of this machine at an output at a time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from skewless.schemas.errors import UsageError

__all__ = ["alone"]


@contextlib.contextmanager
def alone(lock: Path, output: str) -> Iterator[None]:
    """Holds a file locked, which its process's end unlocks, however it ends.

    Args:
      lock: The file; it is made, and stays.
      output: What is made meanwhile, for the error.

    Raises:
      UsageError: If another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{output}: another process of this machine is making it; wait for its end"
            ) from error
        yield
