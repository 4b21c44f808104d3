"""Parts: the finished files of workers' bundles, under temporary names and then under their own.

A bundle that fails and is tried again leaves files that nobody names; only parts that a bundle hands
on are moved into the data set. Where workers and command share a bucket, a file is written on the
worker's machine, put there once it is complete, and given its name there by the command.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from skewless.schemas.records.layout import PASTS, RAW, REJECTED
from skewless.schemas.records.manifest import Shard
from skewless.schemas.storage.between.files import brought, hand_on, inside, made_here
from skewless.schemas.storage.location import is_uri

__all__ = ["Part", "bring", "create", "finished", "make_sink_folders", "new_path", "place"]

_PENDING = "pending"
_KINDS = ("records", "raw", "rejected", PASTS)


@dataclass(frozen=True)
class Part:
    """A finished file of a bundle, at a path or URI; `split` is empty for rejected rows and pasts."""

    kind: str
    split: str
    path: str
    rows: int
    bytes: int = 0
    sha256: str = ""

    def as_shard(self, path: str) -> Shard:
        """Returns the manifest's entry of a file of records that lies at `path` of the directory."""
        return Shard(path=path, rows=self.rows, bytes=self.bytes, sha256=self.sha256)


def make_sink_folders(directory: str | Path) -> None:
    """Makes the folders that sinks write into, where all workers write into one directory."""
    if not is_uri(directory):
        for kind in _KINDS:
            (Path(directory) / _PENDING / kind).mkdir(parents=True)


def new_path(directory: str, kind: str) -> str:
    """Returns a path on this machine that no other bundle, or try of this one, uses.

    Args:
      directory: What workers and command share, a path or a URI.
      kind: Of the file.
    """
    folder = os.path.join(made_here(directory), _PENDING, kind)
    if is_uri(directory):
        os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, uuid.uuid4().hex)


def finished(part: Part, directory: str) -> Part:
    """Returns a part that lies at `new_path` and is complete as the command is to find it."""
    if not is_uri(directory):
        return part
    uri = inside(directory, part.kind, os.path.basename(part.path))
    entry = hand_on(part.path, uri)
    return replace(part, path=uri, bytes=entry.bytes, sha256=entry.sha256)


def create(path: str) -> BinaryIO:
    """Opens a new file on any filesystem that Beam knows, written as it is."""
    return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)


def place(
    parts: Sequence[Part], staging: Path, endings: Mapping[str, str]
) -> list[tuple[str, Part]]:
    """Moves finished files to their places and removes what was left of failed bundles.

    Those in a bucket stay there, and are given their names alone.

    Args:
      parts: What `close` of all sinks returned.
      staging: The directory that holds them.
      endings: The file ending of each kind.

    Returns:
      (path relative to `staging`, part), numbered within each folder.
    """
    folders = {"raw": f"{RAW}/", "rejected": REJECTED, "records": "", PASTS: PASTS}
    (staging / REJECTED).mkdir()
    groups: dict[str, list[Part]] = {}
    for part in parts:
        folder = f"{folders[part.kind]}{part.split}"
        groups.setdefault(f"{folder}|{part.kind}", []).append(part)
    placed = []
    for group, members in sorted(groups.items()):
        folder, kind = group.split("|")
        (staging / folder).mkdir(parents=True, exist_ok=True)
        members.sort(key=lambda part: (part.sha256, part.path))
        for number, part in enumerate(members):
            name = f"part-{number:05d}-of-{len(members):05d}{endings[kind]}"
            path = f"{folder}/{name}" if folder else name
            if not is_uri(part.path):
                Path(part.path).rename(staging / path)
            placed.append((path, part))
    if (staging / _PENDING).exists():
        shutil.rmtree(staging / _PENDING)
    return placed


def bring(files: Sequence[tuple[str, Part]], staging: Path) -> None:
    """Fetches files that `place` gave a name and that lie in a bucket."""
    for path, part in files:
        if is_uri(part.path):
            brought(part.path, staging / path)
