"""A history for a first spec of two towers: what who asks has met before, where rows have times.

Encoder and length are chosen by trial on generated rows (`python -m benchmarks.pasts`, docs/recommend.md).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from skewless.beam_pipelines.init.features import Guess, percent
from skewless.beam_pipelines.init.profile import Profile
from skewless.beam_pipelines.init.training.sides import WIDTH, codes_of
from skewless.schemas.rows.times.columns import times_of
from skewless.schemas.rows.times.parsing import NO_TIME

__all__ = ["Past", "past_of"]

_NAME = "past"
_LENGTHS = (5, 10, 20, 50)
# Rows of one who asks, on average: fewer leave most rows without a past.
_LEAST_ROWS = 2.0
# Share of the newest fifth of rows whose query is in older ones; below it an ID tells nothing of them.
_KNOWN = 0.5
# How much likelier neighbours recur than pairs with others between them, from which on order tells.
_TELLS, _APART = 1.25, (1, 2, 3, 4)
# Steps of a GRU take long, and what tells most is what was last.
_MOST_IN_ORDER = 20
_NEWEST = 0.8


@dataclass(frozen=True)
class Past:
    """A proposed history.

    Attributes:
      name: The feature's name.
      guess: Its declaration, and what it rests on.
      newcomers: Why who asks is better told by the past alone; None where IDs tell too.
    """

    name: str
    guess: Guess
    newcomers: str | None


def past_of(
    query: Profile, met: Profile, of: str, time: Profile, taken: Collection[str]
) -> Past | None:
    """Returns the history of what a query has met; None where most have met one thing only.

    Args:
      query: Of the column that names who asks.
      met: Of the column that names what is met.
      of: The feature of that column.
      time: Of the column of when.
      taken: Names of columns and features, none of which a history may have.
    """
    if query.occurrences < _LEAST_ROWS:
        return None
    whom = codes_of(query.values)
    times = times_of(time.values)
    ranks = _earlier(whom, times)
    held = ranks[ranks >= 0]
    if not len(held):
        return None
    tells = _order_tells(whom, codes_of(met.values), times)
    encoder, most = ("gru", _MOST_IN_ORDER) if tells >= _TELLS else ("mean", _LENGTHS[-1])
    wanted = np.quantile(held, 0.9)
    length = next((rung for rung in _LENGTHS if rung >= min(wanted, most)), most)
    name = _NAME
    while name in taken:
        name += "_2"
    feature: dict[str, Any] = {
        "type": "history",
        "of": of,
        "by": query.name,
        "time": time.name,
        "length": length,
        "embedding": WIDTH,
        "encoder": encoder,
    }
    sampled = "" if query.rows >= query.total else " of the sample"
    why = (
        f"the last {length} {of} of the row's {query.name} before its {time.name}: a row{sampled} has "
        f"{held.mean():.1f} before it, {percent(float((held > length).mean()))} have more; one follows "
        f"right after another {tells:.1f} times as often as later on, so their order "
        f"{'tells' if tells >= _TELLS else 'tells little'}"
    )
    return Past(name, Guess(name, "history", why, feature), _newcomers(query, whom, times))


def _order_tells(whom: np.ndarray, met: np.ndarray, times: np.ndarray) -> float:
    """Returns how much likelier pairs recur that follow each other than pairs further apart; 1 by chance.

    Pairs recur by themselves where things are popular, or go together whatever their order; where order tells,
    those of neighbours recur more often than those with one to three between them.
    """
    known = np.flatnonzero((whom >= 0) & (met >= 0) & (times != NO_TIME))
    order = known[np.lexsort((times[known], whom[known]))]
    whom, met = whom[order], met[order].astype(np.int64)
    recurring = []
    for apart in _APART:
        same = whom[apart:] == whom[:-apart]
        _, counts = np.unique(
            met[:-apart][same] * (met.max(initial=0) + 1) + met[apart:][same], return_counts=True
        )
        pairs = counts.sum()
        recurring.append((counts * (counts - 1.0)).sum() / max(1.0, pairs * (pairs - 1.0)))
    later = float(np.mean(recurring[1:]))
    return float(recurring[0]) / later if later > 0 else 1.0


def _earlier(whom: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Returns [rows] how many rows of the same one are earlier; -1 where who or when is not known."""
    order = np.lexsort((times, whom))
    rank = np.full(len(whom), -1, np.int64)
    known = order[(whom[order] >= 0) & (times[order] != NO_TIME)]
    if len(known):
        others = np.append(True, whom[known][1:] != whom[known][:-1])
        later = others | np.append(True, times[known][1:] != times[known][:-1])
        places = np.arange(len(known))
        begins = np.maximum.accumulate(np.where(others, places, 0))
        rank[known] = np.maximum.accumulate(np.where(later, places, 0)) - begins
    return rank


def _newcomers(query: Profile, whom: np.ndarray, times: np.ndarray) -> str | None:
    """Returns why IDs tell little, where most of the newest rows are of new ones."""
    # Of a part of the rows it is not to be known who is in the others.
    if query.rows < query.total:
        return None
    known = (whom >= 0) & (times != NO_TIME)
    edge = np.quantile(times[known], _NEWEST)
    newest = known & (times > edge)
    if not newest.any():
        return None
    share = float(np.isin(whom[newest], whom[known & ~newest]).mean())
    if share >= _KNOWN:
        return None
    return (
        f"{percent(1 - share)} of the newest fifth of rows are of a {query.name} that no older row is of; "
        "the past tells of them, and of who is known too"
    )
