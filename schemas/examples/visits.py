"""Visits of users who go from one article to the next, with the best list after each known.

The next article is drawn with probability softmax over articles of `taste . nature + appeal + follows[last]`:
what a user likes, what all like, and what goes well after the article before. No column holds any of them. Users
come and go, so those of the newest rows are new; their past tells of them, and its last article tells most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

__all__ = ["Visits", "generate", "visits"]

_ARTICLES, _FACTORS, _TOPICS = 200, 8, 10
# Visits of a user, on average, and the seconds between two of them and from the first row to the last.
_OF_A_USER, _GAP, _SPAN = 15, 3_600, 90 * 86_400
_BEGIN = 1_767_225_600  # 2026-01-01T00:00:00Z
_APPEAL = 0.8
Rng = np.random.Generator


@dataclass(frozen=True)
class Visits:
    """Generated rows, in the order of their times, and what they were drawn from.

    Attributes:
      columns: user_id, article_id, topic and created, a value a row.
      articles: [rows] int.
      probability: [rows, articles] float32, of which article comes next; rows sum to 1.
    """

    columns: dict[str, np.ndarray]
    articles: np.ndarray
    probability: np.ndarray

    @property
    def table(self) -> pa.Table:
        """The rows."""
        return pa.table(self.columns)

    def best_ndcg(self, rows: np.ndarray, cutoff: int = 10) -> float:
        """Returns the NDCG of the best lists, over the rows at the places `rows`, each a query of its own."""
        return ndcg(self.probability[rows], self.articles[rows], cutoff)


def ndcg(scores: np.ndarray, wanted: np.ndarray, cutoff: int = 10) -> float:
    """Returns the mean NDCG of lists in which one thing each is to be found.

    Args:
      scores: [queries, candidates], the first to be listed has the greatest.
      wanted: [queries] int, the candidate to be found.
      cutoff: Candidates in a list.
    """
    own = np.take_along_axis(scores, wanted[:, None], axis=1)
    places = (scores >= own).sum(axis=1) - 1
    return float(np.where(places < cutoff, 1 / np.log2(places + 2.0), 0).mean())


def generate(rows: int, seed: int = 1, *, taste: float = 1.5, order: float = 2.0) -> Visits:
    """Returns `rows` visits; the same arguments give the same rows.

    Args:
      rows: How many.
      seed: Of the generator.
      taste: How much users' tastes tell.
      order: How much the article before tells.
    """
    return visits(np.random.default_rng(seed), rows, taste, order)


def visits(rng: Rng, rows: int, taste: float = 1.5, order: float = 2.0) -> Visits:
    """Returns `rows` visits to 200 articles, by users of fifteen on average."""
    users = max(1, rows // _OF_A_USER)
    topic = rng.integers(_TOPICS, size=_ARTICLES)
    scale = np.sqrt(2 / _FACTORS)
    nature = scale * (
        np.sqrt(1 / 3) * rng.normal(size=(_TOPICS, _FACTORS))[topic]
        + np.sqrt(2 / 3) * rng.normal(size=(_ARTICLES, _FACTORS))
    )
    likes = scale * rng.normal(size=(users, _FACTORS))
    leads = scale * rng.normal(size=(_ARTICLES, _FACTORS))
    appeal = _APPEAL * rng.normal(size=_ARTICLES)
    first = rng.integers(_SPAN, size=users)
    found = _walks(rng, rows, taste * likes @ nature.T + appeal, order * leads @ nature.T)
    step = _GAP * rng.random(rows) + _GAP * found.step
    times = (_BEGIN + first[found.user] + step).astype(np.int64)
    by_time = np.argsort(times, kind="stable")
    columns = {
        "user_id": np.char.add("u", found.user.astype(str)),
        "article_id": np.char.add("a", found.article.astype(str)),
        "topic": np.char.add("t", topic[found.article].astype(str)),
        "created": np.char.add(times.astype("datetime64[s]").astype(str), "Z"),
    }
    return Visits(
        {name: values[by_time] for name, values in columns.items()},
        found.article[by_time],
        found.probability[by_time],
    )


@dataclass(frozen=True)
class _Walks:
    """[rows] user, step within the user's visits and article, and [rows, articles] probability."""

    user: np.ndarray
    step: np.ndarray
    article: np.ndarray
    probability: np.ndarray


def _walks(rng: Rng, rows: int, liked: np.ndarray, follows: np.ndarray) -> _Walks:
    """Draws visits step by step, of all users at once.

    Args:
      rng: The generator.
      rows: How many, of all users together.
      liked: [users, articles] logits.
      follows: [articles, articles] logits, by the article before.
    """
    users = len(liked)
    counts = 1 + rng.multinomial(rows - users, rng.dirichlet(np.full(users, 4.0)))
    last: np.ndarray | None = None
    parts = []
    for step in range(counts.max()):
        walking = np.flatnonzero(counts > step)
        logits = liked[walking] + (0 if last is None else follows[last[walking]])
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        below = np.cumsum(shares, axis=1) < rng.random((len(walking), 1))
        article = np.minimum(below.sum(axis=1), liked.shape[1] - 1)
        last = np.zeros(users, np.int64) if last is None else last
        last[walking] = article
        parts.append((walking, np.full(len(walking), step), article, shares.astype(np.float32)))
    return _Walks(*(np.concatenate(some) for some in zip(*parts, strict=True)))
