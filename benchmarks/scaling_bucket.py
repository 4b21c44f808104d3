"""A bucket on loopback for `benchmarks.scaling`, and what workers leave in it for one another."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Bucket", "between", "bucket_on_loopback"]

# Beside the records of an attempt, in the folder that workers share.
_BETWEEN = "temporary"


@dataclass(frozen=True)
class Bucket:
    """A bucket that a process started now can reach by its environment.

    Attributes:
      caches: The folder in which those who use it have their caches.
    """

    caches: Path

    def uri(self, name: str) -> str:
        """Returns a place in it."""
        return f"s3://bucket/{name}"

    def use(self, who: str) -> None:
        """Gives processes that are started from here on a cache of their own."""
        os.environ["SKEWLESS_CACHE"] = str(self.caches / who)

    def put(self, files: Sequence[Path]) -> list[str]:
        """Uploads files; returns their URIs."""
        from skewless.schemas.storage.location import Location

        places = [Location.of(self.uri(f"in/{file.name}")) for file in files]
        for file, place in zip(files, places, strict=True):
            place.put_file(file)
        return [str(place) for place in places]

    def fetch_but_records(self, uri: str, to: Path) -> int:
        """Copies what a command left but the records, which may not fit twice; returns their bytes."""
        from skewless.schemas.storage.fetched import fetched_but

        self.use("reader")
        copy, _, records = fetched_but(uri, lambda name: name.endswith(".tfrecord"))
        shutil.copytree(copy, to)
        return sum(entry.bytes for entry in records.values())


@contextlib.contextmanager
def bucket_on_loopback(caches: Path) -> Iterator[Bucket]:
    """Runs a server with an empty bucket."""
    from skewless.schemas.storage import location
    from tests.object_stores import STORES

    before = dict(os.environ)
    os.environ["SKEWLESS_TEST_S3"] = "versitygw"
    try:
        with STORES["s3"]() as variables:
            os.environ.update(variables)
            location._system.cache_clear()
            yield Bucket(caches)
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def between(bucket: Bucket | None, name: str) -> Iterator[list[int]]:
    """Gives a list of the bytes that workers have left for one another, looked at each second."""
    seen: list[int] = []
    if bucket is None:
        yield seen
        return
    done = threading.Event()
    thread = threading.Thread(target=_look, args=(bucket.uri(name), seen, done), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _look(uri: str, seen: list[int], done: threading.Event) -> None:
    from skewless.schemas.storage.location import Location

    place = Location.of(uri)
    while not done.wait(1.0):
        held = place.system.find(place.path, detail=True)
        shared = [
            int(entry["size"]) for path, entry in held.items() if f"-shared/{_BETWEEN}/" in path
        ]
        seen.append(sum(shared))
