"""One row's walk through a model, feature by feature: tokens, IDs, what they mean, what was seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from skewless.model.explained.row import FeatureExplanation, Step
from skewless.model.exported.served_model import ServedModel
from skewless.schemas.errors import UsageError, nearest
from skewless.schemas.records.id_contract import MISSING_ID, PADDING_ID
from skewless.schemas.records.records import beside_names, steps_name
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
from skewless.schemas.spec.kinds.sequences import StepsOfNumbers
from skewless.schemas.spec.spec import Spec

__all__ = ["explained", "lists_beside", "plain", "read_row", "tokens_of", "without"]

Row = Mapping[str, Any]
# Between the values of a combination.
_BESIDE = " & "


def read_row(
    given: Row, columns: Sequence[str], whose: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the values of a row that are read, by column, and which of its columns are not.

    Args:
      given: Values by column, or objects that a column's dotted path leads into.
      columns: Those that are read.
      whose: They are, to be told.

    Raises:
      UsageError: If the row has none of them, but others.
      DataError: If a dotted path leads through what is no object.
    """
    row = by_column(given, columns)
    if given and not row:
        raise UsageError(
            f"the row has none of {whose} columns ({', '.join(columns)}), only "
            f"{', '.join(given)}{nearest(next(iter(given)), columns)}; give one of them"
        )
    not_read = tuple(
        name
        for name in given
        if not any(column == name or column.startswith(f"{name}.") for column in columns)
    )
    return row, not_read


def lists_beside(spec: Spec, columns: Collection[str]) -> list[str]:
    """Returns the columns of lists that hold something for each value of one of these columns."""
    declared = served_columns(spec)
    return [name for name, column in declared.items() if column.beside in columns]


def without(spec: Spec, row: Row, name: str) -> dict[str, Any]:
    """Returns a row without the columns of a feature, and without lists that would stand alone then."""
    own = columns_behind(spec.features, name)
    gone = {*own, *lists_beside(spec, own)}
    return {column: value for column, value in row.items() if column not in gone}


def tokens_of(served: ServedModel, row: Row) -> dict[str, np.ndarray]:
    """Returns each feature's tokens or value: [tokens] bytes, or [width] numbers."""
    spec = served.spec.model_copy(update={"label": None, "labels": None, "weight": None})
    raw = sparse_tensors(canonical_rows([row], spec), served_columns(spec))
    found = {}
    for name, values in prepare(spec, raw).items():
        if name not in spec.features:  # What a feature's values weigh.
            continue
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


def explained(
    served: ServedModel,
    name: str,
    row: Row,
    seen: Mapping[str, np.ndarray],
    tokens: np.ndarray | None,
    score: float | None = None,
    score_without: float | None = None,
) -> FeatureExplanation:
    """Returns what became of one feature of one row.

    Args:
      served: The model.
      name: The feature.
      row: By column.
      seen: Each record entry of the row, as the transform graph gives it.
      tokens: What `tokens_of` gives of the feature.
      score: Of the row; None where it has no one.
      score_without: With the feature missing.
    """
    feature = served.spec.features[name]
    assert tokens is not None
    columns = columns_behind(served.spec.features, name)
    ids = seen[name] if seen[name].dtype.kind == "i" else None
    steps = None if ids is None else _steps(served, name, feature, tokens, np.atleast_1d(ids))
    cut = 0 if steps is None else sum(step.id is None for step in steps)
    mask = None
    if feature.is_sequence and ids is not None:
        mask = tuple((ids != PADDING_ID).tolist())
    elif isinstance(feature, StepsOfNumbers):
        count, length = int(seen[steps_name(name)]), len(seen[name])
        cut = len(tokens) - count
        true, padding = (True,) * count, (False,) * (length - count)
        mask = padding + true if feature.pad == "start" else true + padding
    entries = [name, *(entry for entry in beside_names(name) if entry in seen)]
    encoder = feature.encoder
    return FeatureExplanation(
        name=name,
        type=feature.type,
        raw={column: row.get(column) for column in columns},
        missing=_is_missing(feature, tokens),
        steps=steps,
        cut=cut,
        seen={entry: plain(seen[entry]) for entry in entries},
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
    if feature.is_number or feature.numbers_of_step:
        return not np.isfinite(tokens).any()
    return not any(tokens.tolist())


def _text(token: bytes | float) -> str:
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else f"{token:g}"


def plain(value: Any) -> Any:
    """Returns an array's values as JSON has them."""
    listed = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(listed, list):
        return [plain(item) for item in listed]
    return listed.decode("utf-8", "replace") if isinstance(listed, bytes) else listed
