"""Models whose layers were named before features and layers had names of their own open as ever."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from skewless.model.network.build import build
from skewless.model.network.layer_names import earlier_name
from skewless.model.network.seq2seq import Generator
from skewless.model.training.run_directory import RunDirectory, load_trained
from skewless.model.training.warm_start import carry_over
from skewless.schemas import Spec, parse
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL

LIST = {"type": "categorical", "length": 3, "embedding": 4}
LENGTH, SIZE = 3, 9


def spec_of(feature: str, **more: Any) -> Spec:
    label = {"column": "y", "type": "binary"}
    return parse({"name": "n", "label": label, "features": {feature: LIST}, **more})


def translating(feature: str) -> Spec:
    return spec_of(
        feature,
        features={feature: {"type": "text", "length": 3, "embedding": 4}},
        label={"column": "y", "type": "sequence", "length": LENGTH - 1, "embedding": 4},
        model={"type": "seq2seq", "units": 4},
    )


def model_of(spec: Spec, seed: int) -> keras.Model:
    """Returns a model whose every weight follows from the seed."""
    entries = {
        name: FeatureEntry(dtype="int64", shape=(3,), cardinality=SIZE) for name in spec.features
    }
    entries[LABEL] = FeatureEntry(dtype="float32", shape=())
    if spec.label is not None and spec.label.type == "sequence":
        entries[LABEL] = FeatureEntry(dtype="int64", shape=(LENGTH,), cardinality=SIZE)
    model = build(spec, entries)
    random = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    return model


def save_as_before(model: keras.Model, path: Path) -> None:
    """Saves a model as versions before did, layer for layer under its earlier name."""
    model.save(path)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = parts["config.json"].decode()
    for layer in model.layers:
        config = config.replace(json.dumps(layer.name), json.dumps(earlier_name(layer.name)))
    parts["config.json"] = config.encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


@pytest.mark.parametrize(
    "spec",
    [
        spec_of("tags"),
        spec_of("tags", features={"tags": {**LIST, "encoder": "transformer"}}),
        spec_of(
            "a",
            features={"a": LIST, "b": LIST},
            model={"groups": {"g": {"features": ["a", "b"], "encoder": "gru"}}, "merge": "cross"},
        ),
    ],
)
def test_it_predicts_as_then_and_training_begins_with_it(spec: Spec, tmp_path: Path) -> None:
    model = model_of(spec, seed=1)
    save_as_before(model, tmp_path / "model.keras")
    opened = load_trained(tmp_path / "model.keras")
    # Only inputs are called now as then.
    assert not {layer.name for layer in opened.layers} & {
        layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)
    }
    random = np.random.default_rng(2)
    rows = {name: random.integers(0, SIZE, (20, 3)) for name in spec.features}
    expected = np.asarray(model(rows))
    np.testing.assert_array_equal(opened(rows), expected)
    fresh = model_of(spec, seed=3)
    assert np.abs(np.asarray(fresh(rows)) - expected).max() > 0.01
    assert carry_over(fresh, RunDirectory(tmp_path)) == 0
    np.testing.assert_array_equal(fresh(rows), expected)


def test_it_generates_as_then(tmp_path: Path) -> None:
    model = model_of(translating("source"), seed=1)
    save_as_before(model, tmp_path / "model.keras")
    opened = load_trained(tmp_path / "model.keras")
    source = np.array([[2, 3, 4], [4, 2, 0]])
    target = FeatureEntry(dtype="int64", shape=(LENGTH,), cardinality=SIZE)
    now, then = (
        Generator(each, translating("source"), target).beam(source) for each in (model, opened)
    )
    for one, other in zip(now, then, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_feature_called_as_a_layer_was_keeps_its_own_weights(tmp_path: Path) -> None:
    # Then its table and that of the target's tokens would both have been `embed_target`.
    spec = translating("target")
    learned, fresh = model_of(spec, seed=1), model_of(spec, seed=2)
    learned.save(tmp_path / "model.keras")
    carry_over(fresh, RunDirectory(tmp_path))
    for one, other in zip(learned.weights, fresh.weights, strict=True):
        np.testing.assert_array_equal(one, other)
