"""A command on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence


def on_a_terminal(
    command: Sequence[str], environment: Mapping[str, str], timeout: float = 300
) -> tuple[int, str]:
    """Returns the exit code of a command, and all that it wrote to its terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **environment}
    )
    os.close(theirs)
    written = b""
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                chunk = os.read(ours, 1 << 16)
            except OSError:  # Linux's word for the other side being closed.
                break
            if not chunk:
                break
            written += chunk
        return process.wait(timeout=10), written.decode("utf-8", "replace")
    finally:
        process.kill()
        os.close(ours)
