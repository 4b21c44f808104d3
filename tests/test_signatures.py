"""The signatures of every kind of label, on untrained models of one small table."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.export import export
from skewless.model.network.build import build
from skewless.model.parity.report import Report
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import RunDirectory
from skewless.model.verify import RawRows, sample_rows
from skewless.schemas import parse
from skewless.schemas.records.layout import METRICS, MODEL
from skewless.schemas.records.records import KEY
from skewless.schemas.rows.row_encoding import examples
from tests.conftest import DataSet

FEATURES: dict[str, Any] = {
    "colour": {"type": "categorical", "column": "eye colour", "embedding": 4},
    "size": {"type": "numeric", "column": "größe", "scale": "z_score", "missing": "mean"},
}
SPECS: dict[str, dict[str, Any]] = {
    "multiclass": {"label": {"column": "kind", "type": "multiclass"}},
    "multilabel": {"label": {"column": "kinds", "type": "multilabel"}},
    "log1p": {"label": {"column": "cost", "type": "regression", "scale": "log1p"}},
    "z_score": {"label": {"column": "cost", "type": "regression", "scale": "z_score"}},
    "sequence": {
        "features": {"words": {"type": "text", "length": 4, "embedding": 4}},
        "label": {"column": "target", "type": "sequence", "length": 3, "embedding": 4},
        "model": {"type": "seq2seq", "units": 8, "beam_width": 2},
    },
    "integers": {
        "features": {
            **FEATURES,
            "code": {"type": "categorical", "dtype": "int64", "embedding": 4},
            "codes": {"type": "categorical", "dtype": "int64", "length": 2, "embedding": 4},
            "pair": {"type": "numeric", "length": 2, "scale": "min_max"},
            "1st": {"type": "numeric"},
        },
        "label": {"column": "kind", "type": "multiclass", "classes": ["c", "b", "a"]},
    },
}
SPECS["integers"]["features"]["first"] = {"type": "numeric", "column": "1st"}
del SPECS["integers"]["features"]["1st"]


def table(path: Path, rows: int = 90) -> Path:
    """Writes JSON lines whose column names are as people give them."""
    rng = np.random.default_rng(3)
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            kind = "aab"[row % 3] if row % 5 else "c"
            words = [str(word) for word in rng.choice(["un", "deux", "trois"], 2)]
            document = {
                "eye colour": ["blue", "brown", None][row % 3],
                "größe": float(rng.normal(170, 10)),
                "kind": kind,
                "kinds": "|".join(sorted({kind, "abc"[row % 3]})),
                "cost": float(rng.lognormal(3)),
                "words": " ".join(words),
                "target": " ".join(word.upper() for word in words),
                "code": int(rng.integers(5)),
                "codes": [1, 2][: row % 3],
                "pair": [1.5, float(row)],
                "1st": 1.0,
            }
            file.write(json.dumps(document) + "\n")
    return path


def untrained(document: dict[str, Any], source: Path, root: Path) -> Path:
    """Leaves a finished run whose model was never trained."""
    spec = parse(
        {"name": "t", "features": FEATURES, "split": {"train": 0.7, "eval": 0.3}, **document}
    )
    preprocess(spec, [str(source)], root / "records")
    records = open_records(root / "records")
    keras.utils.set_random_seed(7)
    run = RunDirectory.create(root / "run", records, spec, overwrite=False)
    build(spec, records.manifest.features).save(run.path / MODEL)
    (run.path / METRICS).write_text("{}")
    return root


def exported(document: dict[str, Any], rows: Iterable[dict[str, Any]], root: Path) -> Report:
    """Leaves rows, their records, an untrained run and its export, whose parity passed to the bit."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "rows.jsonl").write_text(lines, encoding="utf-8")
    untrained(document, root / "rows.jsonl", root)
    report = export(root / "run", root / "served")
    assert report is not None and report.passed and report.matched > 0
    assert report.within_tolerance == 0, "equal in every bit"
    return report


def records_by_key(records: Path) -> dict[str, dict[str, np.ndarray]]:
    """Returns the features of each row of train and eval."""
    found = {}
    for split in ("train", "eval"):
        batches = open_records(records).in_order(split, batch_size=64, with_key=True)
        for features, *_ in batches.as_numpy_iterator():
            for place, key in enumerate(features[KEY].tolist()):
                found[key.decode()] = {name: rows[place] for name, rows in features.items()}
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table(tmp_path_factory.mktemp("table") / "table.jsonl")


@pytest.fixture(scope="module")
def served(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of records, run and served model, by the name of the spec; made when asked."""

    class Made(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            root = untrained(SPECS[name], source, tmp_path_factory.mktemp(name))
            report = export(root / "run", root / "served")
            assert report is not None
            assert report.passed
            assert report.prediction_difference is not None
            self[name] = root
            return root

    return Made()


def first_rows(root: Path) -> RawRows:
    return next(sample_rows(root / "records"))


def serialized(root: Path) -> tf.Tensor:
    spec = RunDirectory.open(root / "run").spec
    return tf.constant(examples(first_rows(root).columns, spec))


def call(root: Path, signature: str, **arguments: Any) -> dict[str, np.ndarray]:
    loaded = tf.saved_model.load(str(root / "served"))
    outputs = loaded.signatures[signature](**arguments)
    return {name: value.numpy() for name, value in outputs.items()}


def raw_output(root: Path) -> np.ndarray:
    """What the Keras model itself says of the records of the first raw rows, in their order."""
    model = keras.saving.load_model(root / "run" / MODEL)
    records = open_records(root / "records")
    by_key: dict[bytes, np.ndarray] = {}
    for split in ("train", "eval"):
        for features, *_ in records.in_order(split, batch_size=512, with_key=True):
            keys = features.pop(KEY).numpy().tolist()
            by_key.update(zip(keys, model(features).numpy(), strict=True))
    return np.stack([by_key[str(key).encode()] for key in first_rows(root).keys.to_pylist()])


def labels_and_costs(root: Path) -> tuple[list[float], list[float]]:
    """Returns labels as in the records of eval, and the raw costs of the same rows."""
    records = open_records(root / "records")
    labels = {
        key: label
        for features, batch in records.in_order("eval", batch_size=512, with_key=True)
        for key, label in zip(
            features[KEY].numpy().tolist(), batch[:, 0].numpy().tolist(), strict=True
        )
    }
    pairs = [
        (labels[key.encode()], cost)
        for raw in sample_rows(root / "records")
        for key, cost in zip(
            raw.keys.to_pylist(), raw.columns.column("cost").to_pylist(), strict=True
        )
        if key.encode() in labels
    ]
    return [label for label, _ in pairs], [cost for _, cost in pairs]


def test_multiclass(served: dict[str, Path]) -> None:
    root = served["multiclass"]
    outputs = call(root, "serving_default", examples=serialized(root))
    np.testing.assert_allclose(outputs["predictions"], raw_output(root), atol=1e-6)
    np.testing.assert_allclose(outputs["predictions"].sum(axis=1), 1, atol=1e-5)
    names = np.array([b"a", b"b", b"c"], object)
    assert outputs["class"].tolist() == names[outputs["predictions"].argmax(axis=1)].tolist()
    classified = call(root, "classify", inputs=serialized(root))
    assert classified["classes"][0].tolist() == names.tolist()
    np.testing.assert_allclose(classified["scores"], outputs["predictions"], atol=1e-6)
    assert "regress" not in tf.saved_model.load(str(root / "served")).signatures


@pytest.mark.slow
def test_declared_classes_keep_their_order(served: dict[str, Path]) -> None:
    root = served["integers"]
    classified = call(root, "classify", inputs=serialized(root))
    assert classified["classes"][0].tolist() == [b"c", b"b", b"a"]


@pytest.mark.slow
def test_multilabel(served: dict[str, Path]) -> None:
    root = served["multilabel"]
    classified = call(root, "classify", inputs=serialized(root))
    assert sorted(classified["classes"][0].tolist()) == [b"a", b"b", b"c"]
    np.testing.assert_allclose(classified["scores"], raw_output(root), atol=1e-6)


@pytest.mark.parametrize("scale", ["log1p", "z_score"])
def test_regression_answers_in_the_labels_own_unit(served: dict[str, Path], scale: str) -> None:
    root = served[scale]
    outputs = call(root, "regress", inputs=serialized(root))["outputs"]
    scaled = raw_output(root)[:, 0]
    if scale == "log1p":
        expected = np.sign(scaled) * np.expm1(np.abs(scaled))
    else:
        # The scale as the records themselves show it: two labels and the costs they came from.
        labels, costs = labels_and_costs(root)
        slope, intercept = np.polyfit(labels, costs, 1)
        expected = scaled * slope + intercept
    np.testing.assert_allclose(outputs, expected, rtol=1e-4)
    assert "classify" not in tf.saved_model.load(str(root / "served")).signatures


@pytest.mark.slow
def test_generate(served: dict[str, Path]) -> None:
    root = served["sequence"]
    outputs = call(root, "generate", examples=serialized(root))
    rows = first_rows(root).columns.num_rows
    assert outputs["greedy_ids"].shape == (rows, 4)
    assert outputs["beam_ids"].shape == (rows, 2, 4)
    assert (np.diff(outputs["beam_scores"], axis=1) <= 1e-5).all()
    plain = call(root, "serving_default", examples=serialized(root))
    assert plain["predictions"].tolist() == outputs["greedy_ids"].tolist()
    assert plain["texts"].tolist() == outputs["greedy_texts"].tolist()
    assert (root / "served" / "assets" / "__label__").is_file()
    vocabulary = (root / "served" / "assets" / "__label__").read_bytes().split(b"\n")[:-1]
    cardinality = open_records(root / "records").manifest.features["__label__"].cardinality
    names = [b"", b"?", b"[unknown]", *vocabulary, b"?", b""]
    assert len(names) == cardinality
    for ids, text in zip(outputs["greedy_ids"].tolist(), plain["texts"].tolist(), strict=True):
        assert b" ".join(names[token] for token in ids if names[token]) == text
    empty = call(root, "generate", examples=tf.constant([], tf.string))
    assert empty["beam_texts"].shape == (0, 2)


def test_columns_of_every_kind(served: dict[str, Path]) -> None:
    root = served["integers"]
    loaded = tf.saved_model.load(str(root / "served")).signatures["predict_columns"]
    description = json.loads((root / "served/assets.extra/skewless.json").read_text())
    assert description["columns"] == {
        "eye_colour": "eye colour",
        "gr__e": "größe",
        "code": "code",
        "codes": "codes",
        "pair": "pair",
        "column_1st": "1st",
    }
    columns = first_rows(root).columns

    def padded(name: str, fill: Any, dtype: Any) -> np.ndarray:
        return np.array(
            [
                (values or []) + [fill] * (2 - len(values or []))
                for values in columns[name].to_pylist()
            ],
            dtype,
        )

    missing = np.iinfo(np.int64).min
    arguments = {
        "eye_colour": [colour or "" for colour in columns["eye colour"].to_pylist()],
        "gr__e": np.array(columns["größe"].to_pylist(), np.float32),
        "code": np.array(columns["code"].to_pylist(), np.int64),
        "codes": padded("codes", missing, np.int64),
        "pair": padded("pair", np.nan, np.float32),
        "column_1st": np.array(columns["1st"].to_pylist(), np.float32),
    }
    outputs = loaded(**{name: tf.constant(value) for name, value in arguments.items()})
    expected = call(root, "serving_default", examples=serialized(root))["predictions"]
    np.testing.assert_allclose(outputs["predictions"], expected, atol=1e-6)


def test_columns_of_unlike_length_are_refused(served: dict[str, Path]) -> None:
    root = served["multiclass"]
    loaded = tf.saved_model.load(str(root / "served")).signatures["predict_columns"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected columns of one length"):
        loaded(eye_colour=tf.constant(["blue", "brown"]), gr__e=tf.constant([1.0, 2.0, 3.0]))


def test_two_columns_may_look_alike_as_arguments() -> None:
    from skewless.model.exported.signatures import _argument_names

    assert _argument_names(["a b", "a_b", "a-b", "9"]) == {
        "a_b": "a b",
        "a_b_": "a_b",
        "a_b__": "a-b",
        "column_9": "9",
    }


@pytest.mark.slow
@pytest.mark.parametrize("text", [{"normalize": "nfkc"}, {"tokenizer": "subword"}])
def test_normalized_text_needs_and_says_it_needs_tensorflow_text(
    text: dict[str, Any], source: Path, tmp_path: Path
) -> None:
    document = {
        "features": {"words": {"type": "text", "length": 4, "embedding": 4, **text}},
        "label": {"column": "kind", "type": "multiclass"},
    }
    root = untrained(document, source, tmp_path)
    # A process of its own: nothing has imported tensorflow-text before.
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "skewless.model.export",
            str(root / "run"),
            "--output",
            str(root / "served"),
        ],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "parity holds" in done.stdout
    description = json.loads((root / "served/assets.extra/skewless.json").read_text())
    assert description["needs_tensorflow_text"] is True


def test_binary_classify_agrees_with_serving(shop: DataSet, shop_model: Path) -> None:
    loaded = tf.saved_model.load(str(shop_model))
    raw = next(sample_rows(shop.directory))
    requests = tf.constant(examples(raw.columns, shop.spec))
    positive = loaded.signatures["serving_default"](examples=requests)["predictions"][:, 0]
    classified = loaded.signatures["classify"](inputs=requests)
    assert classified["classes"][0].numpy().tolist() == [b"0", b"1"]
    np.testing.assert_allclose(classified["scores"][:, 1], positive, atol=1e-6)
    np.testing.assert_allclose(classified["scores"][:, 0], 1 - positive, atol=1e-6)
    np.testing.assert_allclose(
        loaded.signatures["regress"](inputs=requests)["outputs"], positive, atol=1e-6
    )
