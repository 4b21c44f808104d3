"""Warm start: what an earlier run learned is carried into larger tables, and nothing else moves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from skewless.model.network.build import build
from skewless.model.network.layer_names import layer_name
from skewless.model.train import train
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import RunDirectory
from skewless.model.training.warm_start import carry_over, check_warm_start, initial_model
from skewless.schemas import Spec, parse
from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import LABEL
from tests.conftest import SHOP, DataSet
from tests.killed_training import KilledError

OLD, NEW = 7, 11


def spec_of(features: dict[str, Any], **model: Any) -> Spec:
    label = {"column": "y", "type": "binary"}
    return parse({"name": "any", "features": features, "label": label, "model": model})


def entries(spec: Spec, growing: int) -> dict[str, FeatureEntry]:
    """Returns entries of shape [] or [3], in which features named `grows…` have `growing` IDs."""
    found = {LABEL: FeatureEntry(dtype="float32", shape=())}
    for name, feature in spec.features.items():
        length = getattr(feature, "length", None)
        if feature.type == "numeric":
            found[name] = FeatureEntry(dtype="float32", shape=())
        else:
            size = growing if name.startswith("grows") else 5
            shape = (length,) if length else ()
            found[name] = FeatureEntry(dtype="int64", shape=shape, cardinality=size)
    return found


def old_rows(spec: Spec, count: int = 40) -> dict[str, np.ndarray]:
    """Returns rows without a new ID."""
    rng = np.random.default_rng(3)
    rows: dict[str, np.ndarray] = {}
    for name, entry in entries(spec, OLD).items():
        if name == LABEL:
            continue
        if entry.dtype == "int64":
            assert entry.cardinality is not None
            rows[name] = rng.integers(0, entry.cardinality, (count, *entry.shape))
        else:
            rows[name] = rng.normal(size=(count, *entry.shape)).astype(np.float32)
    return rows


def learned_and_begun(spec: Spec, root: Path) -> tuple[keras.Model, keras.Model, int]:
    """Returns a model with weights far from their first ones, and the larger one begun with it."""
    keras.utils.set_random_seed(5)
    learned = build(spec, entries(spec, OLD))
    rng = np.random.default_rng(7)
    for weight in learned.weights:
        weight.assign(rng.normal(size=weight.shape).astype(np.float32))
    learned.save(root / "model.keras")
    larger = build(spec, entries(spec, NEW))
    return learned, larger, carry_over(larger, RunDirectory(root))


CATEGORY = {"type": "categorical", "embedding": 4}
LIST = {"type": "categorical", "length": 3, "separator": "|", "embedding": 4}
ONE = {"type": "categorical", "embedding": "one_hot"}
ONES = {**LIST, "embedding": "one_hot"}
NUMBER = {"type": "numeric"}


@pytest.mark.parametrize(
    "spec",
    [
        spec_of({"grows": CATEGORY, "other": CATEGORY, "size": NUMBER}, hidden=[8]),
        spec_of({"grows": {**LIST, "encoder": "gru"}, "other": ONE}, hidden=[8], dropout=0.5),
        spec_of({"grows": {**LIST, "encoder": "transformer"}}, hidden=[]),
        spec_of({"grows": LIST, "other": CATEGORY}, merge="cross", hidden=[4]),
        spec_of({"grows": CATEGORY, "other": LIST}, merge="attention", projection=6),
        spec_of(
            {"grows_a": LIST, "grows_b": LIST, "size": NUMBER},
            groups={
                "both": {"features": ["grows_a", "grows_b"], "encoder": {"type": "gru", "units": 3}}
            },
        ),
    ],
)
def test_predictions_for_old_rows_are_the_same_in_every_bit(spec: Spec, tmp_path: Path) -> None:
    learned, begun, new_rows = learned_and_begun(spec, tmp_path)
    rows = old_rows(spec)
    np.testing.assert_array_equal(learned.predict(rows, verbose=0), begun.predict(rows, verbose=0))
    grown = [name for name in spec.features if name.startswith("grows")]
    assert new_rows == (NEW - OLD) * len(grown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        # What grows stands before, between and after what does not.
        spec_of({"grows": ONE, "other": CATEGORY, "size": NUMBER}, hidden=[8]),
        spec_of({"other": CATEGORY, "grows_a": ONE, "size": NUMBER, "grows_b": ONE}, hidden=[8]),
        spec_of({"other": CATEGORY, "grows": ONES}, hidden=[8]),
        spec_of({"other": CATEGORY, "grows": {**ONES, "encoder": "flatten"}}, hidden=[8]),
        spec_of({"grows": {**ONES, "encoder": {"type": "dense", "units": 4}}}, hidden=[8]),
        spec_of({"grows": {**ONES, "encoder": {"type": "lstm", "units": 4}}}, hidden=[8]),
        spec_of(
            {"grows": {**ONES, "encoder": {"type": "bidirectional_gru", "units": 4}}}, hidden=[]
        ),
        spec_of({"grows": {**ONES, "encoder": {"type": "cnn", "filters": 4}}}, hidden=[8]),
        spec_of({"grows": {**ONES, "encoder": {"type": "attention", "units": 4}}}, hidden=[8]),
        spec_of({"grows": ONE, "other": CATEGORY}, merge="cross", cross_layers=2, hidden=[8]),
        spec_of({"grows": ONE, "other": CATEGORY}, merge="add", projection=6),
        spec_of(
            {"grows": ONES, "other": LIST},
            groups={
                "both": {"features": ["grows", "other"], "encoder": {"type": "gru", "units": 3}}
            },
        ),
    ],
)
def test_kernels_behind_one_hot_vectors_grow_where_the_entries_are(
    spec: Spec, tmp_path: Path
) -> None:
    """Not in every bit: a product over more entries may sum in another order."""
    learned, begun, _ = learned_and_begun(spec, tmp_path)
    rows = old_rows(spec)
    expected, got = learned.predict(rows, verbose=0), begun.predict(rows, verbose=0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
    assert np.ptp(expected) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        spec_of({"grows": {**ONES, "encoder": "gru"}}, hidden=[8]),
        spec_of({"grows": {**ONES, "encoder": {"type": "transformer", "heads": 1}}}, hidden=[8]),
        spec_of({"grows_a": ONE, "grows_b": ONE}, merge="weighted_average", hidden=[8]),
    ],
)
def test_weights_whose_old_entries_cannot_be_told_are_refused(spec: Spec, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"which cannot be carried over; keep the run's `model`"):
        learned_and_begun(spec, tmp_path)


def table_of(trained: keras.Model, name: str) -> np.ndarray:
    """Returns a feature's embedding table."""
    return keras.ops.convert_to_numpy(trained.get_layer(layer_name("embed", name)).embeddings)


def test_rows_of_new_ids_stay_as_they_were_initialised(shop_run: Path, grown_shop: DataSet) -> None:
    records = open_records(grown_shop.directory)
    fresh = initial_model(grown_shop.spec, records, None)
    begun = initial_model(grown_shop.spec, records, shop_run)
    learned = keras.saving.load_model(shop_run / "model.keras")
    for name in ("text", "user", "tags"):
        table = table_of(begun, name)
        old = table_of(learned, name)
        np.testing.assert_array_equal(table[: len(old)], old)
        initial = table_of(fresh, name)
        np.testing.assert_array_equal(table[len(old) :], initial[len(old) :])
        assert len(table) > len(old)


def test_rows_that_hold_no_new_token_are_predicted_alike(
    shop: DataSet, shop_run: Path, grown_shop: DataSet
) -> None:
    records = open_records(grown_shop.directory)
    begun = initial_model(grown_shop.spec, records, shop_run)
    learned = keras.saving.load_model(shop_run / "model.keras")
    old = open_records(shop.directory).manifest.features
    seen = 0
    for features, _ in records.in_order("train", batch_size=64):
        known = np.all(
            [
                (ids.numpy().reshape(len(ids), -1) < old[name].cardinality).all(axis=1)
                for name, ids in features.items()
                if old[name].dtype == "int64"
            ],
            axis=0,
        )
        rows = {name: value.numpy()[known] for name, value in features.items()}
        seen += int(known.sum())
        expected, got = learned(rows, training=False), begun(rows, training=False)
        np.testing.assert_array_equal(expected.numpy(), got.numpy())
    assert 200 < seen < records.rows("train")


@pytest.mark.slow
def test_training_begins_with_the_run_even_when_killed_before_its_first_checkpoint(
    shop_run: Path, grown_shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    warm = train(grown_shop.directory, whole, warm_start=shop_run)
    cold = json.loads((shop_run / "metrics.json").read_text())
    assert warm["history"][0]["loss"] < cold["history"][0]["loss"]

    def dying(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(keras.Model, "fit", dying)
        train(grown_shop.directory, cut, warm_start=shop_run)
    with pytest.raises(UsageError, match="begins a run; leave it out to resume one"):
        train(grown_shop.directory, cut, resume=True, warm_start=shop_run)
    again = train(grown_shop.directory, cut, resume=True)
    assert again["eval"] == warm["eval"]


def test_records_whose_ids_mean_other_things_are_refused(
    shop: DataSet, shop_run: Path, grown_shop: DataSet, tmp_path: Path
) -> None:
    records = open_records(grown_shop.directory)
    assert check_warm_start(shop.spec, records, shop_run).path == shop_run
    other = parse({**SHOP, "missing_values": []})
    with pytest.raises(DatasetMismatchError, match=r"missing_values.*--grow-from .*transform"):
        check_warm_start(other, records, shop_run)

    moved = tmp_path / "moved"
    shutil.copytree(grown_shop.directory, moved)
    vocabulary = moved / "transform" / "transform_fn" / "assets" / "user"
    lines = vocabulary.read_bytes().split(b"\n")
    lines[0], lines[1] = lines[1], lines[0]
    vocabulary.write_bytes(b"\n".join(lines))
    changed = type(records)(moved, records.manifest)
    with pytest.raises(DatasetMismatchError, match=r"user does not begin with the run's"):
        check_warm_start(shop.spec, changed, shop_run)

    shutil.rmtree(moved)
    shutil.copytree(grown_shop.directory, moved)
    constants = moved / "transform" / "constants.json"
    document = json.loads(constants.read_text())
    document["numbers"]["age"]["mean"][0] += 1
    constants.write_text(json.dumps(document))
    with pytest.raises(DatasetMismatchError, match="scaled by other constants"):
        check_warm_start(shop.spec, changed, shop_run)


def test_another_network_is_refused_and_leaves_what_is_there(
    shop_run: Path, grown_shop: DataSet, tmp_path: Path
) -> None:
    deeper = parse({**SHOP, "model": {"hidden": [16, 4]}})
    with pytest.raises(UsageError, match=r"differ in their layers \(hidden_1\); keep"):
        train(grown_shop.directory, tmp_path / "run", spec=deeper, warm_start=shop_run)
    assert not (tmp_path / "run").exists()
