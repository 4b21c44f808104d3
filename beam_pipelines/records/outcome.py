"""The outcome of a job's pipelines: what the command needs to know of what workers did.

Rows lie in files that `parts` name. The last step of a pipeline writes the rest where the command
reads it: numbers and names, no objects (beam_pipelines/running/checked_file.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import apache_beam as beam

from skewless.beam_pipelines.records.accounting import UnitAccount
from skewless.beam_pipelines.records.parts import Part
from skewless.beam_pipelines.running.left_behind import leave, take
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics, merge_statistics
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.numeric import constants_of, numbers_of
from skewless.schemas.storage.between.files import inside

__all__ = ["CountedUnit", "Outcome", "leave_outcome", "taken_outcome"]

_FILE = "outcome"


@dataclass(frozen=True)
class CountedUnit:
    """A work unit that was analysed.

    Attributes:
      order: Of the unit.
      read: Its records.
      kept: Whether the analysis cache had it.
    """

    order: int
    read: int
    kept: bool


@dataclass(frozen=True)
class Outcome:
    """What a pipeline did.

    Attributes:
      parts: The files that hold rows.
      accounts: What became of each unit's rows.
      counted: The units that were analysed; empty where nothing was.
      statistics: Of the written rows, by split.
      constants: What the analysis found; None where nothing was analysed.
      transform: Where the SavedModel lies that the pipeline has built; empty where it built none.
    """

    parts: Sequence[Part] = ()
    accounts: Sequence[UnitAccount] = ()
    counted: Sequence[CountedUnit] = ()
    statistics: Mapping[str, SplitStatistics] = field(default_factory=dict)
    constants: Constants | None = None
    transform: str = ""

    def document(self) -> dict[str, Any]:
        """Returns what JSON can say of it."""
        return {
            "parts": [asdict(part) for part in self.parts],
            "accounts": [_account(entry) for entry in self.accounts],
            "counted": [asdict(unit) for unit in self.counted],
            "statistics": {split: found.encoded() for split, found in self.statistics.items()},
            "constants": None if self.constants is None else _constants(self.constants),
            "transform": self.transform,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Outcome:
        """Returns what `document` told."""
        return cls(
            parts=[Part(**part) for part in document["parts"]],
            accounts=[_read_account(entry) for entry in document["accounts"]],
            counted=[CountedUnit(**unit) for unit in document["counted"]],
            statistics={
                split: SplitStatistics.decoded(encoded)
                for split, encoded in document["statistics"].items()
            },
            constants=_read_constants(document["constants"]),
            transform=document["transform"],
        )


def leave_outcome(pipeline: beam.Pipeline, shared: str, **collections: beam.PCollection) -> None:
    """Lets a pipeline write what its collections hold at its end.

    Args:
      pipeline: Whose collections they are.
      shared: The path or URI of what workers and command share.
      collections: By what they hold: `parts`, `accounts`, `statistics` (each a dict by split),
        `counted` (units' order, records read, whether the cache had it), `constants` (one),
        `transform` (one).
    """
    leave(pipeline, inside(shared, _FILE), _document, **collections)


def taken_outcome(shared: str) -> Outcome:
    """Reads what a pipeline that ended has left, and removes it.

    Raises:
      DataError: If it is not as it was written, or nothing was.
    """
    return Outcome.of(take(inside(shared, _FILE)))


def _document(
    *,
    parts: Sequence[Part] = (),
    accounts: Sequence[UnitAccount] = (),
    statistics: Sequence[dict[str, SplitStatistics]] = (),
    counted: Sequence[tuple[int, int, bool]] = (),
    constants: Sequence[Constants] = (),
    transform: Sequence[str] = (),
) -> dict[str, Any]:
    outcome = Outcome(
        parts,
        accounts,
        [CountedUnit(*unit) for unit in counted],
        merge_statistics(statistics),
        next(iter(constants), None),
        next(iter(transform), ""),
    )
    return outcome.document()


def _account(entry: UnitAccount) -> dict[str, Any]:
    reasons = [[column, reason, count] for (column, reason), count in entry.reasons.items()]
    return {**vars(entry), "reasons": reasons}


def _read_account(entry: dict[str, Any]) -> UnitAccount:
    reasons = Counter({(column, reason): count for column, reason, count in entry["reasons"]})
    return UnitAccount(**{**entry, "reasons": reasons, "labels": Counter(entry["labels"])})


def _constants(found: Constants) -> dict[str, Any]:
    return {**vars(found), "numbers": numbers_of(found.numbers)}


def _read_constants(entry: dict[str, Any] | None) -> Constants | None:
    if entry is None:
        return None
    return Constants(
        vocabularies=entry["vocabularies"],
        numbers=constants_of(entry["numbers"]),
        growth={owner: (added, left) for owner, (added, left) in entry["growth"].items()},
    )
