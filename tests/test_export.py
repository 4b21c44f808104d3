"""Export: a directory that serves alone, or nothing at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from skewless.model.export import export
from skewless.model.export import run as export_command
from skewless.schemas.errors import DatasetMismatchError, ParityError, UsageError
from tests.conftest import DataSet
from tests.test_verify import rewrite

CLIENT = Path(__file__).with_name("served_client.py")
ROW: dict[str, list[Any]] = {
    "text": ["The good thing, red 3"],
    "user": ["u7"],
    "tags": ["a|b"],
    "age": [40.0],
    "price": [1.5],
    "v1": [0.1],
    "v2": [-0.2],
}
NUMBERS = [name for name, (value,) in ROW.items() if isinstance(value, float)]
BATCHES = {
    "none": [],
    "one": [ROW],
    "thousand": [ROW] * 1000,
    "absent": [{}, {"user": ["u7"]}],
    "empty": [{name: [""] if isinstance(ROW[name][0], str) else [] for name in ROW}],
    "zero_length": [{name: [] for name in ROW}],
    "unseen": [{**ROW, "user": ["nobody"], "tags": ["zz|yy"], "text": ["zzz qqq"], "price": [1e9]}],
    "not_utf8": [{**ROW, "text": ["caf\xe9 \xff\xfe"], "user": ["\xff"], "tags": ["\xc3|\x00"]}],
    "not_finite": [{**ROW, "age": [float("nan")], "price": [float("inf")], "v1": [float("-inf")]}],
    "too_long": [{**ROW, "text": ["good " * 50], "tags": ["a|b|c|d|a|b|c"]}],
    "several": [{**ROW, "text": ["bad", "good"], "user": ["u1", "u7"], "age": [1.0, 40.0]}],
}
COLUMNS = {
    "one": {
        "text": ["The good thing, red 3"],
        "user": ["u7"],
        "tags": [["a", "", "b"]],
        "age": [40.0],
        "price": [1.5],
        "v1": [0.1],
        "v2": [-0.2],
    },
    "separator": {"user": ["u7", ""], "tags": [["a|b", ""], ["", ""]]},
    "absent": {"user": ["u7"]},
    "missing": {
        "text": [""],
        "user": ["u7"],
        "tags": [[]],
        "age": [float("nan")],
        "v1": [float("nan")],
    },
    "none": {},
}


@pytest.fixture(scope="module")
def answer(shop_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a bare process answers, for a moved copy with nothing of the project about."""
    root = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(shop_model, root / "moved")
    shutil.copy(CLIENT, root / "client.py")
    (root / "request.json").write_text(
        json.dumps({"batches": BATCHES, "columns": COLUMNS, "numbers": NUMBERS})
    )
    environment = {"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(root)}
    done = subprocess.run(
        [sys.executable, "-I", "client.py", "moved", "request.json"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("ANSWER")[1])


def predictions(answer: dict[str, Any], batch: str) -> list[list[float]]:
    return answer["batches"][batch]["serving_default"]["values"]["predictions"]


def test_every_signature_answers_alone(answer: dict[str, Any]) -> None:
    assert answer["signatures"] == [
        "classify",
        "predict_columns",
        "regress",
        "serving_default",
        "transform_features",
    ]
    for name, rows in BATCHES.items():
        count = len(rows)
        for signature, reply in answer["batches"][name].items():
            assert reply["finite"], (name, signature)
            assert all(shape[0] == count for shape in reply["shapes"].values()), (name, signature)
        shapes = {
            signature: reply["shapes"] for signature, reply in answer["batches"][name].items()
        }
        assert shapes["serving_default"] == {"predictions": [count, 1]}
        assert shapes["classify"] == {"classes": [count, 2], "scores": [count, 2]}
        assert shapes["regress"] == {"outputs": [count]}
        assert shapes["transform_features"] == {
            "text": [count, 6],
            "user": [count],
            "tags": [count, 3],
            "age": [count],
            "__missing__age": [count],
            "price": [count],
            "vector": [count, 2],
        }


def test_what_was_deployed_answers_as_what_was_exported(
    answer: dict[str, Any], shop_model: Path
) -> None:
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in values]))
        if isinstance(values[0], str)
        else tf.train.Feature(float_list=tf.train.FloatList(value=values))
        for name, values in ROW.items()
    }
    serialized = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    loaded = tf.saved_model.load(str(shop_model))
    here = loaded.signatures["serving_default"](examples=tf.constant([serialized]))
    np.testing.assert_allclose(predictions(answer, "one"), here["predictions"].numpy(), atol=1e-6)


@pytest.mark.parametrize("batch", ["empty", "zero_length"])
def test_absent_empty_and_zero_length_mean_missing(answer: dict[str, Any], batch: str) -> None:
    assert predictions(answer, batch)[0] == pytest.approx(predictions(answer, "absent")[0])
    features = answer["batches"][batch]["transform_features"]["values"]
    assert features["user"] == [1]
    assert features["price"] == [1]
    assert features["__missing__age"] == [1.0]
    assert features["text"] == [[0] * 6]
    assert features["tags"] == [[0] * 3]


def test_unseen_values_fall_into_the_buckets_for_them(answer: dict[str, Any]) -> None:
    features = answer["batches"]["unseen"]["transform_features"]["values"]
    assert features["user"][0] in (2, 3)
    assert features["tags"] == [[2, 2, 0]]
    assert features["text"] == [[2, 2, 0, 0, 0, 0]]
    assert features["price"] == [2 + 4]
    broken = answer["batches"]["not_utf8"]["transform_features"]["values"]
    assert broken["user"][0] in (2, 3)
    assert broken["text"][0][0] == 2


def test_numbers_that_are_not_finite_are_missing(answer: dict[str, Any]) -> None:
    features = answer["batches"]["not_finite"]["transform_features"]["values"]
    assert (features["__missing__age"], features["price"]) == ([1.0], [1])
    assert np.isfinite(features["vector"]).all()


def test_columns_answer_as_examples(answer: dict[str, Any]) -> None:
    columns = {name: reply["predictions"] for name, reply in answer["columns"].items()}
    assert columns["one"] == [pytest.approx(predictions(answer, "one")[0], abs=1e-6)]
    for name in ("absent", "missing"):
        assert columns[name] == [pytest.approx(predictions(answer, "absent")[1], abs=1e-6)]
    assert columns["separator"][1] == pytest.approx(predictions(answer, "absent")[0], abs=1e-6)
    assert columns["none"] == []


def test_the_directory_says_what_it_is(shop: DataSet, shop_model: Path) -> None:
    description = json.loads((shop_model / "assets.extra" / "skewless.json").read_text())
    manifest = json.loads((shop.directory / "manifest.json").read_text())
    assert description["transform_sha256"] == manifest["transform_sha256"]
    assert description["needs_tensorflow_text"] is False
    assert description["columns"] == {name: name for name in ROW}
    files = {
        path.relative_to(shop_model).as_posix() for path in shop_model.rglob("*") if path.is_file()
    }
    assert set(description["files"]) == files - {"assets.extra/skewless.json"}
    assert {"assets/user", "assets/text", "assets.extra/spec.yaml"} <= files


def test_tensorflow_serving_finds_methods_and_defaults(shop_model: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((shop_model / "saved_model.pb").read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    assert signatures["classify"].method_name == "tensorflow/serving/classify"
    assert signatures["regress"].method_name == "tensorflow/serving/regress"
    columns = signatures["predict_columns"]
    assert columns.method_name == "tensorflow/serving/predict"
    # TensorFlow Serving fills what a request leaves out from these.
    assert set(columns.defaults) == set(columns.inputs) == set(ROW)
    assert tf.make_ndarray(columns.defaults["tags"]).shape == (0, 0)


def test_an_output_is_replaced_only_on_demand(shop_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "served"
    assert export_command([str(shop_run), "--output", str(output), "--no-verify"]) == 0
    before = (output / "saved_model.pb").stat().st_ino
    with pytest.raises(UsageError, match="add --overwrite to replace it"):
        export(shop_run, output, check=False)
    assert export(shop_run, output, check=False, overwrite=True) is None
    assert (output / "saved_model.pb").stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_what_is_not_ours_is_never_replaced(shop_run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(UsageError, match="not ours to replace"):
        export(shop_run, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "chapter 1"


def test_records_are_gone(shop_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --records DIR, or --no-verify"):
        export(shop_run, tmp_path / "served", records_directory=tmp_path / "gone")
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_not_finished(shop_run: Path, tmp_path: Path) -> None:
    shutil.copytree(shop_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    with pytest.raises(UsageError, match="is not a finished run"):
        export(tmp_path / "run", tmp_path / "served")


def test_nothing_is_left_when_parity_fails(shop: DataSet, shop_run: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    shutil.copytree(shop.directory, records)

    def change(rows: list[bytes]) -> list[bytes]:
        example = tf.train.Example.FromString(rows[0])
        example.features.feature["user"].int64_list.value[0] = 0
        return [example.SerializeToString(), *rows[1:]]

    rewrite(records, change)
    with pytest.raises(ParityError, match="does not reproduce the records"):
        export(shop_run, tmp_path / "served", records_directory=records)
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_nothing_is_left_when_predictions_differ(
    shop_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that agree do not excuse an exported model with other weights."""
    from skewless.model.exported.signatures import ServingFunctions

    trained = ServingFunctions.predictions

    def other(self: ServingFunctions, features: Any) -> Any:
        outputs = trained(self, features)
        return {"predictions": outputs["predictions"] + float(not tf.executing_eagerly()) * 1e-3}

    monkeypatch.setattr(ServingFunctions, "predictions", other)
    with pytest.raises(ParityError, match="predictions from raw rows differ"):
        export(shop_run, tmp_path / "served")
    assert not list(tmp_path.iterdir())


def test_records_of_another_run(shop_run: Path, shop: DataSet, tmp_path: Path) -> None:
    records = tmp_path / "records"
    shutil.copytree(shop.directory, records)
    path = records / "manifest.json"
    manifest = json.loads(path.read_text())
    (records / "transform" / "extra").write_text("another")
    from skewless.schemas.records.transform_digest import transform_sha256

    manifest["transform_sha256"] = transform_sha256(records / "transform")
    path.write_text(json.dumps(manifest))
    with pytest.raises(DatasetMismatchError, match="came from another transform than the run"):
        export(shop_run, tmp_path / "served", records_directory=records)


@pytest.mark.slow
def test_the_proof_compares_predictions(shop_run: Path, tmp_path: Path) -> None:
    report = export(shop_run, tmp_path / "served")
    assert report is not None
    assert report.passed
    assert report.prediction_difference is not None
    assert report.prediction_difference < 1e-6
