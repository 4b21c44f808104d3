"""Evaluation: numbers in the label's own unit, weights, slices and what the command prints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
from sklearn.inspection import permutation_importance as sklearn_importance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

import skewless as sk
from skewless.model import evaluate as module
from skewless.model.evaluate import as_table, evaluate, run
from skewless.model.explained import importance
from skewless.model.metrics.importance import permutation_importance
from skewless.model.metrics.slices import slice_rows
from skewless.model.train import train
from skewless.model.training.own_unit import epoch_line, error_units
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import load_trained
from skewless.model.tuning.result import TrialResult, scored
from skewless.model.tuning.trial import Trials
from skewless.schemas import parse
from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.records.records import missing_name
from skewless.schemas.spec.spec import load
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


def test_epochs_are_told_in_the_labels_own_unit(houses: Path) -> None:
    """One epoch's error on the trained scale, times what the raw rows deviate by."""
    scale = _scale(houses)
    records = sk.open_records(houses / "records")
    told = epoch_line(load(houses / "records" / "spec.yaml"), records.opened)
    line = told({"loss": 0.25, "val_rmse": 0.5})
    assert line.startswith("loss 0.2500  val_rmse ")
    if scale == "z_score":
        (labels,) = records.numpy("eval", entries=["area"], batch_size=10_000)
        scaled = labels["label"].ravel()
        raw = np.sort(_raw(houses, "eval")["price"].astype(float))
        spread = (raw[-1] - raw[0]) / (scaled.max() - scaled.min())
        number, unit = line.split()[3:]
        assert (float(number), unit) == (pytest.approx(spread / 2, rel=1e-3), "price")
    else:
        assert line.endswith({"none": "0.5 price", "log1p": "0.5 log1p(price)"}[scale])
    unit = error_units(load(houses / "records" / "spec.yaml"), records.opened)["val_rmse"]
    trials = Trials(records.opened, houses, "rmse", unit.factor, None, lambda: False)
    score = trials._kept([{"val_loss": 0.25, "val_rmse": 0.5}], "loss")
    shown = scored(TrialResult(0, {}, score, 1, 1.0), unit.name)
    assert float(shown.split()[0]) == pytest.approx(float(line.split()[3]), rel=1e-3)
    assert shown.split()[1] == line.split()[4]


def test_importance_is_scikit_learns(shop: DataSet, shop_run: Path) -> None:
    """Of a linear model, by scikit-learn; and of a run, whose label follows from a word."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3_000, 3))
    y = 3 * x[:, 0] - x[:, 1] + rng.normal(size=3_000)
    linear = LinearRegression().fit(x, y)

    def rmse(features: Any) -> dict[str, float]:
        predicted = linear.predict(np.stack([features[name] for name in "abc"], axis=1))
        return {"y": float(np.sqrt(np.mean((predicted - y) ** 2)))}

    features = {name: x[:, at] for at, name in enumerate("abc")}
    found = permutation_importance(
        rmse, features, {name: [name] for name in "abc"}, {"y": "rmse"}, repeats=20
    )["y"]
    theirs = sklearn_importance(
        linear, x, y, scoring="neg_root_mean_squared_error", n_repeats=20, random_state=5
    ).importances_mean
    assert [entry["feature"] for entry in found] == ["a", "b", "c"]
    for entry, mean in zip(found, theirs, strict=True):
        assert entry["worse"] == pytest.approx(mean, abs=0.03)
        assert entry["low"] <= entry["worse"] <= entry["high"]

    result = evaluate(shop_run, shop.directory, "eval", importance=True)
    ours = result["importance"]
    assert (ours["metric"], ours["rows"]) == ("auc", result["metrics"]["rows"])
    assert {entry["feature"] for entry in ours["features"]} == set(shop.spec.features)
    assert ours["features"][0]["feature"] == "text"
    assert ours["features"][0]["worse"] > 0.2

    # The same as of the model called on each shuffle's entries, one by one.
    model = load_trained(shop_run / "model.keras")
    batches = list(open_records(shop.directory).in_order("eval", batch_size=1024))
    held = {
        name: np.concatenate([batch[0][name].numpy() for batch in batches])
        for name in batches[0][0]
    }
    label = np.concatenate([batch[1].numpy() for batch in batches]).reshape(-1)

    def auc(shuffled: Any) -> dict[str, float]:
        scores = np.asarray(model(shuffled, training=False))[:, 0]
        return {"": float(roc_auc_score(label, scores))}

    names = {
        name: [n for n in held if n in (name, missing_name(name))] for name in shop.spec.features
    }
    for entry in permutation_importance(auc, held, names, {"": "auc"})[""]:
        (other,) = (each for each in ours["features"] if each["feature"] == entry["feature"])
        assert other == pytest.approx(entry, abs=1e-3)


def test_a_table_names_units_blanks_and_few_rows() -> None:
    result = {
        "split": "test",
        "metrics": {"rows": 300, "rmse": 2.0, "r2": None},
        "slices": {
            "town": [
                {"value": "", "rows": 270, "rmse": 1.0, "r2": float("nan")},
                {"value": "Oz", "rows": 29, "rmse": 3.0, "r2": 0.5},
                {"value": "empty", "rows": 1},
            ]
        },
    }
    lines = [line.split() for line in as_table(result, "price").splitlines()]
    assert lines[0] == ["rows", "rmse", "(price)", "r2"]
    assert lines[1] == ["test", "300", "2.0000", "-"]
    assert lines[2] == ["town", "=", "(blank)", "270", "1.0000", "-"]
    assert lines[3] == ["town", "=", "Oz", "*", "29", "3.0000", "0.5000"]
    assert lines[4] == ["town", "=", "empty", "*", "1", "-", "-"]
    assert lines[5][:5] == ["*", "fewer", "than", "30", "rows:"]


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


def test_importance_is_of_the_labels_that_rows_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parse(
        {
            "name": "two",
            "features": {"x": {"type": "numeric", "scale": "none"}},
            "labels": {
                "size": {"column": "size", "type": "regression", "scale": "none"},
                "lacked": {"column": "lacked", "type": "binary"},
            },
        }
    )
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, {"size": x, "lacked": keras.ops.sigmoid(x)})
    values = np.arange(40, dtype=np.float32)[:, None]
    held, nobody = np.ones(40, np.float32), np.zeros(40, np.float32)
    batch = ({"x": values}, {"size": values, "lacked": nobody}, {"size": held, "lacked": nobody})
    records: Any = SimpleNamespace(
        manifest=SimpleNamespace(features={"x": None}),
        in_order=lambda split, batch_size: tf.data.Dataset.from_tensors(batch),
    )
    monkeypatch.setattr(importance, "Transform", lambda spec, path: None)
    found = importance.importance_of_run(model, spec, records, "eval", tmp_path)
    assert found.keys() == {"size"}
    [entry] = found["size"]["features"]
    assert entry["feature"] == "x" and entry["worse"] > 5


def test_ids_beyond_float64_are_sliced_by_ranges(tmp_path: Path) -> None:
    keys = [f"k{row}" for row in range(50)]
    ids = pa.array([2**60 + 2**50 * row for row in range(50)])
    (tmp_path / "raw" / "eval").mkdir(parents=True)
    table = pa.table({"__key__": keys, "user": ids})
    pa.parquet.write_table(table, tmp_path / "raw" / "eval" / "a.parquet")
    found = slice_rows(tmp_path, "eval", "user", np.array([key.encode() for key in keys]))
    assert [rows.tolist() for _, rows in found] == np.arange(50).reshape(5, 10).tolist()
