"""Many features alike in one layer: what a layer each would give, begin with and carry over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from skewless.model.network import alike
from skewless.model.network.body import wide
from skewless.model.network.build import build
from skewless.model.network.layers import StackedEmbedding, StackedLinearOfIds, StackedOneHot
from skewless.model.network.two_tower import entries_of, tower_of
from skewless.model.training.run_directory import RunDirectory, load_trained
from skewless.model.training.warm_start import carry_over
from skewless.schemas import Spec, parse
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL, missing_name

EACH = 9
ROWS = 20


def features() -> dict[str, Any]:
    """Returns features of every kind that is stacked, strewn among each other and others."""
    found: dict[str, Any] = {}
    for place in range(EACH):
        found[f"embedded{place}"] = {"type": "categorical", "embedding": 4}
        found[f"number{place}"] = {"type": "numeric", "indicator": place % 3 == 0}
        found[f"one{place}"] = {"type": "categorical", "embedding": "one_hot"}
        found[f"bucket{place}"] = {"type": "numeric", "buckets": 5, "embedding": 4}
    found["tags"] = {"type": "categorical", "length": 3, "embedding": 5, "encoder": "gru"}
    found["other"] = {"type": "categorical", "embedding": 7}
    return found


def spec_of(model: dict[str, Any], declared: dict[str, Any] | None = None) -> Spec:
    label = {"column": "y", "type": "binary"}
    chosen = features() if declared is None else declared
    return parse({"name": "n", "features": chosen, "label": label, "model": model})


def entries_for(spec: Spec, grown: int = 0) -> dict[str, FeatureEntry]:
    """Returns entries of features of 3 to 11 IDs, and `grown` more."""
    found = {LABEL: FeatureEntry(dtype="float32", shape=())}
    for place, (name, feature) in enumerate(spec.features.items()):
        if feature.type == "numeric" and feature.buckets is None:
            found[name] = FeatureEntry(dtype="float32", shape=())
            if feature.indicator:
                found[missing_name(name)] = FeatureEntry(dtype="float32", shape=())
        else:
            shape = (3,) if name == "tags" else ()
            size = 3 + place % 9 + grown
            found[name] = FeatureEntry(dtype="int64", shape=shape, cardinality=size)
    return found


def rows_of(entries: dict[str, FeatureEntry]) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(4)
    return {
        name: (
            draw.normal(size=(ROWS, *entry.shape)).astype(np.float32)
            if entry.cardinality is None
            else draw.integers(0, entry.cardinality, (ROWS, *entry.shape))
        )
        for name, entry in entries.items()
        if name != LABEL
    }


def built(spec: Spec, entries: dict[str, FeatureEntry], fewest: int, seed: int = 3) -> keras.Model:
    keras.utils.set_random_seed(seed)
    with pytest.MonkeyPatch.context() as patch:
        for module in (alike, wide):
            patch.setattr(module, "FEWEST", fewest)
        return build(spec, entries)


def shaken(model: keras.Model, seed: int = 5) -> keras.Model:
    draw = np.random.default_rng(seed)
    model.set_weights([draw.normal(0, 0.5, value.shape) for value in model.get_weights()])
    return model


MODELS: list[dict[str, Any]] = [
    {"hidden": [6]},
    {"hidden": [6], "linear": True},
    {"merge": "average", "projection": 3, "hidden": [6]},
    {"merge": "cross", "hidden": [6], "groups": {"g": {"features": ["embedded0", "one1"]}}},
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: ",".join(model))
def test_it_is_the_network_of_a_layer_each(model: dict[str, Any], tmp_path: Path) -> None:
    spec = spec_of(model)
    entries = entries_for(spec)
    rows = rows_of(entries)
    each, stacked = built(spec, entries, 1_000), built(spec, entries, EACH - 1)
    assert len(stacked.layers) < len(each.layers) - 3 * EACH
    # Both begin with the same weights.
    np.testing.assert_array_equal(each(rows), stacked(rows))
    # Weights go from either to the other.
    for seed, (learned, other) in enumerate([(each, stacked), (stacked, each)]):
        shaken(learned, seed).save(tmp_path / "model.keras")
        expected = np.asarray(learned(rows))
        np.testing.assert_array_equal(load_trained(tmp_path / "model.keras")(rows), expected)
        assert np.abs(np.asarray(other(rows)) - expected).max() > 1e-3
        assert carry_over(other, RunDirectory(tmp_path)) == 0
        np.testing.assert_allclose(other(rows), expected, atol=1e-6)


def test_it_merges_what_numpy_would() -> None:
    """Held against rows looked up one by one, in the spec's order."""
    spec = spec_of({"hidden": [6]}, {k: v for k, v in features().items() if k != "tags"})
    entries = entries_for(spec)
    rows = rows_of(entries)
    model = shaken(built(spec, entries, EACH - 1))
    tables = {
        name: np.asarray(layer.embeddings)[where]
        for layer in model.layers
        if isinstance(layer, StackedEmbedding)
        for name, where in layer.rows().items()
    }
    tables["embed.other"] = np.asarray(model.get_layer("embed.other").embeddings)
    parts: list[np.ndarray] = []
    for name, feature in spec.features.items():
        if name.startswith("one"):
            hot = np.eye(entries[name].cardinality or 0)
            hot[0] = 0
            parts.append(hot[rows[name]])
        elif f"embed.{name}" in tables:
            parts.append(tables[f"embed.{name}"][rows[name]])
        else:
            parts.append(rows[name][:, None])
            if feature.indicator:
                parts.append(rows[missing_name(name)][:, None])
    merged = keras.Model(model.input, model.get_layer("the.merge").output)(rows)
    np.testing.assert_array_equal(merged, np.concatenate(parts, axis=1).astype(np.float32))


@pytest.mark.parametrize("stacked_before", [True, False])
def test_what_grew_keeps_old_rows(stacked_before: bool, tmp_path: Path) -> None:
    spec = spec_of({"hidden": [6]})
    few = entries_for(spec)
    learned = shaken(built(spec, few, EACH - 1 if stacked_before else 1_000))
    learned.save(tmp_path / "model.keras")
    larger = built(spec, entries_for(spec, grown=2), EACH - 1)
    assert carry_over(larger, RunDirectory(tmp_path)) == 2 * (3 * EACH + 2)
    rows = rows_of(few)
    np.testing.assert_allclose(larger(rows), learned(rows), atol=2e-6)


def test_few_features_have_a_layer_each() -> None:
    declared = {f"f{at}": {"type": "categorical"} for at in range(alike.FEWEST)}
    declared |= {f"n{at}": {"type": "numeric"} for at in range(alike.FEWEST - 1)}
    spec = spec_of({"linear": True}, declared)
    names = {layer.name for layer in build(spec, entries_for(spec)).layers}
    assert {"embeds.f0", "wides.f0", "column.n0", "wide_column.n0"} <= names
    assert not {"embed.f0", "wide.f0", "columns.n0", "wide_columns.n0"} & names


def test_two_towers_stack_each_its_own() -> None:
    declared = {f"f{at}": {"type": "categorical", "embedding": 4} for at in range(2 * EACH)}
    query, candidate = list(declared)[:EACH], list(declared)[EACH:]
    spec = parse(
        {
            "name": "n",
            "features": declared,
            "model": {"type": "two_tower", "query": query, "candidate": candidate},
        }
    )
    entries = entries_for(spec)
    rows = rows_of(entries)
    model = build(spec, entries)
    assert {"embeds.f0", "embeds.f9"} <= {layer.name for layer in model.layers}
    tower = tower_of(model, spec, "candidate", entries)
    own = {name: rows[name] for name in entries_of(spec, "candidate", entries)}
    np.testing.assert_allclose(tower(own), model(rows)[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: StackedEmbedding([("a", 3), ("b", 0)], 2),
        lambda: StackedEmbedding([("a", 3)], 0),
        lambda: StackedLinearOfIds([("a", 3)], 0),
        lambda: StackedOneHot([]),
    ],
)
def test_sizes_below_one_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="at least 1, got"):
        bad()
