"""Records, a run and a model that were made before modules had their present places.

`data/before_the_house.tar.xz` was written by version 0.1.0 at commit 633dbe8, on sixty generated rows.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

import skewless as sk
from skewless.beam_pipelines.inspect_records import records_in_words
from skewless.model.train import train
from skewless.model.verify import verify

ARCHIVE = Path(__file__).parent / "data" / "before_the_house.tar.xz"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_earlier_records_are_read_and_trained_on(earlier: Path, tmp_path: Path) -> None:
    records = sk.open_records(earlier / "records")
    assert sum(len(batch["label"]) for batch in records.numpy("train")) == records.rows("train")
    assert next(iter(records_in_words(earlier / "records", "test", 1)))["words"]
    metrics = train(records.path, tmp_path / "run", epochs=1, warm_start=earlier / "run")
    assert np.isfinite(metrics["test"]["loss"])


@pytest.mark.slow
def test_an_earlier_run_is_evaluated_and_exported(earlier: Path, tmp_path: Path) -> None:
    run = sk.open_run(earlier / "run")
    again = run.evaluate("test", records=earlier / "records")["metrics"]
    assert again["log_loss"] == pytest.approx(run.metrics["test"]["log_loss"], abs=1e-6)
    sk.export(run, tmp_path / "served", records=earlier / "records")


def test_an_earlier_model_is_proved_and_answers(earlier: Path) -> None:
    assert verify(earlier / "served", earlier / "records").passed
    model = sk.open_model(earlier / "served")
    assert model.explain({"words": "good day", "age": 30}).score is not None
