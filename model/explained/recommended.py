"""What two towers find for one query, and what each part of the query did to each candidate's score.

Candidates and scores are those of the signature `recommend`. What a feature did is the change of a
candidate's cosine when the feature's columns are missing and all others stay, as in
`skewless.model.explain`; of a list of values, also when each value alone is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from skewless.model.explained.row import FeatureExplanation, Told, feature_lines
from skewless.model.explained.walk import explained, lists_beside, read_row, tokens_of, without
from skewless.model.exported.nearest import NAMES, VECTORS, Nearest, find_nearest
from skewless.model.exported.served_model import ServedModel
from skewless.schemas.errors import UsageError
from skewless.schemas.rows.json_rows import canonical_rows
from skewless.schemas.rows.raw_columns import served_columns
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["FoundCandidate", "Recommendation", "asked_columns", "recommend", "recommends"]

_SIGNATURE = "recommend"
_SCORE = "the cosine of the query's vector and the candidate's"
_SHOWN_VALUES = 3

# Candidates that are found where nobody says how many.
_COUNT = 10


@dataclass(frozen=True)
class FoundCandidate:
    """One candidate that was found.

    Attributes:
      name: As the vocabulary has it.
      score: The cosine.
      without: By feature, the score with its columns missing.
      without_value: By feature whose column lists several values, the score without each of them.
    """

    name: str
    score: float
    without: dict[str, float]
    without_value: dict[str, list[float]]


@dataclass(frozen=True)
class Recommendation(Told):
    """What is found for one query.

    Attributes:
      spec: The name of the model's spec.
      features: The query's, in the spec's order; none has a score of its own.
      not_read: Columns of the row that no feature of the query reads.
      candidates: The nearest first; fewer than asked for where no more are left.
      values: By feature of `without_value`, the values that it is of, in their order.
      not_known: Names to exclude that no candidate has.
      score_of: What scores are.
    """

    spec: str
    features: tuple[FeatureExplanation, ...]
    not_read: tuple[str, ...]
    candidates: tuple[FoundCandidate, ...]
    values: dict[str, list[str]]
    not_known: tuple[str, ...]
    score_of: str = _SCORE

    def _lines(self) -> Iterator[str]:
        for feature in self.features:
            yield from feature_lines(feature)
            yield ""
        if self.not_read:
            yield f"not read by any feature of the query: {', '.join(self.not_read)}"
        if self.not_known:
            yield f"excluded, though no candidate: {', '.join(self.not_known)}"
        yield f"found, by {self.score_of}; what each feature moved it by:"
        names = [feature.name for feature in self.features]
        widths = [max(len(name) + 2, 12) for name in names]
        heads = "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
        yield f"{'':>5} {'candidate':<24}{'score':>10}{heads}"
        for rank, found in enumerate(self.candidates, 1):
            moved = "".join(
                f"{found.score - found.without[name]:>+{width}.4f}"
                for name, width in zip(names, widths, strict=True)
            )
            yield f"{rank:>5} {found.name:<24}{found.score:>10.4f}{moved}"
            for name in found.without_value:
                yield f"{'':>5}   {name}: {', '.join(self._most(found, name))}"

    def _most(self, found: FoundCandidate, name: str) -> Iterator[str]:
        """Yields the values that moved a candidate's score most, and by how much."""
        moved = [found.score - score for score in found.without_value[name]]
        for place in sorted(range(len(moved)), key=lambda at: -abs(moved[at]))[:_SHOWN_VALUES]:
            yield f"{self.values[name][place]} {moved[place]:+.4f}"


def recommends(served: ServedModel) -> bool:
    """Whether a model finds candidates that have names."""
    return _SIGNATURE in served.graph.signatures


def asked_columns(spec: Spec) -> list[str]:
    """Returns the columns that a query of two towers is made of."""
    assert isinstance(spec.model, TwoTowerSpec)
    read = spec.model.query_columns(spec)
    return [name for name in served_columns(spec) if read is None or name in read]


def recommend(
    served: ServedModel,
    row: Mapping[str, Any],
    *,
    exclude: Sequence[str] = (),
    count: int | None = None,
) -> Recommendation:
    """Finds candidates for a query, and tells what moved their scores.

    Args:
      served: Two towers.
      row: Values by raw column of the query; an absent one, or None, is missing.
      exclude: Names of candidates not to be found.
      count: How many to find, at most the longest of the spec's cutoffs; if not given ten, or as many.

    Raises:
      UsageError: If the model finds no candidates by name, no feature of the query reads any of the
        columns, or `count` is out of range.
      DataError: If a value is not of its column's kind.
    """
    spec = served.spec
    if not isinstance(spec.model, TwoTowerSpec) or not recommends(served):
        raise UsageError(
            f"{served.directory}: expected a model of two towers with the signature `recommend`, "
            f"got the signatures {', '.join(sorted(served.graph.signatures))}; ask it for a row"
        )
    longest = max(spec.model.cutoffs)
    if count is None:
        count = min(_COUNT, longest)
    if not 1 <= count <= longest:
        raise UsageError(
            f"count: expected 1 to {longest}, the longest of the spec's cutoffs, "
            f"got {count}; ask for fewer"
        )
    row, not_read = read_row(row, asked_columns(spec), "the query's")
    names = [name for name in spec.features if name in spec.model.query]
    left = {name: without(spec, row, name) for name in names}
    values, shorter = _without_values(spec, names, row)
    vectors = served.call(
        "query", canonical_rows([row, *left.values(), *(one for _, one in shorter)], spec)
    )["vectors"]
    found, own = _found(served, vectors[:1], exclude, count)
    scores = vectors @ own.T
    seen = {name: entry[0] for name, entry in served.features([row]).items()}
    tokens = tokens_of(served, row)
    return Recommendation(
        spec=spec.name,
        features=tuple(explained(served, name, row, seen, tokens.get(name)) for name in names),
        not_read=not_read,
        candidates=tuple(
            FoundCandidate(
                name=candidate.decode("utf-8", "replace"),
                score=float(found.scores[0, place]),
                without=dict(zip(names, scores[1 : 1 + len(names), place].tolist(), strict=True)),
                without_value={
                    name: [
                        float(scores[1 + len(names) + at, place])
                        for at, (feature, _) in enumerate(shorter)
                        if feature == name
                    ]
                    for name in values
                },
            )
            for place, candidate in enumerate(found.names[0].numpy().tolist()[: len(own)])
        ),
        values=values,
        not_known=_not_known(served, exclude),
    )


def _without_values(
    spec: Spec, names: Sequence[str], row: Mapping[str, Any]
) -> tuple[dict[str, list[str]], list[tuple[str, dict[str, Any]]]]:
    """Returns the lists of values by feature, and the rows with each value left out, with its feature.

    Those of a feature's column that holds several values; what other lists hold for one goes with it.
    """
    values: dict[str, list[str]] = {}
    rows = []
    for name in names:
        column = spec.features[name].columns_read(name)[0]
        held = row.get(column)
        if not spec.features[name].is_sequence or not isinstance(held, list) or len(held) < 2:
            continue
        values[name] = [str(value) for value in held]
        for place in range(len(held)):
            shorter = {
                each: row[each][:place] + row[each][place + 1 :]
                for each in (column, *lists_beside(spec, [column]))
                if isinstance(row.get(each), list)
            }
            rows.append((name, {**row, **shorter}))
    return values, rows


def _found(
    served: ServedModel, query: np.ndarray, exclude: Sequence[str], count: int
) -> tuple[Nearest, np.ndarray]:
    """Returns what is found for a [1, width] query, and the vectors of the candidates that are left."""
    vectors, names = _held(served)
    excluded = tf.constant([[name.encode() for name in exclude] or [b""]])
    found = find_nearest(tf.constant(query), vectors, names, excluded, count)
    left = int(np.count_nonzero(found.names[0].numpy() != b""))
    return found, tf.gather(vectors, found.places[0, :left]).numpy()


def _held(served: ServedModel) -> tuple[tf.Variable, tf.Variable]:
    """Returns the candidates' vectors and names as the model holds them."""
    held = {
        variable.name.partition(":")[0]: variable
        for variable in served.graph.signatures[_SIGNATURE].variables
    }
    return held[VECTORS], held[NAMES]


def _not_known(served: ServedModel, exclude: Sequence[str]) -> tuple[str, ...]:
    """Returns the names to exclude that no candidate has."""
    _, names = _held(served)
    return tuple(
        name for name in dict.fromkeys(exclude) if not bool(tf.reduce_any(tf.equal(names, name)))
    )
