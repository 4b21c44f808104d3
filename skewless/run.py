"""Training runs from Python."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.forked import refuse_forked
from skewless.records import Records, declared, directory_of
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.leaving import leaving

if TYPE_CHECKING:
    import keras

    from skewless.model.training.run_directory import RunDirectory

__all__ = ["Run", "open_run", "train"]


def train(
    records: Records | str | Path,
    output: str | Path,
    *,
    spec: Spec | dict[str, Any] | str | Path | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    warm_start: str | Path | None = None,
    track: str | None = None,
) -> Run:
    """Trains the declared model, as `skewless train` does.

    Args:
      records: What `preprocess` gave, or its directory.
      output: The run directory, a path or a URI.
      spec: Another `model` and `training` than the records' spec has.
      epochs: Instead of `training.epochs`.
      minutes: No epoch begins that would end later; one is trained in any case.
      resume: Goes on with a stopped run.
      overwrite: Replaces a run.
      warm_start: A finished run whose weights training begins with.
      track: `mlflow:URI`, to tell MLflow of parameters, metrics and files.

    Raises:
      DatasetMismatchError: If the records are incomplete, or of another spec.
      TrainingError: If the loss or a weight is no longer finite.
      UsageError: If there is a run at `output` and neither `resume` nor `overwrite` is set.

    Example:
      run = sk.train(records, "run", epochs=3)
    """
    from skewless.model.train import train as job

    refuse_forked()
    with leaving(output, overwrite=overwrite, resumable=True) as path:
        job(
            records.path if isinstance(records, Records) else records,
            path,
            spec=None if spec is None else declared(spec),
            epochs=epochs,
            minutes=minutes,
            resume=resume,
            overwrite=overwrite,
            warm_start=None if warm_start is None else fetched(warm_start),
            track=track,
        )
    return open_run(output)


def open_run(directory: str | Path) -> Run:
    """Opens a finished run.

    Raises:
      UsageError: If there is none.
    """
    from skewless.model.training.run_directory import RunDirectory

    return Run(RunDirectory.open(fetched(directory)))


class Run:
    """A finished run.

    Attributes:
      path: The run directory.
      metrics: What `metrics.json` holds: `eval` and `test` metrics, `history`, `seconds`.
    """

    def __init__(self, directory: RunDirectory) -> None:
        from skewless.schemas.records.layout import METRICS

        self._directory = directory
        self.path = directory.path
        self.metrics: dict[str, Any] = json.loads(
            (directory.path / METRICS).read_text(encoding="utf-8")
        )

    @property
    def spec(self) -> Spec:
        """The spec that was trained with."""
        return self._directory.spec

    @property
    def model(self) -> keras.Model:
        """The trained Keras model, from a dict of record entries to predictions."""
        from skewless.model.training.run_directory import load_trained
        from skewless.schemas.records.layout import MODEL

        return load_trained(self.path / MODEL)

    def evaluate(
        self,
        split: str = "eval",
        *,
        slices: Sequence[str] = (),
        importance: bool = False,
        records: Records | str | Path | None = None,
    ) -> dict[str, Any]:
        """Returns metrics on a split, as `skewless evaluate` does.

        Args:
          split: The split.
          slices: Raw columns by whose values to evaluate too.
          importance: Whether to find which features the model leans on, by permutation.
          records: Other records of the same transform than those trained on.

        Returns:
          {"split", "metrics", "confidence": {metric: [low, high]}, "curves", "slices"}, and
          "importance" where it is asked for.

        Raises:
          UsageError: If a slice's column is not known.
          DatasetMismatchError: If the records are of another transform, or the split is empty.
        """
        from skewless.model.evaluate import evaluate

        refuse_forked()
        if records is None:
            records = self._directory.records_directory
        return evaluate(self.path, directory_of(records), split, slices, importance=importance)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self._figures('eval') or self._figures('test')})"

    def _repr_html_(self) -> str:
        """Returns the metrics as a table, and the report's charts, for notebooks."""
        from skewless.model.metrics.names import flat_metrics
        from skewless.notebook import run_charts

        splits = [split for split in ("eval", "test") if self.metrics.get(split)]
        found = {split: flat_metrics(self.metrics[split]) for split in splits}
        names = list(dict.fromkeys(name for split in splits for name in found[split]))
        head = "".join(f"<th>{split}</th>" for split in splits)
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td>"
            + "".join(f"<td>{_figure(found[split].get(name))}</td>" for split in splits)
            + "</tr>"
            for name in names
        )
        return (
            f"<p><b>{html.escape(str(self.path))}</b></p>"
            f"<table><tr><th>metric</th>{head}</tr>{rows}</table>{run_charts(self.path)}"
        )

    def _figures(self, split: str) -> str:
        from skewless.model.metrics.names import flat_metrics

        found = flat_metrics(self.metrics.get(split) or {})
        return ", ".join(f"{split} {name} {_figure(value)}" for name, value in found.items())


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
