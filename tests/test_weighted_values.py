"""Values with weights in a list beside theirs, against sums written in NumPy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.explain import explain
from skewless.model.exported.served_model import ServedModel
from skewless.model.network.layers import WeightedMean, WeightedSum
from skewless.model.training.run_directory import load_trained
from skewless.model.tuning.space import space_of
from skewless.schemas import SpecError, parse
from skewless.schemas.errors import DataError
from skewless.schemas.records.records import weights_name
from skewless.schemas.rows.json_rows import canonical_rows
from tests.test_signatures import exported, records_by_key

LENGTH = 3
FEATURES: dict[str, Any] = {
    "tags": {
        "type": "categorical", "length": LENGTH, "weights": "scores", "truncate": "start",
        "embedding": 4,
    },
    "codes": {
        "type": "categorical", "dtype": "int64", "length": LENGTH, "weights": "shares",
        "pad": "start", "hash_buckets": 7, "encoder": "sum", "embedding": 5,
    },
    "words": {
        "type": "categorical", "length": LENGTH, "separator": "|", "weights": "counts",
        "embedding": "one_hot",
    },
    "plain": {"type": "categorical", "column": "tags", "length": LENGTH, "encoder": "sum", "embedding": 2},
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "key": "key",
    "missing_values": ["?"],
    "features": FEATURES,
    "label": {"column": "y", "type": "binary"},
    "model": {"hidden": [8], "linear": True},
}


def _rows(count: int = 120) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []
    for place in range(count):
        held, more, parts = rng.integers(0, 6, 3)
        rows.append(
            {
                "key": f"k{place}",
                "tags": [str(tag) for tag in rng.choice(["a", "b", "?", "d", ""], held)],
                "scores": [round(float(w), 3) for w in rng.normal(size=held)],
                "codes": [int(code) for code in rng.integers(0, 9, more)],
                "shares": None if place % 9 == 0 else [float(w) for w in rng.integers(0, 3, more)],
                "words": "|".join(rng.choice(["x", "y", " z "], parts)),
                "counts": "|".join(map(str, rng.integers(1, 9, parts))),
                "y": int(rng.integers(2)),
            }
        )
    return rows


def _expected(values: list[str], weights: list[float] | None, feature: Any) -> list[float]:
    """Returns the weights of a row's record, by plain Python."""
    given = [1.0] * len(values) if weights is None else weights
    held = [weight for value, weight in zip(values, given, strict=True) if value not in ("", "?")]
    kept = held[-LENGTH:] if feature.truncate == "start" else held[:LENGTH]
    nothing = [0.0] * (LENGTH - len(kept))
    return nothing + kept if feature.pad == "start" else kept + nothing


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, their records, an untrained run, and its export, whose parity passed."""
    root = tmp_path_factory.mktemp("weights")
    exported(DOCUMENT, _rows(), root)
    return root


def test_records_hold_what_each_value_weighs(root: Path) -> None:
    spec, records = parse({"name": "n", **DOCUMENT}), records_by_key(root / "records")
    assert len(records) == 120, "no row was rejected"
    for row in _rows():
        parts = row["words"].split("|") if row["words"] else []
        counts = [float(count) for count in row["counts"].split("|") if count]
        for name, values, weights in (
            ("tags", row["tags"], row["scores"]),
            ("codes", list(map(str, row["codes"])), row["shares"]),
            ("words", parts, counts),
        ):
            found = records[row["key"]]
            expected = np.array(_expected(values, weights, spec.features[name]), np.float32)
            np.testing.assert_array_equal(found[weights_name(name)], expected)
            assert not expected[found[name] == 0].any(), "padding weighs nothing"
    assert weights_name("plain") not in records["k0"]


def test_towers_are_weighted_sums(root: Path) -> None:
    model = load_trained(root / "run" / "model.keras")
    rows = list(records_by_key(root / "records").values())
    names = [each.name for each in model.inputs]
    batch = {name: np.stack([row[name] for row in rows]) for name in names}
    for name, layer, kind in (
        ("tags", "weighted_mean.tags", "mean"),
        ("codes", "weighted_sum.codes", "sum"),
    ):
        inner = keras.Model(model.inputs, model.get_layer(layer).output)
        table = np.asarray(model.get_layer(f"embed.{name}").embeddings, np.float64)
        weights = batch[weights_name(name)].astype(np.float64)
        expected = (table[batch[name]] * weights[..., None]).sum(axis=1)
        if kind == "mean":
            expected /= np.maximum(np.abs(weights).sum(axis=1, keepdims=True), 1e-12)
        np.testing.assert_allclose(np.asarray(inner(batch)), expected, rtol=1e-4, atol=1e-6)
    bag = np.asarray(keras.Model(model.inputs, model.get_layer("sum.plain").output)(batch))
    table = np.asarray(model.get_layer("embed.plain").embeddings)
    present = (batch["plain"] > 0)[..., None]
    np.testing.assert_allclose(bag, (table[batch["plain"]] * present).sum(axis=1), atol=1e-5)


def test_a_row_that_weighs_nothing_has_no_vector() -> None:
    steps = np.ones((3, 2, 4), np.float32)
    weights = np.array([[0, 0], [2, 6], [-1, 1]], np.float32)
    assert np.asarray(WeightedSum()(steps, weights)).tolist() == [[0] * 4, [8] * 4, [0] * 4]
    assert np.asarray(WeightedMean()(steps, weights)).tolist() == [[0] * 4, [1] * 4, [0] * 4]


def test_the_model_takes_the_lists_and_does_without_weights(root: Path) -> None:
    served = ServedModel.open(root / "served")
    row = {"tags": ["a", "?", "b"], "scores": [2.0, 9.0, -1.0]}
    asked = served.features([row, {"tags": ["a", "?", "b"]}, {}])[weights_name("tags")]
    assert asked.tolist() == [[2, -1, 0], [1, 1, 0], [0, 0, 0]]
    (told,) = (entry for entry in explain(served, row).features if entry.name == "tags")
    assert told.raw == row and told.seen[weights_name("tags")] == [2, -1, 0]
    with pytest.raises(DataError, match=r"'scores'.*as many values as in column 'tags', got 1 for"):
        served.features([{"tags": ["a", "b"], "scores": [1.0]}])


def test_columns_of_a_batch_are_padded_alike(root: Path) -> None:
    """Places count, not values: what is no value takes its weight with it."""
    signatures = tf.saved_model.load(str(root / "served")).signatures
    examples = ServedModel.open(root / "served")
    rows = [{"tags": ["a", "b"], "scores": [3.0, -2.0]}, {"tags": ["d"], "scores": [0.5]}]
    given = signatures["predict_columns"](
        tags=tf.constant([["a", "", "b"], ["d", "", ""]]),
        scores=tf.constant([[3.0, 7.0, -2.0], [0.5, math.nan, math.nan]]),
        codes=tf.zeros([0, 0], tf.int64),
        shares=tf.zeros([0, 0]),
        words=tf.zeros([0, 0], tf.string),
        counts=tf.zeros([0, 0]),
    )
    by_rows = examples.predict(rows)["predictions"]
    np.testing.assert_array_equal(given["predictions"].numpy(), by_rows)


def test_uneven_lists_reject_their_row(tmp_path: Path) -> None:
    rows = [*_rows(40)]
    rows[1] |= {"tags": ["a", "b"], "scores": [1.0]}
    rows[2] |= {"tags": None, "scores": [1.0]}
    rows[3] |= {"tags": ["a", "b"], "scores": [1.0, None]}
    rows[4] |= {"codes": [1, None], "shares": [1.0, 2.0]}
    rows[5] |= {"words": "x|y", "counts": "1|2|3"}
    rows[6] |= {"words": "x|y", "counts": "1|two"}
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = parse({"name": "n", **DOCUMENT})
    preprocess(spec, [str(tmp_path / "rows.jsonl")], tmp_path / "out", max_rejected=1.0)
    found = {}
    for path in (tmp_path / "out" / "rejected").glob("*.jsonl"):
        for entry in map(json.loads, path.read_text().splitlines()):
            assert entry["file"].endswith("rows.jsonl")
            found[entry["row"]] = (entry["column"], entry["reason"])
    assert sorted(found) == [2, 3, 4, 5, 6, 7]
    wanted = "expected as many values as in column 'tags', got "
    assert found[2] == ("scores", f"{wanted}1 for 2") and found[3] == ("scores", f"{wanted}1 for 0")
    assert found[4][0] == "scores" and "one is missing" in found[4][1]
    assert found[5][0] == "codes" and "without missing values" in found[5][1]
    assert found[6][0] == "counts" and "3 for 2" in found[6][1]
    assert found[7][0] == "counts" and "expected a number, got 'two'" in found[7][1]


def test_lists_are_read_alike_from_json_and_arrow() -> None:
    spec = parse({"name": "n", **DOCUMENT})
    rows = canonical_rows([{"tags": ["a", None, "b"], "scores": [1, 2, 3]}, {"tags": "a"}], spec)
    assert rows.column("tags").to_pylist() == [["a", "", "b"], ["a"]]
    assert rows.column("scores").to_pylist() == [[1.0, 2.0, 3.0], None]
    assert rows.column("scores").type == pa.list_(pa.float32())


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"length": None}, r"'weights' needs 'length'"),
        ({"encoder": "gru"}, r"weights: go into a sum, or a mean, of values and not into gru"),
        ({"weights": "age"}, r"features.tags.weights: column 'age' is read by features.age too"),
        ({"weights": "tags"}, r"column 'tags' is that of the values"),
        ({"weights": "key"}, r"column 'key' is named elsewhere"),
    ],
)
def test_weights_that_cannot_be_are_refused(feature: dict[str, Any], message: str) -> None:
    tags = {**FEATURES["tags"], **feature}
    tags = {name: value for name, value in tags.items() if value is not None}
    features = {"tags": tags, "age": {"type": "numeric"}}
    with pytest.raises(SpecError, match=message):
        parse({"name": "n", "key": "key", "features": features})


def test_weights_go_into_no_group() -> None:
    model = {"groups": {"g": {"features": ["tags", "more"]}}}
    more = {"type": "categorical", "length": LENGTH}
    with pytest.raises(SpecError, match=r"features.tags.weights: weigh no group's steps"):
        parse({"name": "n", "features": {"tags": FEATURES["tags"], "more": more}, "model": model})


def test_tuning_tries_no_encoder_that_weights_do_not_go_into() -> None:
    knobs = {knob.name for knob in space_of(parse({"name": "n", **DOCUMENT}))}
    assert "features.plain.encoder" in knobs and "features.tags.encoder" not in knobs


def test_a_spec_without_weights_does_not_tell_of_them() -> None:
    spec = parse({"name": "n", "features": {"tags": {"type": "categorical", "length": 3}}})
    assert "weights" not in spec.model_dump()["features"]["tags"]
