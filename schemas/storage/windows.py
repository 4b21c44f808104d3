"""Windows of a stream at a URI: put pane by pane, and brought to this machine pane by pane.

    ROOT/manifest.json                               the marker of transform, spec and schema
    ROOT/window=2026-01-01T00:00:00Z/manifest.json   a pane's marker, put where none is, never replaced
    ROOT/window=2026-01-01T00:00:00Z/pane=1/manifest.json    …of rows that came late
    ROOT/window=2026-01-01T00:00:00Z/attempt-…/…     a pane's files

    CACHE/work/DIGEST/NAME/…                         what is at hand of it, laid out as on a disk

Whoever puts a pane knows all earlier ones of its window, or finds its place taken: so no row that a
pane holds can be put again, by however many writers.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.storage.fetched import fetch_files
from skewless.schemas.storage.known_as import note_copy
from skewless.schemas.storage.leaving import alone_at, empty, stand_in
from skewless.schemas.storage.location import TRANSFERS, Location, refused
from skewless.schemas.storage.marker import Marker, read_marker
from skewless.schemas.storage.published import Publication, remove

__all__ = ["RemoteWindows", "windows_to_read", "windows_to_write"]

_PANE = re.compile(r"(window=[^/]+(?:/pane=[0-9]+)?)/(.+)")
Declared = TypeVar("Declared")


@dataclass(frozen=True)
class RemoteWindows:
    """A directory of windows at a URI.

    Attributes:
      root: Where it lies.
      path: A directory of this process that has what is at hand of it.
    """

    root: Location
    path: Path

    def panes(self, holding: str = "") -> list[str]:
        """Returns the folders of finished panes, oldest first.

        Args:
          holding: Only those with files in this folder.

        Raises:
          UsageError: If the store cannot be read.
        """
        found = self._found()
        finished = {folder for folder, name in found if name == MANIFEST}
        if holding:
            finished &= {folder for folder, name in found if f"/{holding}/" in name}
        return sorted(finished, key=_order)

    def _found(self) -> list[tuple[str, str]]:
        """Returns the folder of a pane, and the path inside, of each object of panes."""
        system, inside = self.root.system, len(self.root.path) + 1
        system.invalidate_cache()
        with refused(self.root, "read"):
            names = [path.strip("/")[inside:] for path in system.find(self.root.path)]
        matches = map(_PANE.fullmatch, names)
        return [(match[1], match[2]) for match in matches if match is not None]

    def bring(self, folder: str, names: Collection[str] | None = None) -> Marker:
        """Has a pane's files at hand, or those of some names right inside it; returns its marker.

        Raises:
          UsageError: If the store cannot be read.
          DataError: If the pane is gone, or is not as it was left.
        """
        place = self.root / folder
        with refused(place, "read"):
            found = read_marker(place)
        if found is None:
            raise DataError(f"{place}: is gone; put it back, or begin with another output")
        _bring(place, found.marker, self.path / folder, names)
        return found.marker

    def go_on(self, names: Collection[str]) -> None:
        """Has the files of some names of all finished panes at hand, and removes what cannot be one.

        Beside the files of a finished pane, whose marker is never replaced, others are those of writers that
        came too late, or that were killed.
        """
        attempts: dict[str, set[str]] = {}
        for folder, name in self._found():
            attempts.setdefault(folder, set()).add(name.partition("/")[0])

        def go_on(folder: str) -> None:
            marker = self.bring(folder, names)
            for left in attempts[folder] - {MANIFEST, marker.folder}:
                remove(self.root / folder / left)

        finished = [folder for folder, held in attempts.items() if MANIFEST in held]
        with ThreadPoolExecutor(TRANSFERS) as pool:
            list(pool.map(go_on, finished))

    def put(self, sealed: Path, folder: str) -> None:
        """Makes a directory of this machine a finished pane.

        Raises:
          UsageError: If there is a pane already, or the store refuses.
        """
        place = self.root / folder
        try:
            publication = Publication.begin(str(place), overwrite=False)
            try:
                publication.put(sealed)
            except BaseException:
                publication.abandon()
                raise
        except UsageError as error:
            with refused(place, "read"):
                if read_marker(place) is None:
                    raise
            raise UsageError(
                f"{place}: another stream has put its rows there; let one stream write to "
                f"{self.root} at a time, and start it again"
            ) from error

    def free(self, folder: str, but: Collection[str] = ()) -> None:
        """Removes what is at hand of a pane, but files of some names, and later panes of its window."""
        held = self.path / folder
        for entry in held.iterdir() if held.is_dir() else ():
            if entry.name in but or entry.name.startswith("pane="):
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


@contextlib.contextmanager
def windows_to_write(
    uri: str, declare: Callable[[Path], Declared]
) -> Iterator[tuple[RemoteWindows, Declared]]:
    """Gives windows that begin at a URI, or that were begun there, and what `declare` made of them.

    Args:
      uri: Where they lie.
      declare: Puts what lies beside windows into a directory where there is none yet, or checks it.

    Raises:
      UsageError: If there is something else, the URI cannot be written to, or another process of
        this machine is at it: before `declare`.
    """
    root = Location.of(uri)
    path = stand_in(uri)
    with alone_at(path.parent, str(root)):
        empty(path.parent)
        note_copy(path, str(root))
        with refused(root, "read"):
            begun = read_marker(root)
        if begun is None:
            publication = Publication.begin(str(root), overwrite=False)
            try:
                declared = declare(path)
                publication.put(path)
            except BaseException:
                publication.abandon()
                raise
        else:
            _check_windows(root, begun.marker)
            with refused(root, "written"):
                probe = root / f".{uuid.uuid4().hex[:12]}"
                probe.system.pipe_file(probe.path, b"")
                probe.system.rm_file(probe.path)
            _bring(root, begun.marker, path)
            declared = declare(path)
        yield RemoteWindows(root, path), declared
        empty(path.parent)


@contextlib.contextmanager
def windows_to_read(uri: str, reader: str) -> Iterator[RemoteWindows]:
    """Gives windows that were begun at a URI, what lies beside them at hand.

    Args:
      uri: Where they lie.
      reader: Names who reads: each has a directory of its own.

    Raises:
      UsageError: If `stream` left none there, or the store refuses.
    """
    root = Location.of(uri)
    path = stand_in(str(root / uuid.uuid5(uuid.NAMESPACE_URL, reader).hex)).parent / root.name
    with alone_at(path.parent, f"{root}, read for {reader}"):
        empty(path.parent)
        note_copy(path, str(root))
        with refused(root, "read"):
            begun = read_marker(root)
        if begun is None:
            raise UsageError(
                f"{root}: expected windows, found no manifest.json; start `skewless stream` with this "
                "--output, or check the URI"
            )
        _check_windows(root, begun.marker)
        _bring(root, begun.marker, path)
        yield RemoteWindows(root, path)
        empty(path.parent)


def _check_windows(root: Location, marker: Marker) -> None:
    # All that other commands leave have a manifest of their own, or of another name.
    if MANIFEST in marker.files or not any(path.startswith("transform/") for path in marker.files):
        raise UsageError(f"{root}: is no directory of windows; choose another place")


def _bring(
    place: Location, marker: Marker, path: Path, names: Collection[str] | None = None
) -> None:
    files = {name: entry for name, entry in marker.files.items() if names is None or name in names}
    with refused(place, "read"):
        missing = fetch_files(place / marker.folder, files, path)
    if missing is not None:
        raise DataError(f"{place}: misses {missing}, which its manifest.json names; leave it again")
    for folder in marker.folders if names is None else ():
        (path / folder).mkdir(parents=True, exist_ok=True)


def _order(folder: str) -> tuple[str, int]:
    window, _, pane = folder.partition("/pane=")
    return window, int(pane or 0)
