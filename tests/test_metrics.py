"""Metrics against values worked out by hand, and the rows that have none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.model.metrics.compute import compute_metrics, expected_calibration_error
from skewless.model.metrics.names import figure
from skewless.model.metrics.predicted_split import Predictions
from skewless.schemas.errors import TrainingError
from skewless.schemas.spec.label import (
    BinaryLabel,
    Label,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)

BINARY = BinaryLabel(column="y")
MULTICLASS = MulticlassLabel(column="y")
MULTILABEL = MultilabelLabel(column="y")
REGRESSION = RegressionLabel(column="y")
SEQUENCE = SequenceLabel(column="y", length=2)

TRUTH = np.array([0.0, 0.0, 1.0, 1.0])
SCORES = np.array([0.1, 0.4, 0.35, 0.8])
CLASSES = np.array([0, 1, 2])
SHARES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.2, 0.6]])
TAGS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
TAG_SCORES = np.array([[0.9, 0.2], [0.3, 0.4], [0.2, 0.8], [0.6, 0.1]])
TARGETS = np.array([[5, 6, 3], [5, 3, 0]])
OUTPUTS = np.array([[5, 7, 3], [5, 3, 0]])


@pytest.mark.parametrize(
    ("label", "truth", "predicted", "weights", "expected"),
    [
        (BINARY, TRUTH, SCORES, None, {"auc": 0.75, "accuracy": 0.75, "positive_share": 0.5}),
        (BINARY, TRUTH, SCORES, None, {"pr_auc": 5 / 6}),
        (BINARY, TRUTH, SCORES, [1, 0, 1, 2], {"auc": 1.0, "accuracy": 0.75}),
        (BINARY, [1.0], [0.25], None, {"log_loss": math.log(4), "loss": math.log(4), "auc": None}),
        (MULTICLASS, CLASSES, SHARES, None, {"accuracy": 2 / 3, "top_5_accuracy": 1.0}),
        (MULTICLASS, CLASSES, SHARES, None, {"auc": (1 + 1 + 0.75) / 3}),
        (MULTICLASS, CLASSES, SHARES, [1, 0, 1], {"accuracy": 1.0, "auc": 1.0}),
        (
            MULTICLASS,
            CLASSES,
            SHARES,
            None,
            {"log_loss": -(math.log(0.7) + math.log(0.3) + math.log(0.6)) / 3},
        ),
        (MULTILABEL, TAGS, TAG_SCORES, None, {"accuracy": 0.625, "subset_accuracy": 0.25}),
        (MULTILABEL, TAGS, TAG_SCORES, None, {"auc": (0.5 + 1.0) / 2, "micro_auc": 12.5 / 16}),
        # Only rows 0 and 1 weigh: of the four pairs of a tag that is there and one that is not,
        # (0.9, 0.4) beat (0.2, 0.3) in all.
        (MULTILABEL, TAGS, TAG_SCORES, [1, 1, 0, 0], {"micro_auc": 1.0, "subset_accuracy": 0.5}),
        (
            REGRESSION,
            [1.0, 3.0],
            [2.0, 5.0],
            None,
            {"rmse": math.sqrt(2.5), "mae": 1.5, "r2": -1.5},
        ),
        (REGRESSION, [1.0, 3.0], [2.0, 5.0], [3, 1], {"mae": 1.25, "rmse": math.sqrt(7 / 4)}),
        (REGRESSION, [1.0], [2.0], None, {"r2": None, "rmse": 1.0}),
        (SEQUENCE, TARGETS, OUTPUTS, None, {"exact_match": 0.5, "token_accuracy": 4 / 5}),
        (SEQUENCE, TARGETS, OUTPUTS, [3, 1], {"exact_match": 0.25, "token_accuracy": 8 / 11}),
    ],
)
def test_by_hand(
    label: Label, truth: Any, predicted: Any, weights: Any, expected: dict[str, float | None]
) -> None:
    weighing = None if weights is None else np.array(weights, float)
    got = compute_metrics(label, np.array(truth), np.array(predicted), weighing)
    for name, value in expected.items():
        assert got[name] == (None if value is None else pytest.approx(value)), name
    assert got["rows"] == len(truth)


@pytest.mark.parametrize(
    ("label", "truth", "predicted"),
    [
        (BINARY, TRUTH, SCORES),
        (MULTICLASS, CLASSES, SHARES),
        (MULTILABEL, TAGS, TAG_SCORES),
        (REGRESSION, TRUTH, SCORES),
        (SEQUENCE, TARGETS, OUTPUTS),
    ],
)
def test_a_weight_of_two_is_the_row_twice(
    label: Label, truth: np.ndarray, predicted: np.ndarray
) -> None:
    weights = np.arange(1.0, len(truth) + 1)
    times = weights.astype(int)
    weighted = compute_metrics(label, truth, predicted, weights)
    repeated = compute_metrics(label, truth.repeat(times, 0), predicted.repeat(times, 0), None)
    weighted.pop("rows"), repeated.pop("rows")
    assert weighted == pytest.approx(repeated)


@pytest.mark.parametrize("label", [BINARY, REGRESSION])
def test_rows_that_weigh_nothing_have_no_metrics(label: Label) -> None:
    assert compute_metrics(label, TRUTH, SCORES, np.zeros(4)) == {"rows": 4}


@pytest.mark.parametrize("label", [BINARY, REGRESSION])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_refused(label: Label, value: float) -> None:
    with pytest.raises(TrainingError, match="1 of 4 predictions are not finite"):
        compute_metrics(label, TRUTH, np.array([0.1, value, 0.2, 0.3]), None)


def test_calibration_by_hand() -> None:
    # One bin says 0.9 and is right once in two: a gap of 0.4 over all rows.
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([0.9, 0.9])) == pytest.approx(
        0.4
    )
    assert expected_calibration_error(
        np.array([1.0, 0.0]), np.array([0.9, 0.9]), np.array([9.0, 1.0])
    ) == pytest.approx(0.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_calibration_error_is_a_share(rows: list[tuple[bool, float]]) -> None:
    correct, confidence = (np.array(column, float) for column in zip(*rows, strict=True))
    assert 0 <= expected_calibration_error(correct, confidence) <= 1


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_whether_predictions_are_all_the_same_goes_by_the_label(unit: float) -> None:
    truth = np.linspace(0, 1, 50)[:, None] * unit
    alike = np.full((50, 1), 0.5 * unit) * (1 + 1e-9 * np.arange(50)[:, None])
    assert not Predictions(truth, truth * 0.9, None, np.zeros(50)).constant
    assert Predictions(truth, alike, None, np.zeros(50)).constant
    # Of one class there is no spread to go by.
    assert not Predictions(np.zeros((50, 1)), truth / unit, None, np.zeros(50)).constant


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.81234, "0.8123"), (0.0, "0.0000"), (2.34567e-9, "2.346e-09"), (-0.00123456, "-0.001235"),
     (59505.123, "59505.1230"), (1.5e18, "1.5e+18"), (0.05, "0.0500")],
)  # fmt: skip
def test_a_metric_is_shown_with_digits_that_tell(value: float, text: str) -> None:
    assert figure(value) == text
