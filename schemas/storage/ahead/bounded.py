"""A bounded cache: copies of files on this machine, by digest, that processes share.

    FOLDER/SHA256                    a whole file, its digest checked when it came
    FOLDER/SHA256.BYTES.….part       one that is being fetched
    FOLDER/.lock                     held while room is made

What is in use is locked (flock), which the end of its process undoes, however it ends. Where room is
needed, what was used longest ago goes first.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from skewless.schemas.errors import DataError
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.storage.marker import FileEntry

__all__ = ["BoundedCache", "Held"]

_PART = ".part"
_TRIES = 3
_WAIT_SECONDS = 0.05


@dataclass(frozen=True)
class Held:
    """A file that is kept until it is released."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Lets the file be removed, once room is needed."""
        os.close(self.descriptor)


@dataclass(frozen=True)
class BoundedCache:
    """Copies of files.

    Attributes:
      folder: Where they lie.
      limit: How many bytes of them. More only where what is in use already, and what cannot be
        waited for, takes more.
    """

    folder: Path
    limit: int

    def hold(
        self,
        name: str,
        entry: FileEntry,
        download: Callable[[Path], object],
        needed: Callable[[], bool],
    ) -> Held:
        """Returns a file that is at hand, downloaded unless it was.

        Args:
          name: What it is a copy of, for errors.
          entry: Its size and digest.
          download: Writes it to a path.
          needed: Whether it is waited for: then it is fetched even above the limit.

        Raises:
          DataError: If what comes has another digest.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / entry.sha256
        while True:
            held = _held(path)
            if held is not None:
                with suppress(FileNotFoundError):
                    os.utime(path)
                return held
            part = self._room_for(entry, forced=needed())
            if part is None:
                time.sleep(_WAIT_SECONDS)
                continue
            try:
                if not self._fetched(entry, part, path, download):
                    raise DataError(
                        f"{name}: is not as it was left: other bytes than its manifest.json says; leave "
                        "it again"
                    )
            finally:
                part.path.unlink(missing_ok=True)
                part.release()

    def _fetched(
        self, entry: FileEntry, part: Held, path: Path, download: Callable[[Path], object]
    ) -> bool:
        # Another process may be fetching the same: its file is waited for.
        with _locked(path.with_name(f".{path.name}.lock")):
            if path.exists():
                return True
            for _ in range(_TRIES):
                download(part.path)
                if file_sha256(part.path) == entry.sha256:
                    part.path.rename(path)
                    return True
        return False

    def _room_for(self, entry: FileEntry, *, forced: bool) -> Held | None:
        """Returns a file to fetch into, which counts as its size; None where there is no room."""
        with _locked(self.folder / ".lock"):
            excess = self._used() + entry.bytes - self.limit
            for path in self._oldest_first() if excess > 0 else ():
                excess -= _removed(path)
                if excess <= 0:
                    break
            if excess > 0 and not forced:
                return None
            part = self.folder / f"{entry.sha256}.{entry.bytes}.{uuid.uuid4().hex}{_PART}"
            part.touch()
            held = _held(part)
            assert held is not None, f"{part}: is gone; only whoever holds its lock removes it"
            return held

    def _used(self) -> int:
        total = 0
        for path in self._files():
            if path.suffix == _PART:
                # One that nobody holds was left by a process that was killed.
                total += int(path.name.split(".")[1]) if not _removed(path) else 0
            else:
                total += _size(path)
        return total

    def _oldest_first(self) -> list[Path]:
        used = []
        for path in self._files():
            with suppress(FileNotFoundError):
                used.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(used) if path.suffix != _PART]

    def _files(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if not path.name.startswith(".")]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _held(path: Path) -> Held | None:
    """Returns a file locked against its removal; None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    with suppress(FileNotFoundError):
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return Held(path, descriptor)
    # Removed while it was opened.
    os.close(descriptor)
    return None


def _removed(path: Path) -> int:
    """Removes a file that nobody holds; returns how many bytes that frees, at least 1, else 0."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    else:
        freed = os.fstat(descriptor).st_size
        path.unlink(missing_ok=True)
        return max(1, freed)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
