"""A stream on this machine: rounds of batch work between which the windows are kept here.

Beam's local runner reads no unbounded sources. So each round looks for new files or messages, writes their
segments with a bounded pipeline, and seals and commits the panes whose time has come. Event time
moves on with the rows, and with the clock while none come.

A run that was ended begins anew by reading all there is, but for the rows that finished panes hold:
those are named in each pane's `sources.json`.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from skewless.beam_pipelines.running.local_runner import BeamOptions
from skewless.beam_pipelines.sources import matched, plan
from skewless.beam_pipelines.sources.plan import as_seen_from_anywhere
from skewless.beam_pipelines.streaming.event_time import SECOND
from skewless.beam_pipelines.streaming.leftovers import SOURCES
from skewless.beam_pipelines.streaming.panes import AT_HAND, SealedPane, commit_pane, seal_pane
from skewless.beam_pipelines.streaming.pasts import StreamPasts
from skewless.beam_pipelines.streaming.rounds import Done, run_round
from skewless.beam_pipelines.streaming.segments import Segment, StreamJob
from skewless.beam_pipelines.streaming.steps import SealWindows, WriteFiles
from skewless.schemas.errors import AccountingError
from skewless.schemas.records.layout import PASTS
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.published import remove

__all__ = ["Feed", "FileFeed", "FilePoll", "stream_here"]

# About 2 GB a round, so that a backlog does not wait for its last file.
_ROUND_FILES = 64
_LOGGER = logging.getLogger(__name__)


@dataclass
class _Window:
    """What is known of a window: the ids of its panes, and what is gathered for the next one."""

    panes: list[str] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    deadline: int = 0


class FilePoll:
    """Looks for files that match a glob, each given out once, when it has stopped changing."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._given: set[str] = set()
        self._seen: dict[str, tuple[int, float]] = {}

    def new(self, limit: int, settle: float = 1.0) -> list[str]:
        """Returns up to `limit` new files, by name.

        Args:
          limit: At most so many.
          settle: A file is taken when it is unchanged since the last look, or for so many seconds.
        """
        seen, self._seen = self._seen, {}
        ready = []
        for entry in matched(self._pattern):
            path = entry.path
            if path in self._given or Path(path).name.startswith("."):
                continue
            state = (entry.size_in_bytes, entry.last_updated_in_seconds)
            if seen.get(path) == state or time.time() - state[1] >= settle:
                ready.append(path)
            self._seen[path] = state
        chosen = sorted(ready)[:limit]
        for path in chosen:
            self._given.add(path)
            del self._seen[path]
        return chosen

    @property
    def waiting(self) -> bool:
        """Whether there are files that were seen and not yet given out."""
        return bool(self._seen)


class Feed(Protocol):
    """What a stream's rows come from, in bounded rounds.

    Attributes:
      clock: How far event time has come by the rows.
      waiting: Whether there is more that is not yet to be read.
    """

    clock: int

    @property
    def waiting(self) -> bool: ...

    def round(self, done: Done) -> list[Segment] | None:
        """Writes the segments of what is new; None where nothing is.

        Args:
          done: By file or partition, the closed ranges of records that finished panes hold.
        """


class FileFeed:
    """New files that match a glob."""

    def __init__(self, job: StreamJob, pattern: str, options: BeamOptions) -> None:
        self._job = job
        self._options = options
        self._poll = FilePoll(pattern)
        self.clock = 0

    @property
    def waiting(self) -> bool:
        """Whether there are files that were seen and not yet given out."""
        return self._poll.waiting

    def round(self, done: Done) -> list[Segment] | None:
        """Writes the segments of new files; None where there are none."""
        new = self._poll.new(_ROUND_FILES)
        if not new:
            return None
        # Forced into one split, a row needs no split column: a stream has no splits.
        units = plan([f"train={path}" for path in new], self._job.spec, lists=self._job.lists)
        if self._job.shared:
            units = [as_seen_from_anywhere(unit) for unit in units]
        write = WriteFiles(self._job, self.clock, done)
        segments = [Segment(**found) for found in run_round(self._job, units, write, self._options)]
        self.clock = max([self.clock, *(segment.latest for segment in segments)])
        _LOGGER.info("read: %d files, %s rows", len(new), f"{sum(s.read for s in segments):,}")
        return segments


def stream_here(
    job: StreamJob,
    feed: Feed,
    *,
    until_idle: float | None,
    committed: Callable[[str], bool],
    options: BeamOptions = (),
    poll: float = 1.0,
) -> None:
    """Streams what a feed gives until it stops, or without end.

    Args:
      job: What to do with the rows.
      feed: Gives them.
      until_idle: Ends after so many seconds without anything new, all windows written; None goes on.
      committed: Called with each pane's folder; ends the stream when it returns False.
      options: Beam's, for rounds that seal panes.
      poll: Seconds between looks for something new.

    Raises:
      AccountingError: If rows are lost.
    """
    _forget_pending(job)
    windows = _Windows(job, committed, options)
    idle_since = time.monotonic()
    while True:
        segments = feed.round(windows.done)
        idle = time.monotonic() - idle_since
        if segments is not None:
            windows.add(segments)
            idle_since = time.monotonic()
        elif not feed.waiting and until_idle is not None and idle >= until_idle:
            break
        waited = time.monotonic() - idle_since
        if not windows.close(feed.clock + round(waited * SECOND)):
            return
        if segments is None:
            time.sleep(poll)
    if windows.close_all():
        _forget_pending(job)


def _forget_pending(job: StreamJob) -> None:
    """Removes what lies under way; one process at a time writes to an output."""
    if job.shared:
        remove(Location.of(job.pending))
    else:
        shutil.rmtree(job.pending, ignore_errors=True)


class _Windows:
    """The windows of a stream: what is gathered for their next panes, and what panes hold already.

    Attributes:
      done: By file, the ranges of records that panes of an earlier run hold.
    """

    def __init__(
        self, job: StreamJob, committed: Callable[[str], bool], options: BeamOptions
    ) -> None:
        self._job, self._options = job, options
        self._committed = committed
        self._windows, self.done = _finished(job)
        self._pasts = StreamPasts(job) if job.lists == "completed" else None
        self._read = self._written = 0

    def add(self, segments: Sequence[Segment]) -> None:
        """Gathers segments of any windows."""
        for segment in segments:
            window = self._windows.setdefault(segment.window, _Window())
            if not window.segments:
                window.deadline = self._job.windowing.deadline(segment.window, segment.arrival)
            window.segments.append(segment)
            self._read += segment.read

    def close(self, until: int) -> bool:
        """Writes the panes that are due by `until`; False when the stream is to end."""
        due = {start: window for start, window in self._windows.items() if window.segments}
        due = {start: window for start, window in sorted(due.items()) if window.deadline <= until}
        for start, pane in self._all_sealed(due):
            window = due[start]
            self._written += sum(segment.read for segment in window.segments)
            window.panes.append(pane.id)
            window.segments = []
            folder = commit_pane(self._job, pane)
            if self._job.shared and self._job.remote is not None:
                self._job.remote.bring(folder, AT_HAND)
            if self._pasts is not None:
                self._pasts.commit(pane)
            if not self._committed(folder):
                return False
        return True

    def _all_sealed(self, due: Mapping[int, _Window]) -> Iterator[tuple[int, SealedPane]]:
        """Yields panes of windows, sealed: on a cluster, by its workers."""
        if not self._job.shared:
            yield from ((start, self._sealed(start, window)) for start, window in due.items())
            return
        work = [(start, window.segments, window.panes) for start, window in due.items()]
        seal = SealWindows(self._job)
        found = run_round(self._job, work, seal, self._options) if work else []
        for sealed in sorted(found, key=lambda entry: entry["window"]):
            pane = SealedPane(**{**sealed, "segments": tuple(sealed["segments"])})
            yield pane.window, pane

    def _sealed(self, start: int, window: _Window) -> SealedPane:
        if self._pasts is None:
            return seal_pane(self._job, start, window.segments, window.panes)
        segments = self._pasts.completed(start, window.segments, window.panes)
        pane = seal_pane(self._job, start, segments, window.panes)
        self._pasts.seal(pane)
        return pane

    def close_all(self) -> bool:
        """Writes all panes; False when the stream is to end before.

        Raises:
          AccountingError: If they hold other rows than were gathered.
        """
        if not self.close(max([0, *(window.deadline for window in self._windows.values())])):
            return False
        if self._read != self._written:
            raise AccountingError(
                f"{self._read} rows were read, {self._written} are in panes. Report this"
            )
        return True


def _finished(job: StreamJob) -> tuple[dict[int, _Window], Done]:
    """Returns the windows that have panes, and by file the ranges of records that they hold."""
    windows: dict[int, _Window] = {}
    done: Done = {}
    if job.remote is not None:
        job.remote.go_on((*AT_HAND, PASTS))
    for folder, manifest in finished_panes(job.directory):
        start = round(manifest.start.timestamp()) * SECOND
        windows.setdefault(start, _Window()).panes.append(manifest.id)
        sources = Path(job.directory) / folder / SOURCES
        for file, ranges in json.loads(sources.read_text(encoding="utf-8")).items():
            done.setdefault(file, []).extend(ranges)
    return windows, {file: sorted(ranges) for file, ranges in done.items()}
