"""Mirroring: a folder of entries named by what they hold, such as the analysis cache, at a URI.

Entries never change under their name, so copies on several machines only ever add to one another. Whoever
reads an entry that is not there yet fetches it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skewless.schemas.storage.known_as import note_copy
from skewless.schemas.storage.leaving import stand_in
from skewless.schemas.storage.location import (
    TRANSFERS,
    Location,
    as_path,
    is_uri,
    names_in,
    refused,
)

__all__ = ["mirrored"]


@contextlib.contextmanager
def mirrored(path: str | Path) -> Iterator[Path]:
    """Gives a path as it is, and of a URI a local folder for its entries; puts there what is added.

    Raises:
      UsageError: If the URI cannot be read or written.
    """
    uri = str(path)
    local = as_path(uri) if is_uri(path) else Path(path)
    if local is not None:
        yield local
        return
    place = Location.of(uri)
    folder = stand_in(uri)
    folder.mkdir(parents=True, exist_ok=True)
    note_copy(folder, str(place))
    with refused(place, "read"):
        there = {name for name in names_in(place) if not name.startswith(".")}

    def put(name: str) -> None:
        target = place / name
        target.put_file(folder / name)

    with refused(place, "written"):
        probe = place / ".writable"
        probe.system.pipe_file(probe.path, b"")
    yield folder
    with refused(place, "written"), ThreadPoolExecutor(TRANSFERS) as pool:
        list(pool.map(put, sorted(_entries(folder) - there)))


def _entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
