"""What a command of several steps has left when it does not end."""

from __future__ import annotations

import os

__all__ = ["steps_done"]


def steps_done(output: str) -> str:
    """Returns what a command of several steps has left of them in `output`; empty for nothing."""
    try:
        names = sorted(
            f"{entry.name}/" if entry.is_dir() else entry.name
            for entry in os.scandir(output)
            if not entry.name.startswith(".")
        )
    except OSError:
        return ""
    if not names:
        return ""
    return f"{output} holds {', '.join(names)} of the steps begun; begin anew with --overwrite"
