"""Where in the input a worker is, so that an error that is not our own can say so.

`tells_its_place` wraps what processes a work unit; what reads, checks and writes its rows notes how
far it is. A worker is a thread, or a process, that has one unit in hand at a time.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.errors import SkewlessError, WorkUnitError
from skewless.schemas.unexpected import refused_by_system, told

__all__ = ["at_column", "at_rows", "tells_its_place"]

Process = TypeVar("Process", bound=Callable[..., Any])


class _Place(threading.local):
    """The rows in hand, or else the last ones that were, and the column."""

    rows: tuple[int, int] | None = None
    last: int | None = None
    column: str | None = None


_PLACE = _Place()


def tells_its_place(process: Process) -> Process:
    """Lets what is given a `WorkUnit`, a function or generator, name it in errors of others.

    What the system refuses is left as it is: the path to look at is its own.

    Raises:
      WorkUnitError: With file, rows and column, where anything but an error of ours is raised.
    """

    @functools.wraps(process)
    def placed(*arguments: Any, **named: Any) -> Iterator[Any]:
        unit = next(entry for entry in arguments if isinstance(entry, WorkUnit))
        _PLACE.rows = _PLACE.last = _PLACE.column = None
        try:
            yield from process(*arguments, **named) or ()
        except SkewlessError:
            raise
        except Exception as error:
            if refused_by_system(error):
                raise
            raise WorkUnitError(f"{_in_words(unit)}: {told(error)}") from error

    return placed  # type: ignore[return-value]


def at_rows(numbers: np.ndarray | None) -> None:
    """Notes the records in hand: [rows] int64; None when those in hand are done with."""
    if _PLACE.rows is not None:
        _PLACE.last = _PLACE.rows[1]
    some = numbers is not None and len(numbers)
    _PLACE.rows = (int(numbers.min()), int(numbers.max())) if some else None  # type: ignore[union-attr]
    _PLACE.column = None


def at_column(name: str | None) -> None:
    """Notes the column in hand, or that none is."""
    _PLACE.column = name


def _in_words(unit: WorkUnit) -> str:
    if _PLACE.rows is not None:
        rows = f"rows {_PLACE.rows[0]:,} to {_PLACE.rows[1]:,}"
    else:
        first = unit.first_row if _PLACE.last is None else _PLACE.last + 1
        rows = f"rows from {first:,} on"
    return f"{unit.file}, {rows}" + (f", column {_PLACE.column}" if _PLACE.column else "")
