"""Evaluation: a trained run against a split, whole and by slices of any raw column."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from skewless.model import arguments
from skewless.model.explained.importance import importance_of_run
from skewless.model.metrics.names import figure
from skewless.model.metrics.predicted_split import OfLabels, Predictions, predict_split
from skewless.model.metrics.slices import check_column, slice_rows
from skewless.model.retrieval.found import Found
from skewless.model.training.records import Records, open_records
from skewless.model.training.run_directory import RunDirectory, load_trained, write_json
from skewless.schemas.ending import run_module
from skewless.schemas.records.layout import MODEL
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.known_as import origin_of

__all__ = [
    "as_table",
    "evaluate",
    "evaluate_model",
    "execute",
    "leave_evaluation",
    "regression_unit",
    "run",
]

_FEW_ROWS = 30
_ERRORS = ("rmse", "mae")


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
      it is asked for and some row has the label: {"metric", "rows", "features": [{"feature", "worse",
      "low", "high"}, …]}.
      Of several labels {"split", "loss", "labels": {name: what a single one has}}.

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
    if isinstance(predictions, OfLabels):
        by_label = {
            name: _result(spec.alone(name), records, split, slices, own)
            for name, own in predictions.by_label.items()
        }
        result = {"split": split, "loss": predictions.loss, "labels": by_label}
    else:
        by_label = {"": {"split": split, **_result(spec, records, split, slices, predictions)}}
        result = by_label[""]
    if importance:
        leaning = importance_of_run(model, spec, records, split, directory.path)
        for name, found in leaning.items():
            by_label[name]["importance"] = found
    return result


def _result(
    spec: Spec,
    records: Records,
    split: str,
    slices: Sequence[str],
    predictions: Predictions | Found,
) -> dict[str, Any]:
    result: dict[str, Any] = {
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
    return result


def evaluate_model(
    model: keras.Model, spec: Spec, records: Records, split: str, run_directory: Path
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Returns a model's metrics on one split, their 95% intervals, and curves.

    Of several labels each is {"labels": {name: what a single one has}}, the metrics with the `loss`
    of all beside.
    """
    predictions = predict_split(model, spec, records, split, run_directory)
    if not isinstance(predictions, OfLabels):
        return _figures(spec, predictions)
    found = {name: _figures(spec.alone(name), own) for name, own in predictions.by_label.items()}
    metrics, confidence, curves = (
        {"labels": {name: figures[place] for name, figures in found.items()}} for place in range(3)
    )
    return {"loss": predictions.loss, **metrics}, confidence, curves


def _figures(
    spec: Spec, predictions: Predictions | Found
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    metrics = predictions.metrics(spec)
    if predictions.constant is not None:
        metrics["constant_predictions"] = predictions.constant
    return metrics, predictions.confidence(spec), predictions.curves(spec)


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
    print(json.dumps(result, indent=2) if known.json else _told(known.run, result))
    return 0


def _told(run_directory: str, result: dict[str, Any]) -> str:
    spec = RunDirectory.open(run_directory).spec
    if spec.labels is None:
        return as_table(result, regression_unit(spec))
    tables = [f"loss of all labels on {result['split']}: {result['loss']:.4f}"]
    for name, own in result["labels"].items():
        table = as_table({"split": result["split"], **own}, regression_unit(spec.alone(name)))
        tables.append(f"{name}\n{table}")
    return "\n\n".join(tables)


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
    if "popular" in result.get("curves", {}):
        rows.append(("the most popular", result["curves"]["popular"]["metrics"]))
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
        f"with {entry['feature']} shuffled, {found['metric']} is worse by {figure(entry['worse'])} "
        f"({figure(entry['low'])} to {figure(entry['high'])})"
        for entry in found.get("features", ())
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return figure(value) if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    raise SystemExit(run())
