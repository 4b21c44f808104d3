"""A first spec of two towers: who asks, what is to be found, and which columns tell of either.

A column goes with the side whose ID it follows from: in the rows of an ID it is nearly always the same,
far more often than if values were dealt to rows by chance. What follows from neither is of the
meeting itself, such as an amount or a time, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.init.features import Guess, guess_category, is_identifier, left_out
from skewless.beam_pipelines.init.profile import Profile, profile
from skewless.beam_pipelines.init.proposal import AS_IN_USE, NO_KEY, Proposal
from skewless.schemas.errors import UsageError, listed, nearest

__all__ = ["Sides", "with_towers"]

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
# Pairs that chance alone would have repeated, so that none is no chance.
_REPEATS_BY_CHANCE = 20
_WIDTH = 32
# Rows times epochs: on two cores some two minutes.
_ROWS_TRAINED, _MOST_EPOCHS = 2_000_000, 20


@dataclass(frozen=True)
class Sides:
    """The columns that name who asks and what is to be found; None where names are to tell."""

    query: str | None = None
    candidate: str | None = None


def with_towers(proposal: Proposal, sides: Sides) -> Proposal:
    """Returns the proposal of two towers, from that of one network over all features.

    Raises:
      UsageError: If a side's column is not there, or no name tells it.
    """
    columns = proposal.sample.columns
    missing = proposal.document.get("missing_values", ())
    label = None if proposal.label is None else proposal.label.declared["column"]
    named = [name for name in columns if name not in (label, proposal.document.get("key"))]
    query = _side("--query", sides.query, _QUERIES, named)
    candidate = _side("--candidate", sides.candidate, _CANDIDATES, named)
    if query == candidate:
        raise UsageError(f"--candidate: {query!r} is the query's column too; name another one")
    ids = {
        side: profile(name, columns[name], proposal.sample.total, missing)
        for side, name in (("query", query), ("candidate", candidate))
    }
    features, omitted, of = _placed(proposal, ids)
    document, warnings = _document(proposal, features, of)
    if _once(ids["query"], ids["candidate"]):
        document["model"]["repeats"] = False
    decided, declared, more = _label(proposal)
    if declared is None:
        document.pop("label", None)
    else:
        document["label"] = declared
    return replace(
        proposal,
        document=document,
        features=features,
        omitted=[guess for guess in proposal.omitted if guess.column not in (query, candidate)]
        + omitted,
        label=decided,
        warnings=(*warnings, *more),
    )


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


def _placed(
    proposal: Proposal, ids: Mapping[str, Profile]
) -> tuple[dict[str, Guess], list[Guess], dict[str, list[str]]]:
    """Returns the features that are kept, what is left out, and each side's features, its ID first."""
    features: dict[str, Guess] = {}
    omitted: list[Guess] = []
    of: dict[str, list[str]] = {side: [] for side in ids}
    names = {guess.column: name for name, guess in proposal.features.items()}
    for side, entry in ids.items():
        name = names.get(entry.name, re.sub(r"[^A-Za-z0-9]+", "_", entry.name).strip("_"))
        guess = guess_category(entry, whatever=True)
        feature = dict(guess.feature or {})
        feature["embedding"] = max(_WIDTH, feature["embedding"])
        if name != entry.name:
            feature = {"type": feature.pop("type"), "column": entry.name, **feature}
        features[name] = replace(guess, why=f"names the {side}; {guess.why}", feature=feature)
        of[side].append(name)
    codes = {side: _codes(entry.values) for side, entry in ids.items()}
    for name, guess in proposal.features.items():
        if name in features:
            continue
        read = (guess.feature or {}).get("columns", [guess.column])
        values = [_codes(proposal.sample.columns[column]) for column in read]
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


def _codes(values: pa.Array) -> np.ndarray:
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


def _once(query: Profile, candidate: Profile) -> bool:
    """Whether no query met a candidate twice, where chance alone would have had some do so."""
    asked, met = _codes(query.values), _codes(candidate.values)
    present = (asked >= 0) & (met >= 0)
    asked, met = asked[present], met[present]
    if len(np.unique(asked * (met.max(initial=0) + 1) + met)) < len(asked):
        return False
    shares = [np.bincount(codes) / max(1, len(codes)) for codes in (asked, met)]
    expected = len(asked) ** 2 / 2 * float((shares[0] ** 2).sum() * (shares[1] ** 2).sum())
    return expected > _REPEATS_BY_CHANCE


def _document(
    proposal: Proposal, features: Mapping[str, Guess], of: Mapping[str, list[str]]
) -> tuple[dict[str, Any], list[str]]:
    """Returns the spec without its label, and what to look at."""
    document = dict(proposal.document)
    rows = proposal.sample.total
    kept = {guess.column for guess in features.values()}
    # Of the meeting; one that follows from a side, such as a release, says nothing of when.
    times = [
        guess.column
        for guess in proposal.features.values()
        if guess.kind == "time" and guess.column not in kept
    ]
    by_time = bool(times) and "column" not in document["split"]
    unsaid = {AS_IN_USE.format(time) for time in times} | ({NO_KEY} if by_time else set())
    warnings = [text for text in proposal.warnings if text not in unsaid]
    document["features"] = {name: guess.feature for name, guess in features.items()}
    if by_time:
        document["split"] = {"time": times[0], "train": 0.8, "eval": 0.1, "test": 0.1}
    document["model"] = {
        "type": "two_tower",
        "query": of["query"],
        "candidate": of["candidate"],
        "width": _WIDTH,
        "temperature": 0.1,
    }
    document["training"] = {
        # A batch is what a row's candidate is told apart from.
        "batch_size": 512 if rows < 1_000_000 else 2_048,
        "epochs": max(2, min(_MOST_EPOCHS, round(_ROWS_TRAINED / max(1, rows)))),
        "learning_rate": 0.005,
    }
    return document, warnings


def _label(proposal: Proposal) -> tuple[Any, dict[str, Any] | None, list[str]]:
    """Returns the label that says which rows count, its declaration, and what to look at."""
    decided = proposal.label
    if decided is None or decided.declared["type"] == "binary":
        return decided, None if decided is None else decided.declared, []
    column = decided.declared["column"]
    entry = profile(
        column,
        proposal.sample.columns[column],
        proposal.sample.total,
        proposal.document.get("missing_values", ()),
    )
    if decided.declared["type"] != "multiclass" or entry.share_of_numbers < 1:
        told = f"{column}: two towers learn from rows that count, or do not; every row counts here"
        return None, None, [told]
    values = sorted(entry.counts, key=float)
    positive = [float(value) for value in values[-max(1, len(values) * 2 // 5) :]]
    whole = [int(value) if value.is_integer() else value for value in positive]
    declared = {"column": column, "type": "binary", "positive": whole}
    share = sum(entry.counts[value] for value in values[-len(whole) :]) / max(1, entry.present)
    why = (
        f"the upper of {len(values)} numbers count, {share:.0%} of rows; without it every row does"
    )
    return replace(decided, declared=declared, why=why, otherwise=()), declared, []
