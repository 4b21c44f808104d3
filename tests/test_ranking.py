"""Ranks over all candidates, against sorting one query at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skewless.model.metrics import ranking
from skewless.model.metrics.ranking import Ranked, rank_all


@pytest.mark.parametrize("held", [1, 40, 1 << 24])
def test_ranks_are_those_of_sorting_whatever_is_held_at_once(
    held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "_SCORES", held)
    rng = np.random.default_rng(1)
    # Few different numbers, so that many scores are equal.
    queries = rng.integers(-2, 3, (11, 3)).astype(np.float32)
    candidates = rng.integers(-2, 3, (17, 3)).astype(np.float32)
    pairs = np.unique(rng.integers(0, 11 * 17, 60))
    asked, met = np.divmod(pairs, 17)
    for longest in (1, 5, 17, 30):
        ranks, top = rank_all(queries, candidates, (asked, met), longest)
        assert top.shape == (11, min(longest, 17))
        for query in range(11):
            scores = candidates @ queries[query]
            best = sorted(range(17), key=lambda place: (-scores[place], place))
            assert top[query].tolist() == best[:longest]
            for pair in np.flatnonzero(asked == query):
                assert ranks[pair] == sum(scores >= scores[met[pair]])


# Query 0 met candidates 0 and 2, at ranks 1 and 4; query 1 met candidate 1, at rank 3.
RANKED = Ranked(
    pairs=np.array([0, 1, 1, 2, 2]),
    queries=np.array([0, 0, 1]),
    met=np.array([0, 2, 1]),
    ranks=np.array([1, 4, 3]),
    top=np.array([[0, 3], [0, 2]]),
    counts=np.array([6, 2, 4, 0, 0]),
    cutoffs=(2,),
)


def test_a_model_that_tells_nothing_finds_nothing() -> None:
    ones = np.ones((3, 1), np.float32)
    pairs = np.arange(3), np.arange(3)
    ranks, _ = rank_all(ones, np.ones((50, 1), np.float32), pairs, 10)
    assert ranks.tolist() == [50, 50, 50]


def test_what_is_left_out_stands_last_but_for_what_is_asked_for() -> None:
    queries, candidates = np.ones((2, 1), np.float32), np.array([[4], [3], [2], [1]], np.float32)
    pairs = np.array([0, 0, 1]), np.array([1, 3, 2])
    left_out = np.array([0, 0, 1]), np.array([0, 1, 3])
    ranks, top = rank_all(queries, candidates, pairs, 4, left_out)
    assert ranks.tolist() == [1, 3, 3]
    assert top.tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]


def test_metrics_by_hand() -> None:
    ranked = RANKED
    ideal = 1 + 1 / np.log2(3)
    whole = ranked.metrics()
    assert (whole["rows"], whole["queries"], whole["candidates"]) == (5, 2, 5)
    assert whole["recall@2"] == 0.25 and whole["hit_rate@2"] == 0.5
    assert whole["ndcg@2"] == pytest.approx(0.5 / ideal)
    assert whole["mrr"] == pytest.approx((1 + 1 / 3) / 2)
    assert whole["coverage@2"] == 3 / 5
    assert whole["popularity_bias@2"] == pytest.approx((6 + 0 + 6 + 4) / 4 / 4)
    assert ranked.confidence()["mrr"] == pytest.approx([2 / 3 - 1.959964 / 3, 2 / 3 + 1.959964 / 3])
    # Of one row of query 0 only its own candidate is to be found.
    assert ranked.metrics(np.array([1]))["mrr"] == 0.25
    assert ranked.metrics(np.array([0]))["ndcg@2"] == 1
    assert ranked.confidence(np.array([0])) == {}


def test_a_query_weighs_what_its_rows_weigh_on_average() -> None:
    ranked = replace(RANKED, weights=np.array([0.0, 1.0, 2.0, 6.0, 3.0]))
    # The row of candidate 0 weighs nothing, so it is not to be found.
    assert ranked.metrics()["mrr"] == pytest.approx((1.5 / 4 + 4.5 / 3) / 6)
    assert ranked.metrics(np.array([0])) == {"rows": 1, "queries": 0, "candidates": 5}
    assert ranked.confidence(np.array([0])) == {}
