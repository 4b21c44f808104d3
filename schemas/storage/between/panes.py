"""Panes of windows that a worker seals in a bucket, and that another process commits.

    ROOT/window=…/attempt-ID/…          all files of a sealed pane; nobody sees it
    ROOT/window=…/manifest.json         its marker, put where none is: now it is there

Between the two nothing is copied.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skewless.schemas.errors import DataError
from skewless.schemas.storage.between.files import brought, inside, made_here
from skewless.schemas.storage.fetched import fetch_files
from skewless.schemas.storage.location import TRANSFERS, Location, names_in, refused
from skewless.schemas.storage.marker import FileEntry, Marker, put_marker, read_marker
from skewless.schemas.storage.published import listed, remove

__all__ = ["brought_here", "commit", "committed", "named", "seal", "sealed_file", "sealed_files"]


def seal(pane: str, id: str, directory: Path) -> str:
    """Uploads a pane that is whole; returns what `commit` takes.

    Args:
      pane: The URI of its folder.
      id: Its own; no other sealing has it.
      directory: Where it lies on this machine; it stays.

    Raises:
      UsageError: If the store refuses.
    """
    place = Location.of(_attempt(pane, id))
    files, empty = listed(sorted(directory.rglob("*")), directory)

    def put(name: str) -> FileEntry:
        target = place / name
        target.put_file(files[name])
        return FileEntry.of(files[name])

    with refused(place, "written"), ThreadPoolExecutor(TRANSFERS) as pool:
        entries = dict(zip(files, pool.map(put, files), strict=True))
    return Marker(place.name, entries, empty).to_json().decode()


def commit(pane: str, sealed: str) -> bool:
    """Makes a sealed pane the one that is there; returns whether it is, and not another one.

    Doing so again is harmless. What other sealings have left beside it is removed.

    Raises:
      UsageError: If the store refuses.
    """
    place = Location.of(pane)
    marker = Marker.parsed(sealed.encode(), place)
    with refused(place, "written"):
        there = read_marker(place)
        if there is not None:
            return there.marker == marker
        if not put_marker(place, marker, None):
            return False
        others = [name for name in names_in(place) if name.startswith("attempt-")]
    for name in others:
        if name != marker.folder:
            remove(place / name)
    return True


def committed(pane: str) -> Marker | None:
    """Returns the marker of the pane that is there; None where none is.

    Raises:
      UsageError: If the store refuses.
    """
    place = Location.of(pane)
    with refused(place, "read"):
        found = read_marker(place)
    return None if found is None else found.marker


@contextlib.contextmanager
def sealed_files(pane: str, id: str, files: Mapping[str, tuple[int, str]]) -> Iterator[Path]:
    """Gives a folder with files of a sealed pane, committed or not, for as long as the block lasts.

    Args:
      pane: The URI of its folder.
      id: Its own.
      files: Size and SHA-256 by path inside.

    Raises:
      UsageError: If the store refuses.
      DataError: If one is gone, or is not as it was left.
    """
    place = Location.of(_attempt(pane, id))
    folder = Path(made_here(pane), uuid.uuid4().hex)
    entries = {name: FileEntry(*entry) for name, entry in files.items()}
    try:
        with refused(place, "read"):
            missing = fetch_files(place, entries, folder)
        if missing is not None:
            raise DataError(f"{place}: misses {missing}; go on into an empty output")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def brought_here(file: str) -> Iterator[Path]:
    """Gives a copy of one file, known by a digest within, for as long as the block lasts.

    Raises:
      FileNotFoundError: If there is none.
      UsageError: If the store refuses.
    """
    path = Path(made_here(file), uuid.uuid4().hex)
    try:
        brought(file, path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def sealed_file(pane: str, id: str, name: str) -> str:
    """Returns the URI of a file of a sealed pane."""
    return inside(_attempt(pane, id), name)


def named(folder: str, beginning: str = "") -> list[str]:
    """Returns the URIs of files right inside a folder whose names begin so; none where there is nothing.

    Raises:
      UsageError: If the store refuses.
    """
    place = Location.of(folder)
    with refused(place, "read"):
        names = names_in(place)
    return [inside(folder, name) for name in sorted(names) if name.startswith(beginning)]


def _attempt(pane: str, id: str) -> str:
    return os.path.join(pane, f"attempt-{id}")
