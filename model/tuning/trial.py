"""One trial: a run that is given up as soon as it is worse than others were at its epoch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from skewless.model.training.checkpoints import Progress
from skewless.model.training.epoch.kept import kept_epoch
from skewless.model.training.epochs import Epochs
from skewless.model.training.records import Records
from skewless.model.training.start import Start, begun, resumed, run_to_resume
from skewless.schemas.errors import UsageError, nearest
from skewless.schemas.records.layout import SPEC
from skewless.schemas.spec.spec import Spec

if TYPE_CHECKING:
    import optuna

__all__ = ["OutOfTime", "Pruned", "Trials"]

# What Keras calls the accuracy of tokens while it trains.
_WHILE_TRAINING = {"token_accuracy": "accuracy", "log_loss": "loss"}


class Pruned(Exception):  # noqa: N818
    """A trial was given up: at its epoch the median of those before was better."""


class OutOfTime(Exception):  # noqa: N818
    """The time ended within a trial, whose run stays where it is."""


@dataclass(frozen=True)
class Trials:
    """How trials are run.

    Attributes:
      records: What they are trained on.
      folder: Where their runs lie while they are under way.
      metric: Of eval, in `metrics.json`.
      factor: What the metric is multiplied with where it is an error (`own_unit.error_units`).
      cache: As `train` takes it.
      time_is_over: Whether a trial is to be left where it is; asked after each epoch.
    """

    records: Records
    folder: Path
    metric: str
    factor: float
    cache: str | None
    time_is_over: Callable[[], bool]

    def score(self, trial: optuna.trial.Trial, spec: Spec) -> float:
        """Trains until the end, and takes the run away.

        Returns:
          The eval metric of the epoch that was kept.

        Raises:
          Pruned: If the trial is not worth going on with.
          OutOfTime: If the time is over before the trial is.
          SpecError: If the model cannot be built.
          TrainingError: If the loss or a weight is no longer finite.
        """
        path = self.folder / f"{trial.number:04d}"
        loop, progress = self._training(path, spec)
        told = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        while True:
            for epoch in range(1, len(progress.history) + 1):
                if epoch not in told:
                    trial.report(self._kept(progress.history[:epoch], spec.training.best_by), epoch)
                    told.add(epoch)
            going_on = loop.go_on()
            if going_on and progress.history and trial.should_prune():
                shutil.rmtree(path)
                raise Pruned(f"given up after epoch {progress.epoch}")
            if going_on and progress.history and self.time_is_over():
                raise OutOfTime
            if not going_on:
                break
            loop.train_one()
        shutil.rmtree(path)
        return self._kept(progress.history, spec.training.best_by)

    def _training(self, path: Path, spec: Spec) -> tuple[Epochs, Progress]:
        # A fresh state for each trial: what it gives must not depend on those before it.
        keras.utils.clear_session()
        progress = Progress(cached=self.cache is not None)
        if (path / SPEC).is_file():
            training = resumed(run_to_resume(path, Start()), self.records, progress)
        else:
            training = begun(path, self.records, Start(spec), progress)
        loop = Epochs(
            training,
            epochs=spec.training.epochs,
            cache=self.cache,
            checkpoint_steps=1_000_000,
        )
        return loop, training.progress

    def _kept(self, history: list[dict[str, Any]], best_by: str) -> float:
        kept = history[kept_epoch(history, best_by)]
        name = f"val_{_WHILE_TRAINING.get(self.metric, self.metric)}"
        if name not in kept:
            names = sorted(key[4:] for key in kept if key.startswith("val_"))
            raise UsageError(
                f"--metric {self.metric}: is not measured while training; expected one of "
                f"{', '.join(names)}{nearest(self.metric, names)}"
            )
        return float(kept[name]) * self.factor
