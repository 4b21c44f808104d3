"""Fetching: a local copy of a directory that lies at a URI, or of a part of it.

    CACHE/fetched/DIGEST/NAME/…        NAME is the directory's own; DIGEST is of what it holds

A window of a stream is fetched into a copy of the directory of windows, with what lies beside it.

Each file is checked by its hash and placed by a rename, so that processes can share copies, and one
that is killed leaves no half of a file under its name. A copy that is there is not fetched again. All
of CACHE may be removed whenever no command runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.staged import put_in_place, staging_beside
from skewless.schemas.storage.known_as import note_copy
from skewless.schemas.storage.location import TRANSFERS, Location, as_path, is_uri, refused
from skewless.schemas.storage.marker import FileEntry, Marker, read_marker

__all__ = [
    "adopt",
    "cache_directory",
    "fetch_files",
    "fetched",
    "fetched_but",
    "fetched_file",
    "place_file",
]

_TRIES = 3


def cache_directory() -> Path:
    """Returns where copies lie: `SKEWLESS_CACHE`, or a folder of the platform's for such.

    One that is not there is made for this user alone: it will hold what lies in private buckets.
    """
    given = os.environ.get("SKEWLESS_CACHE")
    own = "Library/Caches" if sys.platform == "darwin" else ".cache"
    beside = os.environ.get("XDG_CACHE_HOME") or Path.home() / own
    path = (Path(given) if given else Path(beside, "skewless")).resolve()
    with contextlib.suppress(OSError):  # Whoever writes into it says so.
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def fetched(path: str | Path) -> Path:
    """Returns a path as it is, and of a URI the path of a local copy.

    Args:
      path: A directory that a command left, or a folder inside one: of a folder, that and the files
        beside it and around it are copied.

    Raises:
      UsageError: If no command left anything there, or the store refuses.
      DataError: If a file is gone, or is not as it was left.
    """
    local = as_path(str(path)) if is_uri(path) else Path(path)
    return fetched_but(str(path), lambda inside: False)[0] if local is None else local


def fetched_but(
    uri: str, left: Callable[[str], bool]
) -> tuple[Path, Location, dict[str, FileEntry]]:
    """Fetches a directory but for some of its files.

    Args:
      uri: As `fetched` takes it.
      left: Which of its files are left where they are, by path inside.

    Returns:
      The path of the copy; where the files inside lie; and by path those that were left and are not in
      the copy already.

    Raises:
      UsageError: As `fetched` does.
      DataError: As `fetched` does.
    """
    asked = Location.of(uri)
    missing: str | None = None
    for _ in range(_TRIES):
        root, marker = _marked(asked)
        inside = asked.path[len(root.path) + 1 :]
        wanted = _wanted(marker, inside, asked)
        copy = _copy_of(root.name, marker) if not is_pane(root) else _among_windows(root, marker)
        there = {name for name, entry in wanted.items() if _is_at_hand(copy / name, entry)}
        within = f"{inside}/" if inside else ""
        later = {
            name.removeprefix(within): entry
            for name, entry in wanted.items()
            if name.startswith(within) and name not in there and left(name.removeprefix(within))
        }
        now = {name: wanted[name] for name in wanted if name.removeprefix(within) not in later}
        with refused(root, "read"):
            missing = fetch_files(root / marker.folder, now, copy)
        if missing is not None:
            # The directory was replaced meanwhile, and its earlier files removed.
            continue
        for folder in marker.folders:
            (copy / folder).mkdir(parents=True, exist_ok=True)
        note_copy(copy, str(root))
        lies_at = root / marker.folder
        if inside:
            copy, lies_at = copy / inside, lies_at / inside
        return copy, lies_at, later
    raise DataError(
        f"{asked}: misses a file that its manifest.json names ({missing}); leave it again"
    )


def fetched_file(path: str | Path) -> Path:
    """Returns a path as it is, and of a URI of one file, such as a spec, the path of a local copy.

    Raises:
      UsageError: If there is none, or the store refuses.
    """
    if not is_uri(path):
        return Path(path)
    local = as_path(str(path))
    if local is not None:
        return local
    place = Location.of(str(path))
    with refused(place, "read"):
        content = place.system.cat_file(place.path)
    folder = cache_directory() / "files" / uuid.uuid5(uuid.NAMESPACE_URL, str(place)).hex
    copy = folder / place.name
    place_file(copy, lambda partial: partial.write_bytes(content))
    note_copy(copy, str(place))
    return copy


def adopt(directory: Path, uri: str, marker: Marker) -> None:
    """Makes a directory that was just published the copy that fetching it would make."""
    copy = _copy_of(Location.of(uri).name, marker)
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        directory.rename(copy)


def _copy_of(name: str, marker: Marker) -> Path:
    return cache_directory() / "fetched" / marker.key()[:32] / name


def is_pane(place: Location) -> bool:
    """Whether a place is, by its name, a pane of a window."""
    return place.name.startswith(("window=", "pane="))


def _among_windows(pane: Location, marker: Marker) -> Path:
    """Returns the path of a pane's copy within one of its directory of windows, its declaration there."""
    windows: Location | None = pane
    while windows is not None and is_pane(windows):
        windows = windows.parent
    if windows is None:
        raise UsageError(f"{pane}: expected a directory of windows around it; check the URI")
    declaration = fetched(str(windows))
    copy = declaration.parent / marker.key()[:32] / windows.name
    note_copy(copy, str(windows))
    if not copy.exists():
        with staging_beside(copy) as staging:
            shutil.copytree(declaration, staging)
            put_in_place(staging, copy)
    return copy / pane.path[len(windows.path) + 1 :]


def _marked(asked: Location) -> tuple[Location, Marker]:
    """Returns the directory that a location is, or lies in, and its marker."""
    root: Location | None = asked
    with refused(asked, "read"):
        while root is not None:
            found = read_marker(root)
            if found is not None:
                return root, found.marker
            root = root.parent
        if asked.scheme != "memory":
            asked.system.info(asked.bucket)
    raise UsageError(
        f"{asked}: expected a directory that a command left, found no manifest.json, which is put "
        "last; check the URI, or run the command that leaves it again"
    )


def _wanted(marker: Marker, inside: str, asked: Location) -> dict[str, FileEntry]:
    if not inside:
        return marker.files
    held = {path for path in marker.files if path.startswith(f"{inside}/")}
    if not held:
        raise UsageError(
            f"{asked}: the directory around it holds no folder of that name; check the URI"
        )
    around = [inside[:end] for end in range(len(inside)) if inside[end] == "/"]
    beside = {path for path in marker.files if path.rpartition("/")[0] in ("", *around)}
    return {path: marker.files[path] for path in sorted(held | beside)}


def fetch_files(folder: Location, wanted: dict[str, FileEntry], copy: Path) -> str | None:
    """Fetches files that are not there yet; returns the path of one that the store has not."""

    def fetch(path: str) -> str | None:
        try:
            _fetch_one(folder / path, wanted[path], copy / path)
        except FileNotFoundError:
            return path
        return None

    with ThreadPoolExecutor(TRANSFERS) as pool:
        return next((path for path in pool.map(fetch, wanted) if path is not None), None)


def _is_at_hand(copy: Path, entry: FileEntry) -> bool:
    # Its hash was checked when it was placed.
    return copy.is_file() and copy.stat().st_size == entry.bytes


def _fetch_one(place: Location, entry: FileEntry, copy: Path) -> None:
    if _is_at_hand(copy, entry):
        return

    def download(partial: Path) -> None:
        place.get_file(partial)

    for _ in range(_TRIES):
        if place_file(copy, download, entry.sha256):
            return
    raise DataError(
        f"{place}: is not as it was left: other bytes than its manifest.json says; leave it again"
    )


def place_file(copy: Path, write: Callable[[Path], object], sha256: str | None = None) -> bool:
    """Writes a file beside its place and renames it, unless it has another hash; returns whether."""
    with staging_beside(copy) as partial:
        write(partial)
        if sha256 is not None and file_sha256(partial) != sha256:
            return False
        os.replace(partial, copy)
    return True
