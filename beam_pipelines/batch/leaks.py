"""Leaks between splits: the same entity on both sides of a random split, under a column of times."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from skewless.beam_pipelines.statistics.split_statistics import IdStatistics, SplitStatistics
from skewless.schemas.records.id_contract import FIRST_ID
from skewless.schemas.spec.features import CategoricalFeature
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.spec import Spec

__all__ = ["shared_entities", "tell_leaks"]

_LOGGER = logging.getLogger(__name__)
# What names things rather than sorts them: many values, of few rows each.
_LEAST_VALUES, _MOST_ROWS = 50, 100
# Of the held-out rows, those of an entity that training rows are of, too.
_MANY = 0.3


def tell_leaks(spec: Spec, statistics: Mapping[str, SplitStatistics]) -> None:
    """Warns of entities with rows in training and held out, where rows have times."""
    _tell_mixed_histories(spec, statistics)
    times = [name for name, feature in spec.features.items() if feature.holds_times]
    if not times:
        return
    shared = shared_entities(spec, statistics)
    if not shared:
        return
    column = spec.features[times[0]].columns_read(times[0])[0]
    name, share = max(shared.items(), key=lambda entry: entry[1])
    _LOGGER.warning(
        "split: %.0f%% of the held-out rows have a %s that training rows have too, and rows have times "
        "(features.%s): what the model learned from later rows of the same %s it will not know when it "
        "is asked, and figures of held-out rows may be too good. Split by time, `split: {time: %s, "
        "train: 0.8, eval: 0.1, test: 0.1}`, or keep each %s in one split, `split: {by: %s}`",
        *(100 * share, name, times[0], name, column, name),
        spec.features[name].columns_read(name)[0],
    )


def _tell_mixed_histories(spec: Spec, statistics: Mapping[str, SplitStatistics]) -> None:
    """Warns where a training row's past may hold the held-out rows of the same user, say."""
    split = spec.split
    for name, history in histories_of(spec.features).items():
        mixed = split.is_random or split.by not in (None, history.by)
        if mixed and "train" in statistics and len(statistics) > 1:
            _LOGGER.warning(
                "split: features.%s of a training row may hold what rows held out are to tell, since rows "
                "of one %s fall into several splits; split by time, `split: {time: %s, train: 0.8, "
                "eval: 0.1, test: 0.1}`, or keep them in one split, `split: {by: %s}`",
                name, history.by, history.time, history.by,
            )  # fmt: skip


def shared_entities(spec: Spec, statistics: Mapping[str, SplitStatistics]) -> dict[str, float]:
    """Returns by feature the share of held-out rows whose entity has training rows, if it is large.

    An entity is a categorical feature of at least 50 values with at most 100 training rows each on
    average; of a vocabulary that is cut short the share is a lower bound.
    """
    train = statistics.get("train")
    held = statistics.get("test") or statistics.get("eval")
    if train is None or held is None or not spec.split.is_random:
        return {}
    shares = {}
    for name, feature in spec.features.items():
        if not isinstance(feature, CategoricalFeature) or feature.is_sequence:
            continue
        if feature.vocabulary is None or feature.vocabulary.file is not None:
            continue
        first = FIRST_ID + feature.unknown_ids
        trained, asked = _known(train.ids.get(name), first), _known(held.ids.get(name), first)
        values = np.count_nonzero(trained)
        if values < _LEAST_VALUES or trained.sum() > _MOST_ROWS * values or not held.rows:
            continue
        share = float(asked.sum()) / held.rows
        if share >= _MANY:
            shares[name] = share
    return shares


def _known(ids: IdStatistics | None, first: int) -> np.ndarray:
    return np.zeros(0, np.int64) if ids is None else ids.ids[first:]
