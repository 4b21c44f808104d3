"""Leaving: a job writes a path of this machine, and what it finished there is put at a URI.

    CACHE/work/DIGEST/NAME       what is being made for a URI; DIGEST is of the URI

One process at a time makes a URI's output on a machine. What a stopped `train` left stays there, so
that `--resume` on the same machine goes on with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from skewless.schemas.errors import UsageError
from skewless.schemas.staged import put_in_place, staging_beside
from skewless.schemas.storage.alone import alone
from skewless.schemas.storage.fetched import adopt, cache_directory, fetched
from skewless.schemas.storage.known_as import note_copy
from skewless.schemas.storage.location import Location, as_path, is_uri, names_in, refused
from skewless.schemas.storage.marker import read_marker
from skewless.schemas.storage.published import Publication, put_file

__all__ = [
    "alone_at",
    "empty",
    "is_finished",
    "leaving",
    "leaving_file",
    "names_at",
    "publication_of",
    "stand_in",
]


# By the path that is written: what will put it at its URI.
_BEGUN: dict[Path, Publication] = {}


def publication_of(path: Path) -> Publication | None:
    """Returns what will put a path at the URI that it stands for; None of any other path."""
    return _BEGUN.get(path)


def stand_in(uri: str | Path) -> Path:
    """Returns the path that a job writes instead of a URI."""
    local = as_path(str(uri))
    if local is not None:
        return local
    place = Location.of(str(uri))
    digest = hashlib.sha256(str(place).encode()).hexdigest()[:32]
    return cache_directory() / "work" / digest / place.name


@contextlib.contextmanager
def leaving(
    output: str | Path, *, overwrite: bool = False, resumable: bool = False, going_on: bool = False
) -> Iterator[Path]:
    """Gives the path to write a directory to; when the block ends well, its URI holds it.

    Args:
      output: A path, which is given as it is, or a URI.
      overwrite: Replaces what is finished at the URI; until the new one is complete it stays.
      resumable: Keeps what an earlier block left unfinished at the path.
      going_on: Likewise, and else puts what is finished at the URI there, to be replaced.

    Raises:
      UsageError: Before the block, if the URI cannot be written to, is finished, or another
        process of this machine is at it; after it, if another job has left its output there.
    """
    local = as_path(str(output)) if is_uri(output) else Path(output)
    if local is not None:
        yield local
        return
    uri = str(Location.of(str(output)))
    path = stand_in(uri)
    with alone_at(path.parent, uri):
        publication = Publication.begin(uri, overwrite=overwrite or going_on)
        if not resumable and not going_on:
            empty(path.parent)
        if going_on and publication.replaces and not path.exists():
            with staging_beside(path) as staging:
                shutil.copytree(fetched(uri), staging)
                put_in_place(staging, path)
        note_copy(path, uri)
        _BEGUN[path] = publication
        try:
            yield path
            if not path.is_dir():
                publication.abandon()
                return
            marker = publication.put(path)
        except BaseException:
            publication.abandon()
            _put_beside(path, uri)
            raise
        finally:
            del _BEGUN[path]
        adopt(path, uri, marker)
        empty(path.parent)


@contextlib.contextmanager
def leaving_file(output: str | Path) -> Iterator[Path]:
    """Gives the path to write a file to; when the block ends well, its URI holds it.

    Raises:
      UsageError: If the URI cannot be written to; that is found out before the block.
    """
    local = as_path(str(output)) if is_uri(output) else Path(output)
    if local is not None:
        yield local
        return
    place = Location.of(str(output))
    with refused(place, "written"):
        probe = f"{place.path}.{uuid.uuid4().hex[:12]}"
        place.system.pipe_file(probe, b"")
        place.system.rm_file(probe)
    path = stand_in(str(place))
    with alone_at(path.parent, str(place)):
        empty(path.parent)
        note_copy(path, str(place))
        yield path
        if path.is_file():
            put_file(path, str(place))
        empty(path.parent)


@contextlib.contextmanager
def alone_at(folder: Path, uri: str) -> Iterator[None]:
    """Gives a folder of its own to the one process that makes what is to lie at a URI."""
    with alone(folder.with_name(f"{folder.name}.lock"), uri):
        folder.mkdir(exist_ok=True)
        yield


def empty(folder: Path) -> None:
    """Removes all that lies in a folder."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def is_finished(output: str) -> bool:
    """Whether a path exists, or a URI holds an output that is whole.

    Raises:
      UsageError: If the store cannot be read.
    """
    local = as_path(output) if is_uri(output) else Path(output)
    if local is not None:
        return local.exists()
    place = Location.of(output)
    with refused(place, "read"):
        return read_marker(place) is not None


def names_at(directory: str | Path) -> list[str]:
    """Returns the names of what lies right inside a path or URI; none where there is nothing.

    Raises:
      UsageError: If the store cannot be read.
    """
    local = as_path(str(directory)) if is_uri(directory) else Path(directory)
    if local is not None:
        return [path.name for path in local.iterdir()] if local.is_dir() else []
    place = Location.of(str(directory))
    with refused(place, "read"):
        return names_in(place)


def _put_beside(path: Path, uri: str) -> None:
    """Puts what a failed job kept beside its output, such as rejected rows, beside the URI."""
    for kept in path.parent.glob(f"{path.name}.*"):
        beside = f"{uri}{kept.name.removeprefix(path.name)}"
        with contextlib.suppress(UsageError):  # The job's own failure is what is to be told.
            Publication.begin(beside, overwrite=True).put(kept)
