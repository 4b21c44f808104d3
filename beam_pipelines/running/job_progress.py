"""Progress of a Beam job: its workers count rows into small files, the command adds them up.

A local runner's workers are threads or processes, a cluster's are on other machines; the job's
output directory is what all of them share. Where they share a bucket alone, workers log instead. What a unit weighs is the bytes of its file, so that the
share of a job is known before its rows are.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.beam_pipelines.sources import WorkUnit, file_bytes
from skewless.schemas.progress import ProgressLine, Status, seconds_left
from skewless.schemas.storage.location import is_uri

__all__ = ["Progress", "Tally", "Watch", "progress_of", "tally_in", "watched"]

_LOGGER = logging.getLogger(__name__)
_NOTED_SECONDS = 0.5


@dataclass(frozen=True)
class Tally:
    """Where the workers of a job count: a directory of its output that all of them can write."""

    directory: str


def tally_in(place: str) -> Tally | None:
    """Returns where the workers of a job count; None where they share no directory."""
    return None if is_uri(place) else Tally(place)


def progress_of(stage: str, tally: Tally | None) -> Progress:
    """Returns what counts this worker's rows of a stage: one for a process and its threads."""
    return Progress(stage) if tally is None else _shared(stage, tally)


@functools.lru_cache(maxsize=16)
def _shared(stage: str, tally: Tally) -> Progress:
    return Progress(stage, tally)


class Progress:
    """Counts one worker's rows through one stage, into a tally or else the log."""

    def __init__(
        self,
        stage: str,
        tally: Tally | None = None,
        *,
        every: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begins to count.

        Args:
          stage: What is being done to the rows, as a person would say it.
          tally: Where to count; None to log the rows with their rate.
          every: The least number of seconds between two lines of the log.
          clock: Seconds, of one clock for all workers.
        """
        self._stage = stage
        self._tally = tally
        self._every = every if tally is None else _NOTED_SECONDS
        self._clock = clock
        self._begin = self._last = clock()
        self._rows = self._unit_rows = 0
        self._units: list[int] = []
        self._name = uuid.uuid4().hex
        self._lock = threading.Lock()

    def advance(self, rows: int) -> None:
        """Counts `rows` more; tells once `every` seconds have passed since the last time."""
        with self._lock:
            self._rows += rows
            now = self._clock()
            if now - self._last < self._every:
                return
            self._last = now
            if self._tally is not None:
                self._note(self._tally)
                return
            rate = self._rows / (now - self._begin)
        _LOGGER.info("%s: %s rows, %s rows/s", self._stage, f"{self._rows:,}", f"{rate:,.0f}")

    def finish(self, unit: WorkUnit, rows: int) -> None:
        """Counts a unit whose `rows` are all done, and were counted before."""
        with self._lock:
            self._units.append(unit.order)
            self._unit_rows += rows
            if self._tally is not None:
                self._note(self._tally)

    def _note(self, tally: Tally) -> None:
        path = Path(tally.directory) / f"{self._name}.json"
        noted = {
            "stage": self._stage,
            "begun": self._begin,
            "rows": self._rows,
            "units": self._units,
            "unit_rows": self._unit_rows,
        }
        temporary = path.with_suffix(".partial")
        # A bundle that is tried again after its job was given up has no directory any more.
        with contextlib.suppress(FileNotFoundError):
            temporary.write_text(json.dumps(noted), encoding="utf-8")
            os.replace(temporary, path)


class Watch:
    """Tells a job's progress from its tally while it runs: `with Watch(...): run the job`."""

    def __init__(self, tally: Tally, units: Sequence[WorkUnit], stages: Sequence[str]) -> None:
        """Makes the tally's directory.

        Args:
          tally: Where the workers count.
          units: All units; each stage goes through all of them.
          stages: In the order they are worked through.
        """
        self._directory = Path(tally.directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._weights = _weights(units)
        self._stages = list(stages)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        with ProgressLine() as line:
            while not self._ended.wait(0.25):
                status = self.status(time.time()) if line.is_due else None
                if status is not None:
                    line.tell(status)

    def status(self, now: float) -> Status | None:
        """Returns how far the stage that was begun last is at `now`; None before the first."""
        notes = _notes(self._directory)
        begun = [stage for stage in self._stages if any(n["stage"] == stage for n in notes)]
        if not begun:
            return None
        stage = begun[-1]
        here = [note for note in notes if note["stage"] == stage]
        # Another machine's clock may be ahead.
        seconds = max(now - min(note["begun"] for note in here), _NOTED_SECONDS)
        rows = sum(note["rows"] for note in here)
        share = self._share(here, rows)
        number = f" ({self._stages.index(stage) + 1} of {len(self._stages)})"
        return Status(
            stage=stage + (number if len(self._stages) > 1 else ""),
            rows=rows,
            rows_per_second=rows / seconds,
            share=share,
            seconds_left=seconds_left(seconds, share),
        )

    def _share(self, notes: Sequence[Mapping[str, Any]], rows: int) -> float | None:
        """Returns the share of the bytes that is done; rows of unfinished units by the finished."""
        total = sum(self._weights.values())
        done = {order for note in notes for order in note["units"]}
        finished = sum(self._weights.get(order, 0.0) for order in done)
        finished_rows = sum(note["unit_rows"] for note in notes)
        if not total or not finished or not finished_rows:
            return None
        return min(1.0, finished * rows / finished_rows / total)


def watched(
    tally: Tally | None, units: Sequence[WorkUnit], stages: Sequence[str]
) -> contextlib.AbstractContextManager[object]:
    """Returns a `Watch`, or what does nothing where there is no tally."""
    return contextlib.nullcontext() if tally is None else Watch(tally, units, stages)


def _weights(units: Sequence[WorkUnit]) -> dict[int, float]:
    """Returns each unit's bytes: those of its file, by equal parts."""
    parts: dict[str, int] = {}
    for unit in units:
        parts[unit.file] = parts.get(unit.file, 0) + 1
    sizes = {file: file_bytes(file) for file in parts}
    return {unit.order: sizes[unit.file] / parts[unit.file] for unit in units}


def _notes(directory: Path) -> list[dict[str, Any]]:
    # Written beside and renamed, so that each is whole.
    return [json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*.json")]
