"""Every error that a user of Skewless can cause, as one small tree.

    SkewlessError
    ├── UsageError        the command was used wrongly                  exit code 2
    │   └── SpecError     the declared spec does not hold together
    ├── DataError         the input, or a data set on disk, is not fit  exit code 1
    │   ├── TooManyRejectedError  more rows were rejected than allowed
    │   ├── AccountingError       rows read != written + rejected + duplicate
    │   ├── DatasetMismatchError  manifest missing, or not of this transform
    │   └── DriftError            a window's rows are too unlike those trained on
    ├── WorkUnitError     an error not ours, and where in the input a worker was
    ├── WorkerLostError   a worker process ended in the midst of its work
    ├── TrainingError     training cannot go on (non-finite loss or weights)
    └── ParityError       what would be served is not what was trained

Each message names the place (key path, file:row, feature), what was expected, what came,
and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AccountingError",
    "DataError",
    "DatasetMismatchError",
    "DriftError",
    "ParityError",
    "SkewlessError",
    "SpecError",
    "TooManyRejectedError",
    "TrainingError",
    "UsageError",
    "WorkUnitError",
    "WorkerLostError",
    "listed",
    "nearest",
]


class SkewlessError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class UsageError(SkewlessError):
    """The command, its options or its paths were used wrongly."""

    exit_code = 2


class SpecError(UsageError):
    """The spec is refused; `problems` holds one line for each thing wrong with it."""

    def __init__(self, problems: str | Iterable[str], source: str = "spec") -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


class DataError(SkewlessError):
    """The input data, or a data set on disk, cannot be used."""


class TooManyRejectedError(DataError):
    """A larger share of rows was rejected than `--max-rejected` allows."""


class AccountingError(DataError):
    """Rows read differ from rows written + rejected + duplicate: a runner lost rows."""


class DatasetMismatchError(DataError):
    """A data set without a manifest, or whose files or transform are not the manifest's."""


class DriftError(DataError):
    """Rows of a window differ from the training data by more than `--drift-limit`."""


class WorkUnitError(SkewlessError):
    """What was raised while a piece of the input was worked on, with its file, rows and column."""


class WorkerLostError(SkewlessError):
    """A worker process was killed, or crashed, in the midst of its work."""


class TrainingError(SkewlessError):
    """Training cannot go on, for example because the loss is no longer finite."""


class ParityError(SkewlessError):
    """The exported model's transform does not reproduce the records."""


def listed(names: Iterable[str], most: int = 20) -> str:
    """Returns the first of the names for a message, and how many more there are."""
    every = list(names)
    more = f", … and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def nearest(word: str, valid: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` for the valid word nearest to `word`, else `""`."""
    match = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""
