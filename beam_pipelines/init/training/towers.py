"""A first spec of two towers: the features of either side, what was met before, and their network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from skewless.beam_pipelines.init.features import Guess, left_out
from skewless.beam_pipelines.init.profile import Profile, profile
from skewless.beam_pipelines.init.proposal import AS_IN_USE, NO_KEY, Proposal
from skewless.beam_pipelines.init.training.pasts import past_of
from skewless.beam_pipelines.init.training.sides import WIDTH, Sides, codes_of, placed, side_columns

__all__ = ["with_towers"]

# Pairs that chance alone would have repeated, so that none is no chance.
_REPEATS_BY_CHANCE = 20
# Rows times epochs: on two cores some two minutes.
_ROWS_TRAINED, _MOST_EPOCHS = 2_000_000, 20


def with_towers(proposal: Proposal, sides: Sides) -> Proposal:
    """Returns the proposal of two towers, from that of one network over all features.

    Raises:
      UsageError: If a side's column is not there, or no name tells it.
    """
    columns = proposal.sample.columns
    missing = proposal.document.get("missing_values", ())
    label = None if proposal.label is None else proposal.label.declared["column"]
    named = [name for name in columns if name not in (label, proposal.document.get("key"))]
    query, candidate = side_columns(sides, named)
    ids = {
        side: profile(name, columns[name], proposal.sample.total, missing)
        for side, name in (("query", query), ("candidate", candidate))
    }
    features, omitted, of = placed(proposal, ids)
    if (time := _time(proposal, features)) is not None:
        features, left = _with_past(proposal, ids, features, of, time)
        omitted += left
    document, warnings = _document(proposal, features, of, time)
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
        labels={}
        if decided is None
        else {**proposal.labels, **dict.fromkeys(proposal.labels, decided)},
        warnings=(*warnings, *more),
    )


def _once(query: Profile, candidate: Profile) -> bool:
    """Whether no query met a candidate twice, where chance alone would have had some do so."""
    asked, met = codes_of(query.values), codes_of(candidate.values)
    present = (asked >= 0) & (met >= 0)
    asked, met = asked[present], met[present]
    if len(np.unique(asked * (met.max(initial=0) + 1) + met)) < len(asked):
        return False
    shares = [np.bincount(codes) / max(1, len(codes)) for codes in (asked, met)]
    expected = len(asked) ** 2 / 2 * float((shares[0] ** 2).sum() * (shares[1] ** 2).sum())
    return expected > _REPEATS_BY_CHANCE


def _time(proposal: Proposal, features: Mapping[str, Guess]) -> str | None:
    """Returns the column of the meetings' times that splits; None where there is none, or a column of splits."""
    kept = {guess.column for guess in features.values()}
    # Of the meeting; one that follows from a side, such as a release, says nothing of when.
    times = (
        guess.column
        for guess in proposal.features.values()
        if guess.kind == "time" and guess.column not in kept
    )
    return None if "column" in proposal.document["split"] else next(times, None)


def _with_past(
    proposal: Proposal,
    ids: Mapping[str, Profile],
    features: dict[str, Guess],
    of: Mapping[str, list[str]],
    time: str,
) -> tuple[dict[str, Guess], list[Guess]]:
    """Returns the features with a history of the query, named in `of` too, and what it leaves out."""
    columns = proposal.sample.columns
    missing = proposal.document.get("missing_values", ())
    when = profile(time, columns[time], proposal.sample.total, missing)
    past = past_of(ids["query"], ids["candidate"], of["candidate"][0], when, {*columns, *features})
    if past is None:
        return features, []
    found = {**features, past.name: past.guess}
    of["query"].append(past.name)
    if past.newcomers is None:
        return found, []
    name = of["query"].pop(0)
    return found, [left_out(found.pop(name).column, "newcomers", past.newcomers)]


def _document(
    proposal: Proposal,
    features: Mapping[str, Guess],
    of: Mapping[str, list[str]],
    time: str | None,
) -> tuple[dict[str, Any], list[str]]:
    """Returns the spec without its label, and what to look at."""
    document = dict(proposal.document)
    rows = proposal.sample.total
    times = [guess.column for guess in proposal.features.values() if guess.kind == "time"]
    kept = {guess.column for guess in features.values()}
    unsaid = {AS_IN_USE.format(one) for one in times if one not in kept}
    unsaid |= {NO_KEY} if time is not None else set()
    warnings = [text for text in proposal.warnings if text not in unsaid]
    document["features"] = {name: guess.feature for name, guess in features.items()}
    if time is not None:
        document["split"] = {"time": time, "train": 0.8, "eval": 0.1, "test": 0.1}
    document["model"] = {
        "type": "two_tower",
        "query": of["query"],
        "candidate": of["candidate"],
        "width": WIDTH,
        "temperature": 0.1,
    }
    epochs = max(2, min(_MOST_EPOCHS, round(_ROWS_TRAINED / max(1, rows))))
    document["training"] = {
        # A batch is what a row's candidate is told apart from.
        "batch_size": 512 if rows < 1_000_000 else 2_048,
        "epochs": epochs,
        "learning_rate": 0.005,
    }
    if any(guess.kind == "history" for guess in features.values()):
        # Lists are learned by heart in a few epochs, and take long.
        document["training"]["early_stopping"] = max(2, epochs // 5)
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
