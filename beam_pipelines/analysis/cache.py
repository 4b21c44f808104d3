"""The analysis cache: what was found of each work unit, kept for later jobs.

    DIR/counts-SHA256   tokens counted and numbers summarised of a unit's training rows
    DIR/keys-SHA256     hashes of its records' keys

An entry is named by a digest of all that it follows from: the unit's bytes, the part of the spec
that counting reads, the rows left out as duplicates of other files' rows, and the programs that
counted. So an entry is never out of date; what changes has another name. Any entry may be deleted.

An entry appears whole, and begins with the digest of the rest of it. Where the directory stands for one
at a URI, entries are fetched as they are looked for.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.analysis.counts import Numbers, counted_vocabularies
from skewless.beam_pipelines.analysis.spilled.values import COUNTED
from skewless.beam_pipelines.sources import WorkUnit
from skewless.beam_pipelines.sources.digest import unit_sha256
from skewless.beam_pipelines.statistics.numeric_summary import SummaryCoder
from skewless.schemas.errors import UsageError
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.entries import bytes_at, put_whole
from skewless.schemas.storage.between.files import inside
from skewless.schemas.storage.known_as import origin_of
from skewless.schemas.storage.location import is_uri

__all__ = ["AnalysisCache", "UnitCounts", "UnitKeys"]

_FORMAT = 4
_DIGEST_BYTES = 32
_STALE_SECONDS = 24 * 3600
_LOGGER = logging.getLogger(__name__)
# What counting never reads: how IDs are given out, and what the model makes of them.
_NOT_COUNTED = ("embedding", "encoder", "oov_buckets", "truncate", "pad")
_NOT_COUNTED_OF_VOCABULARIES = ("max_size", "min_count")
Found = TypeVar("Found")


@dataclass(frozen=True)
class UnitCounts:
    """What a unit's training rows come to.

    Attributes:
      values: Counted values (`spilled.values.COUNTED`); one may be there several times.
      numbers: Summaries of numbers.
      read: The records that the unit holds.
    """

    values: pa.Table
    numbers: Numbers
    read: int


@dataclass(frozen=True)
class UnitKeys:
    """[rows] int64 numbers of a unit's records with keys; [rows, 2] uint64 hashes of their keys."""

    numbers: np.ndarray
    hashes: np.ndarray


class AnalysisCache:
    """The entries of one spec; small, so that it goes to workers with the work.

    Attributes:
      directory: Where they lie, a path or a URI.
    """

    def __init__(self, directory: str | Path, spec: Spec) -> None:
        """Makes the directory, and removes what killed jobs left half-written in it.

        Raises:
          UsageError: If the directory cannot be made or written.
        """
        self.directory = str(directory) if is_uri(directory) else os.path.abspath(directory)
        self._origin = None if is_uri(directory) else origin_of(Path(self.directory))
        if not is_uri(directory):
            _begin(Path(self.directory))
        self._basis = _basis(spec)
        self._owners = list(counted_vocabularies(spec))

    def counts(
        self, unit: WorkUnit, duplicates: np.ndarray | None, count: Callable[[], UnitCounts]
    ) -> tuple[UnitCounts, bool]:
        """Returns what `count` gives, or gave in an earlier job; and whether it was kept.

        Args:
          unit: What is counted.
          duplicates: [count] int64, sorted record numbers that are left out.
          count: Does the work.
        """
        left_out = np.empty(0, np.int64) if duplicates is None else duplicates
        follows_from = hashlib.sha256(left_out.astype("<i8").tobytes()).hexdigest()

        def encode(found: UnitCounts) -> pa.Table:
            return _encode_counts(found, self._owners)

        def decode(table: pa.Table) -> UnitCounts:
            return _decode_counts(table, self._owners)

        return self._found("counts", unit, follows_from, count, encode, decode)

    def keys(self, unit: WorkUnit, find: Callable[[], UnitKeys]) -> UnitKeys:
        """Returns what `find` gives, or gave in an earlier job."""
        return self._found("keys", unit, "", find, _encode_keys, _decode_keys)[0]

    def _found(
        self,
        kind: str,
        unit: WorkUnit,
        follows_from: str,
        make: Callable[[], Found],
        encode: Callable[[Found], pa.Table],
        decode: Callable[[pa.Table], Found],
    ) -> tuple[Found, bool]:
        digest = unit_sha256(unit)
        name = hashlib.sha256("\n".join((self._basis, digest, follows_from)).encode()).hexdigest()
        entry = inside(self.directory, f"{kind}-{name}")
        table = _read(entry)
        if table is None and self._origin is not None:
            table = _brought(inside(self._origin, f"{kind}-{name}"), entry)
        if table is not None:
            return decode(table), True
        made = make()
        # A file that changed under our eyes must not leave its entry under the old bytes' name.
        if unit_sha256(unit) == digest:
            _write(entry, encode(made))
        return made, False


def _basis(spec: Spec) -> str:
    """Returns a digest of what every entry follows from, beside the rows themselves."""
    document = spec.model_dump(mode="json", exclude={"name", "model", "training"})
    for declared in (*document["features"].values(), document["label"] or {}):
        for key in _NOT_COUNTED:
            declared.pop(key, None)
        for key in _NOT_COUNTED_OF_VOCABULARIES:
            (declared.get("vocabulary") or {}).pop(key, None)
    versions = [importlib.metadata.version(name) for name in ("tensorflow", "pyarrow", "numpy")]
    basis = json.dumps([_FORMAT, document, versions, _text_version(), _source_sha256()])
    return hashlib.sha256(basis.encode()).hexdigest()


def _text_version() -> str | None:
    try:
        return importlib.metadata.version("tensorflow-text")
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _source_sha256() -> str:
    """Returns the digest of our own source: another reader or tokenizer may count otherwise."""
    own = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for package in (own, own.parent / "schemas"):
        for path in sorted(package.rglob("*.py")):
            digest.update(path.relative_to(own.parent).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _begin(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for partial in directory.glob(".*.partial"):
            if partial.stat().st_mtime < time.time() - _STALE_SECONDS:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"--cache {directory}: expected a directory that can be written: {error}"
        ) from error


def _read(entry: str) -> pa.Table | None:
    """Returns an entry, or None where there is none or it is not as it was written."""
    content = bytes_at(entry)
    if content is None:
        return None
    payload = memoryview(content)[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != content[:_DIGEST_BYTES]:
        _LOGGER.warning("%s: is not as it was written; its rows are analysed again", entry)
        return None
    return pa.ipc.open_stream(pa.py_buffer(payload)).read_all()


def _brought(origin: str, entry: str) -> pa.Table | None:
    """Returns an entry that lies at a URI, and keeps a copy; None where there is none."""
    table = _read(origin)
    if table is not None:
        _write(entry, table)
    return table


def _write(entry: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    payload = sink.getvalue()
    try:
        put_whole(entry, hashlib.sha256(payload).digest() + payload)
    except (OSError, UsageError) as error:
        # The job can do without; a full disk says so where records are written.
        _LOGGER.warning("%s: cannot be kept: %s", entry, error)


def _encode_counts(found: UnitCounts, owners: list[str]) -> pa.Table:
    numbers = {
        name: SummaryCoder().encode_cache(summaries).decode()
        for name, summaries in found.numbers.items()
    }
    beside = {"owners": owners, "numbers": numbers, "read": found.read}
    return found.values.replace_schema_metadata({"beside": json.dumps(beside)})


def _decode_counts(table: pa.Table, owners: list[str]) -> UnitCounts:
    beside: dict[str, Any] = json.loads(table.schema.metadata[b"beside"])
    # Two specs that differ in the order of their features alone may come to one entry.
    places = np.array([owners.index(owner) for owner in beside["owners"]], np.int32)
    owner = places[table["owner"].to_numpy()] if len(table) else np.empty(0, np.int32)
    numbers = {
        name: SummaryCoder().decode_cache(encoded.encode())
        for name, encoded in beside["numbers"].items()
    }
    columns = [pa.array(owner), table["token"], table["count"]]
    return UnitCounts(pa.table(columns, schema=COUNTED), numbers, beside["read"])


def _encode_keys(found: UnitKeys) -> pa.Table:
    return pa.table(
        {"number": found.numbers, "first": found.hashes[:, 0], "second": found.hashes[:, 1]}
    )


def _decode_keys(table: pa.Table) -> UnitKeys:
    hashes = np.stack([table["first"].to_numpy(), table["second"].to_numpy()], axis=1)
    return UnitKeys(table["number"].to_numpy(), hashes)
