"""Evaluation: a trained run against a split, whole and by slices of any raw column."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skewless.model import arguments
from skewless.model.explained.importance import importance_of_run
from skewless.model.exported.transform import Transform, in_own_unit
from skewless.model.metrics.compute import compute_metrics
from skewless.model.metrics.confidence import confidence_intervals
from skewless.model.metrics.curves import compute_curves
from skewless.model.metrics.grouped import group_metrics
from skewless.model.metrics.slices import check_column, slice_rows
from skewless.model.network.seq2seq import DECODER_INPUT, Generator
from skewless.model.retrieval.fed import first_group_id
from skewless.model.retrieval.found import Found, find_in_split
from skewless.model.training.records import Records, open_records
from skewless.model.training.run_directory import RunDirectory, load_trained, write_json
from skewless.schemas.ending import run_module
from skewless.schemas.records.layout import MODEL, TRANSFORM
from skewless.schemas.records.records import KEY, LABEL
from skewless.schemas.spec.network import Seq2SeqSpec, TowersSpec, TwoTowerSpec
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.known_as import origin_of

__all__ = [
    "Predictions",
    "as_table",
    "evaluate",
    "evaluate_model",
    "execute",
    "leave_evaluation",
    "predict_split",
    "regression_unit",
    "run",
]

_BATCH = 1024
_FEW_ROWS = 30
_ERRORS = ("rmse", "mae")


@dataclass(frozen=True)
class Predictions:
    """What a model says of a split's rows: labels, predictions, weights, keys, losses."""

    truth: np.ndarray
    predicted: np.ndarray
    weights: np.ndarray | None
    keys: np.ndarray
    loss: float | None = None
    groups: np.ndarray | None = None

    @property
    def constant(self) -> bool | None:
        """Whether all predictions are the same; None where that cannot be said."""
        if self.loss is not None or len(self.predicted) < 2:
            return None
        spread = self.predicted.astype(np.float64).std(axis=0)
        return bool((spread < 1e-7).all())

    def metrics(self, spec: Spec, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Returns the metrics of all rows, or of the rows at the places `rows`."""
        assert spec.label is not None
        chosen = slice(None) if rows is None else rows
        weights = None if self.weights is None else self.weights[chosen]
        result = compute_metrics(spec.label, self.truth[chosen], self.predicted[chosen], weights)
        if self.groups is not None:
            scores = self.predicted[chosen]
            result |= group_metrics(self.groups[chosen], self.truth[chosen], scores, weights)
        if rows is None and self.loss is not None:
            result["loss"] = self.loss
        return result

    def confidence(self, spec: Spec, rows: np.ndarray | None = None) -> dict[str, list[float]]:
        """Returns 95% intervals of the metrics of all rows, or of those at the places `rows`."""
        assert spec.label is not None
        chosen = slice(None) if rows is None else rows
        weights = None if self.weights is None else self.weights[chosen]
        return confidence_intervals(spec.label, self.truth[chosen], self.predicted[chosen], weights)

    def curves(self, spec: Spec) -> dict[str, Any]:
        """Returns what charts of the predictions need."""
        assert spec.label is not None
        return compute_curves(spec.label, self.truth, self.predicted, self.weights)


def evaluate(
    run_directory: str | Path,
    records_directory: str | Path,
    split: str = "eval",
    slices: Sequence[str] = (),
    *,
    importance: bool = False,
) -> dict[str, Any]:
    """Evaluates a finished run.

    Args:
      run_directory: What `train` left.
      records_directory: Records of the same transform.
      split: The split to evaluate.
      slices: Raw columns by whose values to evaluate too.
      importance: Whether to find which features the model leans on, by permutation.

    Returns:
      {"split", "metrics", "confidence": {metric: [low, high]}, "curves",
      "slices": {column: [{"value", "rows", metrics…, "confidence"}, …]}}, and "importance" where
      it is asked for: {"metric", "rows", "features": [{"feature", "worse", "low", "high"}, …]}.

    Raises:
      UsageError: If the run is not finished, a slice's column is not known, or importance is asked
        of a model that generates sequences.
      DatasetMismatchError: If the records are not of the run's transform, or the split is empty.
    """
    directory = RunDirectory.open(run_directory)
    records = open_records(records_directory)
    directory.check_records(records)
    for column in slices:
        check_column(records.directory, split, column)
    spec = directory.spec
    model = load_trained(directory.path / MODEL)
    predictions = predict_split(model, spec, records, split, directory.path)
    result: dict[str, Any] = {
        "split": split,
        "metrics": predictions.metrics(spec),
        "confidence": predictions.confidence(spec),
        "curves": predictions.curves(spec),
        "slices": {},
    }
    for column in slices:
        entries = result["slices"][column] = []
        for value, rows in slice_rows(records.directory, split, column, predictions.keys):
            entry = {"value": value, **predictions.metrics(spec, rows)}
            intervals = predictions.confidence(spec, rows)
            entries.append({**entry, "confidence": intervals} if intervals else entry)
    if importance:
        result["importance"] = importance_of_run(model, spec, records, split, directory.path)
    return result


def evaluate_model(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> tuple[dict[str, Any], dict[str, list[float]], dict[str, Any]]:
    """Returns a model's metrics on one split, their 95% intervals, and curves."""
    predictions = predict_split(model, spec, records, split, run_directory)
    metrics = predictions.metrics(spec)
    if predictions.constant is not None:
        metrics["constant_predictions"] = predictions.constant
    return metrics, predictions.confidence(spec), predictions.curves(spec)


def predict_split(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Predictions | Found:
    """Runs a model over a split."""
    return _PREDICTED[type(spec.model)](model, spec, records, split, run_directory)


def _predict_split(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Predictions:
    call = tf.function(lambda features: model(features, training=False))
    truth: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    keys: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    group = spec.training.group
    for features, label, *weight in records.in_order(split, batch_size=_BATCH, with_key=True):
        keys.append(features.pop(KEY).numpy())
        predicted.append(call(features).numpy())
        truth.append(label.numpy())
        if group is not None:
            ids = features[group].numpy()
            groups.append(np.where(ids >= first_group_id(spec), ids, -1))
        weights.extend(value.numpy() for value in weight)
    transform = Transform(spec, run_directory / TRANSFORM)
    labels, outputs = in_own_unit(spec, transform, np.concatenate(truth), np.concatenate(predicted))
    return Predictions(
        labels,
        outputs,
        np.concatenate(weights) if weights else None,
        np.concatenate(keys),
        groups=np.concatenate(groups) if groups else None,
    )


def _generate_split(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> Predictions:
    """Generates greedily; the loss is the teacher-forced one."""
    assert isinstance(spec.model, Seq2SeqSpec)
    assert spec.label is not None
    label = records.manifest.features[LABEL]
    assert label.cardinality is not None
    generator = Generator(
        model,
        label.shape[0],
        label.cardinality,
        spec.label.unknown_ids,
        spec.model.beam_width,
    )
    greedy = tf.function(generator.greedy)
    truth, predicted, weights, keys, losses, counts = [], [], [], [], 0.0, 0.0
    for features, labels, weight in records.in_order(split, batch_size=_BATCH, with_key=True):
        keys.append(features.pop(KEY).numpy())
        probabilities = model(features, training=False)
        loss = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        losses += float(tf.reduce_sum(loss * weight))
        counts += float(tf.reduce_sum(weight))
        # Every target has its end token at least, so the first step bears the row's weight.
        weights.append(weight[:, 0].numpy())
        source = next(ids for name, ids in features.items() if name != DECODER_INPUT)
        predicted.append(greedy(source).numpy())
        truth.append(labels.numpy())
    return Predictions(
        np.concatenate(truth),
        np.concatenate(predicted),
        np.concatenate(weights) if spec.weight else None,
        np.concatenate(keys),
        losses / max(counts, 1.0),
    )


_PREDICTED: dict[type, Callable[..., Predictions | Found]] = {
    TowersSpec: _predict_split,
    Seq2SeqSpec: _generate_split,
    TwoTowerSpec: find_in_split,
}


def leave_evaluation(run_directory: str | Path, result: dict[str, Any]) -> None:
    """Leaves an evaluation in its run, for reports; what lies in a bucket is not altered."""
    root = Path(run_directory)
    if origin_of(root) is None:
        write_json(root / f"evaluation-{result['split']}.json", result)


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    result = evaluate(
        known.run, known.records, known.split, known.slice, importance=known.importance
    )
    leave_evaluation(known.run, result)
    unit = regression_unit(RunDirectory.open(known.run).spec)
    print(json.dumps(result, indent=2) if known.json else as_table(result, unit))
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.model.evaluate", arguments.evaluate, execute, argv, description=__doc__
    )


def regression_unit(spec: Spec) -> str:
    """Returns the column whose unit errors are in; empty where the label is no number."""
    return spec.label.column if spec.label and spec.label.is_number else ""


def as_table(result: dict[str, Any], unit: str = "") -> str:
    """Returns an evaluation as aligned text.

    Args:
      result: Of `evaluate`.
      unit: Of `regression_unit`: what `rmse` and `mae` are of.
    """
    names = list(result["metrics"])
    rows = [(result["split"], result["metrics"])]
    for column, entries in result["slices"].items():
        rows += [(f"{column} = {entry['value'] or '(blank)'}", entry) for entry in entries]
    few = [metrics.get("rows", _FEW_ROWS) < _FEW_ROWS for _, metrics in rows]
    titles = [title + " *" * mark for (title, _), mark in zip(rows, few, strict=True)]
    width = max(map(len, titles))
    named = (f"{name} ({unit})" if unit and name in _ERRORS else name for name in names)
    heads = [head.rjust(max(16, len(head) + 2)) for head in named]
    lines = [" " * width + "".join(heads)]
    for title, (_, metrics) in zip(titles, rows, strict=True):
        cells = zip(heads, (_cell(metrics.get(name)) for name in names), strict=True)
        lines.append(title.ljust(width) + "".join(cell.rjust(len(head)) for head, cell in cells))
    if any(few):
        lines.append(f"* fewer than {_FEW_ROWS} rows: chance alone moves these figures far")
    found = result.get("importance", {})
    lines += [
        f"with {entry['feature']} shuffled, {found['metric']} is worse by {entry['worse']:.4f} "
        f"({entry['low']:.4f} to {entry['high']:.4f})"
        for entry in found.get("features", ())
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    raise SystemExit(run())
