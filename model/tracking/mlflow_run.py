"""A run in MLflow: its parameters, metrics by epoch, and files.

Of MLflow only its client is used: its fluent interface keeps state in the process, and looks into
the user's git repository.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["MlflowRun"]

# MLflow's own limits of one call.
_MOST_PARAMETERS, _MOST_METRICS = 100, 1000
# A server that is not there is to be missed in seconds; MLflow's default is several minutes. And a
# training tells nobody but the tracker that is asked for. What the user has set holds.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowRun:
    """One run of an experiment."""

    def __init__(self, client: Any, run_id: str) -> None:
        """Takes an `mlflow.MlflowClient` and a run that there is."""
        self.client = client
        self.run_id = run_id
        self._told: set[int] | None = None

    @classmethod
    def of(cls, uri: str, experiment: str, name: str, run_id: str | None) -> MlflowRun:
        """Goes on with a run, or begins one.

        Args:
          uri: MLflow's tracking URI.
          experiment: Where a new run is put; made if it is not there. `MLFLOW_EXPERIMENT_NAME` in
            the environment goes first.
          name: What a new run is called.
          run_id: The run to go on with; one that the server does not know is begun anew.

        Raises:
          MlflowException: If the server or store cannot be used.
        """
        for setting, value in _SETTINGS.items():
            os.environ.setdefault(setting, value)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        client = MlflowClient(tracking_uri=uri)
        if run_id is not None:
            try:
                client.update_run(run_id, status="RUNNING")
                return cls(client, run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", experiment)
        known = client.get_experiment_by_name(experiment)
        place = client.create_experiment(experiment) if known is None else known.experiment_id
        return cls(client, client.create_run(place, run_name=name).info.run_id)

    def log_parameters(self, parameters: Mapping[str, str]) -> None:
        """Tells parameters; those of a resumed run are there already, with the same values."""
        from mlflow.entities import Param

        entries = [Param(key, value) for key, value in parameters.items()]
        for begin in range(0, len(entries), _MOST_PARAMETERS):
            self.client.log_batch(self.run_id, params=entries[begin : begin + _MOST_PARAMETERS])

    def log_epochs(self, history: Sequence[Mapping[str, float]]) -> None:
        """Tells the metrics of epochs, each once however often the run was resumed."""
        if self._told is None:
            known = self.client.get_metric_history(self.run_id, "loss")
            self._told = {metric.step for metric in known}
        for entry in history:
            epoch = int(entry["epoch"])
            if epoch not in self._told:
                figures = {name: value for name, value in entry.items() if name != "epoch"}
                self._log(figures, epoch)
                self._told.add(epoch)

    def log_final(self, figures: Mapping[str, Any]) -> None:
        """Tells metrics of the model that was kept."""
        self._log(figures, 0)

    def log_files(self, paths: Sequence[Path]) -> None:
        """Gives files."""
        for path in paths:
            self.client.log_artifact(self.run_id, str(path))

    def log_text(self, text: str, name: str) -> None:
        """Gives a text as a file."""
        self.client.log_text(self.run_id, text, name)

    def end(self, status: str) -> None:
        """Ends the run: FINISHED or FAILED."""
        self.client.set_terminated(self.run_id, status)

    def _log(self, figures: Mapping[str, Any], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [
            Metric(name.replace("@", "_at_"), float(value), now, step)
            for name, value in figures.items()
            if isinstance(value, int | float) and math.isfinite(value)
        ]
        for begin in range(0, len(entries), _MOST_METRICS):
            self.client.log_batch(self.run_id, metrics=entries[begin : begin + _MOST_METRICS])
