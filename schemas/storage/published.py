"""Publishing: a finished local directory put at a URI, where it appears whole or not at all.

Files are uploaded under a folder of their own, the attempt, and the marker that names them is put
last, if it is still as it was when the attempt began; so of two jobs one wins. Then attempts that
cannot win any more are removed: those that were there before the marker was put began with an
earlier marker than it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skewless.schemas.errors import UsageError
from skewless.schemas.storage.location import TRANSFERS, Location, names_in, refused
from skewless.schemas.storage.marker import FileEntry, Marked, Marker, put_marker, read_marker

__all__ = ["Publication", "listed", "put_file", "remove"]

_ATTEMPT = "attempt-"
# The first object of an attempt; proves that we may write, and says when the attempt began.
_BEGUN = ".begun"
# After the name of an attempt: what processes of its job leave for one another.
_SHARED = "-shared"
_LOGGER = logging.getLogger(__name__)


class Publication:
    """One attempt to leave a directory at a URI."""

    def __init__(self, root: Location, before: Marked | None) -> None:
        self.root = root
        self._before = before
        self._folder = root / f"{_ATTEMPT}{uuid.uuid4().hex[:12]}"
        self._may_be_marked = False
        self._elsewhere: dict[str, tuple[Location, FileEntry]] = {}

    @classmethod
    def begin(cls, uri: str, *, overwrite: bool) -> Publication:
        """Finds out whether the output may be left, before any work for it is done.

        Raises:
          UsageError: If there is an output that is not to be replaced, or something that is not
            ours; if the scheme is unknown; if there is no such bucket, no credentials are found, or
            they do not allow to read and to write there.
        """
        root = Location.of(uri)
        with refused(root, "read"):
            before = read_marker(root)
        if before is not None and not overwrite:
            raise UsageError(f"{root}: is finished already; add --overwrite to replace it")
        with refused(root, "read"):
            strangers = [name for name in names_in(root) if not name.startswith(_ATTEMPT)]
        if before is None and strangers:
            raise UsageError(
                f"{root}: is not empty and has no manifest.json of ours, so it is not ours to "
                "replace; empty it or choose another place"
            )
        publication = cls(root, before)
        _begin(publication._folder)
        publication._remove_dead()
        return publication

    @property
    def replaces(self) -> bool:
        """Whether a finished output was there when the attempt began."""
        return self._before is not None

    def shared_place(self) -> str:
        """Returns the URI of a folder, which goes with the attempt, for processes of its job.

        Raises:
          UsageError: If the store refuses.
        """
        _begin(self._shared)
        return str(self._shared)

    @property
    def _shared(self) -> Location:
        return Location(self._folder.scheme, f"{self._folder.path}{_SHARED}")

    def holds(self, inside: str, uri: str, entry: FileEntry) -> None:
        """Has `put` take a file of the directory from the store instead, where it lies already.

        Args:
          inside: The file's path in the directory.
          uri: Of the file, in the shared place.
          entry: Its size and hash.
        """
        self._elsewhere[inside] = (Location.of(uri), entry)

    def put(self, directory: Path) -> Marker:
        """Uploads all files of a directory but hidden ones, and makes them what the URI holds.

        Files that the URI `holds` already are copied by the store itself.

        Raises:
          UsageError: If another job has left its output there since this one began, or the store
            refuses.
        """
        paths = [path for path in sorted(directory.rglob("*")) if not _hidden(path, directory)]
        files, empty = listed(paths, directory)
        around = {path.rpartition("/")[0] for path in self._elsewhere}
        empty = tuple(folder for folder in empty if folder not in around)
        with refused(self.root, "written"):
            with ThreadPoolExecutor(TRANSFERS) as pool:
                entries = dict(
                    zip(files, pool.map(self._upload, files, files.values()), strict=True)
                )
                entries |= zip(self._elsewhere, pool.map(self._copy, self._elsewhere), strict=True)
            marker = Marker(self._folder.name, entries, empty)
            others = [name for name in _attempts(self.root) if name != self._folder.name]
            self._may_be_marked = True
            won = put_marker(self.root, marker, self._before)
        if not won:
            self._may_be_marked = False
            self.abandon()
            raise UsageError(
                f"{self.root}: another job left its output there while this one ran; nothing of "
                "this one is there. Add --overwrite to replace it"
            )
        for name in others:
            remove(self.root / name)
        return marker

    def _upload(self, inside: str, path: Path) -> FileEntry:
        entry = FileEntry.of(path)
        place = self._folder / inside
        place.put_file(path)
        return entry

    def _copy(self, inside: str) -> FileEntry:
        source, entry = self._elsewhere[inside]
        place = self._folder / inside
        place.system.cp_file(source.path, place.path)
        if place.scheme == "az":
            _wait_for_copy(place)
        return entry

    def abandon(self) -> None:
        """Removes what this attempt has uploaded, unless a marker names it, or may by now."""
        if not self._may_be_marked:
            remove(self._folder)
            remove(self._shared)

    def _remove_dead(self) -> None:
        """Removes what killed jobs left: attempts begun before the marker that does not name them.

        Where there is no marker yet, any attempt may be a live one's; the winner removes them.
        """
        if self._before is None:
            return
        for name in _attempts(self.root):
            place = self.root / name
            if place in (self._folder, self._shared) or name == self._before.marker.folder:
                continue
            try:
                begun = place.system.modified((place / _BEGUN).path).timestamp()
            except FileNotFoundError:
                begun = 0.0  # Being removed, or by a process that was killed.
            if begun < self._before.modified:
                remove(place)


def _wait_for_copy(place: Location) -> None:
    """Waits until Azure has made a copy, which it may do after it has answered.

    Raises:
      OSError: If it does not.
    """
    from fsspec.asyn import sync

    container, _, blob = place.path.partition("/")
    client = place.system.service_client.get_blob_client(container, blob)
    while True:
        status = sync(place.system.loop, client.get_blob_properties).copy.status
        if status == "success":
            return
        if status != "pending":
            raise OSError(f"{place}: the store's copy ended as {status!r}")
        time.sleep(0.5)


def put_file(path: Path, uri: str) -> None:
    """Puts one file at a URI, where it appears whole or not at all.

    Raises:
      UsageError: If the store refuses.
    """
    place = Location.of(uri)
    with refused(place, "written"):
        place.put_file(path)


def _begin(attempt: Location) -> None:
    begun = attempt / _BEGUN
    with refused(attempt.parent or attempt, "written"):
        begun.system.pipe_file(begun.path, b"")


def listed(paths: Sequence[Path], directory: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Returns the files among paths within a directory, and the folders that hold nothing, by paths inside."""
    files = {path.relative_to(directory).as_posix(): path for path in paths if path.is_file()}
    empty = tuple(
        path.relative_to(directory).as_posix()
        for path in paths
        if path.is_dir() and not any(path.iterdir())
    )
    return files, empty


def _hidden(path: Path, directory: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(directory).parts)


def _attempts(root: Location) -> list[str]:
    return [name for name in names_in(root) if name.startswith(_ATTEMPT)]


def remove(place: Location) -> None:
    """Removes all that lies at a location; what cannot be removed is told, and stays."""
    try:
        place.system.rm(place.path, recursive=True)
    except FileNotFoundError:
        return
    except Exception as error:  # Each store has its own; the next job tries again.
        _LOGGER.warning("%s: is not needed any more and cannot be removed: %s", place, error)
