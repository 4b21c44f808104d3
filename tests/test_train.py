"""Training: what it leaves, refuses and survives."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from skewless.model.evaluate import as_table, evaluate
from skewless.model.retrieval.fed import fed
from skewless.model.train import train
from skewless.model.training.compiled import compiled_model
from skewless.model.training.records import open_records
from skewless.schemas import parse
from skewless.schemas.errors import DatasetMismatchError, TrainingError, UsageError
from tests.conftest import SHOP, DataSet

ROOT = Path(__file__).parent.parent


def test_metrics_are_as_the_contract_says(shop_run: Path) -> None:
    metrics = json.loads((shop_run / "metrics.json").read_text())
    assert {"eval", "test", "history", "seconds", "examples_per_second"} <= set(metrics)
    assert {"loss", "accuracy", "auc", "pr_auc", "ece"} <= set(metrics["eval"])
    assert metrics["eval"]["auc"] > 0.8
    assert len(metrics["history"]) == 2
    assert list((shop_run / "logs").rglob("events*"))


def test_an_existing_run_is_not_overwritten(shop: DataSet, shop_run: Path) -> None:
    with pytest.raises(UsageError, match="holds a finished run; add --overwrite"):
        train(shop.directory, shop_run)


def test_overwriting_replaces_runs_only(shop: DataSet, shop_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(shop_run, run)
    (run / "old").touch()
    train(shop.directory, run, overwrite=True, epochs=1)
    assert not (run / "old").exists()
    assert not list(tmp_path.glob(".*"))

    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    with pytest.raises(UsageError, match=r"has no records\.json, so it is no run"):
        train(shop.directory, tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").exists()
    shutil.copytree(shop.directory, run / "records")
    with pytest.raises(UsageError, match="is, or holds, "):
        train(run / "records", run, overwrite=True)


@pytest.mark.parametrize("option", [{"epochs": 0}, {"epochs": -1}, {"checkpoint_steps": 0}])
def test_numbers_below_one_are_refused(
    shop: DataSet, tmp_path: Path, option: dict[str, int]
) -> None:
    with pytest.raises(UsageError, match="expected at least 1, got"):
        train(shop.directory, tmp_path / "run", **option)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_minutes_end_training_before_an_epoch_that_would_end_later(
    shop: DataSet, tmp_path: Path
) -> None:
    short = train(shop.directory, tmp_path / "short", epochs=3, minutes=1e-6)
    assert [entry["epoch"] for entry in short["history"]] == [1]
    enough = train(shop.directory, tmp_path / "enough", epochs=2, minutes=60)
    assert [entry["epoch"] for entry in enough["history"]] == [1, 2]
    with pytest.raises(UsageError, match="--minutes: expected a number above 0, got 0"):
        train(shop.directory, tmp_path / "none", minutes=0)


def test_another_spec_for_the_records_is_refused(shop: DataSet, tmp_path: Path) -> None:
    other = parse({**SHOP, "missing_values": []})
    with pytest.raises(DatasetMismatchError, match="was preprocessed with another spec"):
        train(shop.directory, tmp_path / "run", spec=other)


def test_model_and_training_sections_may_differ(shop: DataSet, tmp_path: Path) -> None:
    other = parse({**SHOP, "model": {"merge": "cross", "hidden": []}})
    metrics = train(shop.directory, tmp_path / "run", spec=other, epochs=1)
    assert len(metrics["history"]) == 1


def test_a_loss_that_is_not_finite_stops_training(shop: DataSet, tmp_path: Path) -> None:
    wild = parse(
        {**SHOP, "training": {"optimizer": "sgd", "learning_rate": 1e30, "batch_size": 32}}
    )
    with pytest.raises(TrainingError, match=r"is (nan|inf) at epoch 1, step \d+, .*finite; try"):
        train(shop.directory, tmp_path / "run", spec=wild)
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.slow
def test_constant_predictions_are_warned_of(
    shop: DataSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    still = parse(
        {**SHOP, "model": {"hidden": [1]}, "training": {"learning_rate": 1e-30, "epochs": 1}}
    )
    monkey = keras.initializers.GlorotUniform.__call__
    try:
        keras.initializers.GlorotUniform.__call__ = (  # type: ignore[method-assign]
            lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
        )
        with caplog.at_level(logging.WARNING):
            train(shop.directory, tmp_path / "run", spec=still)
    finally:
        keras.initializers.GlorotUniform.__call__ = monkey  # type: ignore[method-assign]
    assert "every prediction on eval is the same" in caplog.text


@pytest.mark.slow
def test_mixed_precision_trains(shop: DataSet, tmp_path: Path) -> None:
    mixed = parse({**SHOP, "training": {**SHOP["training"], "mixed_precision": True}})
    metrics = train(shop.directory, tmp_path / "run", spec=mixed)
    assert metrics["eval"]["auc"] > 0.7
    assert keras.config.dtype_policy().name == "float32"


def test_evaluates_by_any_raw_column(shop: DataSet, shop_run: Path) -> None:
    result = evaluate(shop_run, shop.directory, "eval", ["country", "age"])
    whole = result["metrics"]["rows"]
    assert [
        entry["value"] for entry in sorted(result["slices"]["country"], key=lambda e: e["value"])
    ] == [
        "DE",
        "FR",
        "PE",
    ]
    for entries in result["slices"].values():
        assert sum(entry["rows"] for entry in entries) == whole
    assert result["slices"]["age"][-1]["value"] == "(missing)"
    assert "country = FR" in as_table(result)


def test_a_slice_by_an_unknown_column_is_refused(shop: DataSet, shop_run: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--slice contry: .*did you mean 'country'\?; add it to `keep`"
    ):
        evaluate(shop_run, shop.directory, "eval", ["contry"])


@pytest.mark.slow
def test_mirrors_over_several_devices(shop: DataSet, tmp_path: Path) -> None:
    code = (
        "import sys, tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "from skewless.model.train import train\n"
        "print(train(sys.argv[1], sys.argv[2])['eval']['auc'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(shop.directory), str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) > 0.8


@pytest.mark.slow
def test_long_training_is_compiled_to_the_same_losses(
    shop: DataSet, shop_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keras.saving.load_model(shop_run / "model.keras").jit_compile is False
    spec = parse({**SHOP, "model": {"hidden": [16]}})
    plain = train(shop.directory, tmp_path / "plain", spec=spec)
    # 400 rows at 0.7, over two epochs, are about 560.
    monkeypatch.setattr("skewless.model.training.compiled._ROWS_WORTH_COMPILING", 500)
    compiled = train(shop.directory, tmp_path / "compiled", spec=spec)
    assert keras.saving.load_model(tmp_path / "compiled" / "model.keras").jit_compile is True
    for before, after in zip(plain["history"], compiled["history"], strict=True):
        assert after["loss"] == pytest.approx(before["loss"], abs=1e-4)
        assert after["val_loss"] == pytest.approx(before["val_loss"], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"training": {"epochs": 1}}, False),
        ({"training": {"epochs": 2, "mixed_precision": True}}, False),
        ({"model": {"merge": "average", "projection": 8}}, False),
        ({"text_encoder": "gru"}, True),
        ({"text_encoder": "transformer"}, False),
        (
            {
                "text_encoder": "gru",
                "model": {"type": "two_tower", "query": ["user", "text"], "candidate": ["tags"]},
            },
            True,
        ),
    ],
)
def test_only_what_gains_is_compiled(
    shop: DataSet,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    expected: bool,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("skewless.model.training.compiled._ROWS_WORTH_COMPILING", 500)
    declared: dict[str, Any] = copy.deepcopy(SHOP)
    if encoder := change.get("text_encoder"):
        declared["features"]["text"]["encoder"] = encoder
    for section in ("model", "training"):
        declared[section] |= change.get(section, {})
    spec = parse(declared)
    records = fed(spec, open_records(shop.directory), tmp_path)
    model = compiled_model(spec, records)
    assert model.jit_compile is expected
    if change.get("text_encoder"):
        # XLA takes no batch whose padding is cut.
        features, label, *_ = next(iter(records.training(batch_size=8, seed=1, epoch=0)))
        assert np.isfinite(model.train_on_batch(features, label)).all()
