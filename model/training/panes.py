"""Panes of windows to train on: evaluated, then trained on, each once.

A pane is evaluated before it is trained on (progressive validation: Blum, Kalai and Langford
1999). What was consumed is part of the checkpoint that holds the weights it led to, so that a run
that was killed goes on without using a pane twice or leaving one out.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import keras

from skewless.model.training.callbacks import CheckpointWithinEpoch, StopOnNonFinite, check_weights
from skewless.model.training.checkpoints import Progress
from skewless.model.training.records import Records
from skewless.model.training.run_directory import RunDirectory
from skewless.model.training.start import Training
from skewless.schemas.staged import write_whole

__all__ = ["WINDOWS", "Followed", "train_on", "write_lines"]

WINDOWS = "windows.jsonl"


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


def train_on(
    pane: str, records: Records, training: Training[Followed], checkpoint_steps: int
) -> dict[str, Any]:
    """Evaluates and trains on one pane; returns its line of `windows.jsonl`.

    Raises:
      TrainingError: If the loss or a weight is no longer finite.
    """
    begun, progress, declared = time.monotonic(), training.progress, training.run.spec.training
    rows, size = records.rows("train"), declared.batch_size
    entry: dict[str, Any] = {"pane": pane, "rows": rows}
    if rows:
        if progress.pane is None:
            progress.before = _evaluated(training.model, records, size)
            progress.pane = pane
        batches = records.training(
            batch_size=size, seed=declared.seed, epoch=progress.epoch, skip=progress.step
        )
        fitted = training.model.fit(
            batches,
            initial_epoch=progress.epoch,
            epochs=progress.epoch + 1,
            callbacks=[
                StopOnNonFinite(progress),
                CheckpointWithinEpoch(training.checkpoints, progress, checkpoint_steps),
            ],
            verbose=0,
        )
        check_weights(training.model, progress)
        entry["before"] = progress.before
        entry["training"] = {name: float(values[-1]) for name, values in fitted.history.items()}
    seconds = time.monotonic() - begun
    progress.seconds += seconds
    progress.examples += rows - progress.step * size
    return {**entry, "seconds": round(seconds, 3)}


def _evaluated(model: keras.Model, records: Records, batch_size: int) -> dict[str, float]:
    batches = records.in_order("train", batch_size=batch_size)
    metrics = model.evaluate(batches, return_dict=True, verbose=0)
    return {name: float(value) for name, value in metrics.items()}


def write_lines(run: RunDirectory, progress: Followed, *, only_last: bool = False) -> None:
    """Appends the last line; or writes all anew, since a killed run may lack or exceed one."""
    path = run.path / WINDOWS
    if only_last:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(progress.history[-1]) + "\n")
        return
    write_whole(path, "".join(json.dumps(entry) + "\n" for entry in progress.history))
