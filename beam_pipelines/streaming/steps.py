"""The steps of a stream: messages or files to segments, segments to sealed panes, panes in place.

WriteMessages | WriteFiles -> by window -> SealPanes -> Stable(CommitPanes)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.coders import PickleCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from skewless.beam_pipelines.sources import RawBatch, Rejected, WorkUnit, read
from skewless.beam_pipelines.sources.formats.jsonl_reader import parse_lines
from skewless.beam_pipelines.sources.formats.tfrecord_reader import decode_examples
from skewless.beam_pipelines.sources.place import tells_its_place
from skewless.beam_pipelines.sources.unchanged import last_changed
from skewless.beam_pipelines.streaming.event_time import SECOND
from skewless.beam_pipelines.streaming.leftovers import in_ranges
from skewless.beam_pipelines.streaming.panes import SealedPane, commit_pane, seal_pane
from skewless.beam_pipelines.streaming.segments import (
    Arrivals,
    Segment,
    StreamJob,
    stream_columns,
    write_segments,
)

__all__ = [
    "BATCH_ROWS",
    "CommitPanes",
    "Message",
    "MessageFormat",
    "SealPanes",
    "SealWindows",
    "WriteFiles",
    "WriteMessages",
    "parse_messages",
    "without_rows",
    "write_messages",
]

MessageFormat = Literal["json", "example"]
BATCH_ROWS = 8192
_BLANK = b" \t\r\n"
UNNUMBERED = -1


@dataclass(frozen=True)
class Message:
    """A row of a queue: its bytes, the partition it came from and its number there, if it has one."""

    value: bytes | None
    source: str
    number: int = UNNUMBERED


class WriteFiles(beam.DoFn):
    """Work units of whole files to segments."""

    def __init__(
        self, job: StreamJob, arrival: int, done: Mapping[str, Sequence[Sequence[int]]]
    ) -> None:
        """Says when the files came.

        Args:
          job: What to do with their rows.
          arrival: How far event time had come by then.
          done: By file, closed ranges of record numbers that finished panes hold.
        """
        self._job = job
        self._arrival = arrival
        self._done = done

    @tells_its_place
    def process(self, unit: WorkUnit) -> Iterator[Segment]:
        """Writes one unit."""
        changed = round(last_changed(unit.file) * SECOND)
        spec = self._job.spec
        for batch in read(unit, spec, stream_columns(self._job), contents=spec.key is None):
            batch = without_rows(batch, self._done.get(unit.file, ()))
            refused = np.array([entry.row for entry in batch.rejected], np.int64)
            numbers = np.sort(np.concatenate([batch.rows, refused]))
            times = np.full(len(numbers), self._arrival, np.int64)
            arrivals = Arrivals(numbers, times, own=False, fallback=changed)
            yield from write_segments(self._job, batch, arrivals)


class WriteMessages(beam.DoFn):
    """Messages of a queue to segments, as many at a time as a bundle holds."""

    def __init__(self, job: StreamJob, format: MessageFormat) -> None:
        self._job = job
        self._format = format

    def setup(self) -> None:
        """Loads the transform before the first rows wait for it."""
        self._job.graph()

    def start_bundle(self) -> None:
        """Begins with nothing: what a failed bundle had gathered comes again."""
        self._waiting: dict[str, list[tuple[Message, int]]] = {}

    def process(
        self, message: Message, timestamp: Timestamp = beam.DoFn.TimestampParam
    ) -> Iterator[Segment]:
        """Gathers a message."""
        waiting = self._waiting.setdefault(message.source, [])
        waiting.append((message, timestamp.micros))
        if len(waiting) >= BATCH_ROWS:
            yield from self._write(self._waiting.pop(message.source))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Writes what was gathered."""
        window = GlobalWindow()
        for waiting in self._waiting.values():
            for segment in self._write(waiting):
                yield WindowedValue(segment, Timestamp(micros=segment.arrival), [window])
        self._waiting = {}

    def _write(self, waiting: list[tuple[Message, int]]) -> list[Segment]:
        return write_messages(waiting, self._job, self._format)


def write_messages(
    waiting: list[tuple[Message, int]], job: StreamJob, format: MessageFormat
) -> list[Segment]:
    """Writes messages of one source, at least one, each with its time, as segments."""
    numbered = waiting[0][0].number != UNNUMBERED
    if numbered:
        waiting.sort(key=lambda entry: entry[0].number)
    messages = [
        message if numbered else replace(message, number=place)
        for place, (message, _) in enumerate(waiting, 1)
    ]
    numbers = np.array([message.number for message in messages], np.int64)
    times = np.array([time for _, time in waiting], np.int64)
    batch = parse_messages(messages, job, format)
    return write_segments(job, batch, Arrivals(numbers, times, own=True, numbered=numbered))


def parse_messages(messages: Sequence[Message], job: StreamJob, format: MessageFormat) -> RawBatch:
    """Parses messages of one source, by number, into a raw batch; empty ones are rejected."""
    # Forced into one split, a row needs no split column: a stream has no splits.
    unit = WorkUnit(messages[0].source, "jsonl" if format == "json" else "tfrecord", split="train")
    columns = stream_columns(job)
    values, numbers, rejected = [], [], []
    for message in messages:
        value = message.value
        if value is None or (format == "json" and not value.strip(_BLANK)):
            rejected.append(Rejected(unit.file, message.number, None, None, "empty message", None))
        else:
            values.append(value)
            numbers.append(message.number)
    if format == "example":
        return decode_examples(unit, values, numbers, rejected, columns)
    batch = parse_lines(values, unit, np.array(numbers, np.int64), columns)
    return replace(batch, rejected=rejected + batch.rejected)


def without_rows(batch: RawBatch, done: Iterable[Sequence[int]]) -> RawBatch:
    """Returns the batch without the records whose numbers lie in closed ranges."""
    ranges = list(done)
    if not ranges:
        return batch
    keep = np.flatnonzero(~in_ranges(batch.rows, ranges))
    return replace(
        batch,
        table=batch.table.take(pa.array(keep)),
        rows=batch.rows[keep],
        rejected=[
            entry for entry in batch.rejected if not in_ranges(np.array([entry.row]), ranges)[0]
        ],
        raw_text=lambda position: batch.raw_text(int(keep[position])),
        contents=batch.contents_at(keep),
    )


_SEGMENTS = BagStateSpec("segments", PickleCoder())
_OPEN = ReadModifyWriteStateSpec("open", PickleCoder())
_PANES = ReadModifyWriteStateSpec("panes", PickleCoder())
_CLOSE = TimerSpec("close", TimeDomain.WATERMARK)
_SEGMENTS_PARAM = beam.DoFn.StateParam(_SEGMENTS)
_OPEN_PARAM = beam.DoFn.StateParam(_OPEN)
_PANES_PARAM = beam.DoFn.StateParam(_PANES)
_CLOSE_PARAM = beam.DoFn.TimerParam(_CLOSE)


class SealPanes(beam.DoFn):
    """(window, segment) to sealed panes, when the watermark passes the window's deadline.

    Panes are the step's own, not Beam's: in the global window nothing is dropped for being late,
    and the ids of a window's panes stay in its state.
    """

    def __init__(self, job: StreamJob) -> None:
        self._job = job

    def process(
        self,
        element: tuple[int, Segment],
        segments: Any = _SEGMENTS_PARAM,
        is_open: Any = _OPEN_PARAM,
        close: Any = _CLOSE_PARAM,
    ) -> None:
        """Gathers a segment; the first one sets when the pane is written."""
        window, segment = element
        segments.add(segment)
        if not is_open.read():
            is_open.write(True)
            deadline = self._job.windowing.deadline(window, segment.arrival)
            close.set(Timestamp(micros=deadline))

    @on_timer(_CLOSE)
    def seal(
        self,
        window: int = beam.DoFn.KeyParam,
        segments: Any = _SEGMENTS_PARAM,
        is_open: Any = _OPEN_PARAM,
        panes: Any = _PANES_PARAM,
    ) -> Iterator[tuple[int, SealedPane]]:
        """Seals what was gathered."""
        earlier = panes.read() or ()
        pane = seal_pane(self._job, window, segments.read(), earlier)
        segments.clear()
        is_open.clear()
        panes.write((*earlier, pane.id))
        yield window, pane


class SealWindows(beam.DoFn):
    """(window, segments, ids of its panes) to sealed panes, within a round."""

    def __init__(self, job: StreamJob) -> None:
        self._job = job

    def process(self, work: tuple[int, Sequence[Segment], Sequence[str]]) -> Iterator[SealedPane]:
        """Seals one pane."""
        window, segments, earlier = work
        yield seal_pane(self._job, window, segments, earlier)


class CommitPanes(beam.DoFn):
    """(window, sealed pane) to the folder it was put in."""

    def __init__(self, job: StreamJob) -> None:
        self._job = job

    def process(self, element: tuple[int, SealedPane]) -> Iterator[str]:
        """Puts one pane in its place."""
        yield commit_pane(self._job, element[1])
