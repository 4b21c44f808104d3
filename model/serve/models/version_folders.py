"""Where the versions of a model are, and when their files change."""

from __future__ import annotations

import logging
from pathlib import Path

from skewless.model.serve.monitoring.event_log import log
from skewless.schemas.records.layout import SAVED_MODEL

__all__ = ["found_versions", "traces_of"]

_MOST = 2**63 - 1


def found_versions(root: Path) -> dict[int, Path]:
    """Returns where the versions of a model are.

    Raises:
      OSError: If the directory cannot be read.
    """
    if _is_there(root / SAVED_MODEL):
        return {int(root.name) if root.name.isdecimal() else 1: root}
    return {
        int(path.name): path
        for path in root.iterdir()
        if path.name.isdecimal() and int(path.name) <= _MOST and _is_there(path / SAVED_MODEL)
    }


def _is_there(path: Path) -> bool:
    """Returns whether a file is there; one version that cannot be read is no reason to pass all."""
    try:
        return path.is_file()
    except OSError as error:
        log("version not readable", logging.WARNING, path=path, error=error)
        return False


def traces_of(directory: Path) -> tuple:
    """Returns what changes when files of a model do."""
    return tuple(sorted(_trace(path) for path in directory.rglob("*")))


def _trace(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:  # A link to nothing, or a file that was just removed.
        return str(path), -1, 0, 0
    # A copy may set its time back to the original's, but not the time of that change.
    return str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns
