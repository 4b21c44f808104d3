"""A Kafka topic streamed on this machine: rounds of offsets, which workers read.

The command asks the broker how far each partition goes and hands out ranges of offsets; a worker reads
its range and says how far it came, which a transaction that is still open may cut short. Nothing is
kept at the broker: offsets that panes hold are in their `sources.json`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np

from skewless.beam_pipelines.running.local_runner import BeamOptions
from skewless.beam_pipelines.streaming.kafka.client import KafkaClient
from skewless.beam_pipelines.streaming.leftovers import in_ranges
from skewless.beam_pipelines.streaming.rounds import Done, run_round
from skewless.beam_pipelines.streaming.segments import Segment, StreamJob
from skewless.beam_pipelines.streaming.source_uri import Source
from skewless.beam_pipelines.streaming.steps import (
    BATCH_ROWS,
    Message,
    MessageFormat,
    write_messages,
)
from skewless.schemas.errors import DataError, UsageError

__all__ = ["ReadOffsets", "TopicFeed", "WriteOffsets", "first_missing"]

_LOGGER = logging.getLogger(__name__)
# A round's messages of one partition.
_ROUND_MESSAGES = 200_000
_ANSWER_SECONDS = 10.0
_SILENT_SECONDS = 60.0
_MILLISECOND = 1000


@dataclass(frozen=True)
class Offsets:
    """Messages of one partition, [first, end); `done` are closed ranges that are not to be written."""

    partition: int
    first: int
    end: int
    done: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ReadOffsets:
    """What a worker did: messages [first, reached) of a partition are in segments, or were done."""

    partition: int
    reached: int
    arrival: int
    segments: Sequence[Segment] = ()


class TopicFeed:
    """The messages of a topic from its beginning on."""

    def __init__(
        self, job: StreamJob, source: Source, format: MessageFormat, options: BeamOptions
    ) -> None:
        """Asks the broker for the topic.

        Args:
          job: What to do with the rows.
          source: The broker and the topic.
          format: What a message is.
          options: Beam's, for the rounds.

        Raises:
          UsageError: If Kafka's client is not installed, no broker answers, or there is no such topic.
        """
        self._job, self._source, self._options = job, source, options
        self._write = WriteOffsets(job, source, format)
        self._client = KafkaClient(source)
        self._next: dict[int, int] = {}
        self._arrived: dict[int, int] = {}
        self._behind: set[int] = set()
        self.clock = 0
        self._partitions()

    @property
    def waiting(self) -> bool:
        """Whether messages are left that no round has come to."""
        return bool(self._behind)

    def round(self, done: Done) -> list[Segment] | None:
        """Writes the segments of some new messages; None where there are none.

        Raises:
          UsageError: If the broker does not answer.
        """
        ends, work = {}, []
        for partition in self._partitions():
            low, ends[partition] = self._watermarks(partition)
            held = done.get(f"{self._source.name}/{partition}", [])
            if partition not in self._next:
                self._next[partition] = self._begin(partition, low, held)
            begin = self._next[partition]
            end = min(ends[partition], begin + _ROUND_MESSAGES)
            if begin < end:
                some = tuple((a, b) for a, b in held if a < end and b >= begin)
                work.append(Offsets(partition, begin, end, some))
        before = dict(self._next)
        documents = run_round(self._job, work, self._write, self._options) if work else []
        segments = []
        for found in documents:
            partition = found["partition"]
            self._next[partition] = found["reached"]
            self._arrived[partition] = max(self._arrived.get(partition, 0), found["arrival"])
            segments += [Segment(**segment) for segment in found["segments"]]
        if self._next == before:
            # Nothing new, or nothing that is committed yet.
            self._behind = set()
            return None
        self._behind = {p for p, end in ends.items() if self._next[p] < end}
        self._set_clock()
        _LOGGER.info("read: %s messages", f"{sum(segment.read for segment in segments):,}")
        return segments

    def _set_clock(self) -> None:
        """Goes on to what the slowest partition with messages left has come to."""
        slow = [self._arrived.get(partition, 0) for partition in self._behind]
        now = min(slow) if slow else max(self._arrived.values(), default=0)
        self.clock = max(self.clock, now)

    def _begin(self, partition: int, low: int, held: list[list[int]]) -> int:
        begin = first_missing(min(low, held[0][0]) if held else low, held)
        if begin < low:
            _LOGGER.warning(
                "%s/%d: the broker no longer keeps messages %d to %d, which are in no window",
                self._source.name,
                partition,
                begin,
                low - 1,
            )
        return max(begin, low)

    def _partitions(self) -> list[int]:
        from confluent_kafka import KafkaException

        try:
            topics = self._client.consumer.list_topics(
                self._source.topic, timeout=_ANSWER_SECONDS
            ).topics
        except KafkaException as error:
            raise self._client.no_answer(error) from error
        topic = topics[self._source.topic]
        if topic.error is not None or not topic.partitions:
            raise UsageError(
                f"--source {self._source.name}: the broker has no topic {self._source.topic!r}; "
                "check its name, or create it"
            )
        return sorted(topic.partitions)

    def _watermarks(self, partition: int) -> tuple[int, int]:
        from confluent_kafka import KafkaException, TopicPartition

        place = TopicPartition(self._source.topic, partition)
        try:
            low, high = self._client.consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            raise self._client.no_answer(error) from error
        return low, high


def first_missing(begin: int, held: Iterable[Sequence[int]]) -> int:
    """Returns the first offset from `begin` on that lies in none of some closed ranges, sorted."""
    for first, last in held:
        if first > begin:
            break
        begin = max(begin, last + 1)
    return begin


class WriteOffsets(beam.DoFn):
    """Ranges of offsets to segments."""

    def __init__(self, job: StreamJob, source: Source, format: MessageFormat) -> None:
        self._job, self._source, self._format = job, source, format

    def process(self, offsets: Offsets) -> Iterator[ReadOffsets]:
        """Reads one range and writes it.

        Raises:
          DataError: If the broker falls silent, or no longer keeps the messages.
        """
        name = f"{self._source.name}/{offsets.partition}"
        reached, arrival = offsets.first, 0
        segments: list[Segment] = []
        for messages, position in _read(self._source, offsets):
            reached = position
            numbers = np.array([message.offset() for message in messages], np.int64)
            new = ~in_ranges(numbers, offsets.done)
            waiting = [
                (
                    Message(message.value(), name, message.offset()),
                    max(0, message.timestamp()[1]) * _MILLISECOND,
                )
                for message, wanted in zip(messages, new, strict=True)
                if wanted
            ]
            if waiting:
                arrival = max(arrival, *(time for _, time in waiting))
                segments += write_messages(waiting, self._job, self._format)
        yield ReadOffsets(offsets.partition, reached, arrival, segments)


def _read(source: Source, offsets: Offsets) -> Iterator[tuple[list[Any], int]]:
    """Yields batches of messages, each with the offset that reading goes on at."""
    from confluent_kafka import KafkaError, TopicPartition

    consumer = KafkaClient(source).consumer
    try:
        consumer.assign([TopicPartition(source.topic, offsets.partition, offsets.first)])
        batch: list[Any] = []
        position, heard = offsets.first, time.monotonic()
        while position < offsets.end:
            for message in consumer.consume(BATCH_ROWS - len(batch), timeout=1.0):
                heard = time.monotonic()
                error = message.error()
                if error is None:
                    # Offsets may leave gaps: what comes behind the range ends it as well.
                    position = min(message.offset() + 1, offsets.end)
                    if message.offset() < offsets.end:
                        batch.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    yield batch, min(max(position, message.offset()), offsets.end)
                    return
                elif not error.retriable():
                    raise DataError(
                        f"{source.name}/{offsets.partition}: {error.str()}; start the command again when "
                        "the broker is well"
                    )
            if len(batch) >= BATCH_ROWS:
                yield batch, position
                batch = []
            if time.monotonic() - heard > _SILENT_SECONDS:
                raise DataError(
                    f"{source.name}/{offsets.partition}: no message from offset {position} on for "
                    f"{_SILENT_SECONDS:g} s; check that the broker is up, and start the command again"
                )
        yield batch, position
    finally:
        consumer.close()
