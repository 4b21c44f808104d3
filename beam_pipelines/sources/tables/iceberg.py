"""Iceberg tables, by their catalog: `iceberg://CATALOG/NAMESPACE.TABLE`, with `@ID` behind it for a snapshot.

What is read is a snapshot: the data files that its manifests name, with its schema, and without the rows
that its positional deletes delete. Columns are known by their IDs, so a column that was renamed is
still itself, and one that was dropped and made anew is another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.beam_pipelines.sources.streams import open_raw
from skewless.beam_pipelines.sources.units import TableFile, WorkUnit, packed_rows
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.storage.tables import ICEBERG

__all__ = ["iceberg_files"]

_TABLE = re.compile(r"iceberg://(?P<catalog>[^/]+)/(?P<table>[^@]+)(?:@(?P<snapshot>\d+))?\Z")


def iceberg_files(given: str, option: str = "--input") -> list[WorkUnit]:
    """Returns the data files of a snapshot, one whole unit each, in the order of their paths.

    Args:
      given: `iceberg://CATALOG/NAMESPACE.TABLE`, with an optional `@ID` of a snapshot behind it.
      option: What it was given as, for messages.

    Raises:
      UsageError: If there is no such catalog, table or snapshot, or `pyiceberg` is not installed.
      DataError: If the snapshot has files or deletes of a kind that is not read.
    """
    match = _TABLE.match(given)
    if match is None:
        raise UsageError(
            f"{option} {given}: expected iceberg://CATALOG/NAMESPACE.TABLE, or that with @ID of a snapshot"
        )
    table = _opened(given, match["catalog"], match["table"], option)
    snapshot = _snapshot(given, table, match["snapshot"], option)
    # A snapshot that is asked for has the schema of its time, the current one that of today.
    scan = table.scan(snapshot_id=snapshot if match["snapshot"] else None)
    fields = scan.projection().fields
    columns = tuple((field.name, field.type) for field in scan.projection().as_arrow())
    name = f"{ICEBERG}{match['catalog']}/{match['table']}@{snapshot}"
    tasks = _tasks(given, scan)
    deleted = _deleted(given, tasks)
    units: list[WorkUnit] = []
    for task in tasks:
        file = _local(task.file.file_path)
        if task.file.file_format.value != "PARQUET":
            raise DataError(
                f"{given}: {file} is {task.file.file_format.value}, expected Parquet; write the table's "
                "data files anew"
            )
        part = TableFile(
            name,
            columns,
            _constants(table, fields, task.file),
            packed_rows(deleted.get(file, np.zeros(0, np.int64))),
            tuple((field.name, field.field_id) for field in fields),
        )
        units.append(WorkUnit(file, "parquet", table=part))
    return sorted(units, key=lambda unit: unit.file)


def _opened(given: str, catalog: str, name: str, option: str) -> Any:
    try:
        from pyiceberg.catalog import load_catalog
    except ImportError as error:
        raise UsageError(
            f"{option} {given}: iceberg:// needs pyiceberg, which is not installed; install it: "
            "pip install 'skewless[iceberg]'"
        ) from error
    try:
        return load_catalog(catalog).load_table(name)
    except Exception as error:  # Catalogs raise errors of their own clients
        told = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{option} {given}: expected an Iceberg table, got: {told}; catalogs are declared in "
            f".pyiceberg.yaml or PYICEBERG_CATALOG__{catalog.upper()}__URI and the like"
        ) from error


def _snapshot(given: str, table: Any, asked: str | None, option: str) -> int:
    found = table.current_snapshot() if asked is None else table.snapshot_by_id(int(asked))
    if found is None and asked is None:
        raise DataError(f"{given}: the table holds no snapshot, and so no rows; write some first")
    if found is None:
        known = ", ".join(str(each.snapshot_id) for each in table.snapshots()[-3:])
        raise UsageError(
            f"{option} {given}: there is no snapshot {asked}; name one of the newest: {known or 'none'}"
        )
    return int(found.snapshot_id)


def _tasks(given: str, scan: Any) -> list[Any]:
    try:
        return list(scan.plan_files())
    except (NotImplementedError, ValueError) as error:
        # Equality deletes: the library reads none.
        raise DataError(
            f"{given}: {error}; write the table's data files anew, without such deletes"
        ) from error


def _deleted(given: str, tasks: Iterable[Any]) -> dict[str, np.ndarray]:
    """Returns the places of deleted rows by data file."""
    found: dict[str, list[np.ndarray]] = {}
    for delete in {each.file_path: each for task in tasks for each in task.delete_files}.values():
        if delete.file_format.value != "PARQUET":
            raise DataError(
                f"{given}: deletes in {delete.file_format.value} files are not read; write the table's "
                "data files anew"
            )
        with open_raw(delete.file_path) as raw:
            rows = pq.read_table(pa.PythonFile(raw, mode="r"), columns=["file_path", "pos"])
        paths = rows.column("file_path").combine_chunks().dictionary_encode()
        codes, places = paths.indices.to_numpy(), rows.column("pos").to_numpy()
        for code, path in enumerate(paths.dictionary.to_pylist()):
            found.setdefault(_local(path), []).append(places[codes == code])
    return {file: np.unique(np.concatenate(places)) for file, places in found.items()}


def _constants(table: Any, fields: Iterable[Any], file: Any) -> tuple[tuple[str, Any], ...]:
    """Returns the values of columns that a data file may be without: defaults, and what it is partitioned by."""
    by_id = {field.field_id: field for field in fields}
    found = {
        field.name: field.initial_default
        for field in by_id.values()
        if field.initial_default is not None
    }
    for place, each in enumerate(table.specs()[file.spec_id].fields):
        if str(each.transform) == "identity" and each.source_id in by_id:
            found[by_id[each.source_id].name] = file.partition[place]
    return tuple(found.items())


def _local(uri: str) -> str:
    """Returns the path that a `file://` URI names, as Iceberg writes them; other URIs as they are."""
    return uri.removeprefix("file://")
