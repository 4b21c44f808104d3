"""What rows weigh, which weights are evaluated and kept, and by what."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from skewless.model.comparison.arms import with_values
from skewless.model.export import export
from skewless.model.network.layer_names import layer_name
from skewless.model.train import train
from skewless.model.training.checkpoints import Checkpoints, Progress
from skewless.model.training.compiled import compiled_model
from skewless.model.training.epoch.class_weights import balanced_weights, weighted_rows
from skewless.model.training.epoch.kept import kept_epoch, watched
from skewless.model.training.epoch.negatives import thinned
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import load_trained
from skewless.schemas.errors import TrainingError, UsageError
from tests.conftest import DataSet


def test_classes_weigh_what_scikit_learn_gives_them(shop: DataSet) -> None:
    records = open_records(shop.directory)
    labels = np.concatenate([row[1].numpy() for row in records.in_order("train", batch_size=64)])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels[:, 0])
    np.testing.assert_allclose(balanced_weights(records)[""], expected, rtol=1e-6)


def test_rows_weigh_their_class_times_what_they_weighed() -> None:
    table = np.array([0.5, 2.0, 4.0], np.float32)
    labels, own = np.array([2, 0, 1]), np.array([1.0, 3.0, 0.0], np.float32)
    features = {"x": np.zeros(3)}
    plain = tf.data.Dataset.from_tensor_slices((features, labels)).batch(3)
    weighing = tf.data.Dataset.from_tensor_slices((features, labels, own)).batch(3)
    (_, _, found), (_, _, product) = (
        next(iter(weighted_rows(batches, {"": table}))) for batches in (plain, weighing)
    )
    np.testing.assert_array_equal(found, [4, 0.5, 2])
    np.testing.assert_array_equal(product, [4, 1.5, 0])
    # Of a binary label, which is a column.
    column = tf.data.Dataset.from_tensors((features, tf.constant([[1.0], [0.0], [1.0]])))
    np.testing.assert_array_equal(next(iter(weighted_rows(column, {"": table})))[2], [2, 0.5, 2])


def test_an_epoch_keeps_all_positive_rows_and_a_share_of_others_each_time(shop: DataSet) -> None:
    records = open_records(shop.directory)
    spec = with_values(shop.spec, {"training.keep_negatives": 0.3})
    thin = thinned(spec, records)
    assert thinned(shop.spec, records) is records
    whole = [label for _, label in records.in_order("train", batch_size=64)]
    labels = np.concatenate(whole)[:, 0]
    negatives, positives = int((labels == 0).sum()), int(labels.sum())

    def rows(epoch: int, skip: int = 0) -> list[tuple[float, bytes]]:
        found = []
        for features, label in thin.training(batch_size=32, seed=1, epoch=epoch, skip=skip):
            parts = [np.array(values).reshape(len(label), -1) for values in features.values()]
            found += [
                (float(one[0]), b"".join(part[place].tobytes() for part in parts))
                for place, one in enumerate(label)
            ]
        return found

    first, second = rows(0), rows(1)
    for drawn in (first, second):
        truth = [label for label, _ in drawn]
        assert (truth.count(0), truth.count(1)) == (int(0.3 * negatives), positives)
    assert len(first) == thin.trained_rows
    assert thin.steps("train", 32) == -(-len(first) // 32)
    assert thin.steps("eval", 32) == records.steps("eval", 32)
    assert {row for row in first if not row[0]} != {row for row in second if not row[0]}
    # As a resumed run reads them.
    assert rows(1, skip=2) == second[64:]
    with pytest.raises(TrainingError, match=r"0\.001 of .* negative rows leaves none"):
        thinned(with_values(shop.spec, {"training.keep_negatives": 0.001}), records)


@pytest.mark.slow
def test_predictions_of_thinned_training_are_on_the_true_scale(
    shop: DataSet, tmp_path: Path
) -> None:
    values = {"training.keep_negatives": 0.25, "training.epochs": 4, "model.ensemble": 2}
    spec = with_values(shop.spec, {**values, "training.learning_rate": 0.003})
    metrics = train(shop.directory, tmp_path / "run", spec=spec)
    records = open_records(shop.directory)
    kept = load_trained(tmp_path / "run" / "model.keras")
    uncorrected = keras.Model(kept.input, kept.get_layer(layer_name("predictions")).output)
    for features, _ in records.in_order("train", batch_size=512):
        p = np.array(uncorrected(features, training=False), np.float64)
        q = np.array(kept(features, training=False), np.float64)
        np.testing.assert_allclose(q, p / (p + (1 - p) / 0.25), rtol=1e-5)
    # What eval gave within training is of the same scale.
    best = min(entry["val_loss"] for entry in metrics["history"])
    assert metrics["eval"]["loss"] == pytest.approx(best, rel=1e-4)
    # And so is what is served, whose parity with the model is proved on the way.
    report = export(tmp_path / "run", tmp_path / "served")
    assert report is not None
    assert report.prediction_difference < 1e-5


def test_the_epoch_kept_is_the_best_by_what_is_declared() -> None:
    history = [
        {"loss": 0.9, "val_loss": 0.5, "val_auc": 0.7},
        {"loss": 0.8, "val_loss": 0.6, "val_auc": 0.9},
        {"loss": 0.7, "val_loss": 0.5, "val_auc": 0.9},
    ]
    assert [kept_epoch(history, name) for name in ("loss", "auc")] == [0, 1]
    # Without eval rows, what was trained on.
    assert watched({"loss": 0.9, "auc": 0.6}, "auc") == -0.6


def test_averages_are_evaluated_and_kept_and_training_goes_on_without(
    shop: DataSet, shop_run: Path, tmp_path: Path
) -> None:
    spec = with_values(shop.spec, {"training.ema": 0.7})
    metrics = train(shop.directory, tmp_path / "run", spec=spec)
    kept = keras.saving.load_model(tmp_path / "run" / "model.keras")
    found = Checkpoints(tmp_path / "run" / "checkpoints", Progress).load()
    plain = Checkpoints(shop_run / "checkpoints", Progress).load()
    assert found is not None and plain is not None
    variables = found[0].optimizer.variables
    averages = [variable for variable in variables if "average" in variable.path]
    assert len(averages) == len(kept.trainable_weights)
    for average, weight in zip(averages, kept.trainable_weights, strict=True):
        np.testing.assert_array_equal(average, weight)
    for weight, without in zip(found[0].weights, plain[0].weights, strict=True):
        np.testing.assert_array_equal(weight, without)
    pairs = zip(kept.trainable_weights, found[0].trainable_weights, strict=True)
    assert any((np.array(one) != np.array(other)).any() for one, other in pairs)
    # What eval gave within training is what the model that was kept gives.
    assert metrics["history"][1]["val_accuracy"] == pytest.approx(metrics["eval"]["accuracy"])


@pytest.mark.parametrize("key", ["class_weights", "ema", "keep_negatives"])
def test_what_needs_all_rows_is_refused_where_there_is_no_last(shop: DataSet, key: str) -> None:
    value = {"class_weights": "balanced", "ema": 0.9, "keep_negatives": 0.1}[key]
    spec = with_values(shop.spec, {f"training.{key}": value})
    with pytest.raises(UsageError, match=f"training.{key}: is not there with --follow"):
        compiled_model(spec, open_records(shop.directory), ends=False)
