"""Files that one process of a job leaves for another: sections of data, each with its digest.

    skewless KIND VERSION\n    size, SHA-256, section    size, SHA-256, section    …

A section is JSON or an Arrow stream, which hold values only: reading a file that somebody else put
there can fail, but runs nothing of theirs, as unpickling would (docs/security.md). A file that is
cut, damaged or of another version is refused by its header or its digests.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from skewless.schemas.errors import DataError

__all__ = [
    "batch_section",
    "checked_sections",
    "json_section",
    "read_all_checked",
    "read_batch_section",
    "read_checked",
    "read_json_section",
    "write_checked",
]

_VERSION = 1
_PREFIX = struct.Struct("<Q32s")


def write_checked(path: str | Path, kind: str, sections: Sequence[bytes | pa.Buffer]) -> None:
    """Writes a file of sections; `kind` is a word that says what the file is."""
    with checked_sections(path, kind) as add:
        for section in sections:
            add(section)


@contextlib.contextmanager
def checked_sections(path: str | Path, kind: str) -> Iterator[Callable[[bytes | pa.Buffer], None]]:
    """Gives what adds a section to a new file of them, so that not all need be held at once."""
    with Path(path).open("wb") as file:

        def add(section: bytes | pa.Buffer) -> None:
            file.write(_PREFIX.pack(len(section), hashlib.sha256(section).digest()))
            file.write(section)

        file.write(_header(kind))
        yield add


def read_checked(path: str | Path, kind: str, places: Sequence[int]) -> list[bytes]:
    """Reads the sections at some places, rising, of a file; what lies between is passed over.

    Raises:
      DataError: If the file is of another kind or version, cut off, or damaged.
      FileNotFoundError: If there is none.
    """
    with Path(path).open("rb") as file:
        _check_header(file, path, kind)
        sections = []
        for place in range(max(places) + 1):
            size, digest = _prefix(file)
            if place in places:
                sections.append(_section(file, path, size, digest))
            else:
                file.seek(size, os.SEEK_CUR)
    return sections


def read_all_checked(path: str | Path, kind: str) -> Iterator[bytes]:
    """Yields a file's sections, one after the other; whether the last one is there is the caller's to tell.

    Raises:
      DataError: If the file is of another kind or version, cut off, or damaged.
    """
    with Path(path).open("rb") as file:
        _check_header(file, path, kind)
        end = os.fstat(file.fileno()).st_size
        while file.tell() < end:
            yield _section(file, path, *_prefix(file))


def _check_header(file: IO[bytes], path: str | Path, kind: str) -> None:
    header = _header(kind)
    if file.read(len(header)) != header:
        raise DataError(
            f"{path}: expected a {kind} file of this version of skewless; another version or "
            "another program left it. End that work with the version that began it, or remove it"
        )


def _prefix(file: IO[bytes]) -> tuple[int, bytes]:
    """Returns size and digest of the section that follows."""
    prefix = file.read(_PREFIX.size)
    size, digest = _PREFIX.unpack(prefix) if len(prefix) == _PREFIX.size else (0, b"")
    return size, digest


def _section(file: IO[bytes], path: str | Path, size: int, digest: bytes) -> bytes:
    # A size that was made up must not ask for all memory.
    section = file.read(min(size, os.fstat(file.fileno()).st_size))
    if len(section) != size or hashlib.sha256(section).digest() != digest:
        raise DataError(f"{path}: is cut off or damaged; remove it and run again")
    return section


def json_section(document: Any) -> bytes:
    """Returns JSON; texts that are not Unicode survive."""
    return json.dumps(document, separators=(",", ":")).encode()


def read_json_section(section: bytes) -> Any:
    """Returns what `json_section` was given, tuples as lists."""
    return json.loads(section)


def batch_section(batch: pa.RecordBatch) -> pa.Buffer:
    """Returns a record batch as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue()


def read_batch_section(section: bytes) -> pa.RecordBatch:
    """Returns what `batch_section` was given."""
    return pa.ipc.open_stream(section).read_next_batch()


def _header(kind: str) -> bytes:
    return f"skewless {kind} {_VERSION}\n".encode()
