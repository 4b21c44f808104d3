"""The Python API: what it offers, rows from frames, own models and loops, and what it leaves alone."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as parquet
import pytest

import skewless as sk
from skewless.forked import refuse_forked
from skewless.frames import as_globs
from tests.conftest import SHOP, DataSet

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def table(shop: DataSet) -> pa.Table:
    """The shop's rows, as Arrow reads the CSV."""
    return pa.csv.read_csv(shop.source)


@pytest.fixture(scope="module")
def from_parquet(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> sk.Records:
    root = tmp_path_factory.mktemp("parquet")
    parquet.write_table(table, root / "shop.parquet")
    return sk.preprocess(SHOP, str(root / "shop.parquet"), root / "records")


def test_everything_offered_is_there_and_told() -> None:
    for name in sk.__all__:
        offered = getattr(sk, name)
        if callable(offered):
            assert offered.__doc__, name
        # A module of that name would take its place once it is imported.
        assert not (ROOT / "skewless" / f"{name}.py").exists()
    assert set(sk.__all__) <= set(dir(sk))
    with pytest.raises(AttributeError, match="no attribute 'preproces'"):
        _ = sk.preproces


@pytest.mark.parametrize(
    "as_frame",
    [
        pytest.param(lambda table: table, id="pyarrow"),
        pytest.param(lambda table: table.to_pandas(), id="pandas"),
        pytest.param(lambda table: pl.from_arrow(table), id="polars"),
        pytest.param(lambda table: pa.dataset.dataset(table), id="dataset"),
        pytest.param(lambda table: iter(table.to_batches(max_chunksize=77)), id="batches"),
        pytest.param(lambda table: table.to_reader(), id="reader"),
    ],
)
def test_frames_become_a_file_of_their_rows(as_frame: Any, table: pa.Table, tmp_path: Path) -> None:
    with as_globs(as_frame(table), tmp_path / "records") as (path,):
        assert parquet.read_table(path).to_pylist() == table.to_pylist()
    assert not list(tmp_path.iterdir())


def test_a_frame_leaves_the_records_of_the_equal_parquet_file(
    table: pa.Table, from_parquet: sk.Records, tmp_path: Path
) -> None:
    records = sk.preprocess(SHOP, pl.from_arrow(table), tmp_path / "records")
    assert records.manifest.transform_sha256 == from_parquet.manifest.transform_sha256
    assert records.manifest.rows == from_parquet.manifest.rows
    for split in ("train", "eval", "test"):
        for here, there in zip(
            records.numpy(split, shuffle=False),
            from_parquet.numpy(split, shuffle=False),
            strict=True,
        ):
            np.testing.assert_equal(here, there)
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


@pytest.mark.parametrize("data", [3, [], {"a": [1]}, iter([])])
def test_what_is_no_rows_is_refused(data: Any, tmp_path: Path) -> None:
    with pytest.raises(sk.SkewlessError, match="expected paths or globs, a DataFrame"):
        sk.preprocess(SHOP, data, tmp_path / "records")
    assert not list(tmp_path.iterdir())


def test_batches_are_the_records_as_arrays(from_parquet: sk.Records) -> None:
    rows = from_parquet.rows("eval")
    batches = list(from_parquet.numpy("eval", batch_size=7))
    assert [len(batch["label"]) for batch in batches[:-1]] == [7] * (rows // 7)
    assert sum(len(batch["label"]) for batch in batches) == rows
    assert len(batches) == from_parquet.steps("eval", 7)
    for name, entry in from_parquet.manifest.features.items():
        if not name.startswith("__"):
            assert batches[0][name].shape == (7, *entry.shape)
            assert str(batches[0][name].dtype) == entry.dtype


def test_batches_of_some_entries_are_those_of_all(from_parquet: sk.Records) -> None:
    chosen = from_parquet.numpy("eval", entries=["user", "age"])
    for some, every in zip(chosen, from_parquet.numpy("eval"), strict=True):
        assert list(some) == ["user", "age", "label"]
        for name, values in some.items():
            np.testing.assert_array_equal(values, every[name])
    with pytest.raises(sk.SkewlessError, match="'usr' is no entry of a feature; did you mean"):
        from_parquet.dataset("eval", entries=["usr"])


def test_epochs_differ_in_order_only_and_follow_the_seed(from_parquet: sk.Records) -> None:
    def ages(**options: Any) -> list[list[float]]:
        batches = from_parquet.numpy("train", batch_size=10_000, **options)
        return [batch["age"].ravel().tolist() for batch in batches]

    first, second = ages(epochs=2, seed=3)
    assert first != second
    assert sorted(first) == sorted(second)
    assert ages(epochs=2, seed=3) == [first, second]
    assert ages(seed=4) != [first]
    with pytest.raises(sk.SkewlessError, match="only the rows of 'train'"):
        from_parquet.dataset("eval", shuffle=True)


def test_own_model_on_declared_embeddings_is_exported_and_proved(
    shop: DataSet, table: pa.Table, tmp_path: Path
) -> None:
    records = sk.open_records(shop.directory)
    inputs = sk.inputs(records)
    vectors = sk.towers(None, records, inputs)
    assert set(vectors) == set(SHOP["features"])
    hidden = keras.layers.Dense(8, activation="relu")(
        keras.layers.Concatenate()(list(vectors.values()))
    )
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    model.fit(records.dataset(batch_size=64), epochs=1, verbose=0)

    served = sk.export(model, tmp_path / "served", records=records)
    features = served.transform(table)
    direct = model.predict({name: features[name] for name in inputs}, verbose=0)
    predicted = served.predict(table.to_pandas())["predictions"]
    np.testing.assert_allclose(predicted, direct, atol=1e-6)
    assert served.predict(table.select(["text"]).slice(0, 3))["predictions"].shape == (3, 1)


def test_own_models_that_do_not_fit_are_refused(shop: DataSet, tmp_path: Path) -> None:
    records = sk.open_records(shop.directory)

    def model_of(inputs: Any, outputs: Any = None) -> keras.Model:
        flat = [
            keras.layers.Flatten()(keras.ops.cast(x, "float32")) for x in keras.tree.flatten(inputs)
        ]
        joined = keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
        return keras.Model(inputs, (outputs or keras.layers.Dense(1))(joined))

    age = keras.Input([1], name="age")
    for inputs, said in (
        ({"agee": keras.Input([1], name="agee")}, "'agee': is no entry .*did you mean 'age'"),
        ({"user": keras.Input([], dtype="float32", name="user")}, "expected int64 of shape"),
        (age, "expected inputs as a dict by record entry"),
    ):
        with pytest.raises(sk.SkewlessError, match=said):
            sk.export(model_of(inputs), tmp_path / "served", records=records)
    number = {"age": keras.Input([], name="age")}
    for outputs, said in (
        (keras.layers.Dense(1, bias_initializer="ones"), "expected probabilities, .* 'sigmoid'"),
        (keras.layers.Dense(2, "softmax"), r"expected shape \[1\] a row, .* binary has, got \[2\]"),
        (lambda x: [keras.layers.Dense(1)(x)] * 2, r"expected shape \[1\] a row, .*, got list"),
    ):
        with pytest.raises(sk.SkewlessError, match=said):
            sk.export(model_of(number, outputs), tmp_path / "s", records=records)
    with pytest.raises(sk.SkewlessError, match="expected a functional Keras model, got Sequential"):
        sk.export(keras.Sequential([keras.layers.Dense(1)]), tmp_path / "s", records=records)
    with pytest.raises(sk.SkewlessError, match="batch_size: expected at least 1, got 0"):
        records.dataset(batch_size=0)
    with pytest.raises(sk.SkewlessError, match="expected those that the model was trained on"):
        sk.export(model_of({"age": age}), tmp_path / "served")
    assert not list(tmp_path.iterdir())


def test_run_and_model_show_themselves(shop_run: Path, shop_model: Path, shop: DataSet) -> None:
    run, model, records = (
        sk.open_run(shop_run),
        sk.open_model(shop_model),
        sk.open_records(shop.directory),
    )
    assert f"eval auc {run.metrics['eval']['auc']:.4g}" in repr(run)
    assert "<td>auc</td>" in run._repr_html_()
    assert "<td>text</td>" in model._repr_html_()
    for title in ("Loss by epoch", "ROC", "Calibration"):
        assert f"<b>{title}</b><svg" in run._repr_html_()
    assert "<b>rating (label)</b><svg" in records._repr_html_()
    assert f"{records.rows('train'):,}" in records._repr_html_()
    again = run.evaluate("test")["metrics"]
    assert again == pytest.approx({name: run.metrics["test"][name] for name in again})
    assert model.explain({"text": "good thing"}).score is not None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pd.DataFrame({"User": ["u1"], "age": [1.0]}), "column 'user' is not there, and 'User' is"),
        (
            pl.DataFrame({"user": ["u1"], " AGE_": [1.0]}),
            "column 'age' is not there, and ' AGE_' is",
        ),
        (pa.table({"age": [1.0], "V-1": [1.0]}), "column 'v1' is not there, and 'V-1' is"),
        ([{"age": 1.0, "TEXT": "x"}], "column 'text' is not there, and 'TEXT' is"),
        (pd.DataFrame({"used": ["u1"]}), r"none of the model's columns \(.*\), only used; give"),
        ("rows.csv", "got str; read the file first"),
        ({"age": 1.0}, r"got dict; give one row as \[row\]"),
        (pd.Series({"age": 1.0, "user": "u1"}), "expected a table, got Series"),
    ],
)
def test_columns_nearly_named_and_what_is_no_table_are_told(
    shop_model: Path, rows: Any, said: str
) -> None:
    with pytest.raises(sk.SkewlessError, match=said):
        sk.open_model(shop_model).predict(rows)


def test_a_row_of_columns_nearly_named_is_told(shop_model: Path) -> None:
    model = sk.open_model(shop_model)
    with pytest.raises(sk.SkewlessError, match="'user' is not there, and 'User' is"):
        model.explain({"User": "u1", "age": 1.0})
    both = {"user": "u1", "User": "another", "age": 1.0}
    assert model.explain(both).score == model.explain({"user": "u1", "age": 1.0}).score


def test_errors_of_a_frame_name_no_file_that_is_gone(table: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(sk.SkewlessError, match=r"^the rows given: no column 'rating'"):
        sk.preprocess(SHOP, table.drop_columns(["rating"]), tmp_path / "records")


def test_classes_are_strings_as_labels_of_frames_are(tmp_path: Path) -> None:
    said = {"class": np.array([["é".encode(), b"b"]], object), "predictions": np.ones([1, 2])}
    served: Any = SimpleNamespace(
        spec=sk.parse(SHOP), directory=tmp_path, call=lambda *_: said,
        words=SimpleNamespace(vocabulary=lambda name: []),
    )  # fmt: skip
    found = sk.Model(served).predict(pa.table({"age": [1.0]}))
    assert found["class"].tolist() == [["é", "b"]]
    np.testing.assert_equal(found["predictions"], said["predictions"])


def test_a_model_is_pickled_by_its_place(
    shop_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(shop_model.parent)
    pickled = pickle.dumps(sk.open_model(shop_model.name))
    assert len(pickled) < 1_000
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(pickled)
    assert again.path == shop_model
    assert copy.deepcopy(again).spec == again.spec


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="nothing is forked")
def test_calls_in_a_forked_process_are_refused(shop_model: Path, shop: DataSet) -> None:
    model, records = sk.open_model(shop_model), sk.open_records(shop.directory)
    table = pa.table({"age": [1.0]})
    model.predict(table)
    calls = (
        lambda: model.predict(table), lambda: model.explain({"age": 1.0}), lambda: records.dataset(),
        lambda: sk.open_model(shop_model), lambda: sk.train(records, "run"),
        lambda: sk.preprocess(SHOP, table, "out"),
    )  # fmt: skip
    child = os.fork()
    if child == 0:
        refused = 0
        for call in calls:
            with contextlib.suppress(sk.SkewlessError):
                signal.alarm(60)  # Where it is not refused, it may not come back.
                call()
                refused -= 1
            refused += 1
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(calls)
    refuse_forked()


def test_a_row_that_does_not_fit_is_named(shop_model: Path) -> None:
    with pytest.raises(sk.SkewlessError, match=r"row 2, column 'age': .*'old'"):
        sk.open_model(shop_model).predict(pd.DataFrame({"age": ["31", "old"]}))


# Tests that use tf.Transform itself have it set in this process.
OUTSIDE = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
SKEWLESS = str(Path(sys.executable).parent / "skewless")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with modules of its own, as where a notebook lies: none of them is to be loaded."""
    for name in ("model", "schemas", "beam_pipelines", "demo", "records", "run"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')\n", encoding="utf-8")
    (tmp_path / "rows.csv").write_text("name,age,rating\nann,3,1\nbob,4,0\n", encoding="utf-8")
    return tmp_path


def said(command: list[str], folder: Path) -> str:
    """Returns what a command prints that ends well."""
    done = subprocess.run(
        command, cwd=folder, env=OUTSIDE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("door", [[SKEWLESS], [sys.executable, "-m", "skewless"]], ids=len)
def test_commands_are_found_beside_own_names(door: list[str], desk: Path) -> None:
    assert said([*door, "--help"], desk).startswith("usage: skewless")
    # Its options stand in a module beside the job's.
    assert "--model-name" in said([*door, "serve", "--help"], desk)


def test_all_that_is_offered_loads_beside_own_names_and_leaves_tf_keras_alone(desk: Path) -> None:
    code = (
        "import os, sys, skewless as sk\n"
        "assert all(getattr(sk, name) for name in sk.__all__)\n"
        "spec = sk.parse({'name': 'own', 'features': {'age': {'type': 'numeric'}}})\n"
        "print(spec.name, 'TF_USE_LEGACY_KERAS' in os.environ)\n"
        "print(*sorted({'apache_beam', 'keras', 'model', 'tensorflow'} & set(sys.modules)))\n"
    )
    assert said([sys.executable, "-c", code], desk) == "own False\n\n"


@pytest.mark.slow
@pytest.mark.parametrize("door", [[SKEWLESS], [sys.executable, "-m", "skewless"]], ids=len)
def test_a_job_is_done_beside_own_names(door: list[str], desk: Path) -> None:
    said([*door, "init", "rows.csv", "--label", "rating", "-o", "own.yaml"], desk)
    assert sk.load(desk / "own.yaml").label == sk.guess(desk / "rows.csv", "rating").label


@pytest.mark.slow
def test_tf_keras_is_left_alone_by_what_loads_the_jobs(shop_model: Path, desk: Path) -> None:
    code = (
        "import os, sys, skewless as sk, pandas as pd\n"
        "sk.guess('rows.csv', 'rating')\n"
        "assert 'skewless.beam_pipelines' in sys.modules\n"
        "assert 'TF_USE_LEGACY_KERAS' not in os.environ, 'set by guess'\n"
        f"model = sk.open_model({str(shop_model)!r})\n"
        "model.predict(pd.DataFrame({'text': ['good']}))\n"
        "assert 'TF_USE_LEGACY_KERAS' not in os.environ, 'set by predict'\n"
        "import tensorflow as tf\n"
        "print(tf.keras.__version__)\n"
    )
    assert said([sys.executable, "-c", code], desk).startswith("3.")


def test_a_guess_is_that_of_init_and_is_left_where_asked(table: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "guess.yaml"
    spec = sk.guess(table, "rating", output=path)
    assert spec.label is not None
    assert spec.label.column == "rating"
    assert sk.load(path) == spec
    assert "#" in path.read_text(encoding="utf-8")
    with pytest.raises(sk.SkewlessError, match="is there already"):
        sk.guess(table, "rating", output=path)
    assert [found.name for found in tmp_path.iterdir()] == ["guess.yaml"]
