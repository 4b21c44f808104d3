"""BigQuery tables, by the Storage Read API: `bigquery://PROJECT.DATASET.TABLE`, or that with `@TIME` behind it.

What is read is the table as it was at a time, which is that of planning where none is given. The
service deals the rows out to read streams, whose rows and their order are the same as often as they
are read while its session lives (six hours). A stream is a file to all that follows: its number is part of its
name, and one work unit reads it.
"""

from __future__ import annotations

import datetime
import functools
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.sources.formats.parquet_reader import BATCH_ROWS, row_as_json
from skewless.beam_pipelines.sources.nested.fields import with_fields
from skewless.beam_pipelines.sources.units import RawBatch, TableFile, WorkUnit
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.storage.tables import BIGQUERY

__all__ = ["TableAtTime", "bigquery_table", "opened_table", "read_stream", "stream_batches"]

_TABLE = re.compile(
    r"bigquery://(?P<project>[a-z0-9:.-]+)\.(?P<dataset>\w+)\.(?P<table>[^.@/]+)(?:@(?P<time>[^@]+))?\Z"
)
# What the service gives at most.
_MOST_STREAMS = 1000
_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"
_CREDENTIALS = (
    "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or a service account of "
    "the machine"
)


@dataclass(frozen=True)
class TableAtTime:
    """A table as it was at a time.

    Attributes:
      name: Of the table and the time, as it is told.
      project: That the table is in.
      path: As the service names the table.
      time: UTC.
      schema: Of its rows.
      bytes: About how many there are.
    """

    name: str
    project: str
    path: str
    time: datetime.datetime
    schema: pa.Schema
    bytes: int

    def streams(self, names: Sequence[str] | None, unit_bytes: int) -> list[tuple[str, TableFile]]:
        """Returns streams that hold all its rows: the name of each, and what is known of it.

        Args:
          names: The columns to read, or None for all.
          unit_bytes: About how many bytes one stream is to hold.

        Raises:
          UsageError: If the service refuses.
        """
        wanted = min(_MOST_STREAMS, max(1, math.ceil(self.bytes / unit_bytes)))
        session = _session(self.name, self.project, self.path, self.time, names, wanted)
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        columns = tuple((field.name, field.type) for field in schema)
        return [
            (f"{self.name}#{number}", TableFile(self.name, columns, stream=stream.name))
            for number, stream in enumerate(session.streams)
        ]


def bigquery_table(given: str, option: str = "--input") -> list[WorkUnit]:
    """Returns the table as one unit, whose streams are not known yet.

    Raises:
      UsageError: If it is not named as it must be, or `google-cloud-bigquery-storage` is not installed.
    """
    match = _TABLE.match(given)
    if match is None:
        raise UsageError(
            f"{option} {given}: expected bigquery://PROJECT.DATASET.TABLE, or that with @TIME behind it"
        )
    if match["time"] is not None:
        _time(given, match["time"], option)
    try:
        import google.cloud.bigquery_storage  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise UsageError(
            f"{option} {given}: bigquery:// needs google-cloud-bigquery-storage, which is not installed; "
            "install it: pip install 'skewless[bigquery]'"
        ) from error
    return [WorkUnit(given, "bigquery", table=TableFile(given, ()))]


def opened_table(given: str) -> TableAtTime:
    """Asks the service what a table holds, at a time that is fixed from here on.

    Raises:
      UsageError: If there is no such table, it may not be read, or the service refuses.
    """
    match = _TABLE.match(given)
    assert match is not None
    asked = match["time"]
    time = datetime.datetime.now(datetime.timezone.utc) if asked is None else _time(given, asked)
    name = f"{BIGQUERY}{match['project']}.{match['dataset']}.{match['table']}@{_shown(time)}"
    path = f"projects/{match['project']}/datasets/{match['dataset']}/tables/{match['table']}"
    session = _session(name, match["project"], path, time, None, 1)
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    held = int(session.estimated_total_bytes_scanned)
    return TableAtTime(name, match["project"], path, time, schema, held)


def read_stream(unit: WorkUnit, columns: Sequence[str]) -> Iterator[RawBatch]:
    """Yields the rows of a stream; a row's number is its place in it.

    Args:
      unit: A stream.
      columns: The columns to read, of those that are there, and paths to fields of structs.

    Raises:
      DataError: If the service does not give all of it.
    """
    row = unit.first_row
    for batch in stream_batches(unit):
        for begin in range(0, batch.num_rows, BATCH_ROWS):
            table = with_fields(batch.slice(begin, BATCH_ROWS), columns)
            count = min(BATCH_ROWS, batch.num_rows - begin)
            if not table.num_columns:
                table = pa.record_batch({"": pa.nulls(count)})
            numbers = np.arange(row, row + count, dtype=np.int64)
            yield RawBatch(unit, table, numbers, [], row_as_json(table))
            row += count


def stream_batches(unit: WorkUnit) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a stream as the service sends them.

    Raises:
      DataError: If it does not send all of it; connections that break are made again before.
    """
    from google.api_core.exceptions import GoogleAPICallError

    assert unit.table is not None
    schema = pa.schema(unit.table.columns)
    try:
        for message in _client().read_rows(unit.table.stream):
            batch = message.arrow_record_batch.serialized_record_batch
            yield pa.ipc.read_record_batch(pa.py_buffer(batch), schema)
    except GoogleAPICallError as error:
        raise DataError(
            f"{unit.file}: the service gives no more of it: {_line(error)}; a session lives for six hours: "
            "run the job again, on more workers if it lasted longer"
        ) from error


def _session(
    name: str,
    project: str,
    path: str,
    time: datetime.datetime,
    names: Sequence[str] | None,
    streams: int,
) -> Any:
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.bigquery_storage_v1 import types

    asked = types.ReadSession(
        table=path,
        data_format=types.DataFormat.ARROW,
        table_modifiers=types.ReadSession.TableModifiers(snapshot_time=time),
        read_options=types.ReadSession.TableReadOptions(selected_fields=list(names or ())),
    )
    # Whose quota it is, and who may read it, need not be the table's own project.
    paying = os.environ.get("GOOGLE_CLOUD_PROJECT") or project
    try:
        return _client().create_read_session(
            parent=f"projects/{paying}", read_session=asked, max_stream_count=streams
        )
    except GoogleAuthError as error:
        raise UsageError(f"{name}: no credentials were found; set {_CREDENTIALS}") from error
    except GoogleAPICallError as error:
        raise UsageError(
            f"{name}: cannot be read: {_line(error)}; check its name, the time and what the credentials "
            "may do"
        ) from error


@functools.cache
def _client() -> Any:
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient

    emulator = os.environ.get(_EMULATOR)
    if not emulator:
        return BigQueryReadClient()
    import grpc
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
        BigQueryReadGrpcTransport,
    )

    channel = grpc.insecure_channel(emulator, options=[("grpc.max_receive_message_length", -1)])
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def _time(given: str, text: str, option: str = "--input") -> datetime.datetime:
    try:
        # Python 3.10 knows no Z.
        time = datetime.datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    except ValueError as error:
        raise UsageError(
            f"{option} {given}: expected a time such as 2026-01-31T12:00:00Z after @, got {text!r}"
        ) from error
    return time.replace(tzinfo=time.tzinfo or datetime.timezone.utc)


def _shown(time: datetime.datetime) -> str:
    text = time.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _line(error: Exception) -> str:
    text = " ".join(str(getattr(error, "message", None) or error).split())
    return text if len(text) <= 200 else text[:200] + "…"
