"""Embeddings of numbers: their closed form, their edges, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.export import export
from skewless.model.network.layers import PeriodicEmbedding, PiecewiseLinearEmbedding
from skewless.model.train import train
from skewless.model.training.records import open_records
from skewless.schemas.errors import DatasetMismatchError, SpecError
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.spec.spec import Spec, parse

EDGES = [[-1.0, 0.0, 0.5, 4.0], [2.0, 3.0]]


def _layer() -> PiecewiseLinearEmbedding:
    layer = PiecewiseLinearEmbedding(EDGES, 5)
    layer.build((None, 2))
    random = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(random.normal(size=weight.shape))
    return layer


def _by_hand(number: float, edges: list[float]) -> list[float]:
    """Equation 1 of Gorishniy et al. 2022, for a number between the outermost edges."""
    return [
        0.0 if number < low else 1.0 if number >= high else (number - low) / (high - low)
        for low, high in itertools.pairwise(edges)
    ]


def test_piecewise_linear_is_the_closed_form() -> None:
    layer = _layer()
    numbers = np.random.default_rng(2).uniform((-1, 2), (4, 3), (200, 2)).astype(np.float32)
    numbers[:4] = [[-1, 2], [0, 3], [0.5, 2.5], [4, 3]]
    kernel, slope, bias = (keras.ops.convert_to_numpy(weight) for weight in layer.weights)
    wanted = [
        [
            np.array(_by_hand(row[c], EDGES[c])) @ kernel[c, : len(EDGES[c]) - 1]
            + row[c] * slope[c]
            + bias[c]
            for c in range(2)
        ]
        for row in numbers.astype(np.float64)
    ]
    np.testing.assert_allclose(layer(numbers), np.reshape(wanted, (-1, 10)), atol=1e-5)


def test_piecewise_linear_is_that_of_rtdl_num_embeddings() -> None:
    torch = pytest.importorskip("torch", reason="the published package needs torch")
    published = pytest.importorskip("rtdl_num_embeddings", reason="the published package")
    layer = _layer()
    bins = [torch.tensor(edges) for edges in EDGES]
    theirs = published.PiecewiseLinearEmbeddings(bins, 5, activation=False, version="B")
    encoding = published.PiecewiseLinearEncoding(bins)
    numbers = np.random.default_rng(2).uniform((-1, 2), (4, 3), (200, 2)).astype(np.float32)
    encoded = keras.ops.convert_to_numpy(layer.encode(numbers))
    ours = np.concatenate([encoded[:, c, : len(EDGES[c]) - 1] for c in range(2)], axis=1)
    np.testing.assert_allclose(ours, encoding(torch.tensor(numbers)).numpy(), atol=1e-6)
    kernel, slope, bias = (keras.ops.convert_to_numpy(weight) for weight in layer.weights)
    with torch.no_grad():
        theirs.linear0.weight.copy_(torch.tensor(slope))
        theirs.linear0.bias.copy_(torch.tensor(bias))
        # Theirs keeps a column's last bin in the last place of its widest column's.
        moved = kernel.copy()
        moved[1] = 0
        moved[1, 2] = kernel[1, 0]
        theirs.linear.weight.copy_(torch.tensor(moved))
        wanted = theirs(torch.tensor(numbers)).flatten(1).numpy()
    np.testing.assert_allclose(layer(numbers), wanted, atol=1e-5)


def test_beyond_its_edges_only_the_line_goes_on() -> None:
    layer = _layer()
    outside = np.array([[-1, 2], [-101, 2], [4, 3], [104, 3]], np.float32)
    encoded = keras.ops.convert_to_numpy(layer.encode(outside))
    np.testing.assert_array_equal(encoded[0], encoded[1])
    np.testing.assert_array_equal(encoded[2], encoded[3])
    huge = np.array([[3e38, -3e38], [1e-45, 0]], np.float32)
    steep = PiecewiseLinearEmbedding([[0.0, 1e-45, 1.0], [0.0, 1.0]], 2)
    assert np.isfinite(steep(huge[1:])).all()
    assert np.isfinite(steep.encode(keras.ops.convert_to_tensor(huge))).all()


def test_periodic_is_the_closed_form() -> None:
    layer = PeriodicEmbedding(3, 0.5, 4)
    layer.build((None, 2))
    numbers = np.random.default_rng(3).normal(size=(20, 2)).astype(np.float32)
    rate, kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in layer.weights)
    wanted = []
    for column in range(2):
        angles = 2 * np.pi * numbers[:, column, None] * rate[column]
        waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        wanted.append(np.maximum(waves @ kernel[column] + bias[column], 0))
    np.testing.assert_allclose(layer(numbers), np.concatenate(wanted, axis=1), atol=1e-5)


def test_half_precision_is_not_for_numbers() -> None:
    numbers = np.array([[0.1234567, 2.00012]], np.float32)
    wanted = keras.ops.convert_to_numpy(_layer()(numbers))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(_layer()(numbers)), wanted)
        again = PiecewiseLinearEmbedding.from_config(_layer().get_config())
        assert again.compute_dtype == PeriodicEmbedding(2, 0.1, 2).compute_dtype == "float32"
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PiecewiseLinearEmbedding([[0.0, 1.0]], 0), "width: expected at least 1, got 0"),
        (lambda: PiecewiseLinearEmbedding([[0.0]], 2), "edges of column 0: expected two or more"),
        (lambda: PiecewiseLinearEmbedding([[0.0, 0.0]], 2), "edges of column 0: expected two"),
        (lambda: PeriodicEmbedding(0, 0.1, 2), "frequencies: expected at least 1, got 0"),
        (lambda: PeriodicEmbedding(1, 0.0, 2), "sigma: expected a number above 0"),
    ],
)
def test_layers_refuse(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def _spec(embedding: object, **feature: object) -> Spec:
    return parse(
        {
            "name": "numbers",
            "features": {
                "a": {"type": "numeric", "embedding": embedding, **feature},
                "pair": {
                    "type": "numeric",
                    "columns": ["b", "c"],
                    "scale": "log1p",
                    "embedding": {"type": "piecewise_linear", "bins": 4, "width": 3},
                    "indicator": True,
                },
                "wave": {"type": "numeric", "column": "b", "embedding": "periodic"},
            },
            "label": {"column": "y", "type": "regression", "scale": "z_score"},
            "model": {"hidden": [8]},
            "training": {"epochs": 2, "batch_size": 64, "schedule": "cosine"},
        },
        source="test",
    )


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of rows whose column `a` is 0 in a third of them, and missing in some."""
    random, count = np.random.default_rng(4), 600
    a = np.where(np.arange(count) % 3 == 0, 0, random.normal(size=count))
    rows = pd.DataFrame({"a": a, "b": random.exponential(size=count), "c": 1.0, "y": a**2})
    rows.loc[::50, "a"] = np.nan
    rows.loc[::60, "b"] = np.nan
    path = tmp_path_factory.mktemp("numbers")
    rows.to_csv(path / "rows.csv", index=False)
    spec = _spec({"type": "piecewise_linear", "bins": 8}, scale="z_score", missing="mean")
    preprocess(spec, [str(path / "rows.csv")], path / "records")
    return path


def test_edges_are_the_quantiles_of_the_training_rows_as_records_hold_them(records: Path) -> None:
    opened = open_records(records / "records")
    entry = load_manifest(records / "records").features["a"]
    assert entry.edges is not None
    held = np.concatenate([b[0]["a"].numpy() for b in opened.in_order("train", batch_size=100)])
    # Without those that the mean replaced, which are 0 once scaled.
    present = np.sort(held[np.abs(held) > 1e-6])
    values, counts = np.unique(present, return_counts=True)
    heavy = values[counts.argmax()]  # The zeros: 3 of 8 bins, so they have an edge of their own.
    rest = present[present != heavy]
    ranks = np.ceil(np.arange(1, 7) * len(rest) / 7).astype(int)
    wanted = sorted([present[0], *rest[ranks - 1], heavy, present[-1]])
    np.testing.assert_allclose(entry.edges[0], wanted, rtol=1e-5)
    pair = load_manifest(records / "records").features["pair"].edges
    assert pair is not None
    assert pair[1] == pytest.approx([np.log(2)] * 5)  # A constant column.


@pytest.mark.slow
def test_trains_and_is_exported_without_skew(records: Path, tmp_path: Path) -> None:
    train(records / "records", tmp_path / "run")
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    edges = model.get_layer("bend.a").edges[0]
    assert edges == sorted(set(edges))
    assert len(edges) == 9
    # A constant column has one bin.
    assert len(model.get_layer("bend.pair").edges[1]) == 2
    # Raises where the exported graph's numbers are not the records' own.
    assert export(tmp_path / "run", tmp_path / "served") is not None


def test_fewer_bins_than_the_records_hold(records: Path, tmp_path: Path) -> None:
    fewer = _spec({"type": "piecewise_linear", "bins": 2}, scale="z_score", missing="mean")
    train(records / "records", tmp_path / "run", spec=fewer, epochs=1)
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    assert len(model.get_layer("bend.a").edges[0]) == 3
    more = _spec({"type": "piecewise_linear", "bins": 9}, scale="z_score", missing="mean")
    with pytest.raises(
        DatasetMismatchError, match=r"features\.a\.embedding: asks for 9 bins, of which the rec"
    ):
        train(records / "records", tmp_path / "more", spec=more)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"embedding": 8}, "needs 'buckets'"),
        ({"embedding": "one_hot"}, "needs 'buckets'"),
        ({"embedding": "periodic", "buckets": 4}, "'buckets' needs 'embedding': a width"),
        ({"embedding": {"type": "piecewise_linear", "bin": 4}}, "did you mean 'bins'"),
        ({"embedding": "linear"}, "expected"),
    ],
)
def test_spec_refuses(feature: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse({"name": "n", "features": {"a": {"type": "numeric", **feature}}}, source="test")
