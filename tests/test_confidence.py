"""Intervals and curves, against closed forms, a bootstrap and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk

from skewless.model.metrics.compute import compute_metrics
from skewless.model.metrics.confidence import (
    confidence_intervals,
    interval_of_auc,
    interval_of_mean,
    interval_of_share,
)
from skewless.model.metrics.curves import compute_curves
from skewless.schemas.spec.label import BinaryLabel, MulticlassLabel, RegressionLabel

BINARY = BinaryLabel(column="y")


def scores(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels and probabilities that are right about them on average."""
    random = np.random.default_rng(seed)
    predicted = random.random(rows)
    return (random.random(rows) < predicted).astype(np.float32), predicted


def test_a_share_has_wilson_s_interval() -> None:
    low, high = interval_of_share(np.array([1] * 8 + [0] * 2), np.ones(10))
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert interval_of_share(np.ones(5), np.ones(5))[1] == 1.0


def test_a_mean_has_the_normal_interval() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    reach = 1.959964 * values.std(ddof=1) / 2
    assert interval_of_mean(values, np.ones(4)) == pytest.approx((2.5 - reach, 2.5 + reach))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_auc_s_interval_is_that_of_a_bootstrap(weighted: bool) -> None:
    truth, predicted = scores(600)
    random = np.random.default_rng(2)
    weights = random.choice([0.5, 1.0, 3.0], 600) if weighted else np.ones(600)
    found = interval_of_auc(truth, predicted, weights)
    draws = [random.integers(0, 600, 600) for _ in range(400)]
    areas = [sk.roc_auc_score(truth[d], predicted[d], sample_weight=weights[d]) for d in draws]
    assert found == pytest.approx(np.quantile(areas, (0.025, 0.975)), abs=0.012)
    assert interval_of_auc(np.ones(4), predicted[:4], np.ones(4)) is None


@pytest.mark.parametrize(
    ("label", "truth", "predicted"),
    [
        (BINARY, *scores(500)),
        (
            MulticlassLabel(column="y"),
            np.arange(300) % 3,
            np.random.default_rng(3).dirichlet([1, 1, 1], 300),
        ),
        (
            RegressionLabel(column="y"),
            np.arange(200.0),
            np.arange(200.0) + np.random.default_rng(4).normal(size=200),
        ),
    ],
    ids=["binary", "multiclass", "regression"],
)
def test_each_interval_holds_its_metric(label, truth, predicted) -> None:
    metrics = compute_metrics(label, truth, predicted, None)
    found = confidence_intervals(label, truth, predicted, None)
    assert found
    for name, (low, high) in found.items():
        assert low < metrics[name] < high, name
    # A row that weighs nothing is no row.
    weights = np.concatenate([np.ones(100), np.zeros(len(truth) - 100)])
    alone = confidence_intervals(label, truth[:100], predicted[:100], None)
    weighed = confidence_intervals(label, truth, predicted, weights)
    for name, interval in alone.items():
        assert weighed[name] == pytest.approx(interval), name


def test_binary_curves_are_scikit_learn_s_thinned() -> None:
    truth, predicted = scores(5_000)
    curves = compute_curves(BINARY, truth, predicted, None)
    roc = np.array(curves["roc"])
    assert len(roc) <= 122
    assert roc[0].tolist() == [0, 0]
    assert roc[-1].tolist() == [1, 1]
    assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(
        sk.roc_auc_score(truth, predicted), abs=2e-3
    )
    assert sum(entry["rows"] for entry in curves["calibration"]) == 5_000
    for entry in curves["calibration"]:
        assert entry["observed"] == pytest.approx(entry["predicted"], abs=0.08)
    assert sum(curves["scores"]["positive"]) == truth.sum()


def test_a_split_of_one_class_has_no_roc() -> None:
    curves = compute_curves(BINARY, np.ones(10), np.linspace(0, 1, 10), None)
    assert "roc" not in curves
    assert "calibration" in curves


def test_classes_and_confusions_are_counted() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    chosen = np.array([0, 0, 1, 1, 0, 0])
    curves = compute_curves(MulticlassLabel(column="y"), truth, np.eye(3)[chosen], None)
    assert curves["classes"][0] == {"class": 0, "rows": 3, "recall": 2 / 3, "precision": 0.5}
    assert curves["classes"][2] == {"class": 2, "rows": 1, "recall": 0.0, "precision": None}
    assert {"class": 1, "taken_for": 0, "rows": 1} in curves["confusions"]
