"""Names of local copies: what a person calls the place that a copy on this machine stands for."""

from __future__ import annotations

from pathlib import Path

__all__ = ["as_known", "note_copy", "origin_of"]

_COPIES: dict[str, str] = {}


def note_copy(path: Path, uri: str) -> None:
    """Notes, for this process, that `path` is a copy of what lies, or will lie, at `uri`."""
    _COPIES[str(path)] = uri


def as_known(text: object) -> str:
    """Returns a text in which each local copy is named by its URI."""
    told = str(text)
    for path in sorted(_COPIES, key=len, reverse=True):
        told = told.replace(path, _COPIES[path])
    return told


def origin_of(path: Path) -> str | None:
    """Returns the URI that a path is a copy of, or lies in a copy of; None for any other path."""
    known = as_known(path)
    return None if known == str(path) else known
