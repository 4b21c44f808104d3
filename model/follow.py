"""Following: windows of records are trained on as they finish, each pane once.

    begun or resumed -> a pane: waited for, evaluated, trained on, exported -> and another -> finished

RUN/windows.jsonl   a line for each pane: metrics before training on it, and while
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.model.export import export_model
from skewless.model.training.arrivals import Arrivals, arriving
from skewless.model.training.panes import WINDOWS, Followed, train_on, write_lines
from skewless.model.training.records import Records, open_records
from skewless.model.training.run_directory import write_json
from skewless.model.training.start import (
    Start,
    Training,
    begun,
    declared_spec,
    resumed,
    run_to_resume,
)
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.layout import METRICS, MODEL
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.leaving import is_finished, leaving, names_at

__all__ = ["WINDOWS", "Exports", "Followed", "follow"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exports:
    """Which versions are exported.

    Attributes:
      directory: A path or URI that holds the versions, as folders 1, 2, …
      every: Panes from one version to the next.
      check: Whether parity is proved first: on the last window that keeps raw rows, else on
        `records`.
      records: A records directory of the same transform.
    """

    directory: str | Path
    every: int = 1
    check: bool = True
    records: Path | None = None


def follow(
    directory: str | Path,
    output: str | Path,
    *,
    spec: Spec | None = None,
    warm_start: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_steps: int = 500,
    poll: float = 10.0,
    idle_timeout: float | None = None,
    max_windows: int | None = None,
    exports: Exports | None = None,
) -> dict[str, Any]:
    """Trains on windows as they finish, until there are enough of them or none comes any more.

    Args:
      directory: What `stream` leaves, a path or URI.
      output: The run directory.
      spec: Other `model` and `training` sections; `epochs` and `early_stopping` have no meaning here.
      warm_start: A finished run whose weights training begins with.
      resume: Goes on with a run, whether it was killed or had ended.
      overwrite: Replaces a run.
      checkpoint_steps: Steps between checkpoints within a pane; there is one after each pane.
      poll: Seconds between looks at the directory.
      idle_timeout: Ends when no pane has finished for so many seconds.
      max_windows: Ends when the run has consumed so many panes, those before a resume too.
      exports: Which versions are exported, if any.

    Returns:
      What `metrics.json` holds.

    Raises:
      DataError: If the run cannot begin since no window finished in time.
      DatasetMismatchError: If a pane came from another transform than the run's, or is damaged. The
        run stops before it, and can be resumed.
      TrainingError: If the loss or a weight is no longer finite; the run stops before that pane.
      ParityError: If a version does not reproduce a window's records; it is not left.
      UsageError: As `skewless.model.train.train` does; if parity can be proved on no window; or if a number
        is out of its range.
    """
    _check_numbers(checkpoint_steps, poll, max_windows, exports)
    start = Start(spec, None, warm_start, overwrite)
    with arriving(directory, str(output), poll, idle_timeout) as arrivals:
        training = (
            _resumed(Path(output), start) if resume else _begun(Path(output), start, arrivals)
        )
        write_lines(training.run, training.progress)
        _export(training, arrivals, exports)
        _train(training, arrivals, checkpoint_steps, max_windows, exports)
        return _finish(training, arrivals)


def _train(
    training: Training[Followed],
    arrivals: Arrivals,
    checkpoint_steps: int,
    max_windows: int | None,
    exports: Exports | None,
) -> None:
    progress = training.progress
    while max_windows is None or len(progress.consumed) < max_windows:
        pane = progress.pane or arrivals.after(progress.consumed)
        if pane is None:
            return
        records = open_records(arrivals.at_hand(pane))
        training.run.check_records(records)
        (training.run.path / METRICS).unlink(missing_ok=True)
        entry = train_on(pane, records, training, checkpoint_steps)
        progress.consumed.append(pane)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.pane, progress.before = None, {}
        progress.version = _due(exports, progress)
        progress.history.append(entry)
        training.checkpoints.save(training.model, progress)
        write_lines(training.run, progress, only_last=True)
        _LOGGER.info("%s", _line(entry))
        _export(training, arrivals, exports)
        arrivals.free(pane)


def _check_numbers(
    checkpoint_steps: int, poll: float, max_windows: int | None, exports: Exports | None
) -> None:
    for option, value in (
        ("--checkpoint-steps", checkpoint_steps),
        ("--max-windows", max_windows),
        ("--export-every", exports.every if exports is not None else None),
    ):
        if value is not None and value < 1:
            raise UsageError(f"{option}: expected at least 1, got {value}")
    if not poll > 0:
        raise UsageError(f"--poll: expected more than 0 seconds, got {poll}")


# Neither is compiled by XLA: a batch of another size would be compiled anew, and every window ends
# with one.
def _begun(output: Path, start: Start, arrivals: Arrivals) -> Training[Followed]:
    pane = arrivals.after([])
    if pane is None:
        raise DataError(
            f"{arrivals.root}: no window has finished in time; start `skewless stream` with this "
            "--output, or wait longer with --idle-timeout"
        )
    records = open_records(arrivals.at_hand(pane))
    if not declared_spec(records, start.spec).model.needs_label:
        raise UsageError(
            "--follow: two towers learn by how often candidates are in all training rows, which a "
            "stream does not tell; train on records"
        )
    return begun(output, records, start, Followed(), ends=False)


def _resumed(output: Path, start: Start) -> Training[Followed]:
    run = run_to_resume(output, start)
    # The run has a transform and a manifest itself, which is all that a first model needs.
    training = resumed(run, Records(run.path, run.manifest), Followed(), ends=False)
    if training.progress.consumed or training.progress.pane:
        _LOGGER.info("resumed after %d windows", len(training.progress.consumed))
    return training


def _line(entry: dict[str, Any]) -> str:
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in entry.get("before", {}).items())
    return f"{entry['pane']}  {entry['rows']:,} rows  before: {metrics or 'nothing to evaluate'}"


def _due(exports: Exports | None, progress: Followed) -> int:
    """Returns the version to export now, after those there are; 0 if it is not time."""
    if exports is None or len(progress.consumed) % exports.every:
        return 0
    present = names_at(exports.directory)
    return 1 + max((int(name) for name in present if name.isdigit()), default=0)


def _export(training: Training[Followed], arrivals: Arrivals, exports: Exports | None) -> None:
    """Exports the version that is due, unless that was done before the run was stopped."""
    version = training.progress.version
    if exports is None or not version:
        return
    destination = f"{exports.directory}/{version}"
    if is_finished(destination):
        return
    records = arrivals.with_raw_rows(training.progress.consumed) or exports.records
    if exports.check and records is None:
        raise UsageError(
            f"{arrivals.root}: no window that was trained on keeps raw rows (raw/*.parquet) to prove parity on; "
            "give records of the same transform with --prove-on, or --no-verify to export unproved"
        )
    with leaving(destination) as place:
        report = export_model(
            training.run, training.model, place, records if exports.check else None
        )
    _LOGGER.info("%s: exported; %s", destination, report or "without proof")


def _finish(training: Training[Followed], arrivals: Arrivals) -> dict[str, Any]:
    """Saves the model, and writes its metrics last."""
    run, progress = training.run, training.progress
    pane = arrivals.with_raw_rows(progress.consumed)
    if pane is not None:
        run.set_records(pane)
    training.model.save(run.path / MODEL)
    metrics = {
        "windows": len(progress.consumed),
        "rows": progress.examples,
        "history": progress.history,
        "seconds": round(progress.seconds, 3),
        "examples_per_second": round(progress.examples / max(progress.seconds, 1e-9), 1),
    }
    write_json(run.path / METRICS, metrics)
    return metrics
