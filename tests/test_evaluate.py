"""Evaluation: numbers in the label's own unit, weights, slices and what the command prints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from skewless.model import evaluate as module
from skewless.model.evaluate import evaluate, run
from skewless.model.train import train
from skewless.schemas import parse
from skewless.schemas.errors import DatasetMismatchError, UsageError
from tests.conftest import DataSet

HOUSES = {
    "name": "houses",
    "key": "id",
    "features": {"area": {"type": "numeric", "scale": "z_score"}},
    "label": {"column": "price", "type": "regression", "scale": "z_score"},
    "weight": "sold",
    "split": {"train": 0.6, "eval": 0.3, "test": 0.1},
    "keep": ["town"],
    "model": {"hidden": []},
    "training": {"batch_size": 32, "epochs": 1},
}


@pytest.fixture(scope="module", params=["none", "z_score", "log1p"])
def houses(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A regression run of each scale on weighted rows, some of which weigh nothing."""
    from skewless.beam_pipelines.preprocess import preprocess

    root = tmp_path_factory.mktemp("houses")
    rng = np.random.default_rng(3)
    lines = ["id,area,price,sold,town"]
    for row in range(300):
        area = rng.uniform(20, 200)
        weight = 0 if row % 3 == 0 else rng.integers(1, 4)
        lines.append(
            f"h{row},{area:.1f},{1000 * area + rng.normal(0, 900):.1f},{weight},"
            f"{'empty' if row % 3 == 0 else f'town {row % 30}'}"
        )
    (root / "houses.csv").write_text("\n".join(lines) + "\n")
    label: dict[str, Any] = {**HOUSES["label"], "scale": request.param}  # type: ignore[dict-item]
    preprocess(parse({**HOUSES, "label": label}), [str(root / "houses.csv")], root / "records")
    train(root / "records", root / "run")
    return root


def _raw(root: Path, split: str) -> dict[str, np.ndarray]:
    table = pa.concat_tables(
        pa.parquet.read_table(path) for path in (root / "records/raw" / split).iterdir()
    )
    return {name: table.column(name).to_numpy() for name in ("price", "sold", "town")}


def _scale(root: Path) -> str:
    from skewless.schemas.spec.spec import load

    label = load(root / "records" / "spec.yaml").label
    assert label is not None
    return str(label.scale)  # type: ignore[union-attr]


def test_regression_is_told_in_the_labels_own_unit(
    houses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that always says 0 on the trained scale is off by what the raw rows say."""
    scale = _scale(houses)
    raw = _raw(houses, "eval")
    statistics = json.loads((houses / "records/statistics.json").read_text())
    mean = statistics["splits"]["train"]["features"]["__label__"]["mean"]
    zero = {"none": 0.0, "log1p": 0.0, "z_score": mean}[scale]

    model = keras.saving.load_model(houses / "run" / "model.keras")
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape, np.float32))
    monkeypatch.setattr(module, "load_trained", lambda _: model)
    metrics = evaluate(houses / "run", houses / "records", "eval")["metrics"]
    errors = np.abs(raw["price"].astype(float) - zero)
    assert metrics["mae"] == pytest.approx(np.average(errors, weights=raw["sold"]), rel=1e-4)
    assert metrics["rmse"] == pytest.approx(
        np.sqrt(np.average(errors**2, weights=raw["sold"])), rel=1e-4
    )


def test_slices_add_up_and_may_weigh_nothing(houses: Path) -> None:
    result = evaluate(houses / "run", houses / "records", "eval", ["town", "area"])
    raw = _raw(houses, "eval")
    towns = {entry["value"]: entry for entry in result["slices"]["town"]}
    for town, count in zip(*np.unique(raw["town"].astype(str), return_counts=True), strict=True):
        assert towns[town]["rows"] == count
    assert set(towns["empty"]) == {"value", "rows"}
    areas = result["slices"]["area"]
    assert len(areas) == 5
    assert sum(entry["rows"] for entry in areas) == len(raw["price"])
    assert max(entry["rows"] for entry in areas) - min(entry["rows"] for entry in areas) <= 2


def test_rare_values_stand_together(shop: DataSet, shop_run: Path) -> None:
    result = evaluate(shop_run, shop.directory, "eval", ["tags"])
    entries = result["slices"]["tags"]
    assert len(entries) == 21
    assert entries[-1]["value"].endswith(" other values)")
    assert sum(entry["rows"] for entry in entries) == result["metrics"]["rows"]


def test_a_slice_is_refused_before_predicting(
    shop: DataSet, shop_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "predict_split", lambda *_: pytest.fail("predicted"))
    with pytest.raises(UsageError, match="--slice nothing: not a kept column"):
        evaluate(shop_run, shop.directory, "eval", ["nothing"])


def test_slicing_needs_the_raw_rows(shop: DataSet, shop_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shop.directory, copy)
    shutil.rmtree(copy / "raw")
    with pytest.raises(DatasetMismatchError, match="no raw rows to slice by"):
        evaluate(shop_run, copy, "eval", ["country"])


def test_records_of_another_transform_are_refused(houses: Path, shop_run: Path) -> None:
    with pytest.raises(DatasetMismatchError, match="came from another transform than the run"):
        evaluate(shop_run, houses / "records")


def test_an_unfinished_run_is_refused(shop: DataSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a finished run \(it has no metrics\.json\)"):
        evaluate(tmp_path, shop.directory)


def test_the_command_prints_and_keeps_the_same(
    shop: DataSet, shop_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(shop_run), "--records", str(shop.directory), "--split", "test"]
    assert run([*words, "--slice", "country", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((shop_run / "evaluation-test.json").read_text())
    told = json.loads((shop_run / "metrics.json").read_text())["test"]
    for name, value in printed["metrics"].items():
        assert told[name] == pytest.approx(value, abs=1e-6), name
    assert run(words) == 0
    header, whole = capsys.readouterr().out.splitlines()
    assert header.split() == list(printed["metrics"])
    assert whole.split()[0] == "test"
