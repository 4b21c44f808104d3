"""The marker: the one object that makes uploaded files a directory, and makes another of it.

    ROOT/manifest.json             {"skewless": 1, "folder": "attempt-…", "files": {PATH: {…}}, …}
    ROOT/attempt-…/PATH            each file, put once and never altered

A reader sees what the marker names, whole, or nothing. It is put by a conditional put, so that of two
writers who began with the same state of it one wins and the other knows.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skewless.schemas.errors import DataError
from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.storage.location import Location, version_of

__all__ = ["FileEntry", "Marked", "Marker", "put_marker", "read_marker"]

_NAME, _VERSION = MANIFEST, "skewless"
_READS = 5
# Only one process has a `memory://`, so this is its conditional put.
_MEMORY = threading.Lock()


@dataclass(frozen=True)
class FileEntry:
    """One file of a directory."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: str | Path) -> FileEntry:
        """Returns what a file of this machine is."""
        path = Path(path)
        return cls(path.stat().st_size, file_sha256(path))


@dataclass(frozen=True)
class Marker:
    """What `manifest.json` of a directory at a URI says.

    Attributes:
      folder: The name of the attempt that holds the files.
      files: By path inside the directory, with slashes.
      folders: Paths of folders that hold nothing.
    """

    folder: str
    files: dict[str, FileEntry]
    folders: tuple[str, ...] = ()

    def key(self) -> str:
        """Returns a digest of what the directory holds; where and when it was put plays no part."""
        held = {path: entry.sha256 for path, entry in self.files.items()}
        text = json.dumps([held, sorted(self.folders)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> bytes:
        """Returns the object's bytes."""
        return (json.dumps({_VERSION: 1, **asdict(self)}, indent=1) + "\n").encode()

    @classmethod
    def parsed(cls, text: bytes, place: Location) -> Marker:
        """Reads the object's bytes.

        Raises:
          DataError: If they are none of ours, or name a path that leads out of the directory.
        """
        try:
            document = json.loads(text)
            if document[_VERSION] != 1:
                raise ValueError(f"version {document[_VERSION]!r}")
            files = {path: FileEntry(**entry) for path, entry in document["files"].items()}
            marker = cls(document["folder"], files, tuple(document["folders"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{place / _NAME}: expected what a command left with its output there, got something "
                "else; a directory that was copied into a bucket is read from a path, or leave it "
                "there by the command's own --output"
            ) from error
        for path in (marker.folder, *files, *marker.folders):
            if path.startswith("/") or "\\" in path or {"", ".", ".."} & set(path.split("/")):
                raise DataError(
                    f"{place / _NAME}: expected paths inside the directory, got {path!r}"
                )
        return marker


@dataclass(frozen=True)
class Marked:
    """A marker as it was read, and the version of the object, to be replaced by condition."""

    marker: Marker
    version: Any
    modified: float


def read_marker(root: Location) -> Marked | None:
    """Returns a directory's marker; None where there is none.

    Raises:
      DataError: If there is an object of that name which is no marker.
      Exception: What the store's library raises (`location.refused` tells it).
    """
    place = root / _NAME
    for _ in range(_READS):
        try:
            before = _version(place)
            text = place.system.cat_file(place.path)
            after = _version(place)
        except FileNotFoundError:
            return None
        # Else it was replaced while it was read.
        if before == after:
            modified = place.system.modified(place.path).timestamp()
            return Marked(Marker.parsed(text, root), after, modified)
    raise DataError(f"{place}: changes all the time; try again")


def put_marker(root: Location, marker: Marker, expected: Marked | None) -> bool:
    """Puts the marker if its object is as it was; returns whether it was.

    Args:
      root: The directory.
      marker: What it is to hold.
      expected: What `read_marker` gave before the attempt began.
    """
    place = root / _NAME
    try:
        _PUTS[root.scheme](place, marker.to_json(), None if expected is None else expected.version)
    except Exception as error:
        if not _is_precondition(error):
            raise
        # A put whose answer was lost is repeated by the library, and then meets itself.
        now = read_marker(root)
        return now is not None and now.marker == marker
    return True


def _is_precondition(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, FileExistsError) or type(error).__name__ == "ResourceModifiedError":
            return True
        answer = getattr(error, "response", None)
        if isinstance(answer, dict) and answer.get("Error", {}).get("Code") in (
            "PreconditionFailed",
            "ConditionalRequestConflict",
            "412",
            "409",
        ):
            return True
        if str(getattr(error, "code", "")) == "412":
            return True
        error = error.__cause__
    return False


def _version(place: Location) -> Any:
    if place.scheme == "memory":
        return place.system.cat_file(place.path)
    place.system.invalidate_cache()
    found = place.system.info(place.path)
    if found["type"] != "file":
        raise FileNotFoundError(str(place))
    version = version_of(found)
    assert version is not None, f"{place}: a store without versions has no conditional put"
    return version


def _put_s3(place: Location, text: bytes, version: Any) -> None:
    condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    place.system.pipe_file(place.path, text, ContentType="application/json", **condition)


def _put_gs(place: Location, text: bytes, version: Any) -> None:
    # gcsfs takes no condition but that nothing is there. In parts, since servers for tests heed the
    # condition of such uploads alone; what separates the parts is in no JSON of ours.
    system, between = place.system, "skewless-part"
    name = json.dumps({"name": place.path.partition("/")[2]}).encode()
    part = f"--{between}\r\nContent-Type: application/json\r\n\r\n".encode()
    system.call(
        "POST",
        f"{system._location}/upload/storage/v1/b/{place.bucket}/o",
        uploadType="multipart",
        ifGenerationMatch=str(version or 0),
        headers={"Content-Type": f"multipart/related; boundary={between}"},
        data=part + name + b"\r\n" + part + text + f"\r\n--{between}--\r\n".encode(),
        json_out=True,
    )


def _put_az(place: Location, text: bytes, version: Any) -> None:
    if version is None:
        place.system.pipe_file(place.path, text, overwrite=False)
        return
    from azure.core import MatchConditions

    condition = {"etag": version, "match_condition": MatchConditions.IfNotModified}
    place.system.pipe_file(place.path, text, overwrite=True, **condition)


def _put_memory(place: Location, text: bytes, version: Any) -> None:
    with _MEMORY:
        now = place.system.cat_file(place.path) if place.system.exists(place.path) else None
        if now != version:
            raise FileExistsError(str(place))
        place.system.pipe_file(place.path, text)


_PUTS = {"az": _put_az, "gs": _put_gs, "memory": _put_memory, "s3": _put_s3}
