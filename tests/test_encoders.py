"""Encoders: padding never changes a result, and rows of padding alone stay finite."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless.model.network.build import build
from skewless.schemas import parse
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import KEY, LABEL

ENCODERS: list[Any] = [
    "mean", "max", "mean_max", "sum", "gru", "lstm", "bidirectional_gru", "bidirectional_lstm", "cnn", "attention",
    {"type": "transformer", "heads": 2, "dropout": 0.0}, {"type": "gru", "layers": 2},
]  # fmt: skip
LENGTH, LONGER, CARDINALITY = 5, 9, 20


def one_text(encoder: Any, length: int) -> keras.Model:
    spec = parse(
        {
            "name": "one",
            "features": {
                "x": {"type": "text", "length": length, "embedding": 8, "encoder": encoder}
            },
            "label": {"column": "y", "type": "binary"},
            "model": {"hidden": [4]},
        }
    )
    return build(spec, entries(x=(length,)))


def entries(**shapes: tuple[int, ...]) -> dict[str, FeatureEntry]:
    return {
        KEY: FeatureEntry(dtype="string", shape=()),
        LABEL: FeatureEntry(dtype="float32", shape=()),
        **{
            name: FeatureEntry(dtype="int64", shape=shape, cardinality=CARDINALITY)
            for name, shape in shapes.items()
        },
    }


def rows(pad: str, length: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    ids = np.zeros((6, length), np.int64)
    for row, true in enumerate([5, 4, 3, 2, 1, 5]):
        tokens = rng.integers(2, CARDINALITY, true)
        ids[row, slice(0, true) if pad == "end" else slice(length - true, length)] = tokens
    return ids


def copied(source: keras.Model, target: keras.Model) -> keras.Model:
    """Gives `target` the weights of `source`; a longer position table keeps its head."""
    for old, new in zip(source.weights, target.weights, strict=True):
        value = np.array(new)
        value[tuple(slice(0, size) for size in old.shape)] = np.array(old)
        new.assign(value)
    return target


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
@pytest.mark.parametrize("pad", ["end", "start"])
def test_more_padding_changes_no_prediction(encoder: Any, pad: str) -> None:
    keras.utils.set_random_seed(1)
    short = one_text(encoder, LENGTH)
    long = copied(short, one_text(encoder, LONGER))
    expected = short({"x": rows(pad, LENGTH)}, training=False)
    got = long({"x": rows(pad, LONGER)}, training=False)
    np.testing.assert_allclose(got, expected, atol=2e-6)
    assert np.ptp(expected) > 1e-4


@pytest.mark.parametrize("encoder", [*ENCODERS, "flatten", "dense"], ids=str)
def test_rows_of_padding_alone_train_and_predict_finite(encoder: Any) -> None:
    model = one_text(encoder, LENGTH)
    ids = rows("end", LENGTH)
    ids[:3] = 0
    with tf.GradientTape() as tape:
        predictions = model({"x": ids}, training=True)
        loss = keras.losses.binary_crossentropy(np.ones((6, 1), np.float32), predictions)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert np.isfinite(predictions).all()
    for gradient in gradients:
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


@pytest.mark.parametrize("merge", ["concatenate", "average", "add", "multiply", "maximum"])
def test_two_masked_sequences_step_by_step(merge: str) -> None:
    """Sequences of different true lengths, merged, then an LSTM: padding changes nothing."""

    def two(length: int) -> keras.Model:
        feature = {"type": "categorical", "length": length, "embedding": 8}
        spec = parse(
            {
                "name": "two",
                "features": {"a": feature, "b": feature},
                "label": {"column": "y", "type": "binary"},
                "model": {
                    "groups": {"g": {"features": ["a", "b"], "merge": merge, "encoder": "lstm"}},
                    "hidden": [4],
                },
            }
        )
        return build(spec, entries(a=(length,), b=(length,)))

    keras.utils.set_random_seed(2)
    short, long = two(LENGTH), two(LONGER)
    copied(short, long)
    first, second = rows("end", LENGTH), rows("end", LENGTH)[::-1].copy()
    wider = [np.pad(ids, ((0, 0), (0, LONGER - LENGTH))) for ids in (first, second)]
    expected = short({"a": first, "b": second}, training=False)
    np.testing.assert_allclose(
        long({"a": wider[0], "b": wider[1]}, training=False), expected, atol=1e-6
    )


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
def test_saves_and_reloads(encoder: Any, tmp_path: Any) -> None:
    model = one_text(encoder, LENGTH)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    ids = rows("end", LENGTH)
    np.testing.assert_array_equal(model({"x": ids}), again({"x": ids}))
