"""Small files known by their names, at a path or URI: read as bytes, and put whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from skewless.schemas.storage.location import Location, is_uri, refused

__all__ = ["bytes_at", "put_whole"]


def bytes_at(file: str) -> bytes | None:
    """Returns what a file holds; None where there is none.

    Raises:
      UsageError: If a store refuses.
    """
    if not is_uri(file):
        try:
            return Path(file).read_bytes()
        except FileNotFoundError:
            return None
    place = Location.of(file)
    with refused(place, "read"):
        return _object(place)


def put_whole(file: str, content: bytes) -> None:
    """Writes a file that appears whole or not at all.

    Raises:
      OSError: If it cannot be written.
      UsageError: If a store refuses.
    """
    if is_uri(file):
        place = Location.of(file)
        with refused(place, "written"):
            place.system.pipe_file(place.path, content)
        return
    path = Path(file)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _object(place: Location) -> bytes | None:
    try:
        content: bytes = place.system.cat_file(place.path)
    except FileNotFoundError:
        return None
    return content
