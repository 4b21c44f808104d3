"""Following: windows of records are trained on as they finish, each pane once.

    wait -> evaluate -> train -> checkpoint -> export

What was consumed is part of the checkpoint that holds the weights it led to, so that a run that was
killed goes on without using a pane twice or leaving one out. A pane is evaluated before it is
trained on (progressive validation: Blum, Kalai and Langford 1999).

RUN/windows.jsonl   a line for each pane: metrics before training on it, and while
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from skewless.model.export import export_model
from skewless.model.metrics.slices import raw_files
from skewless.model.training.callbacks import CheckpointWithinEpoch, StopOnNonFinite, check_weights
from skewless.model.training.checkpoints import Checkpoints, Progress
from skewless.model.training.compiled import strategy
from skewless.model.training.records import Records, open_records
from skewless.model.training.run_directory import METRICS, MODEL, RunDirectory, write_json
from skewless.model.training.start import declared_spec, resumed_run
from skewless.model.training.warm_start import initial_model
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.spec.spec import Spec

__all__ = ["WINDOWS", "Followed", "follow"]

WINDOWS = "windows.jsonl"
_LOGGER = logging.getLogger(__name__)


@dataclass
class Followed(Progress):
    """Where following stands; `epoch` counts the panes consumed, `step` batches of the next one.

    Attributes:
      consumed: Folders of the panes trained on, in that order.
      pane: The pane under way, where a checkpoint fell within one.
      before: The metrics of that pane before training on it.
      version: The version to export after the last pane consumed; 0 for none.
    """

    consumed: list[str] = field(default_factory=list)
    pane: str | None = None
    before: dict[str, float] = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True)
class Exports:
    """Which versions are exported.

    Attributes:
      directory: Holds the versions, as folders 1, 2, …
      every: Panes from one version to the next.
      check: Whether parity is proved first: on the last window that keeps raw rows, else on
        `records`.
      records: A records directory of the same transform.
    """

    directory: Path
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
      directory: What `stream` leaves.
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
    for option, value in (
        ("--checkpoint-steps", checkpoint_steps),
        ("--max-windows", max_windows),
        ("--export-every", exports.every if exports is not None else None),
    ):
        if value is not None and value < 1:
            raise UsageError(f"{option}: expected at least 1, got {value}")
    if not poll > 0:
        raise UsageError(f"--poll: expected more than 0 seconds, got {poll}")
    root = Path(directory)

    def following(known: list[str]) -> str | None:
        return _wait(root, known, poll=poll, idle_timeout=idle_timeout)

    run, model, progress, checkpoints = _begun(
        root, Path(output), spec, warm_start, resume, overwrite, following
    )
    _write_lines(run, progress)
    if exports is not None:
        _export(run, model, progress, root, exports)
    while max_windows is None or len(progress.consumed) < max_windows:
        pane = progress.pane or following(progress.consumed)
        if pane is None:
            break
        records = open_records(root / pane)
        run.check_records(records)
        (run.path / METRICS).unlink(missing_ok=True)
        entry = _train(model, run.spec, records, pane, progress, checkpoints, checkpoint_steps)
        progress.consumed.append(pane)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.pane, progress.before = None, {}
        progress.version = _due(exports, progress)
        progress.history.append(entry)
        checkpoints.save(model, progress)
        _write_lines(run, progress, only_last=True)
        _LOGGER.info("%s", _line(entry))
        if exports is not None:
            _export(run, model, progress, root, exports)
    return _finish(run, model, progress, root)


def _wait(root: Path, known: list[str], *, poll: float, idle_timeout: float | None) -> str | None:
    """Returns the oldest finished pane that is not known; None if none comes in time."""
    begun = time.monotonic()
    while True:
        found = finished_panes(root, frozenset(known))
        if found:
            return found[0][0]
        left = math.inf if idle_timeout is None else begun + idle_timeout - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(poll, left))


def _begun(
    root: Path,
    output: Path,
    spec: Spec | None,
    warm_start: str | Path | None,
    resume: bool,
    overwrite: bool,
    following: Callable[[list[str]], str | None],
) -> tuple[RunDirectory, keras.Model, Followed, Checkpoints[Followed]]:
    if resume:
        if warm_start is not None:
            raise UsageError("--warm-start: begins a run; leave it out to resume one")
        run = resumed_run(output, spec)
        checkpoints = Checkpoints(run.path / "checkpoints", Followed)
        with strategy().scope():
            restored = checkpoints.load()
        if restored is not None:
            _LOGGER.info("resumed after %d windows", len(restored[1].consumed))
            return run, *restored, checkpoints
        # Killed before its first checkpoint; the run has the transform and the manifest itself.
        records = Records(run.path, run.manifest)
        model = initial_model(run.spec, records, run.warm_start, compiling=False)
        return run, model, Followed(), checkpoints
    pane = following([])
    if pane is None:
        raise DataError(
            f"{root}: no window has finished in time; start `skewless stream` with this --output, or "
            "wait longer with --idle-timeout"
        )
    records = open_records(root / pane)
    spec = declared_spec(records, spec)
    # A batch of another size would be compiled anew, and every window ends with one.
    model = initial_model(spec, records, warm_start, compiling=False)
    run = RunDirectory.create(
        output,
        records,
        spec,
        overwrite=overwrite,
        warm_start=None if warm_start is None else Path(warm_start),
    )
    return run, model, Followed(), Checkpoints(run.path / "checkpoints", Followed)


def _train(
    model: keras.Model,
    spec: Spec,
    records: Records,
    pane: str,
    progress: Followed,
    checkpoints: Checkpoints[Followed],
    checkpoint_steps: int,
) -> dict[str, Any]:
    """Evaluates and trains on one pane; returns its line."""
    begun, rows, size = time.monotonic(), records.rows("train"), spec.training.batch_size
    entry: dict[str, Any] = {"pane": pane, "rows": rows}
    if rows:
        if progress.pane is None:
            batches = records.in_order("train", batch_size=size)
            found = model.evaluate(batches, return_dict=True, verbose=0)
            progress.pane = pane
            progress.before = {name: float(value) for name, value in found.items()}
        batches = records.training(
            batch_size=size, seed=spec.training.seed, epoch=progress.epoch, skip=progress.step
        )
        fitted = model.fit(
            batches,
            initial_epoch=progress.epoch,
            epochs=progress.epoch + 1,
            callbacks=[
                StopOnNonFinite(progress),
                CheckpointWithinEpoch(checkpoints, progress, checkpoint_steps),
            ],
            verbose=0,
        )
        check_weights(model, progress)
        entry["before"] = progress.before
        entry["training"] = {name: float(values[-1]) for name, values in fitted.history.items()}
    seconds = time.monotonic() - begun
    progress.seconds += seconds
    progress.examples += rows - progress.step * size
    return {**entry, "seconds": round(seconds, 3)}


def _line(entry: dict[str, Any]) -> str:
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in entry.get("before", {}).items())
    return f"{entry['pane']}  {entry['rows']:,} rows  before: {metrics or 'nothing to evaluate'}"


def _write_lines(run: RunDirectory, progress: Followed, *, only_last: bool = False) -> None:
    """Appends the last line; or writes all anew, since a killed run may lack or exceed one."""
    path = run.path / WINDOWS
    if only_last:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(progress.history[-1]) + "\n")
        return
    temporary = path.with_name(f".{WINDOWS}.partial")
    text = "".join(json.dumps(entry) + "\n" for entry in progress.history)
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _due(exports: Exports | None, progress: Followed) -> int:
    """Returns the version to export now, after those there are; 0 if it is not time."""
    if exports is None or len(progress.consumed) % exports.every:
        return 0
    present = exports.directory.iterdir() if exports.directory.is_dir() else ()
    return 1 + max((int(path.name) for path in present if path.name.isdigit()), default=0)


def _export(
    run: RunDirectory, model: keras.Model, progress: Followed, root: Path, exports: Exports
) -> None:
    """Exports the version that is due, unless that was done before the run was stopped."""
    destination = exports.directory / str(progress.version)
    if not progress.version or destination.exists():
        return
    records = _with_raw_rows(root, progress.consumed) or exports.records
    if exports.check and records is None:
        raise UsageError(
            f"{root}: no window that was trained on keeps raw rows (raw/*.parquet) to prove parity on; "
            "give records of the same transform with --prove-on, or --no-verify to export unproved"
        )
    report = export_model(run, model, destination, records if exports.check else None)
    _LOGGER.info("%s: exported; %s", destination, report or "without proof")


def _with_raw_rows(root: Path, consumed: list[str]) -> Path | None:
    """Returns the last pane consumed that keeps raw rows."""
    panes = (root / folder for folder in reversed(consumed))
    return next((pane for pane in panes if raw_files(pane, "train")), None)


def _finish(
    run: RunDirectory, model: keras.Model, progress: Followed, root: Path
) -> dict[str, Any]:
    pane = _with_raw_rows(root, progress.consumed)
    if pane is not None:
        run.set_records(pane)
    model.save(run.path / MODEL)
    metrics = {
        "windows": len(progress.consumed),
        "rows": progress.examples,
        "history": progress.history,
        "seconds": round(progress.seconds, 3),
        "examples_per_second": round(progress.examples / max(progress.seconds, 1e-9), 1),
    }
    write_json(run.path / METRICS, metrics)
    return metrics
