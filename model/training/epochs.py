"""The epochs of a training: each is one `fit`, and one more entry of its history."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

import keras

from skewless.model.training.callbacks import (
    CheckpointWithinEpoch,
    StopOnNonFinite,
    TellProgress,
    check_weights,
)
from skewless.model.training.checkpoints import Progress
from skewless.model.training.epoch.averaged import averaged, averaging
from skewless.model.training.epoch.class_weights import (
    balanced_weights,
    labels_of_classes,
    weighted_rows,
)
from skewless.model.training.epoch.kept import watched
from skewless.model.training.own_unit import epoch_line
from skewless.model.training.start import Training
from skewless.schemas.errors import TrainingError

__all__ = ["Epochs"]

_LOGGER = logging.getLogger(__name__)


class Epochs:
    """The epochs of one training, counted by its progress."""

    def __init__(
        self,
        training: Training[Progress],
        *,
        epochs: int,
        minutes: float | None = None,
        cache: str | None,
        checkpoint_steps: int,
    ) -> None:
        """Takes up a training where it stands.

        Args:
          training: What is trained, and on what.
          epochs: How many there are to be, those already done too.
          minutes: No epoch but the first begins that would end later, those before counted too.
          cache: `memory` or a file's path, to keep serialized records in after the first epoch.
          checkpoint_steps: Steps between checkpoints within an epoch.
        """
        self._training = training
        self._records = records = training.records
        self._epochs = epochs
        self._seconds = math.inf if minutes is None else 60 * minutes
        self._declared = training.run.spec.training
        self._cached = None if cache is None else records.cached(cache)
        self._checkpoint_steps = checkpoint_steps
        self._class_weights = {}
        if self._declared.class_weights is not None:
            self._class_weights = balanced_weights(records, labels_of_classes(training.run.spec))
        self._told = epoch_line(training.run.spec, records)
        # One for all epochs: the time left is of them all.
        self._telling = TellProgress(
            training.progress,
            steps=records.steps("train", self._declared.batch_size),
            epochs=epochs,
            batch_size=self._declared.batch_size,
        )
        self._tensorboard = keras.callbacks.TensorBoard(str(training.run.path / "logs"))

    def go_on(self) -> bool:
        """Whether there is an epoch to train.

        Decided from the checkpoint and --minutes alone, so that a run killed after it had stopped stays stopped.
        """
        progress, patience = self._training.progress, self._declared.early_stopping
        if progress.epoch >= self._epochs:
            return False
        if patience is not None and progress.epochs_without_gain >= patience:
            _LOGGER.info(
                "stopped early: no better %s in %d epochs", self._declared.best_by, patience
            )
            return False
        if progress.epoch and progress.seconds * (1 + 1 / progress.epoch) > self._seconds:
            _LOGGER.info("stopped: another epoch would end after --minutes")
            return False
        return True

    def train_one(self) -> None:
        """Trains an epoch, or what is left of it, and saves a checkpoint.

        Raises:
          TrainingError: If the loss, the eval loss or a weight is no longer finite.
        """
        progress, begun = self._training.progress, time.monotonic()
        fitted = self._fit()
        check_weights(self._training.model, progress)
        progress.seconds += time.monotonic() - begun
        trained = progress.step * self._declared.batch_size
        progress.examples += self._records.trained_rows - trained
        entry = {name: float(values[-1]) for name, values in fitted.history.items()}
        progress.history.append({"epoch": progress.epoch + 1, **entry})
        _LOGGER.info(
            "epoch %d/%d  %s",
            progress.epoch + 1,
            self._epochs,
            self._told(entry),
        )
        progress.epoch, progress.step = progress.epoch + 1, 0
        self._keep_best(entry)
        self._training.checkpoints.save(self._training.model, progress)

    def _fit(self) -> keras.callbacks.History:
        progress, size = self._training.progress, self._declared.batch_size
        batches = self._records.training(
            batch_size=size,
            seed=self._declared.seed,
            epoch=progress.epoch,
            skip=progress.step,
            cached=self._cached,
        )
        if self._class_weights:
            batches = weighted_rows(batches, self._class_weights)
        held_out = (
            self._records.in_order("eval", batch_size=size) if self._records.rows("eval") else None
        )
        return self._training.model.fit(
            batches,
            initial_epoch=progress.epoch,
            epochs=progress.epoch + 1,
            validation_data=held_out,
            callbacks=[
                *averaging(self._training.model),
                StopOnNonFinite(progress),
                self._telling,
                CheckpointWithinEpoch(self._training.checkpoints, progress, self._checkpoint_steps),
                self._tensorboard,
            ],
            verbose=0,
            shuffle=False,  # The batches are; Keras warns that it leaves them alone.
        )

    def _keep_best(self, entry: Mapping[str, float]) -> None:
        """Keeps the weights if what is watched is the best so far."""
        progress = self._training.progress
        loss = entry.get("val_loss", entry["loss"])
        if not math.isfinite(loss):
            raise TrainingError(
                f"the eval loss is {loss} after epoch {progress.epoch}, though the training loss "
                "is finite; look for extreme numbers in eval, or set `clip` on numeric features"
            )
        figure = watched(entry, self._declared.best_by)
        if figure < progress.best_loss:
            progress.best_loss, progress.epochs_without_gain = figure, 0
            with averaged(self._training.model):
                self._training.checkpoints.save_best(self._training.model)
        else:
            progress.epochs_without_gain += 1
