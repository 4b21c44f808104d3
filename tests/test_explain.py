"""One row through an exported model: what is told is what the model itself does."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from skewless import cli
from skewless.model.explain import explain
from skewless.model.exported.served_model import ServedModel
from skewless.schemas.errors import DataError, UsageError
from tests.conftest import DataSet
from tests.test_signatures import SPECS, first_rows, table, untrained

ROW = {
    "text": "The GREAT zebra, été; and one more word",
    "user": "nobody",
    "tags": "a||b|new",
    "age": "31",
    "price": 2.5,
    "v1": 0.1,
    "v2": None,
    "rating": 5,
}


@pytest.fixture(scope="module")
def alone(shop_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported model, copied away from run, records and data."""
    path = tmp_path_factory.mktemp("alone") / "moved"
    shutil.copytree(shop_model, path)
    return path


@pytest.fixture(scope="module")
def served(alone: Path) -> ServedModel:
    return ServedModel.open(alone)


def example(row: dict[str, Any]) -> tf.Tensor:
    """Returns a tf.Example of the shop's columns, written by hand."""
    features = {}
    for name in ("text", "user", "tags"):
        if row.get(name) is not None:
            value = tf.train.BytesList(value=[str(row[name]).encode()])
            features[name] = tf.train.Feature(bytes_list=value)
    for name in ("age", "price", "v1", "v2"):
        if row.get(name) is not None:
            number = tf.train.FloatList(value=[float(row[name])])
            features[name] = tf.train.Feature(float_list=number)
    document = tf.train.Example(features=tf.train.Features(feature=features))
    return tf.constant([document.SerializeToString()])


def test_what_was_seen_and_said_is_what_the_signatures_give(alone: Path) -> None:
    explanation = explain(alone, ROW)
    loaded = tf.saved_model.load(str(alone))
    seen = loaded.signatures["transform_features"](examples=example(ROW))
    told = {name: value for entry in explanation.features for name, value in entry.seen.items()}
    assert set(told) == set(seen)
    for name, value in seen.items():
        assert np.array_equal(np.asarray(told[name], value.numpy().dtype), value[0].numpy()), name
    prediction = loaded.signatures["serving_default"](examples=example(ROW))["predictions"]
    assert explanation.score == pytest.approx(float(prediction[0, 0]), abs=1e-7)


def test_every_token_has_its_id_and_meaning(served: ServedModel) -> None:
    features = {entry.name: entry for entry in explain(served, ROW).features}
    text = features["text"]
    assert text.steps is not None
    assert [step.token for step in text.steps] == [
        "the", "great", "zebra", "été", "and", "one", "more", "word",
    ]  # fmt: skip
    assert [step.kind for step in text.steps] == [
        *["vocabulary"] * 2, "out of vocabulary", "vocabulary", *["out of vocabulary"] * 2, None, None,
    ]  # fmt: skip
    assert [step.id for step in text.steps[:6]] == text.seen["text"]
    assert [step.meaning for step in text.steps[:2]] == ["the", "great"]
    assert text.steps[6].meaning == "(cut off: beyond 6)"
    assert (text.cut, text.mask) == (2, (True,) * 6)
    tags = features["tags"]
    assert tags.steps is not None
    assert [(step.token, step.kind) for step in tags.steps] == [
        ("a", "vocabulary"),
        ("b", "vocabulary"),
        ("new", "out of vocabulary"),
    ]
    user = features["user"]
    assert user.steps is not None
    assert user.steps[0].token == "nobody"
    assert user.steps[0].meaning.startswith("(out of vocabulary, bucket ")
    assert features["price"].steps is not None
    assert features["price"].steps[0].meaning.startswith("(quantile bucket ")
    assert features["age"].steps is None
    assert features["age"].seen["__missing__age"] == 0.0
    assert features["vector"].raw == {"v1": 0.1, "v2": None}


def test_every_record_is_explained_as_it_was_written(served: ServedModel, shop: DataSet) -> None:
    with shop.source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:40]
    for row in rows:
        for feature in explain(served, row).features:
            kept = [step for step in feature.steps or () if step.id is not None]
            for step in kept:
                if step.kind == "vocabulary":
                    assert step.meaning == step.token
            if feature.mask is not None:
                present = [value for value in feature.seen[feature.name] if value]
                assert [step.id for step in kept] == present


def test_leaving_one_out_is_serving_the_row_without_it(served: ServedModel) -> None:
    explanation = explain(served, ROW)
    assert explanation.score is not None
    for feature in explanation.features:
        rest = {column: value for column, value in ROW.items() if column not in feature.raw}
        alone = float(served.predict([rest])["predictions"][0, 0])
        assert feature.score_without == pytest.approx(alone, abs=1e-6)
        assert feature.change == pytest.approx(alone - explanation.score, abs=1e-6)
    assert max(abs(feature.change or 0) for feature in explanation.features) > 1e-3


def test_an_empty_row_is_all_missing(served: ServedModel) -> None:
    explanation = explain(served, {})
    assert all(feature.missing for feature in explanation.features)
    assert [feature.change for feature in explanation.features] == pytest.approx([0] * 6, abs=1e-6)
    assert "(missing)" in str(explanation)


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"age": "old"}, DataError, r"column 'age': expected a number, got 'old'; correct it"),
        ({"txt": "x"}, UsageError, r"none of the model's columns .*did you mean 'text'"),
        ({"v1": [1, 2]}, DataError, r"column 'v1': expected one value, got 2"),
    ],
)
def test_what_is_no_row_is_refused(
    served: ServedModel, row: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        explain(served, row)


def test_the_command_walks_a_row_through(
    alone: Path, shop: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inspect", str(alone), "--row", json.dumps(ROW), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == explain(alone, ROW).as_json()
    assert document["not_read"] == ["rating"]
    assert cli.main(["inspect", str(alone), "--row", json.dumps(ROW)]) == 0
    shown = capsys.readouterr().out
    assert 'raw text: "The GREAT zebra, été; and one more word"' in shown
    assert "the probability that rating is positive" in shown
    for arguments, message in (
        ([str(alone)], 'is a model; add --row, expected a JSON object such as \'{"text"'),
        ([str(alone), "--row", "{"], "got what is no JSON"),
        ([str(alone), "--row", "[]"], "got list"),
        ([str(shop.directory), "--row", "{}"], "leave --row out to see records"),
    ):
        assert cli.main(["inspect", *arguments]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["multiclass", "z_score", pytest.param("sequence", marks=pytest.mark.slow)]
)
def test_other_labels(name: str, tmp_path: Path) -> None:
    from skewless.model.export import export

    root = untrained(SPECS[name], table(tmp_path / "table.jsonl"), tmp_path)
    export(root / "run", root / "served", check=False)
    row = first_rows(root).columns.to_pylist()[0]
    explanation = explain(root / "served", row)
    if name == "sequence":
        assert explanation.score is None
        assert explanation.features[0].change is None
        assert isinstance(explanation.predictions["texts"], str)
        return
    assert explanation.score == pytest.approx(max(explanation.predictions["predictions"]))
    if name == "multiclass":
        assert repr(explanation.predictions["class"]) in explanation.score_of
    colour = explanation.features[0]
    assert list(colour.raw) == ["eye colour"]


@pytest.mark.slow
def test_pieces_and_tokens_cut_and_padded_at_the_start(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_text")
    from skewless.model.export import export

    text = {"type": "text", "column": "words", "embedding": 4}
    vocabulary = {"max_size": 40, "min_count": 1}
    features = {
        "last": {**text, "length": 3, "truncate": "start", "pad": "start"},
        "pieces": {**text, "tokenizer": "subword", "length": 9, "vocabulary": vocabulary},
    }
    document = {"features": features, "label": {"column": "cost", "type": "regression"}}
    root = untrained(document, table(tmp_path / "table.jsonl"), tmp_path)
    export(root / "run", root / "served", check=False)
    served = ServedModel.open(root / "served")

    last, pieces = explain(served, {"words": "un deux"}).features
    assert last.steps is not None
    assert [step.token for step in last.steps] == ["un", "deux"]
    assert last.mask == (False, True, True)
    assert [0, *(step.id for step in last.steps)] == last.seen["last"]
    assert pieces.steps is not None
    assert "".join(step.meaning.removeprefix("##") for step in pieces.steps) == "undeux"
    assert all(step.meaning == step.token for step in pieces.steps)
    assert (last.together_with, pieces.together_with) == (("pieces",), ("last",))

    last, _ = explain(served, {"words": "un un un deux"}).features
    assert last.steps is not None
    assert [step.id is None for step in last.steps] == [True, False, False, False]
    assert [step.id for step in last.steps[1:]] == last.seen["last"]
    assert [step.meaning for step in last.steps[1:]] == ["un", "un", "deux"]
