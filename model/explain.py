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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skewless.model.explained.row import Explanation, FeatureExplanation, Step
from skewless.model.exported.served_label import output_name
from skewless.model.exported.served_model import ServedModel
from skewless.schemas.errors import UsageError, nearest
from skewless.schemas.records.id_contract import MISSING_ID, PADDING_ID
from skewless.schemas.records.records import label_entry, missing_name, numbers_name
from skewless.schemas.records.vocabulary_file import file_table
from skewless.schemas.rows.json_rows import by_column, canonical_rows
from skewless.schemas.rows.prepare import prepare
from skewless.schemas.rows.raw_columns import served_columns
from skewless.schemas.rows.row_encoding import sparse_tensors
from skewless.schemas.rows.times.words import as_iso
from skewless.schemas.rows.tokenizers import piece_tokenizer
from skewless.schemas.spec.features import (
    CategoricalFeature,
    Feature,
    HistoryFeature,
    TextFeature,
    columns_behind,
)
from skewless.schemas.spec.kinds.number_embedding import Periodic, PiecewiseLinear
from skewless.schemas.spec.network import TwoTowerSpec

__all__ = ["execute", "explain"]

Row = Mapping[str, Any]
# Between the values of a combination.
_BESIDE = " & "


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
    columns = list(served_columns(served.spec))
    given, row = row, by_column(row, columns)
    if given and not row:
        raise UsageError(
            f"the row has none of the model's columns ({', '.join(columns)}), only "
            f"{', '.join(given)}{nearest(next(iter(given)), columns)}; give one of them"
        )
    seen = {name: values[0] for name, values in served.features([row]).items()}
    outputs = served.predict([row])
    name = _label_name(served, label)
    output = output_name("predictions", name)
    score_of, place = _scored(served, name, outputs)
    without = {} if place is None else _scores_without(served, row, output, place)
    score = None if place is None else float(outputs[output][0, place])
    tokens = _tokens(served, row)
    features = tuple(
        _explained(served, name, row, seen, tokens.get(name), score, without.get(name))
        for name in served.spec.features
    )
    told = {entry for feature in features for entry in feature.seen}
    return Explanation(
        spec=served.spec.name,
        features=features,
        added={name: _plain(value) for name, value in seen.items() if name not in told},
        not_read=tuple(
            name
            for name in given
            if not any(column == name or column.startswith(f"{name}.") for column in columns)
        ),
        predictions={name: _plain(value[0]) for name, value in outputs.items()},
        score=score,
        score_of=score_of,
    )


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
    if label.is_binary:
        return f"the probability that {label.column} is positive", 0
    if label.is_number:
        return f"{label.column}, in its own unit", 0
    place = int(outputs[output_name("predictions", name)][0].argmax())
    chosen = served.words.of(entry, place).text
    return f"the probability of {label.column} {chosen!r}, the highest", place


def _scores_without(served: ServedModel, row: Row, output: str, place: int) -> dict[str, float]:
    """Returns the score, at a place of an output, with each feature's columns missing, by feature."""
    rows = []
    for name in served.spec.features:
        own = columns_behind(served.spec.features, name)
        rows.append({column: value for column, value in row.items() if column not in own})
    scores = served.predict(rows)[output][:, place]
    return dict(zip(served.spec.features, scores.astype(float).tolist(), strict=True))


def _tokens(served: ServedModel, row: Row) -> dict[str, np.ndarray]:
    """Returns each feature's tokens or value: [tokens] bytes, or [width] numbers."""
    spec = served.spec.model_copy(update={"label": None, "labels": None, "weight": None})
    raw = sparse_tensors(canonical_rows([row], spec), served_columns(spec))
    found = {}
    for name, values in prepare(spec, raw).items():
        if spec.features[name].learns_pieces:
            table = file_table(str(served.words.vocabulary_path(name)))
            values = piece_tokenizer(table).tokenize(values.flat_values).merge_dims(0, 1)
            found[name] = values.numpy()
        elif spec.features[name].holds_times:
            found[name] = np.array([as_iso(time).encode() for time in values[0].numpy().tolist()])
        else:
            found[name] = np.atleast_1d(values[0].numpy())
    for name, feature in spec.features.items():
        if feature.combines:
            parts = {other: found[other] for other in feature.combines}
            lacking = any(_is_missing(spec.features[other], part) for other, part in parts.items())
            shown = _BESIDE.join(_text(part.tolist()[0]) for part in parts.values())
            found[name] = np.array([b"" if lacking else shown.encode()])
    return found


def _explained(
    served: ServedModel,
    name: str,
    row: Row,
    seen: Mapping[str, np.ndarray],
    tokens: np.ndarray | None,
    score: float | None,
    score_without: float | None,
) -> FeatureExplanation:
    feature = served.spec.features[name]
    assert tokens is not None
    columns = columns_behind(served.spec.features, name)
    ids = seen[name] if seen[name].dtype.kind == "i" else None
    steps = None if ids is None else _steps(served, name, feature, tokens, np.atleast_1d(ids))
    mask = None
    if feature.is_sequence:
        assert ids is not None
        mask = tuple((ids != PADDING_ID).tolist())
    beside = (missing_name(name), numbers_name(name))
    entries = [name, *(entry for entry in beside if entry in seen)]
    encoder = feature.encoder
    return FeatureExplanation(
        name=name,
        type=feature.type,
        raw={column: row.get(column) for column in columns},
        missing=_is_missing(feature, tokens),
        steps=steps,
        cut=0 if steps is None else sum(step.id is None for step in steps),
        seen={entry: _plain(seen[entry]) for entry in entries},
        mask=mask,
        embedding=_embedding(feature),
        encoder=None if encoder is None else encoder.type,
        score_without=score_without,
        change=None if score is None or score_without is None else score_without - score,
        together_with=tuple(
            other
            for other in served.spec.features
            if other != name and set(columns_behind(served.spec.features, other)) & set(columns)
        ),
    )


def _steps(
    served: ServedModel, name: str, feature: Feature, tokens: np.ndarray, ids: np.ndarray
) -> tuple[Step, ...]:
    """Returns the tokens with their IDs.

    Args:
      served: Gives the IDs' meaning.
      name: The feature.
      feature: Its declaration.
      tokens: [tokens] bytes, all of them; or [1], the number that was put into a bucket; or
        the time that has parts.
      ids: [length] int64, cut and padded.
    """
    if feature.holds_times:
        meanings = [(int(value), served.words.of(name, int(value))) for value in ids]
        time = _text(tokens[0]) or None
        return tuple(Step(time, value, seen.kind, seen.text) for value, seen in meanings)
    first, offset = 0, 0
    if (
        isinstance(feature, TextFeature | CategoricalFeature | HistoryFeature)
        and feature.is_sequence
    ):
        kept = min(len(tokens), len(ids))
        first = len(tokens) - kept if feature.truncate == "start" else 0
        offset = len(ids) - kept if feature.pad == "start" else 0
    steps = []
    for number, token in enumerate(tokens.tolist()):
        place = number - first
        if not 0 <= place < len(ids):
            steps.append(Step(_text(token), None, None, f"(cut off: beyond {len(ids)})"))
            continue
        value = int(ids[offset + place])
        meaning = served.words.of(name, value)
        text = None if value == MISSING_ID else _text(token)
        steps.append(Step(text, value, meaning.kind, meaning.text))
    return tuple(steps)


def _embedding(feature: Feature) -> int | str | None:
    declared = feature.embedding
    return declared.type if isinstance(declared, PiecewiseLinear | Periodic) else declared


def _is_missing(feature: Feature, tokens: np.ndarray) -> bool:
    if feature.holds_times:
        return not tokens[0]
    if feature.is_number:
        return not np.isfinite(tokens).any()
    return not any(tokens.tolist())


def _text(token: bytes | float) -> str:
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else f"{token:g}"


def _plain(value: Any) -> Any:
    """Returns an array's values as JSON has them."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, list):
        return [_plain(item) for item in plain]
    return plain.decode("utf-8", "replace") if isinstance(plain, bytes) else plain


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    served = ServedModel.open(known.records)
    explanation = explain(served, _row(known.row, served), label=known.label)
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
