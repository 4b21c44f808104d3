"""Explaining: one raw row through an exported model, from its values to its score.

IDs and numbers are those of `transform_features`, the score that of `serving_default`. Tokens come
from the functions that the transform graph was traced from (schemas/rows/prepare.py). What a feature did
is the change of the score when its columns are missing and all others stay: leave one covariate out
(Lei et al. 2018, "Distribution-Free Predictive Inference for Regression", section 6), here for one
row and without training anew. Features that say the same hide each other in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skewless.model.explained.recommended import (
    Recommendation,
    asked_columns,
    recommend,
    recommends,
)
from skewless.model.explained.row import Explanation
from skewless.model.explained.walk import explained, plain, read_row, tokens_of, without
from skewless.model.exported.served_label import output_name
from skewless.model.exported.served_model import ServedModel
from skewless.schemas.errors import UsageError, nearest
from skewless.schemas.records.records import label_entry
from skewless.schemas.rows.json_rows import by_column
from skewless.schemas.rows.raw_columns import served_columns
from skewless.schemas.spec.network import TwoTowerSpec

__all__ = ["execute", "explain", "told_of"]

Row = Mapping[str, Any]


def explain(model: str | Path | ServedModel, row: Row, *, label: str | None = None) -> Explanation:
    """Walks one row through an exported model.

    Args:
      model: What `skewless export` left, or `ServedModel.open` of it, to explain many rows.
      row: Values by raw column, or objects that its dotted path leads into; an absent column, or
        None, is missing.
      label: Of several, the one whose score is told of; by default the first.

    Raises:
      UsageError: If the directory is no exported model, no feature reads any of the columns, or there
        is no such label.
      DataError: If a value is not of its column's kind.
    """
    served = model if isinstance(model, ServedModel) else ServedModel.open(model)
    row, not_read = read_row(row, list(served_columns(served.spec)), "the model's")
    seen = {name: values[0] for name, values in served.features([row]).items()}
    outputs = served.predict([row])
    name = _label_name(served, label)
    output = output_name("predictions", name)
    score_of, place = _scored(served, name, outputs)
    without = {} if place is None else _scores_without(served, row, output, place)
    score = None if place is None else float(outputs[output][0, place])
    tokens = tokens_of(served, row)
    features = tuple(
        explained(served, name, row, seen, tokens.get(name), score, without.get(name))
        for name in served.spec.features
    )
    told = {entry for feature in features for entry in feature.seen}
    return Explanation(
        spec=served.spec.name,
        features=features,
        added={name: plain(value) for name, value in seen.items() if name not in told},
        not_read=not_read,
        predictions={name: plain(value[0]) for name, value in outputs.items()},
        score=score,
        score_of=score_of,
    )


def told_of(
    served: ServedModel,
    row: Row,
    *,
    label: str | None = None,
    exclude: Sequence[str] = (),
    count: int | None = None,
) -> Explanation | Recommendation:
    """Returns what a model makes of a row: of a query alone what it finds, else `explain`.

    Args:
      served: The model.
      row: Values by raw column.
      label: Of several, the one whose score is told of.
      exclude: Candidates that a query is not to find.
      count: How many it is to find.

    Raises:
      UsageError: As `explain` and `recommend`; or if `exclude` or `count` is of a row that is no query.
      DataError: If a value is not of its column's kind.
    """
    if not recommends(served):
        pair = list(served_columns(served.spec))
    else:
        asked = asked_columns(served.spec)
        pair = [column for column in served_columns(served.spec) if column not in asked]
        if all(value is None for value in by_column(row, pair).values()):
            return recommend(served, row, exclude=exclude, count=count)
    if exclude or count is not None:
        raise UsageError(
            "names to exclude, and how many to find, go with a query of two towers, a row without any "
            f"of the columns {', '.join(pair)}; leave them out"
        )
    return explain(served, row, label=label)


def _label_name(served: ServedModel, asked: str | None) -> str:
    """Returns which of several labels is asked for; "" of a single one."""
    labels = served.spec.labels or {}
    if asked is None:
        return next(iter(labels), "")
    if asked not in labels:
        told = (
            f"expected one of {', '.join(labels)}" if labels else "the model has no several labels"
        )
        raise UsageError(
            f"--label {asked}: {told}{nearest(asked, labels)}; leave it out, or name one"
        )
    return asked


def _scored(
    served: ServedModel, name: str, outputs: Mapping[str, np.ndarray]
) -> tuple[str, int | None]:
    """Returns what the score is, and its place among the predictions; None if there is no one."""
    entry = label_entry(name)
    label = served.spec.targets.get(entry)
    if isinstance(served.spec.model, TwoTowerSpec):
        return "the cosine of the query's vector and the candidate's", 0
    if label is None or label.is_sequence:
        return "a sequence, which has no one score", None
    if served.spec.training.loss is not None:
        return f"where the row stands in its {served.spec.training.group}; no probability", 0
    if label.is_binary:
        return f"the probability that {label.column} is positive", 0
    if label.is_number:
        return f"{label.column}, in its own unit", 0
    place = int(outputs[output_name("predictions", name)][0].argmax())
    chosen = served.words.of(entry, place).text
    return f"the probability of {label.column} {chosen!r}, the highest", place


def _scores_without(served: ServedModel, row: Row, output: str, place: int) -> dict[str, float]:
    """Returns the score, at a place of an output, with each feature's columns missing, by feature."""
    rows = [without(served.spec, row, name) for name in served.spec.features]
    scores = served.predict(rows)[output][:, place]
    return dict(zip(served.spec.features, scores.astype(float).tolist(), strict=True))


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    served = ServedModel.open(known.records)
    explanation = told_of(
        served,
        _row(known.row, served),
        label=known.label,
        exclude=known.exclude or (),
        count=known.n,
    )
    if known.json:
        print(json.dumps(explanation.as_json(), ensure_ascii=False, indent=2))
    else:
        print(explanation)
    return 0


def _row(text: str | None, served: ServedModel) -> Row:
    columns = list(served_columns(served.spec))
    wanted = "expected a JSON object such as '" + json.dumps(
        dict.fromkeys(columns[:2], "…"), ensure_ascii=False
    )
    if text is None:
        raise UsageError(
            f"{served.directory}: is a model; add --row, {wanted}' (columns: {', '.join(columns)}), "
            "or --row - to read it from standard input"
        )
    try:
        row = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise UsageError(f"--row: {wanted}', got what is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise UsageError(f"--row: {wanted}', got {type(row).__name__}")
    return row
