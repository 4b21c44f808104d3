"""Staged: what is being written beside its place, and is removed unless it gets there.

A job writes under a hidden name, `.NAME.PROCESS-RANDOM.partial`, and takes its place in a rename.
Whatever ends the job, what is staged goes: the block that stages it removes it, and so does a
process that is told to end at once (schemas/interrupts.py), by the list kept here. What a killed
process left, the next job for the same place removes.
"""

from __future__ import annotations

import atexit
import contextlib
import glob
import logging
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from skewless.schemas.errors import UsageError
from skewless.schemas.interrupts import held

__all__ = [
    "as_asked_for",
    "check_loadable",
    "check_place",
    "own_temporary_files",
    "put_back",
    "put_in_place",
    "remove_staged",
    "staged",
    "staging_beside",
    "write_whole",
]

_ENDING, _OLD, _GONE = ".partial", ".old.partial", ".gone.partial"
_STAGED: list[Path] = []
# How Beam calls the folder of a job server that it has started.
_JOB_SERVER = "beam-temp"
_MOST_NAME = 255  # bytes, of Linux's filesystems
_HIDDEN = re.compile(r"/\.(?P<name>[^/]+?)\.\d+-[0-9a-f]{8}(?:\.gone|\.old)?\.partial\b")


def check_place(path: Path, *, graph: bool = False) -> None:
    """Refuses, before any work, a place at which nothing could be left.

    Args:
      path: The place.
      graph: Whether a graph of TensorFlow's is to lie there, which it looks for by a pattern: of
        `runs [1]` it would read `runs 1`.

    Raises:
      UsageError: If its name is too long to be staged, or TensorFlow could not load what lies there.
    """
    longest = len(os.fsencode(_hidden(path, _GONE)))
    if longest > _MOST_NAME:
        most = len(os.fsencode(path.name)) - (longest - _MOST_NAME)
        raise UsageError(
            f"{path}: its name may have up to {most} bytes, so that what is being written can lie "
            "beside it; choose a shorter name"
        )
    if graph:
        check_loadable(path)


def check_loadable(path: Path) -> None:
    """Refuses a path from which TensorFlow could not load a graph.

    Raises:
      UsageError: If there is a bracket in it.
    """
    if "[" in str(path.absolute()):
        raise UsageError(
            f"{path.absolute()}: TensorFlow loads no graph from a path with a bracket in it; choose another path"
        )


def _names_no_staging(record: logging.LogRecord) -> bool:
    """Whether a line is of use: TensorFlow tells where a graph was written, which is not where it will be."""
    return record.levelno > logging.INFO or _HIDDEN.search(record.getMessage()) is None


logging.getLogger("tensorflow").addFilter(_names_no_staging)


@contextlib.contextmanager
def staging_beside(path: Path) -> Iterator[Path]:
    """Yields a hidden path beside `path`, of which nothing is left when the block is.

    What processes that are gone left for the same place is removed first. Beside a link means beside
    what it leads to, so that the link stays and what is written is on that disk.
    """
    path = _led_to(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in _stale(path):
        _remove(stale)
    with staged(path.with_name(_hidden(path, _ENDING))) as staging:
        yield staging


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Removes what lies at `path`, a file or a directory, when the block is left in any way."""
    _STAGED.append(path)
    try:
        yield path
    finally:
        _remove(path)
        _STAGED.remove(path)


def remove_staged() -> None:
    """Removes all that is staged by this process."""
    for path in list(_STAGED):
        _remove(path)


@contextlib.contextmanager
def own_temporary_files() -> Iterator[None]:
    """Gives the block, and processes that it starts, a folder of its own for temporary files.

    So nothing is left of those of libraries that clean up only after themselves. Where no folder
    can be made, whoever needs one is to say so.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="skewless-"))
    except OSError:
        yield
        return
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    _STAGED.append(folder)
    # What the block starts and ends at exit, as Beam's job server, is ended before this is called,
    # and is not ended at all where its own files are gone.
    atexit.register(_remove, folder)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before[0]
        if before[1] is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before[1]
        if not any(folder.glob(f"{_JOB_SERVER}*")):
            _remove(folder)
            atexit.unregister(_remove)
        _STAGED.remove(folder)


def put_in_place(staging: Path, destination: Path, *, replace: bool = True) -> None:
    """Puts a finished file or directory in its place, and removes what was there.

    A process killed in between leaves the old one aside; `put_back` takes it from there.

    Args:
      staging: What is finished.
      destination: Its place.
      replace: Whether what is there may go. If not, there was nothing when the job began, or an
        empty folder.

    Raises:
      UsageError: If something is there that may not go: of two jobs for one place the first stays.
    """
    destination = _led_to(destination)
    with held():
        if not replace:
            _put_first(staging, destination)
            return
        old = destination.with_name(_hidden(destination, _OLD))
        if staging.is_dir() and destination.is_dir():
            destination.rename(old)
        staging.rename(destination)
        _remove(old)


def _put_first(staging: Path, destination: Path) -> None:
    try:
        # Onto a folder that is not empty no folder can be renamed.
        staging.rename(destination)
    except OSError as problem:
        if not destination.exists():
            raise
        raise UsageError(
            f"{destination}: another job was here first and is finished; add --overwrite to replace what it "
            "left, or choose another path"
        ) from problem


def write_whole(path: Path, text: str) -> None:
    """Writes a text file that appears whole or not at all; into a pipe or device, at once."""
    # As it is given: what /dev/stdout resolves to has a name, but lies nowhere.
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()
    with staging_beside(path) as staging:
        staging.write_text(text, encoding="utf-8")
        put_in_place(staging, path)


def put_back(path: Path) -> None:
    """Undoes half of `put_in_place`: the old one stands aside and nothing is in its place."""
    path = _led_to(path)
    if path.exists():
        return
    for old in _stale(path):
        if old.name.endswith(_OLD):
            old.rename(path)
            return


def as_asked_for(path: str) -> str:
    """Returns a path inside something staged as a person knows it: inside what it becomes."""
    return _HIDDEN.sub(lambda match: f"/{match['name']}", path)


def _remove(path: Path) -> None:
    """Removes a file or directory, also one that a thread or a process still writes into."""
    # Under another name no file can be opened in it any more by those who know the first.
    gone = path
    if not path.name.endswith(_GONE):
        gone = path.with_name(f"{path.name.removesuffix(_ENDING)}{_GONE}")
    try:
        path.rename(gone)
    except FileNotFoundError:
        return
    except OSError:  # A file system may allow removing and no renaming.
        gone = path
    if gone.is_dir() and not gone.is_symlink():
        shutil.rmtree(gone, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            gone.unlink()


def _led_to(path: Path) -> Path:
    """Returns where a path leads if it is a link, else the path as it is."""
    return path.resolve() if path.is_symlink() else path.absolute()


def _hidden(path: Path, ending: str) -> str:
    return f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}{ending}"


def _stale(path: Path) -> list[Path]:
    """Returns what killed jobs for the same place left, not what a live one is writing."""
    prefix = f".{path.name}."
    found = path.parent.glob(f"{glob.escape(prefix)}*{_ENDING}")
    owned = [(entry, re.match(r"\d+", entry.name.removeprefix(prefix))) for entry in found]
    return [entry for entry, owner in owned if owner is None or not _alive(int(owner[0]))]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
