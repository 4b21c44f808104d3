"""Callbacks of training: guards, progress and checkpoints within an epoch."""

from __future__ import annotations

import logging
import math
import sys
import time
from typing import Any

import keras
import numpy as np

from model.checkpoints import Checkpoints, Progress
from schemas.errors import TrainingError

__all__ = ["CheckpointWithinEpoch", "ProgressLine", "StopOnNonFinite", "check_weights"]

_LOGGER = logging.getLogger(__name__)
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


class ProgressLine(keras.callbacks.Callback):
    """Tells loss, rows per second and the time left: one live line on a terminal, else plain lines."""

    def __init__(self, progress: Progress, *, steps: int, epochs: int, batch_size: int) -> None:
        super().__init__()
        self._progress = progress
        self._steps, self._epochs, self._batch_size = steps, epochs, batch_size
        self._live = sys.stderr.isatty() and _LOGGER.isEnabledFor(logging.INFO)
        self._last = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._begun = self._last = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes a line, at most each half second on a terminal and each 10 s elsewhere."""
        now = time.monotonic()
        if now - self._last < (0.5 if self._live else 10.0):
            return
        self._last = now
        rate = (batch + 1) * self._batch_size / (now - self._begun)
        step = self._progress.step + batch + 1
        left = (self._steps - step) * self._batch_size / rate
        line = (
            f"epoch {self._progress.epoch + 1}/{self._epochs}  step {step}/{self._steps}  "
            f"loss {(logs or {}).get('loss', float('nan')):.4f}  {rate:,.0f} rows/s  {left:.0f} s left"
        )
        if self._live:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            _LOGGER.info(line)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Clears the live line."""
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
