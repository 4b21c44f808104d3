"""Input files in object stores: matched by a glob, opened, and known again, where they lie."""

from __future__ import annotations

from typing import Any

from skewless.schemas.storage.location import Location, as_path, is_uri, refused, version_of

__all__ = ["input_files", "input_path", "open_input", "size_and_version"]

# By default a reader of S3 asks for 50 MB at a time; a work unit is about as large.
_BLOCK_BYTES = 8 << 20
# Of other schemes Beam's own filesystems know, such as hdfs.
_OURS = ("s3://", "gs://", "az://", "memory://", "file://")


def input_path(path: str) -> str | Location:
    """Returns the location of a URI in an object store; anything else is a path as Beam knows it.

    Raises:
      UsageError: If what implements the scheme is not installed.
    """
    if not is_uri(path) or not path.lower().startswith(_OURS):
        return path
    local = as_path(path)
    return str(local) if local is not None else Location.of(path)


def input_files(place: Location) -> list[str]:
    """Returns the URIs of the files that a glob matches, sorted; none if it matches nothing.

    Raises:
      UsageError: If the store cannot be read.
    """
    place.system.invalidate_cache()
    with refused(place, "read"):
        found = place.system.glob(place.path, detail=True)
        if not found and place.scheme != "memory":
            place.system.info(place.bucket)
    paths = [path.strip("/") for path, entry in found.items() if entry["type"] == "file"]
    return sorted(str(Location(place.scheme, path)) for path in paths)


def open_input(place: Location) -> Any:
    """Opens a file for reading, with `read`, `seek` and `tell`.

    Raises:
      UsageError: If the store cannot be read.
    """
    with refused(place, "read"):
        return place.system.open(place.path, "rb", block_size=_BLOCK_BYTES)


def size_and_version(place: Location) -> tuple[int, str]:
    """Returns the file's size, and a text that is another one once it is written again.

    Raises:
      FileNotFoundError: If it is gone.
    """
    place.system.invalidate_cache()
    entry = place.system.info(place.path)
    return int(entry["size"]), str(version_of(entry) or place.system.modified(place.path))
