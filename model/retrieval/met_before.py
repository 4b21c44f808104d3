"""What queries met before, by the histories that they hold."""

from __future__ import annotations

import numpy as np

from skewless.model.retrieval.distinct_rows import DistinctRows
from skewless.schemas.records.id_contract import FIRST_ID, first_vocabulary_id
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["met_before"]


def met_before(
    spec: Spec, queries: DistinctRows, candidates: DistinctRows
) -> tuple[np.ndarray, np.ndarray]:
    """Returns [pairs] int places of queries and of candidates that are in one of the query's histories.

    A history tells candidates by one feature, of which all candidates of its ID are meant; IDs outside the
    vocabulary tell none.
    """
    assert isinstance(spec.model, TwoTowerSpec)
    asked, met = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for name, history in histories_of(spec.features).items():
        if name not in spec.model.query or history.of not in spec.model.candidate:
            continue
        counted = history.own_vocabulary is not None
        first = first_vocabulary_id(history.unknown_ids) if counted else FIRST_ID
        held = queries.features[name]
        query, step = np.nonzero(held >= first)
        ids = held[query, step]
        of = candidates.features[history.of].reshape(len(candidates))
        order = np.argsort(of, kind="stable")
        begins, ends = (np.searchsorted(of[order], ids, side) for side in ("left", "right"))
        each = ends - begins
        within = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
        asked.append(np.repeat(query, each))
        met.append(order[np.repeat(begins, each) + within])
    pairs = np.unique(np.stack([np.concatenate(asked), np.concatenate(met)]), axis=1)
    return pairs[0], pairs[1]
