"""Layers against those that the papers' authors publish, by figures that these gave (tests/golden)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless.model.network.layers import (
    BatchEnsembleDense,
    EnsembleDense,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
)

GOLDEN = Path(__file__).parent / "golden" / "published_layers.json"
REMEDY = "after a change of theirs run: python tests/golden/published_layers.py"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(GOLDEN.read_text())
    return figures


def _arrays(figures: dict[str, Any]) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    weights = {name: np.array(part, np.float32) for name, part in figures["weights"].items()}
    return weights, np.array(figures["inputs"], np.float32), np.array(figures["outputs"])


def test_periodic_embeddings(golden: dict[str, Any]) -> None:
    weights, inputs, outputs = _arrays(golden["periodic"])
    frequencies, width = weights["periodic.weight"].shape[1], outputs.shape[2]
    layer = PeriodicEmbedding(frequencies, 0.7, width)
    layer.build(inputs.shape)
    layer.rate.assign(weights["periodic.weight"])
    layer.kernel.assign(weights["linear.weight"])
    layer.bias.assign(weights["linear.bias"])
    found = np.asarray(layer(inputs)).reshape(outputs.shape)
    np.testing.assert_allclose(found, outputs, atol=1e-5, err_msg=REMEDY)
    assert (outputs > 0).any() and (outputs == 0).any()


def test_piecewise_linear_embeddings(golden: dict[str, Any]) -> None:
    """Within the bins: beyond them theirs run on, and ours end (`PiecewiseLinearEmbedding`)."""
    figures = golden["piecewise_linear"]
    weights, inputs, outputs = _arrays(figures)
    layer = PiecewiseLinearEmbedding(figures["bins"], outputs.shape[2])
    layer.build(inputs.shape)
    layer.slope.assign(weights["linear0.weight"])
    layer.bias.assign(weights["linear0.bias"])
    theirs, kernel = weights["linear.weight"], np.zeros(layer.kernel.shape, np.float32)
    for column, edges in enumerate(figures["bins"]):
        own = len(edges) - 1
        kernel[column, : own - 1] = theirs[column, : own - 1]
        kernel[column, own - 1] = theirs[column, -1]  # They keep a column's last bin at the end.
    layer.kernel.assign(kernel)
    found = np.asarray(layer(inputs)).reshape(outputs.shape)
    np.testing.assert_allclose(found, outputs, atol=1e-5, err_msg=REMEDY)


def test_members_of_an_ensemble(golden: dict[str, Any]) -> None:
    """What members predict, and how the mean of their losses moves each weight."""
    figures = golden["ensemble"]
    weights, inputs, outputs = _arrays(figures)
    gradients = {name: np.array(part) for name, part in figures["gradients"].items()}
    members = outputs.shape[1]
    blocks = [BatchEnsembleDense(6, members, signs=True), BatchEnsembleDense(6, members)]
    head = EnsembleDense(outputs.shape[2], members)
    given = keras.Input(inputs.shape[1:])
    hidden = given
    for block in blocks:
        hidden = keras.layers.Activation("relu")(block(hidden))
    model = keras.Model(given, head(hidden))
    names: dict[str, tuple[Any, bool]] = {"output.weight": (head.kernel, False)}
    names["output.bias"] = (head.bias, False)
    for place, block in enumerate(blocks):
        path = f"backbone.blocks.{place}.0"
        names[f"{path}.weight"] = (block.kernel, True)
        names[f"{path}.r"] = (block.input_scale, False)
        names[f"{path}.s"] = (block.output_scale, False)
        names[f"{path}.bias"] = (block.bias, False)
    assert names.keys() == weights.keys() and len(names) == len(model.weights)
    for name, (variable, transposed) in names.items():
        variable.assign(weights[name].T if transposed else weights[name])
    truth = np.array(figures["truth"], np.float32)[:, None]
    with tf.GradientTape() as tape:
        found = model(inputs)
        loss = tf.reduce_mean(tf.square(found - truth))
    np.testing.assert_allclose(np.asarray(found), outputs, atol=1e-5, err_msg=REMEDY)
    assert float(loss) == pytest.approx(figures["loss"], rel=1e-5)
    moved = tape.gradient(loss, [variable.value for variable, _ in names.values()])
    for (name, (_, transposed)), ours in zip(names.items(), moved, strict=True):
        wanted = gradients[name].T if transposed else gradients[name]
        np.testing.assert_allclose(np.asarray(ours), wanted, atol=1e-5, err_msg=f"{name}; {REMEDY}")
