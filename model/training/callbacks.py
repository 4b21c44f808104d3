"""Callbacks of training: guards, progress and checkpoints within an epoch."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import numpy as np

from skewless.model.training.checkpoints import Checkpoints, Progress
from skewless.schemas.errors import TrainingError
from skewless.schemas.progress import ProgressLine, Status, seconds_left

__all__ = ["CheckpointWithinEpoch", "StopOnNonFinite", "TellProgress", "check_weights"]

_REMEDY = "try a lower training.learning_rate, training.clip_norm: 1.0, or look for extreme numbers"


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops as soon as the loss is NaN or infinite, and names a weight that is."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the running loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            step = self._progress.step + batch + 1
            weight = _non_finite_weight(self.model)
            raise TrainingError(
                f"the loss is {loss} at epoch {self._progress.epoch + 1}, step {step}, "
                + (f"weight {weight} is no longer finite" if weight else "all weights are finite")
                + f"; {_REMEDY}"
            )


def check_weights(model: keras.Model, progress: Progress) -> None:
    """Refuses weights that are not finite.

    Raises:
      TrainingError: Naming the first such weight, and the epoch and step.
    """
    weight = _non_finite_weight(model)
    if weight is not None:
        at = f"epoch {progress.epoch + 1}" + (f", step {progress.step}" if progress.step else "")
        raise TrainingError(f"weight {weight} is no longer finite at {at}; {_REMEDY}")


def _non_finite_weight(model: keras.Model) -> str | None:
    for weight in model.trainable_weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            return str(weight.path)
    return None


class CheckpointWithinEpoch(keras.callbacks.Callback):
    """Saves a checkpoint every `every` steps."""

    def __init__(self, checkpoints: Checkpoints, progress: Progress, every: int) -> None:
        super().__init__()
        self._checkpoints = checkpoints
        self._progress = progress
        self._every = every
        self._begun_at = progress.step

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes where this epoch's batches are counted from."""
        self._begun_at = self._progress.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves when it is time."""
        step = self._begun_at + batch + 1
        # Not after the last batch: none would be left to resume with, and the epoch is saved anyway.
        if step % self._every == 0 and batch + 1 != self.params["steps"]:
            self._progress.step = step
            # A loss is computed before its update: weights can be spoiled while it is still
            # finite, and they must not replace the last checkpoint that could be continued from.
            check_weights(self.model, self._progress)
            self._checkpoints.save(self.model, self._progress)
            self._progress.step = self._begun_at


class TellProgress(keras.callbacks.Callback):
    """Tells loss, rows per second and the time left of all epochs."""

    def __init__(self, progress: Progress, *, steps: int, epochs: int, batch_size: int) -> None:
        super().__init__()
        self._progress = progress
        self._steps, self._epochs, self._batch_size = steps, epochs, batch_size
        self._line = ProgressLine()
        self._first: tuple[float, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._begun = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tells when it is time."""
        now = time.monotonic()
        done = self._progress.epoch * self._steps + self._progress.step + batch + 1
        if self._first is None:
            self._first = now, done
        if not self._line.is_due:
            return
        rate = (batch + 1) * self._batch_size / (now - self._begun)
        total = self._epochs * self._steps
        first, before = self._first
        status = Status(
            stage=f"epoch {self._progress.epoch + 1}/{self._epochs}",
            rows=(self._progress.step + batch + 1) * self._batch_size,
            rows_per_second=rate,
            share=done / total,
            # Without the first step, which traces; with the evaluations between epochs.
            seconds_left=seconds_left(now - first, (done - before) / max(1, total - before)),
            note=f"loss {(logs or {}).get('loss', float('nan')):.4f}",
        )
        self._line.tell(status)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the live line away."""
        self._line.close()
