"""Files that one process of a job leaves for others: in a directory that all see, or in a bucket.

A place is a string: the path of a directory, or a URI. At a path files are written where they shall
be, and nothing is copied. For a URI they are written on this machine, then put; others read parts of
them where they lie, or fetch a folder into a copy of their own, each file checked by its hash.
Names are never used twice, so nothing is altered once it is there.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from skewless.schemas.staged import staging_beside
from skewless.schemas.storage.fetched import cache_directory, fetched
from skewless.schemas.storage.known_as import origin_of
from skewless.schemas.storage.location import Location, is_uri, refused
from skewless.schemas.storage.marker import FileEntry
from skewless.schemas.storage.published import Publication, remove

__all__ = [
    "brought",
    "file_at_hand",
    "folder_at_hand",
    "forget",
    "hand_on",
    "hand_on_folder",
    "inside",
    "leave_folder",
    "made_here",
    "new_file",
    "opened",
    "seen_by_all",
]

# What is fetched beyond what is asked for, where a file is read on; a block of a run is as large.
_BLOCK_BYTES = 256 << 10
_SCRATCH = "between"


def inside(place: str, *names: str) -> str:
    """Returns a place within a place."""
    return os.path.join(place, *names)


@functools.cache
def _scratch(process: int) -> Path:
    """Returns this process's folder for what it is about to hand on, which goes when it ends.

    What a killed process left there is removed by the next one that has the same cache.
    """
    stack = contextlib.ExitStack()
    folder = stack.enter_context(staging_beside(cache_directory() / _SCRATCH))
    folder.mkdir()
    atexit.register(stack.close)
    return folder


def made_here(place: str) -> str:
    """Returns the directory of this machine that files for a place are written into."""
    return str(_scratch(os.getpid())) if is_uri(place) else place


def hand_on(path: str, uri: str) -> FileEntry:
    """Puts a file at a URI, and removes it here; returns what it is.

    Raises:
      UsageError: If the store refuses.
    """
    place = Location.of(uri)
    entry = FileEntry.of(path)
    with refused(place, "written"):
        place.put_file(path)
    os.unlink(path)
    return entry


@contextlib.contextmanager
def new_file(directory: str) -> Iterator[tuple[str, str]]:
    """Gives the path to write a new file to, and the name that others know it by afterwards.

    Args:
      directory: A place; made where it is a path that is not there.

    Raises:
      UsageError: After the block, if the store refuses.
    """
    name = uuid.uuid4().hex
    if not is_uri(directory):
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, name)
        yield path, path
        return
    path = os.path.join(made_here(directory), name)
    uri = inside(directory, name)
    try:
        yield path, uri
        hand_on(path, uri)
    finally:
        Path(path).unlink(missing_ok=True)


def opened(file: str) -> Any:
    """Opens a file of `new_file` where it lies, with `read`, `seek` and `tell`.

    Raises:
      UsageError: If the store refuses.
    """
    if not is_uri(file):
        return pa.OSFile(file)
    place = Location.of(file)
    with refused(place, "read"):
        return place.system.open(place.path, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")


def forget(file: str) -> None:
    """Removes a file that nobody reads any more."""
    if is_uri(file):
        remove(Location.of(file))
    else:
        os.unlink(file)


def brought(file: str, path: Path) -> None:
    """Fetches one file as it is; the caller knows it by a digest within.

    Raises:
      FileNotFoundError: If there is none.
      UsageError: If the store refuses.
    """
    place = Location.of(file)
    with refused(place, "read"):
        there = place.system.exists(place.path)
    if not there:
        raise FileNotFoundError(file)
    with refused(place, "read"):
        place.get_file(path)


def seen_by_all(directory: str | Path, *, apart: bool) -> str:
    """Returns where all processes of a job find a directory that may stand for one at a URI.

    Args:
      directory: As the command sees it.
      apart: Whether others may be on other machines, which see the URI alone.
    """
    origin = origin_of(Path(directory)) if apart else None
    return str(directory) if origin is None else origin


def hand_on_folder(folder: str | Path, place: str) -> str:
    """Leaves a folder for others; returns the name that `folder_at_hand` takes.

    Args:
      folder: It stays as it is.
      place: Where it is left; a path needs nothing to be done, since all see the folder.

    Raises:
      UsageError: If the store refuses.
    """
    if not is_uri(place):
        return str(folder)
    # The folder's own name at the end: copies of the same files are one copy then.
    uri = inside(place, uuid.uuid4().hex, Path(folder).name)
    Publication.begin(uri, overwrite=False).put(Path(folder))
    return uri


def folder_at_hand(folder: str) -> str:
    """Returns the path of a folder of `hand_on_folder`, or of one inside, on this machine.

    Raises:
      UsageError, DataError: If it cannot be read.
    """
    return str(fetched(folder)) if is_uri(folder) else folder


def file_at_hand(file: str) -> str:
    """Returns the path of a file that lies right inside a folder of `hand_on_folder`.

    Raises:
      UsageError, DataError: If it cannot be read.
    """
    folder, _, name = file.rpartition("/")
    return os.path.join(folder_at_hand(folder), name) if is_uri(file) else file


def leave_folder(place: str, name: str, write: Callable[[str], object]) -> str:
    """Has a folder written and leaves it for others; returns the name that `folder_at_hand` takes.

    Args:
      place: Where it is left; at a path, under its own name.
      name: Of the folder.
      write: Given the path of the folder, which is not there yet.

    Raises:
      UsageError: If the store refuses.
    """
    if not is_uri(place):
        path = inside(place, name)
        write(path)
        return path
    around = os.path.join(made_here(place), uuid.uuid4().hex)
    path = os.path.join(around, name)
    os.mkdir(around)
    try:
        write(path)
        return hand_on_folder(path, place)
    finally:
        shutil.rmtree(around, ignore_errors=True)
