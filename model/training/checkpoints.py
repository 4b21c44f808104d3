"""Checkpoints that a killed run continues from, at the very step it had reached.

A checkpoint is the whole Keras model (weights and optimizer), the states of its dropout seeds,
which Keras does not save, and the place in the input's order. `state.json` is replaced after the
model file it names is complete.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import keras
import numpy as np

from skewless.model.training.run_directory import load_trained, write_json
from skewless.model.training.stopped_run import STATE
from skewless.schemas.errors import UsageError
from skewless.schemas.staged import staged

__all__ = ["Checkpoints", "Progress", "State"]

_BEST = "best.npz"
# Of runs that were stopped before the file was of another kind.
_OLD_BEST = "best.weights.h5"


@dataclass
class Progress:
    """Where training stands.

    Attributes:
      epoch: The epoch under way, from 0.
      step: Batches of it already trained on.
      best_loss: The least eval loss after an epoch, or of another metric that epochs are kept by
        the best, negated where more is better.
      epochs_without_gain: Epochs since then.
      history: One entry for each finished epoch.
      seconds: Training time so far.
      examples: Rows trained on so far.
      cached: Whether the input's order is that of a run with a cache.
    """

    epoch: int = 0
    step: int = 0
    best_loss: float = float("inf")
    epochs_without_gain: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    examples: int = 0
    cached: bool = False


State = TypeVar("State", bound=Progress)


class Checkpoints(Generic[State]):
    """The checkpoints of one run, whose progress is of one kind."""

    def __init__(self, directory: Path, kind: type[State]) -> None:
        self._directory = directory
        self._kind = kind
        directory.mkdir(parents=True, exist_ok=True)

    def save(self, model: keras.Model, progress: State) -> None:
        """Saves the model and where training stands, then drops the checkpoint before."""
        name = f"epoch-{progress.epoch:04d}-step-{progress.step:08d}.keras"
        with staged(self._directory / f"partial-{name}") as temporary:
            model.save(temporary)
            os.replace(temporary, self._directory / name)
        state = {"model": name, "seeds": _seeds(model), **dataclasses.asdict(progress)}
        write_json(self._directory / STATE.name, state)
        for other in self._directory.glob("*.keras"):
            if other.name != name:
                other.unlink()

    def load(self) -> tuple[keras.Model, State] | None:
        """Returns the last checkpoint, or None when the run had not reached one.

        Raises:
          UsageError: If the run was trained in another way, with --follow or without.
        """
        path = self._directory / STATE.name
        if not path.is_file():
            return None
        state = json.loads(path.read_text(encoding="utf-8"))
        saved, seeds = state.pop("model"), state.pop("seeds")
        if state.keys() != {entry.name for entry in dataclasses.fields(self._kind)}:
            raise UsageError(
                f"{self._directory.parent}: was not trained in this way (train RECORDS, or train "
                "--follow DIR); resume it as it was started"
            )
        model = load_trained(self._directory / saved)
        for variable, seed in zip(_seed_variables(model), seeds, strict=True):
            variable.assign(seed)
        return model, self._kind(**state)

    def save_best(self, model: keras.Model) -> None:
        """Keeps the weights of the best epoch so far."""
        with staged(self._directory / f"partial.{_BEST}") as temporary:
            # Not by `save_weights`: closing an HDF5 file on a full disk may end the process.
            np.savez(temporary, *model.get_weights())
            os.replace(temporary, self._directory / _BEST)

    def load_best(self, model: keras.Model) -> None:
        """Puts the best epoch's weights into `model`, if any epoch was kept."""
        path = self._directory / _BEST
        if path.is_file():
            with np.load(path) as best:
                model.set_weights(list(best.values()))
        elif (self._directory / _OLD_BEST).is_file():
            model.load_weights(self._directory / _OLD_BEST)


def _seed_variables(model: keras.Model) -> list[keras.Variable]:
    variables = model.non_trainable_variables
    return [variable for variable in variables if variable.path.endswith("seed_generator_state")]


def _seeds(model: keras.Model) -> list[list[int]]:
    return [keras.ops.convert_to_numpy(seed).tolist() for seed in _seed_variables(model)]
