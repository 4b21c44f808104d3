"""Progress of long work: one live line on a terminal or in a notebook, plain lines elsewhere.

On a terminal rich draws the line (and leaves out colours where NO_COLOR asks for that,
https://no-color.org); it is imported when the first line is drawn. In a notebook it is a bar in the
output of its cell. Where standard error is no terminal, or `TERM=dumb`, a log line comes every ten
seconds. `--quiet` tells none.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skewless.schemas.notebook_bar import NotebookBar, in_notebook

__all__ = ["ProgressLine", "Status", "duration", "is_live", "seconds_left"]

_LOGGER = logging.getLogger(__name__)
_LIVE_SECONDS, _PLAIN_SECONDS = 0.25, 10.0
_TELLING_SECONDS, _TELLING_SHARE = 5.0, 0.01


@dataclass(frozen=True)
class Status:
    """How far some work is.

    Attributes:
      stage: What is being done to the rows, as a person would say it.
      rows: Done so far.
      rows_per_second: Their rate.
      share: Of the whole, in [0, 1]; None where that is not known.
      seconds_left: None where that is not known.
      note: What else there is to tell, such as the loss.
    """

    stage: str
    rows: int
    rows_per_second: float
    share: float | None = None
    seconds_left: float | None = None
    note: str = ""

    def __str__(self) -> str:
        """Returns the line without a stage's bar."""
        parts = [f"{self.stage}: {self.rows:,} rows", f"{self.rows_per_second:,.0f} rows/s"]
        if self.share is not None:
            parts.append(f"{self.share:.0%}")
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join([*parts, *([self.note] if self.note else [])])


def duration(seconds: float) -> str:
    """Returns seconds as a person reads them: 8 s, 1 min 20 s, 2 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds_left(seconds: float, share: float | None) -> float | None:
    """Returns the time left of work of which a share took so many seconds.

    None where that would be a guess: in its first seconds a process loads, traces and opens files.
    """
    if not share or seconds < _TELLING_SECONDS or share < _TELLING_SHARE:
        return None
    return seconds * (1 - share) / share


def is_live() -> bool:
    """Whether a line on standard error can be drawn over and anybody wants it."""
    return (
        sys.stderr.isatty()
        and os.environ.get("TERM") != "dumb"
        and _LOGGER.isEnabledFor(logging.INFO)
    )


class ProgressLine:
    """Tells the status of one piece of work now and then: `with ProgressLine() as line: …`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins; `clock` gives seconds, from anywhere."""
        self._clock = clock
        self._live: NotebookBar | _TerminalBar | None = None
        if in_notebook():
            self._live = NotebookBar()
        elif is_live():
            self._live = _TerminalBar()
        self._every = _PLAIN_SECONDS if self._live is None else _LIVE_SECONDS
        self._last = clock()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def is_due(self) -> bool:
        """Whether it is time for another line."""
        return self._clock() - self._last >= self._every

    def tell(self, status: Status) -> None:
        """Draws or logs the status, if it is time."""
        if not self.is_due:
            return
        self._last = self._clock()
        if self._live is None:
            _LOGGER.info("%s", status)
        else:
            self._live.tell(status.stage, str(status), status.share)

    def close(self) -> None:
        """Takes the live line away; work that goes on may tell again."""
        if self._live is not None:
            self._live.close()


class _TerminalBar:
    """Rich's bar, on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None

    def tell(self, stage: str, line: str, share: float | None) -> None:
        if self._bar is None:
            self._bar = _started_bar()
        self._bar.update(
            self._bar.task_ids[0],
            description=stage,
            total=None if share is None else 1.0,
            completed=share or 0.0,
            told=line.removeprefix(f"{stage}: "),
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _started_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[told]}", markup=False),
        console=Console(stderr=True, highlight=False),
        transient=True,
        redirect_stdout=False,
    )
    bar.add_task("", total=None, told="")
    bar.start()
    return bar
