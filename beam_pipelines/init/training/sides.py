"""Which column goes with which of two sides: who asks, and what is to be found.

A column goes with the side whose ID it follows from: in the rows of an ID it is nearly always the same,
far more often than if values were dealt to rows by chance. What follows from neither is of the
meeting itself, such as an amount or a time, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.init.features import Guess, guess_category, left_out
from skewless.beam_pipelines.init.kinds.names import is_identifier
from skewless.beam_pipelines.init.profile import Profile
from skewless.beam_pipelines.init.proposal import Proposal, name_of
from skewless.schemas.errors import UsageError, listed, nearest

__all__ = ["WIDTH", "Sides", "codes_of", "placed", "side_columns"]

_QUERIES = (
    "user", "customer", "client", "member", "visitor", "session", "account", "reader", "viewer",
    "buyer", "shopper", "person", "query", "question",
)  # fmt: skip
_CANDIDATES = (
    "item", "product", "article", "movie", "film", "song", "track", "book", "video", "sku",
    "document", "doc", "ad", "post", "recipe", "listing", "asin", "isbn", "answer", "business",
)  # fmt: skip
# How much more often than by chance a column is the same in an ID's rows, of what is left to chance.
_FOLLOWS = 0.8
# Of the IDs' vectors, and of both towers'.
WIDTH = 32


@dataclass(frozen=True)
class Sides:
    """The columns that name who asks and what is to be found; None where names are to tell."""

    query: str | None = None
    candidate: str | None = None


def side_columns(sides: Sides, columns: Sequence[str]) -> tuple[str, str]:
    """Returns the columns that name who asks and what is to be found.

    Raises:
      UsageError: If a side's column is not there, no name tells it, or both are one.
    """
    query = _side("--query", sides.query, _QUERIES, columns)
    candidate = _side("--candidate", sides.candidate, _CANDIDATES, columns)
    if query == candidate:
        raise UsageError(f"--candidate: {query!r} is the query's column too; name another one")
    return query, candidate


def _side(option: str, asked: str | None, words: Sequence[str], columns: Sequence[str]) -> str:
    """Returns the column asked for, or the one whose name begins with one of the words."""
    if asked is not None:
        if asked not in columns:
            raise UsageError(
                f"{option} {asked}: no such column{nearest(asked, columns)} "
                f"(columns: {listed(columns)})"
            )
        return asked
    for word in words:
        fit = [name for name in columns if re.split(r"[^a-z]+", _lower(name))[0] == word]
        best = [name for name in fit if is_identifier(name) or _lower(name) == word]
        if best:
            return best[0]
    side = option.removeprefix("--")
    raise UsageError(
        f"{option}: expected the column that names the {side}, and no column's name tells it "
        f"(columns: {listed(columns)})"
    )


def _lower(name: str) -> str:
    """Returns a name in small letters, camel case cut: `userId` is `user_id`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def placed(
    proposal: Proposal, ids: Mapping[str, Profile]
) -> tuple[dict[str, Guess], list[Guess], dict[str, list[str]]]:
    """Returns the features that are kept, what is left out, and each side's features, its ID first."""
    features: dict[str, Guess] = {}
    omitted: list[Guess] = []
    of: dict[str, list[str]] = {side: [] for side in ids}
    names = {guess.column: name for name, guess in proposal.features.items()}
    for side, entry in ids.items():
        name = names.get(entry.name) or name_of(entry.name, {*names.values(), *features})
        guess = guess_category(entry, whatever=True)
        feature = dict(guess.feature or {})
        feature["embedding"] = max(WIDTH, feature["embedding"])
        if name != entry.name:
            feature = {"type": feature.pop("type"), "column": entry.name, **feature}
        features[name] = replace(guess, why=f"names the {side}; {guess.why}", feature=feature)
        of[side].append(name)
    codes = {side: codes_of(entry.values) for side, entry in ids.items()}
    for name, guess in proposal.features.items():
        if name in features:
            continue
        read = (guess.feature or {}).get("columns", [guess.column])
        values = [codes_of(proposal.sample.columns[column]) for column in read]
        follows = {side: min(_follows(one, code) for one in values) for side, code in codes.items()}
        side = max(follows, key=lambda one: follows[one])
        if follows[side] < _FOLLOWS:
            both = " nor ".join(entry.name for entry in ids.values())
            why = f"follows neither from {both}: it is of the meeting, so not known before it"
            omitted.append(left_out(guess.column, "meeting", why))
            continue
        features[name] = replace(guess, why=f"goes with {ids[side].name}; {guess.why}")
        of[side].append(name)
    return features, omitted, of


def codes_of(values: pa.Array) -> np.ndarray:
    """Returns [rows] int64, equal where values are; -1 where there is none."""
    if pa.types.is_list(values.type):
        values = pc.binary_join(values, "\x00")
    codes = pc.fill_null(values.dictionary_encode().indices, -1)
    return np.asarray(codes.to_numpy(zero_copy_only=False), np.int64)


def _follows(values: np.ndarray, ids: np.ndarray) -> float:
    """Returns 1 where all rows of an ID hold one value, 0 where they hold what chance would deal."""
    present = (ids >= 0) & (values >= 0)
    values, ids = values[present], ids[present]
    counts = np.bincount(ids) if len(ids) else np.zeros(1, np.int64)
    several = counts[ids] > 1 if len(ids) else np.zeros(0, bool)
    values, ids = values[several], ids[several]
    if not len(values):
        return 0.0
    dealt = np.random.default_rng(1).permutation(values)
    by_chance = _same(dealt, ids)
    return (_same(values, ids) - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def _same(values: np.ndarray, ids: np.ndarray) -> float:
    """Returns the share of rows that hold the commonest value of their ID."""
    pairs, counts = np.unique(ids * (values.max() + 1) + values, return_counts=True)
    most = np.zeros(ids.max() + 1, np.int64)
    np.maximum.at(most, pairs // (values.max() + 1), counts)
    return float(most.sum() / len(values))
