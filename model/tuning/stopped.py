"""What a stopped tuning leaves to go on with. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

__all__ = ["JOURNAL", "to_go_on_with"]

JOURNAL = "study.journal"


def to_go_on_with(path: str | Path) -> str:
    """Returns how to go on with an output; empty where no trial was begun."""
    if not (Path(path) / JOURNAL).is_file():
        return ""
    return f"{path} holds the trials so far; the same command goes on with them"
