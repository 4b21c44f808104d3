"""Files of an output at a URI in some order, the next ones fetched while one is read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skewless.schemas.errors import DataError, SkewlessError
from skewless.schemas.records.layout import PASTS, RAW
from skewless.schemas.storage.ahead.bounded import BoundedCache, Held
from skewless.schemas.storage.fetched import cache_directory, fetched_but
from skewless.schemas.storage.location import Location, as_path, is_uri, refused
from skewless.schemas.storage.marker import FileEntry

__all__ = ["SHARD_CACHE", "ShardsAhead", "shards_ahead"]

# By default so many bytes of shards are kept.
SHARD_CACHE = 20 << 30

# Files that are fetched, or wait to be read, beside the one that is read.
_AHEAD = 2
# What training does not read.
_UNREAD = (f"{RAW}/", f"{PASTS}/")


@dataclass(frozen=True)
class ShardsAhead:
    """Files at a URI, and where copies of them are kept.

    Attributes:
      copy: A directory that has the files that are not fetched.
      folder: Where they lie.
      files: Those that are fetched, by path inside it.
      cache: Where they are kept on this machine.
      failures: What ended a reading, for whoever hears of it through a library.
    """

    copy: Path
    folder: Location
    files: Mapping[str, FileEntry]
    cache: BoundedCache
    failures: list[SkewlessError] = field(default_factory=list)

    def paths(self, order: Sequence[str]) -> Iterator[str]:
        """Yields the path of a copy of each, to be read before the next one is asked for.

        Raises:
          UsageError: If the store cannot be read.
          DataError: If a file is gone, or is not as it was left.
        """
        fetches: list[_Fetch | None] = []
        try:
            for at in range(len(order)):
                for name in order[len(fetches) : at + 1 + _AHEAD]:
                    fetches.append(_Fetch(self, name) if name in self.files else None)
                fetch = fetches[at]
                if fetch is None:
                    yield str(self.copy / order[at])
                    continue
                try:
                    held = fetch.wait()
                except SkewlessError as error:
                    self.failures.append(error)
                    raise
                yield str(held.path)
                fetch.end()
        finally:
            for fetch in fetches:
                if fetch is not None:
                    fetch.end()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Raises what ended a reading instead of what a library makes of it."""
        try:
            yield
        except Exception as error:
            if self.failures:
                raise self.failures[0] from error
            raise


def shards_ahead(uri: str | Path, limit: int) -> tuple[Path, ShardsAhead | None]:
    """Fetches records but for what only training's epochs read, raw rows and pasts.

    Args:
      uri: Of records; a path is given as it is.
      limit: How many bytes of shards are kept on this machine.

    Returns:
      The path of the copy, and what has its shards where they are not all in it.

    Raises:
      UsageError: If no command left anything there, or the store refuses.
      DataError: If a file is gone, or is not as it was left.
    """
    local = as_path(str(uri)) if is_uri(uri) else Path(uri)
    if local is not None:
        return local, None
    copy, folder, rest = fetched_but(str(uri), _is_left)
    shards = {path: entry for path, entry in rest.items() if not path.startswith(_UNREAD)}
    if not shards:
        return copy, None
    cache = BoundedCache(cache_directory() / "shards", limit)
    return copy, ShardsAhead(copy, folder, shards, cache)


def _is_left(path: str) -> bool:
    return path.endswith(".tfrecord") or path.startswith(_UNREAD)


class _Fetch:
    """A file that is being fetched in the background, then held until its end."""

    def __init__(self, shards: ShardsAhead, name: str) -> None:
        self._shards, self._name = shards, name
        self._needed, self._done = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._ended = False
        self._held: Held | None = None
        self._failed: Exception | None = None
        # A daemon: a process that has an end does not wait for what it will not read.
        threading.Thread(target=self._run, name=f"fetch {name}", daemon=True).start()

    def wait(self) -> Held:
        """Returns the file once it is there."""
        self._needed.set()
        self._done.wait()
        if self._failed is not None:
            raise self._failed
        assert self._held is not None, "is held until its end"
        return self._held

    def end(self) -> None:
        """Releases the file, or lets go of it when it comes."""
        with self._lock:
            self._ended = True
            if self._held is not None:
                self._held.release()
                self._held = None

    def _run(self) -> None:
        try:
            held = self._fetched()
        except Exception as error:  # Raised where it is waited for.
            self._failed = error
        else:
            with self._lock:
                if self._ended:
                    held.release()
                else:
                    self._held = held
        self._done.set()

    def _fetched(self) -> Held:
        place = self._shards.folder / self._name

        def download(path: Path) -> None:
            try:
                place.get_file(path)
            except FileNotFoundError as error:
                raise DataError(
                    f"{place}: is gone: the records were replaced while they were read; run it again"
                ) from error

        def needed() -> bool:
            if self._ended:
                raise InterruptedError  # Nobody waits for it any more, or hears of this.
            return self._needed.is_set()

        with refused(place, "read"):
            entry = self._shards.files[self._name]
            return self._shards.cache.hold(str(place), entry, download, needed)
