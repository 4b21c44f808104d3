"""Accounting for a batch job: no row lost, not too many rejected, each file in its place."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skewless.beam_pipelines.analysis.grow import tell_growth
from skewless.beam_pipelines.batch.leaks import tell_leaks
from skewless.beam_pipelines.batch.pipelines import StagedJob
from skewless.beam_pipelines.records.accounting import account, check_rejected
from skewless.beam_pipelines.records.outcome import Outcome
from skewless.beam_pipelines.records.parts import Part, bring, place
from skewless.beam_pipelines.rows.seen_labels import tell_labels
from skewless.beam_pipelines.running.output_directory import OutputDirectory
from skewless.beam_pipelines.sources import WorkUnit
from skewless.schemas.errors import DataError, TooManyRejectedError
from skewless.schemas.records.layout import REJECTED
from skewless.schemas.records.manifest import Rows, Shard, SplitEntry
from skewless.schemas.spec.spec import Spec
from skewless.schemas.spec.splits import SPLITS

__all__ = ["Accounted", "accounted", "splits_of", "tell_found"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accounted:
    """Rows that add up.

    Attributes:
      rows: How many were read, written, rejected and left out.
      files: The path of each file, relative to the output, and what it holds.
    """

    rows: Rows
    files: Sequence[tuple[str, Part]]


def accounted(
    units: Sequence[WorkUnit],
    outcome: Outcome,
    directory: OutputDirectory,
    endings: Mapping[str, str],
    max_rejected: float,
    *,
    passing: Collection[str] = (),
    learning: bool = False,
) -> Accounted:
    """Counts rows, and moves files to their places.

    Args:
      units: What was planned.
      outcome: What became of them.
      directory: The output; where too many rows are rejected, those are kept beside it.
      endings: The file ending of each kind of part.
      max_rejected: The largest share of rejected rows that still counts as success.
      passing: Kinds of parts that are no part of the output: the command itself goes on with them.
      learning: Whether something is learned from the rows, of which one has to be left.

    Raises:
      AccountingError: If the runner lost rows.
      TooManyRejectedError: If too many are rejected.
      DataError: If there are no rows.
    """
    counted = {unit.order: unit.read for unit in outcome.counted}
    rows = account(units, counted, outcome.accounts, outcome.parts)
    files = place(outcome.parts, directory.staging, endings)
    beside = Path(f"{directory.path}.rejected")
    try:
        check_rejected(rows, outcome.accounts, max_rejected, str(beside), learning=learning)
    except TooManyRejectedError:
        bring([file for file in files if file[1].kind == "rejected"], directory.staging)
        directory.keep(REJECTED, beside)
        raise
    bring([file for file in files if file[1].kind in passing], directory.staging)
    directory.take([file for file in files if file[1].kind not in passing])
    return Accounted(rows, files)


def splits_of(files: Sequence[tuple[str, Part]]) -> dict[str, SplitEntry]:
    """Returns the manifest's entry of each split, of files that hold records among others."""
    shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}
    for path, part in files:
        if part.kind == "records":
            shards[part.split].append(part.as_shard(path))
    return {
        split: SplitEntry(
            rows=sum(shard.rows for shard in found),
            bytes=sum(shard.bytes for shard in found),
            shards=tuple(found),
        )
        for split, found in shards.items()
    }


def tell_found(job: StagedJob, outcome: Outcome, splits: Mapping[str, SplitEntry]) -> None:
    """Says what the rows are like: kept analyses, vocabularies that grew, labels not to learn from.

    Raises:
      DataError: If a transform was to be fitted, and no row is there to train on.
    """
    if job.cache is not None:
        kept = sum(unit.kept for unit in outcome.counted)
        _LOGGER.info(
            "analysis: %d of %d work units from %s", kept, len(outcome.counted), job.cache.directory
        )
    if outcome.constants is not None:
        tell_growth(outcome.constants)
    if job.fit.transform is None and not splits["train"].shards:
        raise DataError("no row fell into the training split; check split and --input")
    _tell_labels(job.planned.spec, outcome)
    if any(unit.split is None for unit in job.planned.units):
        tell_leaks(job.planned.spec, outcome.statistics)


def _tell_labels(spec: Spec, outcome: Outcome) -> None:
    if "train" not in outcome.statistics:
        return
    seen: Counter[str] = Counter()
    for entry in outcome.accounts:
        seen.update(entry.labels)
    tell_labels(spec, outcome.statistics["train"].label_counts, seen, "the training split")
