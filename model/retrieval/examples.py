"""A few queries in words: what they met in the rows of a split, and what is found for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skewless.model.metrics.ranking import Ranked
from skewless.model.retrieval.distinct_rows import DistinctRows
from skewless.schemas.records.id_contract import PADDING_ID
from skewless.schemas.records.id_words import IdWords
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["examples_of"]

# Where they stand among all queries, by the first cutoff's NDCG: not the best alone.
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LISTED = 5
_STEPS = 6


def examples_of(
    ranked: Ranked, queries: DistinctRows, candidates: DistinctRows, spec: Spec, words: IdWords
) -> list[dict[str, Any]]:
    """Returns queries from among the worst to among the best.

    Args:
      ranked: Of all rows.
      queries: Those that it ranks for.
      candidates: Those that it ranks.
      spec: The declaration.
      words: What IDs mean.

    Returns:
      [{"query": {feature: text}, METRIC: value, "met": [[candidate, rank], …] the nearest first,
      "met_more": how many others, "found": [[candidate, whether it was met], …]}, …].
    """
    assert isinstance(spec.model, TwoTowerSpec)
    metric = f"ndcg@{spec.model.cutoffs[0]}"
    chosen = ranked.chosen()
    order = np.argsort(chosen.values[metric], kind="stable")
    at = np.round(np.array(_QUANTILES) * (len(order) - 1)).astype(int)
    of_pairs = ranked.queries[chosen.pairs]
    examples = []
    for place in dict.fromkeys(order[at].tolist()) if len(order) else ():
        query = chosen.queries[place]
        pairs = chosen.pairs[of_pairs == query]
        pairs = pairs[np.argsort(ranked.ranks[pairs], kind="stable")]
        met = ranked.met[pairs]
        examples.append(
            {
                "query": _words(queries.features, query, spec.model.query, spec, words),
                metric: float(chosen.values[metric][place]),
                "met": [
                    [_named(candidates, candidate, spec, words), int(rank)]
                    for candidate, rank in zip(
                        met[:_LISTED], ranked.ranks[pairs[:_LISTED]], strict=True
                    )
                ],
                "met_more": max(0, len(met) - _LISTED),
                "found": [
                    [_named(candidates, candidate, spec, words), bool(candidate in met)]
                    for candidate in ranked.top[query, :_LISTED]
                ],
            }
        )
    return examples


def _named(candidates: DistinctRows, place: int, spec: Spec, words: IdWords) -> str:
    """Returns a candidate in words: what names it, and its other features in parentheses."""
    assert isinstance(spec.model, TwoTowerSpec)
    told = _words(candidates.features, place, spec.model.candidate, spec, words)
    name = told.pop(spec.model.naming(spec.features) or "", "")
    others = ", ".join(told.values())
    if not name:
        return others
    return f"{name} ({others})" if others else name


def _words(
    features: Mapping[str, np.ndarray],
    place: int,
    names: tuple[str, ...],
    spec: Spec,
    words: IdWords,
) -> dict[str, str]:
    """Returns the values of a row's features that have IDs; scaled numbers tell nobody anything."""
    told = {}
    for name in names:
        ids = np.atleast_1d(features[name][place])
        if ids.dtype.kind != "i" or name not in spec.features:
            continue
        steps = ids[ids != PADDING_ID] if spec.features[name].is_sequence else ids
        texts = [words.of(name, int(step)).text for step in steps[:_STEPS]]
        told[name] = " ".join(texts) + (" …" if len(steps) > _STEPS else "")
    return told
