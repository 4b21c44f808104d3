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
from skewless.schemas.storage.alone import alone
from skewless.schemas.storage.fetched import adopt, cache_directory
from skewless.schemas.storage.known_as import note_copy
from skewless.schemas.storage.location import Location, as_path, is_uri, refused
from skewless.schemas.storage.published import Publication, put_file

__all__ = ["leaving", "leaving_file", "stand_in"]


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
    output: str | Path, *, overwrite: bool = False, resumable: bool = False
) -> Iterator[Path]:
    """Gives the path to write a directory to; when the block ends well, its URI holds it.

    Args:
      output: A path, which is given as it is, or a URI.
      overwrite: Replaces what is finished at the URI; until the new one is complete it stays.
      resumable: Keeps what an earlier block left unfinished at the path.

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
    with _alone(path.parent, uri):
        publication = Publication.begin(uri, overwrite=overwrite)
        if not resumable:
            _empty(path.parent)
        note_copy(path, uri)
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
        adopt(path, uri, marker)
        _empty(path.parent)


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
    with _alone(path.parent, str(place)):
        _empty(path.parent)
        note_copy(path, str(place))
        yield path
        if path.is_file():
            put_file(path, str(place))
        _empty(path.parent)


@contextlib.contextmanager
def _alone(folder: Path, uri: str) -> Iterator[None]:
    """Gives a folder of its own to the one process that makes what is to lie at a URI."""
    with alone(folder.with_name(f"{folder.name}.lock"), uri):
        folder.mkdir(exist_ok=True)
        yield


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _put_beside(path: Path, uri: str) -> None:
    """Puts what a failed job kept beside its output, such as rejected rows, beside the URI."""
    for kept in path.parent.glob(f"{path.name}.*"):
        beside = f"{uri}{kept.name.removeprefix(path.name)}"
        with contextlib.suppress(UsageError):  # The job's own failure is what is to be told.
            Publication.begin(beside, overwrite=True).put(kept)
