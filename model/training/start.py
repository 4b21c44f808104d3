"""How a training begins: its declaration, and the run that it goes on with."""

from __future__ import annotations

from pathlib import Path

from skewless.model.training.records import Records
from skewless.model.training.run_directory import RunDirectory
from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.records.id_meaning import record_differences
from skewless.schemas.records.manifest import SPEC
from skewless.schemas.spec.spec import Spec, load

__all__ = ["declared_spec", "resumed_run"]


def resumed_run(path: Path, spec: Spec | None) -> RunDirectory:
    """Returns the run to go on with.

    Raises:
      UsageError: If there is none, or it was started with another spec than the one given.
    """
    if not (path / SPEC).is_file():
        raise UsageError(f"{path}: there is no run to resume; leave --resume out to start one")
    directory = RunDirectory(path)
    started = directory.spec
    if spec is not None and _with_epochs(spec, started.training.epochs) != started:
        raise UsageError(f"{path}: was started with another spec; leave --spec out to resume it")
    return directory


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
