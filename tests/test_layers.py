"""Custom layers by closed-form values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless.model.network.layers import (
    AttentionPooling,
    Cross,
    CutPadding,
    MaskedMax,
    MaskedMean,
    OneHot,
    PaddingMask,
    PositionEmbedding,
    WeightedAverage,
)

STEPS = np.array([[[1.0, -2.0], [3.0, -4.0], [100.0, 100.0]], [[9.0, 9.0]] * 3], np.float32)
MASK = np.array([[True, True, False], [False] * 3])


def test_masked_mean_and_max() -> None:
    np.testing.assert_allclose(MaskedMean()(STEPS, MASK), [[2.0, -3.0], [0.0, 0.0]])
    np.testing.assert_allclose(MaskedMax()(STEPS, MASK), [[3.0, -2.0], [0.0, 0.0]])


def test_attention_pooling_of_equal_scores_is_the_mean() -> None:
    layer = AttentionPooling(4)
    layer.build(STEPS.shape, MASK.shape)
    layer.score.kernel.assign(np.zeros((4, 1)))
    np.testing.assert_allclose(layer(STEPS, MASK), [[2.0, -3.0], [0.0, 0.0]], atol=1e-6)


def test_one_hot_leaves_padding_at_zero() -> None:
    np.testing.assert_array_equal(
        OneHot(3)(np.array([[0, 2]])), [[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]
    )


def test_padding_mask() -> None:
    np.testing.assert_array_equal(PaddingMask()(np.array([[5, 0, 1]])), [[True, False, True]])


def test_weighted_average_starts_equal_and_follows_its_logits() -> None:
    layer = WeightedAverage()
    towers = [np.array([[0.0, 2.0]], np.float32), np.array([[4.0, 6.0]], np.float32)]
    np.testing.assert_allclose(layer(towers), [[2.0, 4.0]])
    layer.logits.assign([0.0, np.log(3.0)])
    np.testing.assert_allclose(layer(towers), [[3.0, 5.0]], rtol=1e-6)


def test_cross_is_dcn_v2() -> None:
    layer = Cross()
    first, current = np.array([[2.0, 3.0]], np.float32), np.array([[1.0, 1.0]], np.float32)
    layer.build(first.shape, current.shape)
    layer.dense.kernel.assign([[1.0, 0.0], [1.0, 2.0]])
    layer.dense.bias.assign([0.5, 0.0])
    np.testing.assert_allclose(layer(first, current), [[2 * 2.5 + 1, 3 * 2.0 + 1]])


def test_positions_count_true_steps_only() -> None:
    layer = PositionEmbedding(3)
    steps = np.zeros((2, 3, 1), np.float32)
    mask = np.array([[True, True, False], [False, True, True]])
    layer.build(steps.shape, mask.shape)
    layer.table.assign([[1.0], [2.0], [3.0]])
    added = np.array(layer(steps, mask))[..., 0]
    assert added[0, :2].tolist() == added[1, 1:].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (OneHot(4), [np.array([[0, 2, 3]])]),
        (AttentionPooling(3), [STEPS, MASK]),
        (PositionEmbedding(5), [STEPS, MASK]),
        (Cross(), [np.array([[2.0, 3.0]], np.float32), np.array([[1.0, 1.5]], np.float32)]),
        (WeightedAverage(), [[np.array([[0.0, 2.0]], np.float32), np.ones((1, 2), np.float32)]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_saved_layer_computes_the_same(
    layer: keras.layers.Layer, inputs: list[Any], tmp_path: Path
) -> None:
    given = keras.tree.map_structure(
        lambda value: keras.Input(value.shape[1:], dtype=value.dtype), inputs
    )
    saved = keras.Model(given, layer(*given))
    for variable in saved.weights:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    saved.save(tmp_path / "layer.keras")
    again = keras.saving.load_model(tmp_path / "layer.keras")
    assert again.layers[-1].get_config() == layer.get_config()
    np.testing.assert_array_equal(again(inputs), saved(inputs))


@pytest.mark.parametrize(
    ("layer", "argument"),
    [(OneHot, "cardinality"), (AttentionPooling, "units"), (PositionEmbedding, "length")],
)
def test_bad_arguments_are_refused(layer: Any, argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument}: expected at least 1, got 0"):
        layer(0)


@pytest.mark.parametrize(
    ("present", "kept"),
    [
        ([[1, 1, 0, 0], [1, 0, 0, 0]], slice(0, 2)),
        ([[0, 0, 1, 0], [0, 1, 0, 0]], slice(1, 3)),
        ([[1, 0, 0, 1], [0, 0, 0, 0]], slice(0, 4)),
        ([[0, 0, 0, 0], [0, 0, 0, 0]], slice(3, 4)),
    ],
)
def test_cut_padding_keeps_what_any_row_has(present: list[list[int]], kept: slice) -> None:
    mask = np.array(present, bool)
    steps = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)
    for call in (CutPadding(), tf.function(CutPadding())):
        got_steps, got_mask = call(steps, mask)
        np.testing.assert_array_equal(got_steps, steps[:, kept])
        np.testing.assert_array_equal(got_mask, mask[:, kept])
