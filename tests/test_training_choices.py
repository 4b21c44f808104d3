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
from skewless.model.training.epoch.lazy_adam import LazyAdam
from skewless.model.training.epoch.negatives import thinned
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import load_trained
from skewless.schemas import SpecError, parse
from skewless.schemas.errors import TrainingError, UsageError
from tests.conftest import SHOP, DataSet


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


def _tables(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Returns a model of one table of 9 rows and a dense layer, always begun alike."""
    keras.utils.set_random_seed(5)
    ids = keras.Input((3,), dtype="int64")
    rows = keras.layers.Embedding(9, 2, embeddings_initializer="ones")(ids)
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(rows)))
    model.compile(optimizer, "mean_squared_error")
    return model


def test_lazy_adam_is_adam_on_the_rows_that_a_batch_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    batches = [(rng.integers(0, high, (4, 3)), rng.normal(size=(4, 1))) for high in (9, 2, 5, 9)]
    model = _tables(LazyAdam(0.1))
    table, dense = model.layers[1], model.layers[-1]
    rows = np.ones((9, 2))
    first, second = np.zeros((9, 2)), np.zeros((9, 2))
    for step, (ids, truth) in enumerate(batches, 1):
        kernel = dense.kernel.numpy().astype(np.float64)
        off = rows[ids].reshape(4, 6) @ kernel + dense.bias.numpy() - truth
        of_cells = (2 / 4 * off @ kernel.T).reshape(4, 3, 2)
        gradient = np.zeros((9, 2))
        np.add.at(gradient, ids, of_cells)
        for row in np.unique(ids):  # Kingma and Ba, Algorithm 1; other rows stay as they are.
            first[row] = 0.9 * first[row] + 0.1 * gradient[row]
            second[row] = 0.999 * second[row] + 0.001 * gradient[row] ** 2
            rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            rows[row] -= rate * first[row] / (np.sqrt(second[row]) + 1e-7)
        model.train_on_batch(ids, truth)
        np.testing.assert_allclose(table.embeddings.numpy(), rows, atol=2e-5)
    # Saved and loaded it goes on bit for bit.
    model.save(tmp_path / "model.keras")
    again = load_trained(tmp_path / "model.keras")
    for each in (model, again):
        each.train_on_batch(*batches[0])
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_lazy_adam_is_that_of_keras_where_each_batch_holds_all_rows() -> None:
    rng = np.random.default_rng(3)
    models = [_tables(LazyAdam(0.05)), _tables(keras.optimizers.Adam(0.05))]
    for _ in range(5):
        # Each once: of a row that occurs twice Keras squares the two gradients, not their sum.
        ids, truth = rng.permutation(9).reshape(3, 3), rng.normal(size=(3, 1))
        for model in models:
            model.train_on_batch(ids, truth)
    for lazy, plain in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(lazy, plain, atol=1e-5)


def test_lazy_adam_goes_with_nothing_that_goes_over_whole_tables() -> None:
    given = {"optimizer": "lazy_adam", "clip_norm": 1.0, "ema": 0.9}
    with pytest.raises(SpecError) as refused:
        parse({**SHOP, "training": given})
    keys = [problem.split(":")[0] for problem in refused.value.problems]
    assert keys == ["training.clip_norm", "training.ema"]
