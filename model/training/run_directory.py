"""The directory of a training run: all that resuming, evaluating and exporting need.

RUN/spec.yaml       the spec trained with
RUN/manifest.json   of the records trained on;  RUN/records.json  where they were, and the run
                    whose weights training began with
RUN/transform/      a copy of their transform graph
RUN/statistics.json a copy of their statistics
RUN/checkpoints/    what a killed run continues from
RUN/logs/           TensorBoard
RUN/model.keras     the best weights
RUN/metrics.json    written last; without it the run is not finished
"""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.model.training.records import Records
from skewless.model.training.stopped_run import STATE
from skewless.schemas.errors import DataError, DatasetMismatchError, UsageError
from skewless.schemas.records.layout import (
    MANIFEST,
    METRICS,
    SOURCE,
    SPEC,
    STATISTICS,
    TRANSFORM,
)
from skewless.schemas.records.manifest import Manifest, load_manifest
from skewless.schemas.records.transform_digest import same_transform
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.staged import check_place, put_back, put_in_place, staging_beside, write_whole
from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.known_as import origin_of

if TYPE_CHECKING:
    import keras

__all__ = ["RunDirectory", "load_trained", "write_json"]


@dataclass(frozen=True)
class RunDirectory:
    """A run on disk."""

    path: Path

    @classmethod
    def create(
        cls,
        path: Path,
        records: Records,
        spec: Spec,
        *,
        overwrite: bool,
        warm_start: Path | None = None,
    ) -> RunDirectory:
        """Makes a new run, which appears with all its parts or not at all.

        Args:
          path: Where.
          records: What is trained on.
          spec: What is trained.
          overwrite: Replaces a run.
          warm_start: The run whose weights training begins with.

        Raises:
          UsageError: If there is a run already, finished or not, and it is not to be replaced;
            or what is there is no run, or holds the records or the run to begin with.
        """
        kept = [records.directory, *([warm_start] if warm_start is not None else ())]
        check_place(path, graph=True)
        _check_place(path, kept, overwrite=overwrite)
        path = path.absolute()
        with staging_beside(path) as staging:
            shutil.copytree(records.root / TRANSFORM, staging / TRANSFORM)
            (staging / MANIFEST).write_text(records.manifest.to_json(), encoding="utf-8")
            if (records.directory / STATISTICS).is_file():
                shutil.copy2(records.directory / STATISTICS, staging / STATISTICS)
            (staging / SPEC).write_text(spec.to_yaml(), encoding="utf-8")
            source = {
                "directory": _lasting(records.directory),
                "warm_start": None if warm_start is None else _lasting(warm_start),
            }
            write_json(staging / SOURCE, source)
            put_in_place(staging, path, replace=overwrite)
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Opens a finished run.

        Raises:
          UsageError: If there is none.
        """
        root = Path(path)
        if not (root / METRICS).is_file():
            raise UsageError(
                f"{root}: is not a finished run (it has no {METRICS}); "
                "run `skewless train RECORDS --output RUN`, with --resume if it was stopped"
            )
        return cls(root)

    @property
    def spec(self) -> Spec:
        """The spec the run was trained with."""
        return load(self.path / SPEC)

    @property
    def manifest(self) -> Manifest:
        """The manifest of the records trained on."""
        return load_manifest(self.path)

    @property
    def records_directory(self) -> Path:
        """Where the records were when training started."""
        return fetched(self._source()["directory"])

    @property
    def warm_start(self) -> Path | None:
        """The run whose weights training began with."""
        started = self._source().get("warm_start")
        return None if started is None else fetched(started)

    @property
    def finished(self) -> bool:
        """Whether its metrics are there, which are written last."""
        return (self.path / METRICS).is_file()

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / STATE.parent

    def _source(self) -> dict[str, Any]:
        source: dict[str, Any] = json.loads((self.path / SOURCE).read_text(encoding="utf-8"))
        return source

    def set_records(self, directory: Path) -> None:
        """Says that records of this run are in another place now."""
        write_json(self.path / SOURCE, {**self._source(), "directory": _lasting(directory)})

    def check_records(self, records: Records) -> None:
        """Refuses records that came from another transform.

        Raises:
          DatasetMismatchError: If they did.
        """
        if not same_transform(
            records.manifest.transform_sha256,
            records.root / TRANSFORM,
            self.manifest.transform_sha256,
            self.path / TRANSFORM,
        ):
            raise DatasetMismatchError(
                f"{records.directory}: came from another transform than the run {self.path} was "
                "trained on; its IDs mean other things. Use the records of this run, or preprocess "
                f"with --transform {self.path / TRANSFORM}"
            )


def _lasting(directory: Path) -> str:
    """Returns where a directory is found later: of a local copy its URI."""
    return origin_of(directory) or str(directory.resolve())


def _check_place(path: Path, kept: list[Path], *, overwrite: bool) -> None:
    put_back(path)
    if path.exists() and not path.is_dir():
        raise UsageError(
            f"{path}: expected a directory or nothing, got a file; choose another path"
        )
    if not path.exists() or not any(path.iterdir()):
        return
    if not (path / SOURCE).is_file():
        raise UsageError(
            f"{path}: is not empty and has no {SOURCE}, so it is no run and not ours to replace; "
            "empty it or choose another directory"
        )
    for directory in kept:
        if directory.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"{path}: is, or holds, {directory}; choose another directory")
    if not overwrite:
        finished = (path / METRICS).is_file()
        raise UsageError(
            f"{path}: holds a {'finished' if finished else 'stopped'} run; "
            + ("" if finished else "add --resume to continue it, or ")
            + "add --overwrite to replace it"
        )


def load_trained(path: str | Path) -> keras.Model:
    """Returns a model that training saved.

    A file of Keras may hold Python code (Lambda layers); here none is run, unless the process has
    called `keras.config.enable_unsafe_deserialization` itself.

    Raises:
      DataError: If it is no such file, or holds code.
    """
    import keras

    # Keras knows what a model may hold of ours once that is imported, whatever command this is.
    import skewless.model.network.body.ensemble
    import skewless.model.network.body.losses
    import skewless.model.network.body.ranking_losses
    import skewless.model.network.body.recalibrated
    import skewless.model.network.in_batch_softmax
    import skewless.model.network.layers
    import skewless.model.network.two_tower
    import skewless.model.training.epoch.lazy_adam  # noqa: F401

    try:
        with warnings.catch_warnings():
            # It was trained by XLA, and cuts padding from here on (`layers.CutPadding`).
            warnings.filterwarnings("ignore", "Model doesn't support `jit_compile=True`")
            return keras.saving.load_model(path, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: expected a model that `skewless train` saved, got: {error}; train again"
        ) from error


def write_json(path: Path, document: Any) -> None:
    """Writes JSON that appears whole or not at all."""
    write_whole(path, json.dumps(document, indent=2) + "\n")
