"""Input files: what a glob matches, and how a file is read, by its name and its first bytes.

The one place that matches globs. A file whose first bytes say that it is something else than its
name is refused before any row is read, with what to do about it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import google_crc32c
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from skewless.beam_pipelines.sources.streams import BrokenStreamError, beginning
from skewless.beam_pipelines.sources.tables.bigquery import bigquery_table
from skewless.beam_pipelines.sources.tables.delta import delta_files
from skewless.beam_pipelines.sources.tables.iceberg import iceberg_files
from skewless.beam_pipelines.sources.units import Format, WorkUnit
from skewless.schemas.errors import DataError, UsageError, nearest
from skewless.schemas.spec.splits import SPLITS, SplitName
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.rows import input_files, input_path, size_and_version
from skewless.schemas.storage.tables import BIGQUERY, DELTA, ICEBERG

__all__ = ["ENDINGS", "file_bytes", "matched", "whole_files"]

ENDINGS: dict[str, tuple[Format, str]] = {
    ".csv": ("csv", ""),
    ".csv.gz": ("csv", "gz"),
    ".csv.zst": ("csv", "zst"),
    ".tsv": ("tsv", ""),
    ".tsv.gz": ("tsv", "gz"),
    ".tsv.zst": ("tsv", "zst"),
    ".jsonl": ("jsonl", ""),
    ".jsonl.gz": ("jsonl", "gz"),
    ".jsonl.zst": ("jsonl", "zst"),
    ".ndjson": ("jsonl", ""),
    ".ndjson.gz": ("jsonl", "gz"),
    ".ndjson.zst": ("jsonl", "zst"),
    ".parquet": ("parquet", ""),
    ".tfrecord": ("tfrecord", ""),
    ".tfrecord.gz": ("tfrecord", "gz"),
    ".avro": ("avro", ""),
}
_TABLES = {BIGQUERY: bigquery_table, DELTA: delta_files, ICEBERG: iceberg_files}
# TFX and Beam put a shard's number behind the ending: data_tfrecord-00000-of-00002.gz.
_SHARD = re.compile(r"[._-](?P<kind>[a-z]+)-\d+-of-\d+(?P<packed>\.gz|\.zst)?\Z")
_WILDCARD = re.compile(r"[*?\[]")
_PEEKED = 64
# What a file is by its first bytes, and the ending that such a file would have.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x1f\x8b", "gzip", ".gz"),
    (rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", "Zstandard", ".zst"),
    (rb"PAR1[\x00-\x1f]", "Parquet", ".parquet"),
    (rb"PAR1\Z", "Parquet", ".parquet"),
    (rb"PK\x03\x04", "a zip archive, as Excel's .xlsx is", ""),
    (rb"BZh[1-9]1AY&SY", "bzip2", ""),
    (rb"\xfd7zXZ\x00", "xz", ""),
    (rb"Obj\x01", "Avro", ".avro"),
    (rb"ARROW1\x00\x00", "Arrow IPC", ""),
    (rb"\xff{4}[\x00-\xff]{2}\x00\x00", "an Arrow IPC stream", ""),
    (rb"ORC[\x00-\x1f]", "ORC", ""),
    (rb"\xd0\xcf\x11\xe0", "an old Office document, as Excel's .xls is", ""),
    (rb"%PDF-", "PDF", ""),
    (rb"SQLite format 3\x00", "an SQLite database", ""),
)
_RECORD_HEADER = struct.Struct("<QI")


def whole_files(inputs: Sequence[str], option: str = "--input") -> list[WorkUnit]:
    """Returns one uncut unit a file, its header not yet read, in the order of globs and paths.

    Args:
      inputs: Globs, each with an optional `train=`, `eval=` or `test=` before it.
      option: What the globs were given as, for messages.

    Raises:
      UsageError: If there is no glob, one matches nothing or a file that another matches, or a
        file has an ending that no reader takes.
      DataError: If a file's first bytes say that it is not what its name says.
    """
    if not inputs:
        raise UsageError(f"{option}: expected at least one file or glob, got none")
    files: list[WorkUnit] = []
    seen: dict[str, str] = {}
    for given in inputs:
        split, pattern = _split_and_glob(given, option)
        for whole in _wholes(pattern, option):
            path = whole.file
            if path in seen:
                raise UsageError(
                    f"{option} {given}: {path} is already matched by {option} {seen[path]}; "
                    "its rows would be read twice; narrow one of the globs"
                )
            seen[path] = given
            if whole.table is None:
                _refuse_misnamed(path, whole.format, whole.compression)
            files.append(dataclasses.replace(whole, split=split))
    return files


def matched(pattern: str) -> list[Any]:
    """Returns Beam's metadata of the files that a glob matches, or of the one file of that name.

    Beam finds nothing for a relative glob without a folder, nor for a name with brackets. As in a shell, a
    wildcard matches no name that begins with a dot: checksums of Spark, what macOS leaves beside files.
    Nor does it the marks that others leave among files of rows (`_SUCCESS`, `_metadata`).
    """
    return [metadata for metadata in _matched(pattern) if not _is_no_data(metadata.path, pattern)]


def _matched(pattern: str) -> list[Any]:
    place = input_path(pattern)
    if isinstance(place, Location):
        return [FileMetadata(uri, 0) for uri in input_files(place)]
    pattern = place
    if "://" in pattern or os.path.isabs(pattern):
        found = FileSystems.match([pattern])[0].metadata_list
    else:
        found = FileSystems.match([os.path.join(".", pattern)])[0].metadata_list
        for metadata in found:
            metadata.path = metadata.path.removeprefix("./")
    if not found and "://" not in pattern and os.path.isfile(pattern):
        escaped = re.sub(r"[\[*?]", "?", pattern)
        found = [metadata for metadata in _matched(escaped) if metadata.path == pattern]
    return list(found)


def _is_no_data(path: str, pattern: str) -> bool:
    """Whether wildcards alone found a file that is hidden, or the mark of another program."""
    wanted = pattern.split("/")
    wild = next((at for at, part in enumerate(wanted) if _WILDCARD.search(part)), None)
    if wild is None or pattern == path:
        return False
    # Counted from the end: before the wildcards a path may be spelled otherwise.
    found = path.split("/")[wild - len(wanted) :]
    names = wanted[wild:]
    if any(part.startswith(".") for part in found):
        return not any(part.startswith(".") for part in names)
    mark = found[-1].startswith("_") and not found[-1].lower().endswith(tuple(ENDINGS))
    return mark and not names[-1].startswith("_")


def file_bytes(file: str) -> int:
    """Returns a file's size as it lies on disk; 0 of a stream, which lies nowhere.

    Raises:
      DataError: If it is no longer there.
    """
    if file.startswith(BIGQUERY):
        return 0
    try:
        place = input_path(file)
        if isinstance(place, Location):
            return size_and_version(place)[0]
        return int(FileSystems.get_filesystem(file).size(file))
    except Exception as error:  # Beam wraps every filesystem's own errors differently
        raise DataError(
            f"{file}: expected a file whose size can be read, got {error}; leave the input in "
            "place while it is read"
        ) from error


def _split_and_glob(given: str, option: str) -> tuple[SplitName | None, str]:
    for split in SPLITS:
        if given.startswith(f"{split}="):
            return split, given[len(split) + 1 :]
    prefix, equals, _ = given.partition("=")
    if equals and prefix.isalpha() and not os.path.exists(given):
        raise UsageError(
            f"{option} {given}: expected train=, eval= or test= before the glob, "
            f"got {prefix + '='!r}{nearest(prefix, SPLITS)}"
        )
    return None, given


def _wholes(pattern: str, option: str) -> Iterator[WorkUnit]:
    for scheme, files in _TABLES.items():
        if pattern.startswith(scheme):
            yield from files(pattern, option)
            return
    for path in _paths(pattern, option):
        yield WorkUnit(path, *_format(path, option))


def _paths(pattern: str, option: str) -> list[str]:
    try:
        found = matched(pattern)
    except UsageError:
        raise
    except Exception as error:  # Beam wraps every filesystem's own errors differently
        raise UsageError(
            f"{option} {pattern}: cannot be listed: {error}; check the path"
        ) from error
    folder = next((path for path in (pattern, *_local(found)) if os.path.isdir(path)), None)
    if folder is not None and os.path.isdir(os.path.join(folder, "_delta_log")):
        raise UsageError(
            f"{option} {pattern}: {folder} is a Delta table; write delta://{folder} to read its latest "
            "version, whose files are not all that lie there"
        )
    if folder is not None:
        ending = next((end for end in ENDINGS if folder.lower().rstrip("/").endswith(end)), ".csv")
        raise UsageError(
            f"{option} {pattern}: expected files, got a folder, {folder}; write a glob such as "
            f"'{os.path.join(folder, '*' + ending)}'"
        )
    if not found:
        raise UsageError(f"{option} {pattern}: no file matches; check the path, and quote the glob")
    return sorted({metadata.path for metadata in found})


def _local(found: Sequence[Any]) -> list[str]:
    return [metadata.path for metadata in found if "://" not in metadata.path]


def _format(path: str, option: str) -> tuple[Format, str]:
    name = path.lower()
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if name.endswith(ending):
            return ENDINGS[ending]
    shard = _SHARD.search(name)
    if shard:
        ending = f".{shard['kind'].removesuffix('s')}{shard['packed'] or ''}"
        if ending in ENDINGS:
            return ENDINGS[ending]
    got = os.path.splitext(path)[1] or "none"
    raise UsageError(
        f"{option} {path}: expected an ending of {', '.join(ENDINGS)}, or a shard such as "
        f"data_tfrecord-00000-of-00002.gz, got {got}{nearest(got, ENDINGS)}"
        f"{_seen_as(path)}; rename or convert the file"
    )


def _seen_as(path: str) -> str:
    """Returns what a file of an unknown name looks like, as a hint, or nothing."""
    try:
        compression = {"gzip": "gz", "Zstandard": "zst"}.get(_kind(beginning(path, "", _PEEKED))[0])
        kind, ending = _kind(beginning(path, compression or "", _PEEKED))
    except (BrokenStreamError, OSError):
        return ""
    ending += f".{compression}" if compression else ""
    if ending in ENDINGS:
        return f"; by its first bytes it is {kind}, which would be named {ending}"
    return f"; by its first bytes it is {kind}" if kind else ""


def _kind(head: bytes) -> tuple[str, str]:
    """Returns what a file that begins with `head` is, and its ending; empty where unknown."""
    for signature, kind, ending in _SIGNATURES:
        if re.match(signature, head):
            return kind, ending
    return ("TFRecord", ".tfrecord") if _begins_a_record(head) else ("", "")


def _begins_a_record(head: bytes) -> bool:
    if len(head) < _RECORD_HEADER.size:
        return False
    _, checksum = _RECORD_HEADER.unpack_from(head)
    value = google_crc32c.value(head[:8])
    return bool(checksum == (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _refuse_misnamed(path: str, format: Format, compression: str) -> None:
    raw = beginning(path, "", _PEEKED)
    if not raw:
        return
    kind, _ = _kind(raw)
    packed = {"gz": "gzip", "zst": "Zstandard"}.get(compression)
    if packed is not None and kind != packed:
        raise DataError(
            f"{path}: expected {packed}, as its ending says, but by its first bytes it is "
            f"{kind or 'none'}; rename the file by what it holds, or write it again"
        )
    if packed is not None:
        try:
            raw = beginning(path, compression, _PEEKED)
        except BrokenStreamError as error:
            raise DataError(
                f"{path}: cannot be decompressed: {error}; write the file again"
            ) from error
        kind, _ = _kind(raw)
    inside = " inside" if packed else ""
    if format in ("csv", "tsv", "jsonl") and kind:
        wanted = "delimited text" if format != "jsonl" else "JSON lines"
        raise DataError(
            f"{path}: expected {wanted}, as its ending says, but by its first bytes it is "
            f"{kind}{inside}; rename the file by what it holds, or convert it"
        )
    if format == "avro" and kind != "Avro":
        raise DataError(
            f"{path}: expected Avro, as its ending says, but by its first bytes it is "
            f"{kind or 'none'}; rename the file by what it holds, or write it again"
        )
    if format == "tfrecord" and len(raw) >= _RECORD_HEADER.size and kind != "TFRecord":
        raise DataError(
            f"{path}: expected TFRecords, as its name says, but its first record's length fails "
            f"its checksum{' (by its first bytes it is ' + kind + ')' if kind else ''}; "
            "rename the file by what it holds, or write it again"
        )
