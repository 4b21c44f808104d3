"""Scales of numbers, chained and robust, against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skewless.beam_pipelines.transform.numeric import bin_edges, constants_of
from skewless.model.exported.transform import Transform, to_own_unit
from skewless.schemas import SpecError, parse
from skewless.schemas.records.constants import load_numbers
from skewless.schemas.rows.json_rows import canonical_rows
from skewless.schemas.spec.kinds.scale import measured_after
from tests.test_alike import fitted, fitted_to

_ROWS = 400
_RANDOM = np.random.default_rng(7)
_LONG = np.round(np.exp(_RANDOM.normal(3, 2, _ROWS)) * _RANDOM.choice([-1, 1, 1], _ROWS), 3)
_LONG[::9] = np.nan
_MOSTLY_ZERO = np.where(np.arange(_ROWS) % 7 == 0, _RANDOM.normal(50, 9, _ROWS), 0.0)
_COLUMNS = {"long": _LONG, "zero": _MOSTLY_ZERO, "one": np.full(_ROWS, 5.0)}

Step = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _log1p(values: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values))


def _z_score(values: np.ndarray, held: np.ndarray) -> np.ndarray:
    return (values - held.mean()) / (held.std() if np.ptp(held) else np.inf)


def _min_max(values: np.ndarray, held: np.ndarray) -> np.ndarray:
    return (values - held.min()) / (np.ptp(held) or np.inf)


def _robust_clip(values: np.ndarray, held: np.ndarray) -> np.ndarray:
    lower, median, upper = np.quantile(held, [0.25, 0.5, 0.75], method="inverted_cdf")
    unit = upper - lower if upper > lower else np.ptp(held) / 2
    centred = (values - median) / (unit or np.inf)
    return centred / np.sqrt(1 + (centred / 3) ** 2)


_STEPS: dict[str, Step] = {
    "log1p": _log1p, "z_score": _z_score, "min_max": _min_max, "robust_clip": _robust_clip,
}  # fmt: skip
_SCALES = [
    ["log1p", "z_score"],
    ["log1p", "min_max"],
    ["z_score", "log1p"],
    ["log1p", "robust_clip"],
    ["robust_clip"],
    ["robust_clip", "log1p"],
]


def _features(scale: list[str], **more: object) -> dict[str, object]:
    return {name: {"type": "numeric", "scale": scale, **more} for name in _COLUMNS}


def _spec(features: dict[str, object], label_scale: object = "none"):
    return parse(
        {
            "name": "scales",
            "features": features,
            "label": {"column": "y", "type": "regression", "scale": label_scale},
            "model": {"merge": "concatenate", "hidden": [4]},
            "training": {"batch_size": 4, "epochs": 1},
        }
    )


def _rows() -> list[dict[str, object]]:
    return [
        {name: None if np.isnan(values[row]) else values[row] for name, values in _COLUMNS.items()}
        | {"y": float(abs(_MOSTLY_ZERO[row]))}
        for row in range(_ROWS)
    ]


@pytest.mark.parametrize("scale", _SCALES, ids="-".join)
@pytest.mark.parametrize("missing", [0.0, "median", "mean"])
def test_steps_follow_one_another(scale, missing, tmp_path: Path):
    outputs = fitted(_spec(_features(scale, missing=missing)), _rows(), tmp_path)
    for name, values in _COLUMNS.items():
        expected = values.astype(np.float32).astype(np.float64)
        held = expected[~np.isnan(expected)]
        before = measured_after(tuple(scale))
        if missing == 0.0:
            expected = np.nan_to_num(expected)
        for place, step in enumerate(scale):
            if place == len(before) and missing != 0.0:
                middle = np.quantile(held, 0.5, method="inverted_cdf")
                expected[np.isnan(expected)] = held.mean() if missing == "mean" else middle
            expected, held = _STEPS[step](expected, held), _STEPS[step](held, held)
        np.testing.assert_allclose(outputs[name], expected, rtol=2e-5, atol=2e-6, err_msg=name)


def test_a_robust_clip_stays_within_three(tmp_path: Path):
    rows = [{"wild": value, "y": 1.0} for value in [*range(1, 99), 1e30, -3e38, 3e38]]
    spec = _spec({"wild": {"type": "numeric", "scale": "robust_clip"}})
    found = fitted(spec, rows, tmp_path)["wild"]
    assert np.isfinite(found).all() and np.abs(found).max() <= 3
    assert (np.diff(found[:98]) > 0).all()


def test_bins_are_of_numbers_as_the_chain_leaves_them(tmp_path: Path):
    embedding = {"type": "piecewise_linear", "bins": 4}
    spec = _spec(_features(["log1p", "z_score"], embedding=embedding, missing="mean"))
    outputs = fitted(spec, _rows(), tmp_path)
    constants = constants_of(load_numbers(tmp_path / "transform"))["long"]
    (edges,) = bin_edges(spec.features["long"], constants)
    held = outputs["long"][~np.isnan(_LONG)]
    assert edges[0] == held.min() and edges[-1] == held.max()
    assert set(np.float32(edges)) <= set(held)
    inside = np.histogram(held, edges)[0] / len(held)
    assert np.abs(inside - 0.25).max() < 0.01


@pytest.mark.parametrize("scale", ["none", "log1p", "z_score", ["log1p", "z_score"]])
def test_a_labels_scale_is_undone(scale, tmp_path: Path):
    spec = _spec(_features(["z_score"]), scale)
    rows = _rows()
    values = np.array([row["y"] for row in rows])
    labels = pa.array(values, pa.float32())
    columns = canonical_rows(rows, spec).append_column("y", labels)
    outputs = fitted_to(spec, columns, tmp_path)
    (name,) = spec.targets
    expected = values
    for step in [scale] if isinstance(scale, str) else scale:
        expected = _STEPS[step](expected, expected) if step != "none" else expected
    np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-6)
    undo = to_own_unit(spec.label, Transform(spec, tmp_path / "transform"))
    again = outputs[name] if undo is None else np.asarray(undo(outputs[name].astype(np.float64)))
    np.testing.assert_allclose(again, values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        (["z_score", "min_max"], "at the most, got ['z_score', 'min_max']; leave z_score or min_max"),
        (["log1p", "log1p"], "expected steps, each once, got ['log1p', 'log1p']"),
        ([], "expected steps, each once, got []"),
        (["log1p", "zscore"], "scale[1]: expected one of z_score, min_max, log1p, robust_clip, got"),
        ({"a": 1}, "scale: expected one of z_score, min_max, log1p, robust_clip, none, got {'a': 1}"),
    ],
)  # fmt: skip
def test_chains_that_mean_nothing_are_refused(scale, told):
    with pytest.raises(SpecError, match=r"features\.a\.scale") as caught:
        _spec({"a": {"type": "numeric", "scale": scale}})
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_labels_chain_begins_with_the_logarithm():
    with pytest.raises(SpecError, match=r"label.scale: expected \[log1p, z_score\]"):
        _spec({"a": {"type": "numeric"}}, ["z_score", "log1p"])


def test_quartiles_are_no_bins():
    with pytest.raises(SpecError, match="'scale: robust_clip' has no effect"):
        _spec({"a": {"type": "numeric", "scale": "robust_clip", "embedding": "piecewise_linear"}})


def test_a_chain_of_one_step_is_that_step():
    one = _spec({"a": {"type": "numeric", "scale": ["z_score"]}})
    assert one.sha256() == _spec({"a": {"type": "numeric", "scale": "z_score"}}).sha256()
