"""What a tracker is told of a training: a real MLflow store in SQLite, and one that is not there."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from skewless.model.export import export
from skewless.model.exported.served_model import ServedModel
from skewless.model.tracking.mlflow_run import MlflowRun
from skewless.model.tracking.tracking import Tracking, checked_tracker
from skewless.model.train import train
from skewless.model.training.run_directory import RunDirectory
from skewless.schemas.errors import UsageError
from tests.conftest import DataSet


@pytest.mark.slow
def test_mlflow_holds_a_training_and_its_exported_model(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # Where MLflow puts files, unless its store says where.
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    metrics = train(shop.directory, tmp_path / "run", track=f"mlflow:{uri}")
    client = mlflow.MlflowClient(tracking_uri=uri)
    place = client.get_experiment_by_name("shop")
    assert place is not None
    (run,) = client.search_runs([place.experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    expected = {"training.batch_size": "64", "model.hidden": "[16]", "records.rows.eval": None}
    assert {key: run.data.params[key] for key in expected} == {
        **expected,
        "records.rows.eval": str(metrics["eval"]["rows"]),
    }
    told = client.get_metric_history(run.info.run_id, "val_loss")
    assert [(entry.step, entry.value) for entry in told] == [
        (entry["epoch"], pytest.approx(entry["val_loss"])) for entry in metrics["history"]
    ]
    assert run.data.metrics["test/auc"] == pytest.approx(metrics["test"]["auc"])
    # A run that is gone on with tells no epoch twice.
    again = MlflowRun.of(uri, "shop", "other", run.info.run_id)
    more = {**metrics["history"][-1], "epoch": 3}
    again.log_epochs([*metrics["history"], more])
    assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == [1, 2, 3]

    export(tmp_path / "run", tmp_path / "served", check=False, track=f"mlflow:{uri}")
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"metrics.json", "spec.yaml", "model.keras", "model-card.md", "model"} <= files
    mlflow.set_tracking_uri(uri)
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    kinds = {entry.name: str(entry.type) for entry in loaded.metadata.get_input_schema()}
    assert kinds["text"] == "DataType.string"
    assert kinds["age"] == "DataType.float"
    assert "rating" not in kinds
    frame = pd.DataFrame({"text": ["A great thing", "bad"], "user": ["u1", None]})
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    served = ServedModel.open(tmp_path / "served").predict(rows)
    np.testing.assert_array_equal(loaded.predict(frame)["predictions"], served["predictions"])


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://name:secret@127.0.0.1:1", "http://127.0.0.1:1 cannot be used: "),
        ("nothing:///there", "nothing:///there cannot be used: "),
    ],
)
def test_a_tracker_that_cannot_be_reached_costs_one_line(
    uri: str, told: str, shop_run: Path, tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    shutil.copytree(shop_run, tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    metrics = json.loads((run.path / "metrics.json").read_text())
    with caplog.at_level(logging.WARNING, "skewless"), Tracking(uri) as tracking:
        tracking.begin(run, {"train": 5})
        tracking.epochs(metrics["history"])
        tracking.finish(run, metrics)
    (line,) = [entry.getMessage() for entry in caplog.records if "skewless" in entry.name]
    assert line.startswith(f"--track: {told}")
    assert line.endswith("; training goes on and is no longer tracked")
    assert "\n" not in line
    assert "secret" not in line


def test_only_mlflow_is_known() -> None:
    assert checked_tracker("mlflow:http://localhost:5000") == "http://localhost:5000"
    with pytest.raises(UsageError, match=r"--track wandb:x: expected mlflow:URI, such as"):
        checked_tracker("wandb:x")
