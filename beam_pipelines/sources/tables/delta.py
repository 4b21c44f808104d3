"""Delta tables, by their log: `delta://PATH`, or `delta://PATH@v3` for a version; PATH may be a URI.

What is read is a snapshot: the data files that its version names, with its schema, the values of
the partition columns, and without the rows that its deletion vectors delete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.sources.units import TableFile, WorkUnit, packed_rows
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.storage.location import as_path
from skewless.schemas.storage.tables import DELTA

__all__ = ["delta_files"]

_TABLE = re.compile(r"delta://(?P<path>.+?)(?:@v(?P<version>\d+))?\Z", re.DOTALL)
# What a table may ask of its readers; `columnMapping` only where it is switched off again.
_READ = {
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
}


def delta_files(given: str, option: str = "--input") -> list[WorkUnit]:
    """Returns the data files of a snapshot, one whole unit each, in the order of their paths.

    Args:
      given: `delta://PATH`, with an optional `@vN` behind it.
      option: What it was given as, for messages.

    Raises:
      UsageError: If there is no table or no such version, or `deltalake` is not installed.
      DataError: If the table asks of its readers what is not read here.
    """
    match = _TABLE.match(given)
    if match is None:
        raise UsageError(f"{option} {given}: expected a path after delta://")
    table = _opened(given, match["path"], match["version"], option)
    _refuse_unread(given, table)
    schema = pa.schema(table.schema())
    columns = tuple((field.name, field.type) for field in schema)
    deleted = _deleted(table)
    snapshot = f"{DELTA}{_shown(match['path'])}@v{table.version()}"
    units: list[WorkUnit] = []
    actions = pa.table(table.get_add_actions(flatten=False))
    partitions = (
        actions.column("partition").to_pylist()
        if "partition" in actions.schema.names
        else [{}] * actions.num_rows
    )
    root = _local(table.table_uri).rstrip("/")
    for path, held in zip(actions.column("path").to_pylist(), partitions, strict=True):
        file = _place(root, path)
        rows = packed_rows(deleted.pop(file, np.zeros(0, np.int64)))
        part = TableFile(snapshot, columns, tuple((held or {}).items()), rows)
        units.append(WorkUnit(file, "parquet", table=part))
    if not units:
        raise DataError(
            f"{given}: the table's snapshot holds no data files, and so no rows; name another version, "
            "or write rows first"
        )
    if deleted:
        raise DataError(
            f"{given}: rows of {next(iter(deleted))} are deleted, which is no file of the snapshot; "
            "the table's log is damaged; write the table anew"
        )
    return sorted(units, key=lambda unit: unit.file)


def _opened(given: str, path: str, version: str | None, option: str) -> Any:
    try:
        from deltalake import DeltaTable
    except ImportError as error:
        raise UsageError(
            f"{option} {given}: delta:// needs deltalake, which is not installed; install it: "
            "pip install 'skewless[delta]'"
        ) from error
    try:
        return DeltaTable(path, version=None if version is None else int(version))
    except Exception as error:  # The library's errors share no class with those of stores
        which = "a Delta table" if version is None else f"version {version} of a Delta table"
        told = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{option} {given}: expected {which}, got: {told}; check the path and the version"
        ) from error


def _refuse_unread(given: str, table: Any) -> None:
    asked = set(table.protocol().reader_features or ()) - _READ
    mapping = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mapping != "none":
        asked.add(f"columnMapping (mode {mapping})")
    if asked:
        raise DataError(
            f"{given}: the table asks of its readers {', '.join(sorted(asked))}, which is not read; "
            "write it again without, or export it as Parquet"
        )


def _deleted(table: Any) -> dict[str, np.ndarray]:
    """Returns the places of deleted rows by file."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    found: dict[str, np.ndarray] = {}
    for batch in table.deletion_vectors():
        rows: Mapping[str, list[Any]] = pa.record_batch(batch).to_pydict()
        for file, kept in zip(rows["filepath"], rows["selection_vector"], strict=True):
            found[_local(file)] = np.flatnonzero(~np.array(kept, bool)).astype(np.int64)
    return found


def _place(root: str, path: str) -> str:
    """Returns where a data file lies that the log names, in the letters of a URI."""
    return _local(path) if "://" in path else f"{root}/{unquote(path)}"


def _local(uri: str) -> str:
    """Returns the path that a `file://` URI names; other URIs as they are."""
    path = as_path(uri)
    return uri if path is None else str(path)


def _shown(path: str) -> str:
    """Returns a table's name: of one on this machine without its folders, as records travel."""
    return path if "://" in path else os.path.basename(os.path.abspath(path))
