"""A stream of files on this machine: rounds of batch work between which the windows are kept here.

Beam's local runner reads no unbounded sources. So each round looks for new files, writes their
segments with a bounded pipeline, and seals and commits the panes whose time has come. Event time
moves on with the rows, and with the clock while none come.

A run that was ended begins anew by reading all files, but for the rows that finished panes hold:
those are named in each pane's `sources.json`.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from skewless.beam_pipelines.running.beam_internals import job_pipeline
from skewless.beam_pipelines.running.checked_file import (
    json_section,
    read_checked,
    read_json_section,
    write_checked,
)
from skewless.beam_pipelines.running.local_runner import BeamOptions, completed_options
from skewless.beam_pipelines.sources import matched, plan
from skewless.beam_pipelines.streaming.event_time import SECOND
from skewless.beam_pipelines.streaming.leftovers import SOURCES
from skewless.beam_pipelines.streaming.panes import commit_pane, seal_pane
from skewless.beam_pipelines.streaming.segments import PENDING, Segment, StreamJob
from skewless.beam_pipelines.streaming.steps import WriteFiles
from skewless.schemas.errors import AccountingError
from skewless.schemas.records.windows import finished_panes

__all__ = ["FilePoll", "stream_files"]

# About 2 GB a round, so that a backlog does not wait for its last file.
_ROUND_FILES = 64
_KIND = "round"
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


def stream_files(
    job: StreamJob,
    pattern: str,
    options: BeamOptions,
    *,
    until_idle: float | None,
    committed: Callable[[str], bool],
    poll: float = 1.0,
) -> None:
    """Streams new files until they stop coming, or without end.

    Args:
      job: What to do with their rows.
      pattern: A glob.
      options: Beam's, for the rounds.
      until_idle: Ends after so many seconds without a new file, all windows written; None goes on.
      committed: Called with each pane's folder; ends the stream when it returns False.
      poll: Seconds between looks for new files.

    Raises:
      AccountingError: If rows are lost.
    """
    pending = Path(job.directory) / PENDING
    shutil.rmtree(pending, ignore_errors=True)
    windows = _Windows(job, committed)
    files = FilePoll(pattern)
    clock, idle_since = 0, time.monotonic()
    while True:
        new = files.new(_ROUND_FILES)
        idle = time.monotonic() - idle_since
        if new:
            segments = _write(job, new, clock, windows.done, options)
            windows.add(segments)
            clock = max([clock, *(segment.latest for segment in segments)])
            idle_since = time.monotonic()
        elif not files.waiting and until_idle is not None and idle >= until_idle:
            break
        waited = time.monotonic() - idle_since
        if not windows.close(clock + round(waited * SECOND)):
            return
        if not new:
            time.sleep(poll)
    if windows.close_all():
        shutil.rmtree(pending, ignore_errors=True)


class _Windows:
    """The windows of a stream: what is gathered for their next panes, and what panes hold already.

    Attributes:
      done: By file, the ranges of records that panes of an earlier run hold.
    """

    def __init__(self, job: StreamJob, committed: Callable[[str], bool]) -> None:
        self._job = job
        self._committed = committed
        self._windows, self.done = _finished(job)
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
        for start, window in sorted(due.items()):
            if window.deadline > until:
                continue
            pane = seal_pane(self._job, start, window.segments, window.panes)
            self._written += sum(segment.read for segment in window.segments)
            window.panes.append(pane.id)
            window.segments = []
            if not self._committed(commit_pane(self._job, pane)):
                return False
        return True

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


def _write(
    job: StreamJob,
    files: Sequence[str],
    clock: int,
    done: dict[str, list[list[int]]],
    options: BeamOptions,
) -> list[Segment]:
    """Writes the segments of some files with a bounded pipeline."""
    # Forced into one split, a row needs no split column: a stream has no splits.
    units = plan([f"train={path}" for path in files], job.spec)
    outcome = Path(job.directory) / PENDING / "round"
    outcome.parent.mkdir(parents=True, exist_ok=True)
    with job_pipeline(completed_options(options, units=len(units))) as pipeline:
        segments = (
            pipeline
            | "WorkUnits" >> beam.Create(units)
            | "Spread" >> beam.Reshuffle()
            | "WriteFiles" >> beam.ParDo(WriteFiles(job, clock, done))
            | "Gather" >> beam.combiners.ToList()
        )
        _ = (
            pipeline
            | "Outcome" >> beam.Create([str(outcome)])
            | "WriteOutcome"
            >> beam.Map(
                lambda path, found: write_checked(
                    path, _KIND, [json_section([asdict(segment) for segment in found])]
                ),
                found=AsSingleton(segments),
            )
        )
    [section] = read_checked(outcome, _KIND, [0])
    found = [Segment(**segment) for segment in read_json_section(section)]
    _LOGGER.info("read: %d files, %s rows", len(files), f"{sum(s.read for s in found):,}")
    return found


def _finished(job: StreamJob) -> tuple[dict[int, _Window], dict[str, list[list[int]]]]:
    """Returns the windows that have panes, and by file the ranges of records that they hold."""
    windows: dict[int, _Window] = {}
    done: dict[str, list[list[int]]] = {}
    for folder, manifest in finished_panes(job.directory):
        start = round(manifest.start.timestamp()) * SECOND
        windows.setdefault(start, _Window()).panes.append(manifest.id)
        sources = Path(job.directory) / folder / SOURCES
        for file, ranges in json.loads(sources.read_text(encoding="utf-8")).items():
            done.setdefault(file, []).extend(ranges)
    return windows, {file: sorted(ranges) for file, ranges in done.items()}
