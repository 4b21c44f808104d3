"""Texts whose tokens weigh by TF-IDF, against scikit-learn's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from skewless.model.export import export
from skewless.model.network.build import build
from skewless.model.network.layers import TermWeights, WeightedSum
from skewless.model.train import train
from skewless.model.training.compiled import compiled_model
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import load_trained
from skewless.schemas import Spec, SpecError, parse
from skewless.schemas.errors import UsageError
from tests.conftest import SHOP, DataSet


def weighted(**changes: Any) -> Spec:
    text = {**SHOP["features"]["text"], "weighting": "tf_idf"}
    return parse({**SHOP, **changes, "features": {**SHOP["features"], "text": text}})


def _ids(shop: DataSet, split: str) -> np.ndarray:
    batches = open_records(shop.directory).in_order(split, batch_size=64).as_numpy_iterator()
    return np.concatenate([features["text"] for features, *_ in batches])


def _tfidf(ids: np.ndarray) -> TfidfVectorizer:
    """Returns scikit-learn's weights of IDs, each a word of a text."""
    vectorizer = TfidfVectorizer(token_pattern=r"\d+")
    return vectorizer.fit([" ".join(map(str, row[row > 0])) for row in ids])


def test_weights_are_those_of_scikit_learn(shop: DataSet) -> None:
    spec = weighted()
    assert spec.sha256() == shop.spec.sha256(), "the records are the same"
    model = compiled_model(spec, open_records(shop.directory))
    theirs = _tfidf(_ids(shop, "train"))
    table = np.array(model.get_layer("tf_idf.text").table)
    for word, place in theirs.vocabulary_.items():
        assert table[int(word)] == pytest.approx(theirs.idf_[place], rel=1e-6)

    held = _ids(shop, "eval")
    held = held[[len(set(row[row > 0])) == (row > 0).sum() for row in held]]
    inside = keras.Model(
        model.inputs,
        [model.get_layer(name).output for name in ("embed.text", "weighted_sum.text")],
    )
    entries = next(iter(open_records(shop.directory).in_order("eval", batch_size=1)))[0]
    rows = {name: np.repeat(values, len(held), axis=0) for name, values in entries.items()}
    steps, summed = (np.asarray(part) for part in inside({**rows, "text": held}))
    expected = theirs.transform([" ".join(map(str, row[row > 0])) for row in held])
    for row, ids in enumerate(held):
        weights = [expected[row, theirs.vocabulary_.get(str(one), -1)] if one else 0 for one in ids]
        np.testing.assert_allclose(summed[row], weights @ steps[row], rtol=1e-4, atol=1e-6)


def test_a_row_of_padding_has_no_vector() -> None:
    layer = TermWeights(9)
    layer.build((None, 4))
    layer.count(np.arange(9), 20)
    weights = np.asarray(layer(np.array([[0, 0, 0, 0], [3, 0, 3, 8]])))
    assert not weights[0].any() and weights[1, 1] == 0
    assert (weights**2).sum(axis=1).tolist() == pytest.approx([0, 1])
    vectors = np.asarray(WeightedSum()(np.ones((2, 4, 3), np.float32), weights))
    assert not vectors[0].any() and np.isfinite(vectors).all()


@pytest.mark.parametrize(
    ("text", "model", "problem"),
    [
        ({"encoder": "gru"}, {}, "stands in place of a mean, not of gru"),
        (
            {},
            {"groups": {"g": {"features": ["text", "more"]}}},
            "features.text.weighting: weighs no",
        ),
        ({}, {"type": "seq2seq"}, "features.text.weighting: seq2seq reads each step"),
    ],
)
def test_what_has_no_mean_takes_no_weighting(text: Any, model: Any, problem: str) -> None:
    feature = {**SHOP["features"]["text"], **text, "weighting": "tf_idf"}
    with pytest.raises(SpecError, match=problem):
        features = {"text": feature}
        if "groups" in model:
            features["more"] = {**SHOP["features"]["text"], "column": "other"}
        parse({**SHOP, "features": features, "model": model})


@pytest.mark.slow
def test_it_is_trained_warmed_and_proved(shop: DataSet, tmp_path: Path) -> None:
    spec = weighted()
    train(shop.directory, tmp_path / "run", spec=spec)
    export(tmp_path / "run", tmp_path / "served", records_directory=shop.directory)
    table = np.array(load_trained(tmp_path / "run" / "model.keras").get_layer("tf_idf.text").table)
    counted = compiled_model(spec, open_records(shop.directory)).get_layer("tf_idf.text").table
    np.testing.assert_array_equal(table, np.array(counted))
    train(shop.directory, tmp_path / "warm", spec=spec, warm_start=tmp_path / "run")
    with pytest.raises(UsageError, match=r"features.text.weighting: is not there with --follow"):
        compiled_model(spec, open_records(shop.directory), ends=False)


def test_a_layer_of_before_its_counts_weighs_all_alike(shop: DataSet) -> None:
    model = build(weighted(), open_records(shop.directory).manifest.features)
    layer = model.get_layer("tf_idf.text")
    assert (np.array(layer.table) == 1).all() and not layer.trainable_weights
