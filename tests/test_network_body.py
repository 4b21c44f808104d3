"""What a spec puts around hidden layers and on top: each held against its closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skewless.model.network.body.losses import FocalSparseCrossentropy, SmoothedSparseCrossentropy
from skewless.model.network.body.recalibrated import Recalibrated
from skewless.model.network.build import build
from skewless.model.network.heads import compile_arguments
from skewless.model.network.layers import BatchEnsembleDense, EnsembleDense, LinearOfIds
from skewless.schemas import Spec, SpecError, parse
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.spec.models.training import training_problems

ENTRIES = {
    "text": FeatureEntry(dtype="int64", shape=(3,), cardinality=8),
    "user": FeatureEntry(dtype="int64", shape=(), cardinality=6),
    "age": FeatureEntry(dtype="float32", shape=()),
    "ratios": FeatureEntry(dtype="float32", shape=(2,)),
    "__label__": FeatureEntry(dtype="float32", shape=()),
}
ROWS: dict[str, Any] = {
    "text": np.array([[2, 7, 0], [3, 3, 4], [0, 0, 0], [5, 1, 6]]),
    "user": np.array([1, 2, 3, 5]),
    "age": np.array([0.5, -1.0, 2.0, 0.0], np.float32),
    "ratios": np.array([[1, 2], [0.5, 0], [-1, 1], [0, 0]], np.float32),
}


def _spec(model: dict[str, Any], training: dict[str, Any] | None = None, **label: Any) -> Spec:
    return parse(
        {
            "name": "n",
            "features": {
                "text": {"type": "text", "length": 3, "embedding": 4},
                "user": {"type": "categorical", "embedding": 4},
                "age": {"type": "numeric"},
                "ratios": {"type": "numeric", "columns": ["a", "b"]},
            },
            "label": {"column": "y", "type": "binary", **label},
            "model": {"hidden": [5, 3], **model},
            "training": training or {},
        }
    )


def _built(model: dict[str, Any]) -> keras.Model:
    keras.utils.set_random_seed(3)
    return build(_spec(model), ENTRIES)


def _shake(model: keras.Model) -> None:
    """Gives every weight a value, also where it begins at 0 or 1."""
    draw = np.random.default_rng(5)
    model.set_weights([draw.normal(0, 0.7, value.shape) for value in model.get_weights()])


def _inner(model: keras.Model, name: str) -> np.ndarray:
    inner = keras.Model(model.inputs, model.get_layer(name).output)
    return keras.ops.convert_to_numpy(inner(ROWS, training=False))


def test_a_residual_layer_adds_what_comes_in() -> None:
    model = _built({"residual": True, "hidden": [5, 5]})
    _shake(model)
    first, second = _inner(model, "residual.0"), _inner(model, "residual.1")
    dense = _inner(model, "hidden.1")
    np.testing.assert_allclose(second, first + dense, rtol=1e-6)
    # A linear map where widths differ, and none where they do not.
    shortcut = model.get_layer("shortcut.0")
    merged = _inner(model, "the.merge")
    np.testing.assert_allclose(
        first, merged @ shortcut.get_weights()[0] + _inner(model, "hidden.0"), rtol=1e-5, atol=1e-6
    )
    assert "shortcut.1" not in [layer.name for layer in model.layers]


def test_normalization_comes_before_the_activation() -> None:
    model = _built({"normalization": "layer"})
    dense, activated = _inner(model, "hidden.0"), _inner(model, "activation.0")
    centred = dense - dense.mean(axis=1, keepdims=True)
    normal = centred / np.sqrt(dense.var(axis=1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(activated, np.maximum(normal, 0), rtol=1e-4, atol=1e-5)
    kinds = {type(layer).__name__ for layer in _built({"normalization": "batch"}).layers}
    assert "BatchNormalization" in kinds


def test_the_wide_part_is_linear_in_every_id_and_number() -> None:
    deep, wide = _built({}), _built({"linear": True})
    # Weights of the wide part begin at 0: training begins with the network alone.
    np.testing.assert_array_equal(deep(ROWS), wide(ROWS))
    _shake(wide)
    text = wide.get_layer("wide.text").get_weights()[0][:, 0]
    user = wide.get_layer("wide.user").get_weights()[0][:, 0]
    numbers = wide.get_layer("the.wide").get_weights()[0][:, 0]
    together = np.column_stack([ROWS["age"], ROWS["ratios"]])
    words = [sum(text[i] for i in row if i) for row in ROWS["text"]]
    logits = _inner(wide, "the.logits")[:, 0] + words + user[ROWS["user"]] + together @ numbers
    np.testing.assert_allclose(wide(ROWS)[:, 0], 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_members_of_a_batch_ensemble_are_dense_layers_of_scaled_kernels() -> None:
    layer = BatchEnsembleDense(4, 3, signs=True, seed=2)
    x = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    layer(x)
    kernel, scale_in, scale_out, bias = layer.get_weights()
    assert set(np.unique(scale_in)) == {-1.0, 1.0}
    assert (scale_out == 1).all() and (bias == 0).all()
    draw = np.random.default_rng(2)
    layer.set_weights([draw.normal(size=value.shape) for value in layer.get_weights()])
    kernel, scale_in, scale_out, bias = layer.get_weights()
    found = keras.ops.convert_to_numpy(layer(x))
    for member in range(3):
        own = scale_in[member][:, None] * kernel * scale_out[member]
        np.testing.assert_allclose(found[:, member], x @ own + bias[member], rtol=1e-4, atol=1e-5)
    again = layer.from_config(layer.get_config())
    again(x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        again(found[:, :, :1].repeat(5, 2)), layer(found[:, :, :1].repeat(5, 2))
    )


def test_members_own_dense_layers_share_nothing() -> None:
    layer = EnsembleDense(2, 3, seed=1)
    x = np.random.default_rng(1).normal(size=(6, 3, 5)).astype(np.float32)
    found = keras.ops.convert_to_numpy(layer(x))
    kernel, bias = layer.get_weights()
    assert len({kernel[member].tobytes() for member in range(3)}) == 3
    for member in range(3):
        np.testing.assert_allclose(
            found[:, member], x[:, member] @ kernel[member] + bias[member], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("layer", [BatchEnsembleDense, EnsembleDense, LinearOfIds])
def test_sizes_below_one_are_refused(layer: Any) -> None:
    for sizes in ((0, 2), (2, 0)):
        with pytest.raises(ValueError, match="expected at least 1, got 0"):
            layer(*sizes)


def test_an_ensemble_trains_each_member_by_its_own_loss(tmp_path: Path) -> None:
    """One step of SGD against the gradient of the mean of the members' losses, row weights and all."""
    model = _built({"ensemble": 3, "linear": True, "residual": True, "normalization": "layer"})
    path = tmp_path / "model.keras"
    model.compile(optimizer=keras.optimizers.SGD(0.5), **compile_arguments(_spec({})))
    model.save(path)
    truth = np.array([[1], [0], [1], [0]], np.float32)
    weights = np.array([1, 2, 0.5, 1], np.float32)

    members = _inner(model, "the.members")
    assert members.shape == (4, 3, 1)
    np.testing.assert_allclose(model(ROWS), members.mean(axis=1), rtol=1e-6)
    assert np.ptp(members, axis=1).min() > 1e-4

    import tensorflow as tf

    inner = keras.Model(model.inputs, model.get_layer("the.members").output)
    with tf.GradientTape() as tape:
        found = inner(ROWS, training=True)
        each = [
            keras.losses.binary_crossentropy(truth, found[:, member]) * weights
            for member in range(3)
        ]
        loss = tf.add_n([tf.reduce_sum(one) / 4 for one in each]) / 3
    names = [weight.path for weight in model.trainable_weights]
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    expected = [
        keras.ops.convert_to_numpy(weight) - 0.5 * tf.convert_to_tensor(gradient).numpy()
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
    ]
    again = keras.saving.load_model(path)
    told = again.train_on_batch(ROWS, truth, sample_weight=weights, return_dict=True)
    assert told["loss"] == pytest.approx(float(loss), rel=1e-5)
    for name, weight, value in zip(names, again.trainable_weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_smoothed_losses_are_those_of_smoothed_labels() -> None:
    draw = np.random.default_rng(4)
    probabilities = keras.ops.softmax(draw.normal(size=(7, 5)).astype(np.float32))
    classes = draw.integers(0, 5, 7)
    one_hot = keras.ops.one_hot(classes, 5)
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)(one_hot, probabilities)
    for truth in (classes, classes[:, None]):
        found = SmoothedSparseCrossentropy(0.2)(truth, probabilities)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
    smooth = compile_arguments(_spec({}, {"label_smoothing": 0.2}))["loss"]
    assert smooth.get_config()["label_smoothing"] == 0.2
    own = compile_arguments(_spec({}, {"label_smoothing": 0.2}, type="multiclass"))["loss"]
    assert isinstance(own, SmoothedSparseCrossentropy)
    with pytest.raises(ValueError, match="below 1, got 1"):
        SmoothedSparseCrossentropy(1)


def test_the_focal_loss_is_its_closed_form() -> None:
    draw = np.random.default_rng(5)
    probabilities = np.array(keras.ops.softmax(draw.normal(size=(7, 5)).astype(np.float32)))
    classes = draw.integers(0, 5, 7)
    own = probabilities[np.arange(7), classes].astype(np.float64)
    for gamma in (0.0, 0.5, 2.0):
        expected = np.mean(-((1 - own) ** gamma) * np.log(own))
        for truth in (classes, classes[:, None]):
            found = FocalSparseCrossentropy(gamma)(truth, probabilities)
            assert float(found) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        FocalSparseCrossentropy(-1)
    # As declared: of classes by number, and of a binary label by p or 1 - p.
    own_loss = compile_arguments(_spec({}, {"focal": 2.0}, type="multiclass"))["loss"]
    assert own_loss.get_config()["gamma"] == 2.0
    truth, given = np.array([[1.0], [0.0]]), np.array([[0.9], [0.6]])
    found = compile_arguments(_spec({}, {"focal": 1.5}))["loss"](truth, given)
    expected = np.mean([-(0.1**1.5) * np.log(0.9), -(0.6**1.5) * np.log(0.4)])
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_probabilities_are_put_back_on_the_true_scale_but_while_training() -> None:
    layer = Recalibrated(0.1)
    given = np.array([[0.0], [0.2], [0.5], [1.0]], np.float32)
    # q = p / (p + (1 - p) / w), as the paper has it.
    expected = given / (given + (1 - given) / 0.1)
    np.testing.assert_allclose(layer(given, training=False), expected, rtol=1e-6)
    np.testing.assert_allclose(layer(given), expected, rtol=1e-6)
    np.testing.assert_array_equal(layer(given, training=True), given)
    assert layer.get_config()["kept"] == 0.1
    with pytest.raises(ValueError, match="at most 1, got 0"):
        Recalibrated(0)


def test_what_is_learned_from_a_share_of_negatives_is_predicted_for_all() -> None:
    draw = np.random.default_rng(6)
    x = draw.normal(size=(40_000, 1))
    y = draw.uniform(size=len(x)) < 1 / (1 + np.exp(3 - 2 * x[:, 0]))
    kept = y | (draw.uniform(size=len(x)) < 0.1)
    learned = LogisticRegression(C=1e6).fit(x[kept], y[kept]).predict_proba(x)[:, 1]
    predicted = np.array(Recalibrated(0.1)(learned.astype(np.float32)))
    for low, high in ((-9, -0.5), (-0.5, 0.5), (0.5, 9)):
        inside = (low < x[:, 0]) & (x[:, 0] < high)
        assert predicted[inside].mean() == pytest.approx(y[inside].mean(), abs=0.015)
        assert learned[inside].mean() > y[inside].mean() + 0.04


@pytest.mark.parametrize(
    ("label", "training", "message"),
    [
        ("regression", {"focal": 2.0}, "focal: goes with classes"),
        (
            "binary",
            {"focal": 2.0, "label_smoothing": 0.1},
            "focal: does not go with label_smoothing",
        ),
        ("multiclass", {"keep_negatives": 0.1}, "keep_negatives: goes with a binary label, not"),
        (
            "binary",
            {"keep_negatives": 0.1, "class_weights": "balanced"},
            "keep_negatives: does not go with class_weights",
        ),
        (
            "regression",
            {"best_by": "auc"},
            "best_by: of a regression label expected one of loss, rmse",
        ),
        ("multiclass", {"best_by": "auc"}, "best_by: of a multiclass label expected one of"),
        ("regression", {"class_weights": "balanced"}, "class_weights: goes with a binary or"),
        ("multilabel", {"class_weights": "balanced"}, "class_weights: goes with a binary or"),
        ("regression", {"label_smoothing": 0.1}, "label_smoothing: goes with classes"),
    ],
)
def test_training_that_does_not_go_with_the_label_is_refused(
    label: str, training: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        _spec({}, training, type=label)


def test_training_without_a_label_has_only_its_loss() -> None:
    training = _spec({}, {"best_by": "auc", "class_weights": "balanced"}).training
    found = list(training_problems({}, training, learns=False))
    assert [line.partition(":")[0] for line in found] == [
        "training.best_by",
        "training.class_weights",
    ]
