"""Segments: rows of one window that one bundle turned into records, in a file of their own.

    raw batch -> rows' times -> the batch job's check, transform and encoding -> a file per window

No row crosses a stage of a stream: what does is the name of a segment and its counts. A segment is
a pending file, read once when its window is written. A bundle that is tried again writes others;
nobody names the first ones then.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import tensorflow as tf

from skewless.beam_pipelines.histories.left import LeftPasts
from skewless.beam_pipelines.records.encoding import encode_records
from skewless.beam_pipelines.records.sinks import SHARD_BYTES
from skewless.beam_pipelines.rows.read_rows import Rows, check_rows
from skewless.beam_pipelines.rows.unknown_classes import reject_unknown_classes
from skewless.beam_pipelines.sources import RawBatch, Rejected, written_as
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics, number_columns
from skewless.beam_pipelines.streaming.event_time import Windowing, event_times
from skewless.beam_pipelines.streaming.segment_file import (
    PENDING,
    SEGMENTS,
    SegmentContents,
    write_segment,
)
from skewless.beam_pipelines.transform.graph import TransformGraph
from skewless.schemas.records.layout import TRANSFORM, TRANSFORM_FN
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import KEY, is_diagnostic
from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.raw_columns import Lists, RawColumn, RowColumns
from skewless.schemas.rows.reasons import Faults
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.files import folder_at_hand, hand_on, inside, made_here
from skewless.schemas.storage.windows import RemoteWindows

__all__ = [
    "Arrivals",
    "Segment",
    "StreamJob",
    "rewrite_segment",
    "statistics_of",
    "stream_columns",
    "write_segments",
]

# By where it lies and its digest: another one may lie there later.
_GRAPHS: dict[tuple[str, str], TransformGraph] = {}
_LOADING = threading.Lock()


@dataclass(frozen=True)
class StreamJob:
    """What every step of a stream needs to know.

    Attributes:
      spec: The declaration.
      directory: The directory of windows.
      windowing: How rows fall into them.
      transform_sha256: Of the transform, a copy of which lies in the directory.
      features: The entries of its records.
      reference: Statistics of the rows that it was fitted to; empty where they are not there.
      lists: How rows come to their histories: `held`, or `completed` when their window is written.
      past: What histories begin with; None with nothing.
      shard_bytes: About how large a shard gets.
      remote: The windows at a URI, of which the directory has what is at hand; None where it is all.
      shared: That URI, where workers on other machines share nothing else; empty where they see the directory.
    """

    spec: Spec
    directory: str
    windowing: Windowing
    transform_sha256: str
    features: Mapping[str, FeatureEntry]
    reference: Mapping[str, Any] = field(default_factory=dict)
    lists: Lists = "held"
    past: LeftPasts | None = None
    shard_bytes: int = SHARD_BYTES
    compression: Literal["none", "gzip"] = "none"
    remote: RemoteWindows | None = None
    shared: str = ""

    @property
    def pending(self) -> str:
        """Where work under way lies, a path or URI."""
        return inside(self.shared or self.directory, PENDING)

    def graph(self) -> TransformGraph:
        """Returns the transform, loaded once in a process: a runner may make many DoFns."""
        folder = inside(self.shared or self.directory, TRANSFORM)
        known_as = folder, self.transform_sha256
        with _LOADING:
            if known_as not in _GRAPHS:
                path = inside(folder_at_hand(folder), TRANSFORM_FN)
                _GRAPHS[known_as] = TransformGraph(self.spec, path)
            return _GRAPHS[known_as]


@dataclass(frozen=True)
class Segment:
    """A file of one window's rows; read = written + rejected.

    Attributes:
      window: The window's start.
      arrival: Of the row that arrived last.
      latest: The latest time of any sound row; 0 where there is none.
    """

    window: int
    path: str
    arrival: int
    latest: int
    read: int
    written: int
    rejected: int


@dataclass(frozen=True)
class Arrivals:
    """When the rows of a batch arrived.

    Attributes:
      numbers: [records] int64, sorted record numbers.
      times: [records] int64 micros.
      own: Whether a row without a time of its own happened when it arrived. Otherwise, as in a
        file, it happened when the row before it did, at `fallback` where none has a time.
      numbered: Whether numbers mean anything beyond this batch.
    """

    numbers: np.ndarray
    times: np.ndarray
    own: bool
    fallback: int = 0
    numbered: bool = True


def stream_columns(job: StreamJob) -> dict[str, RawColumn]:
    """Returns the columns read from a stream: the spec's, and the one with the row's time."""
    columns = dict(RowColumns(job.spec, lists=job.lists).wanted)
    if job.windowing.column is not None:
        columns.setdefault(job.windowing.column, RawColumn(job.windowing.column, "string"))
    return columns


def write_segments(job: StreamJob, batch: RawBatch, arrivals: Arrivals) -> list[Segment]:
    """Writes a segment for each window that rows of `batch` fall into.

    Args:
      job: What to do with them.
      batch: [rows] as read, with the columns of `stream_columns`.
      arrivals: Of each record of the batch.
    """
    refused = np.array([entry.row for entry in batch.rejected], np.int64)
    numbers = np.sort(np.concatenate([batch.rows, refused]))
    if not len(numbers):
        return []
    times, faults = _times(job, batch, numbers, arrivals)
    arrived = arrivals.times[np.searchsorted(arrivals.numbers, numbers)]
    rows = _timely(
        job, batch, check_rows(batch, job.spec, lists=job.lists), numbers, times, arrived, faults
    )
    outputs = job.graph()(rows.columns)
    rows, outputs, unknown = reject_unknown_classes(job.spec, rows, outputs)
    records = encode_records(outputs, rows.keys)
    rejected = rows.rejected + unknown
    starts = job.windowing.starts(times)
    row_starts = starts[np.searchsorted(numbers, rows.numbers)]
    rejected_numbers = np.array([entry.row for entry in rejected], np.int64)
    rejected_starts = starts[np.searchsorted(numbers, rejected_numbers)]
    segments = []
    for start in np.unique(starts):
        of_window = starts == start
        mask = row_starts == start
        here = rows.take(mask)
        statistics = SplitStatistics()
        transformed = {name: value[mask] for name, value in outputs.items()}
        if len(here.numbers):
            statistics.add(job.spec, here.columns, transformed)
        contents = SegmentContents(
            file=batch.unit.file if arrivals.numbered else "",
            numbers=numbers[of_window],
            times=times[np.searchsorted(numbers, here.numbers)],
            keys=here.keys,
            rejected=[rejected[at] for at in np.flatnonzero(rejected_starts == start)],
            statistics=statistics,
            columns=here.columns
            if job.lists == "completed"
            else here.columns.select(number_columns(job.spec)),
            lengths={name: value for name, value in transformed.items() if is_diagnostic(name)},
        )
        chosen = [records[position] for position in np.flatnonzero(mask)]
        segments.append(_write(job, int(start), int(arrived[of_window].max()), contents, chosen))
    return segments


def statistics_of(
    job: StreamJob, contents: SegmentContents, records: list[bytes], kept: np.ndarray
) -> SplitStatistics:
    """Returns statistics of some rows of a segment.

    Args:
      job: What to do.
      contents: Of the segment.
      records: [written] the segment's.
      kept: [written] bool, the rows that count; at least one.
    """
    entries = {
        name: tf.io.FixedLenFeature(entry.shape, tf.dtypes.as_dtype(entry.dtype))
        for name, entry in job.features.items()
        if name != KEY
    }
    chosen = np.flatnonzero(kept)
    parsed = tf.io.parse_example(tf.constant([records[at] for at in chosen]), entries)
    outputs = {name: value.numpy() for name, value in parsed.items()}
    outputs |= {name: value[kept] for name, value in contents.lengths.items()}
    statistics = SplitStatistics()
    statistics.add(job.spec, contents.columns.take(pa.array(chosen)), outputs)
    return statistics


def rewrite_segment(
    job: StreamJob, segment: Segment, contents: SegmentContents, records: list[bytes]
) -> Segment:
    """Returns a segment in a new file, with other contents of the same rows; the old file is removed."""
    written = _write(job, segment.window, segment.arrival, contents, records)
    Path(segment.path).unlink()
    return written


def _write(
    job: StreamJob, start: int, arrival: int, contents: SegmentContents, records: list[bytes]
) -> Segment:
    folder = inside(job.pending, SEGMENTS)
    name = f"{start}-{uuid.uuid4().hex}"
    path, here = inside(folder, name), Path(made_here(folder), name)
    here.parent.mkdir(parents=True, exist_ok=True)
    write_segment(here, contents, records)
    if job.shared:
        hand_on(str(here), path)
    return Segment(
        window=start,
        path=path,
        arrival=arrival,
        latest=int(contents.times.max(initial=0)),
        read=len(contents.numbers),
        written=len(records),
        rejected=len(contents.rejected),
    )


def _times(
    job: StreamJob, batch: RawBatch, numbers: np.ndarray, arrivals: Arrivals
) -> tuple[np.ndarray, Faults]:
    """Returns [records] when each record happened, and what is wrong with times, by number."""
    arrived = arrivals.times[np.searchsorted(arrivals.numbers, numbers)]
    column = job.windowing.column
    if column is None:
        return arrived if arrivals.own else np.full(len(numbers), arrivals.fallback), {}
    names = batch.table.schema.names
    raw = batch.table.column(column) if column in names else pa.nulls(len(batch.rows))
    texts, unfit = canonical(
        raw, RawColumn(column, "string"), job.spec, written_as(batch.unit, job.spec)
    )
    found, bad = event_times(texts)
    bad = {**bad, **unfit}
    times = np.zeros(len(numbers), np.int64)
    known = np.zeros(len(numbers), bool)
    sound = np.ones(len(batch.rows), bool)
    sound[list(bad)] = False
    places = np.searchsorted(numbers, batch.rows[sound])
    times[places] = found[sound]
    known[places] = True
    if arrivals.own:
        times[~known] = arrived[~known]
    else:
        _fill(times, known, arrivals.fallback)
    return times, {int(batch.rows[at]): reason for at, reason in bad.items()}


def _fill(times: np.ndarray, known: np.ndarray, fallback: int) -> None:
    """Gives records without a time that of the record before, or else after them."""
    if not known.any():
        times[:] = fallback
        return
    before = np.maximum.accumulate(np.where(known, np.arange(len(times)), -1))
    before[before < 0] = np.flatnonzero(known)[0]
    times[:] = times[before]


def _timely(
    job: StreamJob,
    batch: RawBatch,
    rows: Rows,
    numbers: np.ndarray,
    times: np.ndarray,
    arrived: np.ndarray,
    faults: Faults,
) -> Rows:
    """Turns away rows without a time, and those that came too late."""
    late = job.windowing.too_late(times, arrived)
    places = np.searchsorted(numbers, rows.numbers)
    bad = late[places] | np.isin(rows.numbers, np.fromiter(faults, np.int64, len(faults)))
    if not bad.any():
        return rows
    rejected = list(rows.rejected)
    for at in np.flatnonzero(bad).tolist():
        number = int(rows.numbers[at])
        reason = faults.get(number) or _lateness(
            job, int(times[places[at]]), int(arrived[places[at]])
        )
        raw = batch.raw_text(int(np.searchsorted(batch.rows, number)))
        key = rows.keys[at].as_py() if job.spec.key is not None else None
        rejected.append(Rejected(batch.unit.file, number, key, job.windowing.column, reason, raw))
    return replace(rows.take(~bad), rejected=sorted(rejected, key=lambda entry: entry.row))


def _lateness(job: StreamJob, time: int, arrival: int) -> str:
    end = int(job.windowing.starts(np.array([time]))[0]) + job.windowing.size
    allowed = job.windowing.lateness or 0
    return (
        f"came {(arrival - end) / 1e6:g} s after its window ended, "
        f"more than --allowed-lateness of {allowed / 1e6:g} s"
    )
