"""How a training begins: its declaration, and the run that it makes or goes on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import keras

from skewless.model.retrieval.fed import fed
from skewless.model.training.checkpoints import Checkpoints, State
from skewless.model.training.compiled import strategy
from skewless.model.training.epoch.negatives import thinned
from skewless.model.training.records import Records
from skewless.model.training.run_directory import RunDirectory
from skewless.model.training.warm_start import initial_model
from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.records.id_meaning import record_differences
from skewless.schemas.records.layout import SPEC
from skewless.schemas.spec.spec import Spec, load

__all__ = ["Start", "Training", "begun", "declared_spec", "resumed", "run_to_resume"]


@dataclass(frozen=True)
class Start:
    """How a training is asked to begin.

    Attributes:
      spec: Other `model` and `training` sections than those of the records' spec.
      epochs: Instead of `training.epochs`.
      warm_start: A finished run whose weights training begins with.
      overwrite: Replaces a run.
    """

    spec: Spec | None = None
    epochs: int | None = None
    warm_start: str | Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Training(Generic[State]):
    """A training that can go on.

    Attributes:
      run: Its directory.
      model: With the weights of where it stands.
      records: What it is trained on, as the model takes it; of one that does not end, as they are.
      progress: Where it stands.
      checkpoints: What it would be resumed from.
    """

    run: RunDirectory
    model: keras.Model
    records: Records
    progress: State
    checkpoints: Checkpoints[State]


def begun(
    output: Path, records: Records, start: Start, progress: State, *, ends: bool = True
) -> Training[State]:
    """Makes a run.

    Args:
      output: Where.
      records: What is trained on, at first.
      start: How.
      progress: Where it stands then.
      ends: Whether all steps are known beforehand, for a schedule, and for XLA where it is worth
        its compiling.

    Raises:
      UsageError: If there is a run and it is not to be replaced, or what another run learned
        cannot be carried over.
      DatasetMismatchError: If the spec shapes records otherwise, or IDs mean other things to the
        run that training begins with.
    """
    spec = _with_epochs(declared_spec(records, start.spec), start.epochs)
    if ends:
        records = thinned(spec, records)
    # Before the run is made, so that a refusal leaves what is at the output as it is.
    model = initial_model(spec, records, start.warm_start, ends=ends)
    warm_start = None if start.warm_start is None else Path(start.warm_start)
    run = RunDirectory.create(
        output, records, spec, overwrite=start.overwrite, warm_start=warm_start
    )
    if ends:
        records = fed(spec, records, run.path)
    return Training(run, model, records, progress, Checkpoints(run.checkpoints, type(progress)))


def run_to_resume(path: Path, start: Start) -> RunDirectory:
    """Returns the run to go on with.

    Raises:
      UsageError: If there is none, or it was started with another spec than the one given, or it
        is to begin with what another learned.
    """
    if start.warm_start is not None:
        raise UsageError("--warm-start: begins a run; leave it out to resume one")
    if not (path / SPEC).is_file():
        raise UsageError(f"{path}: there is no run to resume; leave --resume out to start one")
    run = RunDirectory(path)
    started = run.spec
    if start.spec is not None and _with_epochs(start.spec, started.training.epochs) != started:
        raise UsageError(f"{path}: was started with another spec; leave --spec out to resume it")
    return run


def resumed(
    run: RunDirectory, records: Records, progress: State, *, ends: bool = True
) -> Training[State]:
    """Goes on with a run, from its last checkpoint.

    Args:
      run: The run.
      records: What it is trained on.
      progress: Where it stands if it was killed before its first checkpoint.
      ends: Whether all steps are known beforehand, for a schedule, and for XLA where it is worth
        its compiling.

    Raises:
      UsageError: If the run was trained in another way.
    """
    if ends:
        records = fed(run.spec, thinned(run.spec, records), run.path)
    checkpoints = Checkpoints(run.checkpoints, type(progress))
    with strategy().scope():
        restored = checkpoints.load()
    if restored is None:
        model = initial_model(run.spec, records, run.warm_start, ends=ends)
        return Training(run, model, records, progress, checkpoints)
    model, progress = restored
    return Training(run, model, records, progress, checkpoints)


def declared_spec(records: Records, spec: Spec | None) -> Spec:
    """Returns the spec to train with: the one given, else the records' own.

    Raises:
      DatasetMismatchError: If the one given shapes records otherwise.
    """
    own = load(records.root / SPEC)
    if spec is None:
        return own
    differences = record_differences(own, spec)
    if differences:
        raise DatasetMismatchError(
            f"{records.directory}: was preprocessed with another spec ({'; '.join(differences[:3])}); "
            "only embeddings, encoders and the model and training sections may differ. Preprocess "
            "again with this spec"
        )
    return spec


def _with_epochs(spec: Spec, epochs: int | None) -> Spec:
    if epochs is None:
        return spec
    training = spec.training.model_copy(update={"epochs": epochs})
    return spec.model_copy(update={"training": training})
