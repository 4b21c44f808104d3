"""What a training tells a tracker, and that a tracker which fails takes no training with it.

RUN/tracking.json   the tracker's own ID of this run, for --resume and export
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from skewless.model.metrics.names import flat_metrics
from skewless.model.report.card.markdown import card_of
from skewless.model.training.run_directory import RunDirectory, write_json
from skewless.schemas.errors import UsageError
from skewless.schemas.records.layout import CARD, MANIFEST, METRICS, MODEL, SPEC, STATISTICS

if TYPE_CHECKING:
    from pathlib import Path

    from skewless.model.tracking.mlflow_run import MlflowRun

__all__ = ["TRACKED", "Tracking", "checked_tracker", "track_exported"]

# Beside a run's files: which run it is to the tracker.
TRACKED = "tracking.json"
_LOGGER = logging.getLogger(__name__)
_TRACKER = re.compile(r"mlflow:(?P<uri>.+)")


def checked_tracker(text: str | None) -> str | None:
    """Returns the URI of the MLflow server or store that `--track` names; None for none.

    Raises:
      UsageError: If it names none, or MLflow is not installed.
    """
    if text is None:
        return None
    named = _TRACKER.fullmatch(text)
    if named is None:
        raise UsageError(
            f"--track {_hidden(text)}: expected mlflow:URI, such as mlflow:http://localhost:5000 or "
            "mlflow:sqlite:///mlflow.db"
        )
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("--track needs mlflow; install it with: pip install 'skewless[mlflow]'")
    return named["uri"]


class Tracking:
    """What is told of one training; nothing where there is no tracker, or once it has failed."""

    def __init__(self, uri: str | None) -> None:
        """Takes the URI that `checked_tracker` gives. Nothing is reached yet."""
        self._uri = uri
        self._tracked: MlflowRun | None = None

    def begin(self, run: RunDirectory, rows: Mapping[str, int]) -> None:
        """Begins a run there, or goes on with the one that was begun."""
        if self._uri is not None:
            uri = self._uri
            self._tried(lambda: self._begin(uri, run, rows))

    def epochs(self, history: Sequence[Mapping[str, float]]) -> None:
        """Tells the epochs of a history that were not told before."""
        if self._tracked is not None:
            self._tried(partial(self._tracked.log_epochs, history))

    def finish(self, run: RunDirectory, metrics: Mapping[str, Any]) -> None:
        """Tells the metrics of a finished run, and gives its files."""
        if self._tracked is None:
            return
        tracked = self._tracked

        def tell() -> None:
            tracked.log_final(
                {f"{split}/{name}": value for split in ("eval", "test")
                 for name, value in flat_metrics(metrics.get(split, {})).items()}
            )  # fmt: skip
            files = (run.path / name for name in (METRICS, SPEC, MANIFEST, STATISTICS, MODEL))
            tracked.log_files([path for path in files if path.is_file()])
            tracked.log_text(card_of(run.path), CARD)

        self._tried(tell)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tracked is not None:
            status = "FINISHED" if kind is None else "FAILED"
            self._tried(partial(self._tracked.end, status))

    def _begin(self, uri: str, run: RunDirectory, rows: Mapping[str, int]) -> None:
        from skewless.model.tracking.mlflow_run import MlflowRun

        tracked = MlflowRun.of(uri, run.spec.name, run.path.name, tracked_id(run.path))
        write_json(run.path / TRACKED, {"mlflow_run": tracked.run_id})
        tracked.log_parameters(_parameters(run, rows))
        self._tracked = tracked

    def _tried(self, tell: Callable[[], None]) -> None:
        """Tells, or says in one line that the tracker fails and is left alone from then on."""
        assert self._uri is not None
        try:
            tell()
        except Exception as error:  # Whatever a tracker's client, its network or its store raises.
            self._tracked = None
            _LOGGER.warning(
                "%s; training goes on and is no longer tracked", _failed(self._uri, error)
            )


def track_exported(uri: str, run: RunDirectory, exported: Path) -> None:
    """Gives an exported model, with its signature, to the tracker's run; warns where it fails.

    Args:
      uri: As `checked_tracker` gives it.
      run: The run that the model was exported from; one that was not tracked is tracked now.
      exported: The SavedModel.
    """
    from skewless.model.tracking.mlflow_model import log_exported
    from skewless.model.tracking.mlflow_run import MlflowRun

    try:
        tracked = MlflowRun.of(uri, run.spec.name, run.path.name, tracked_id(run.path))
        log_exported(tracked, exported)
        tracked.end("FINISHED")
        write_json(run.path / TRACKED, {"mlflow_run": tracked.run_id})
    except Exception as error:  # Whatever a tracker's client, its network or its store raises.
        _LOGGER.warning("%s; the model is exported and not tracked", _failed(uri, error))


def tracked_id(run: Path) -> str | None:
    """Returns the tracker's ID of a run; None where it has none."""
    path = run / TRACKED
    if not path.is_file():
        return None
    return str(json.loads(path.read_text(encoding="utf-8"))["mlflow_run"])


def _parameters(run: RunDirectory, rows: Mapping[str, int]) -> dict[str, str]:
    """Returns what may differ between runs, by the keys of the spec; and what was trained on."""
    spec = run.spec
    found = {f"records.rows.{split}": str(count) for split, count in rows.items()}
    found["records.transform_sha256"] = run.manifest.transform_sha256
    for section in ("model", "training"):
        found |= _flat(section, getattr(spec, section).model_dump(mode="json"))
    return found


def _flat(path: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {
            key: text
            for name, part in value.items()
            for key, text in _flat(f"{path}.{name}", part).items()
        }
    return {re.sub(r"[^\w\-. :/]", "_", path): json.dumps(value) if value is not None else "null"}


def _failed(uri: str, error: Exception) -> str:
    """Returns one line on a tracker that fails; what a URI holds of passwords is left out."""
    said = str(error).replace(uri, _hidden(uri)).strip() or type(error).__name__
    return f"--track: {_hidden(uri)} cannot be used: {said.splitlines()[0][:300]}"


def _hidden(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)
