"""What each kind of model is fed with: records as they are, or prepared for its loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from skewless.model.network.two_tower import entries_of
from skewless.model.retrieval.distinct_rows import DistinctRows, digests_of, distinct_rows
from skewless.model.training.records import Records
from skewless.schemas.records.layout import CANDIDATES
from skewless.schemas.records.records import WEIGHT
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["candidates_of_run", "fed"]

_PART = 1 << 24  # float32 holds whole numbers below it exactly


def fed(spec: Spec, records: Records, run_directory: Path) -> Records:
    """Returns records whose batches are what the declared model is trained on.

    Args:
      spec: What is trained.
      records: What is trained on.
      run_directory: Of the run, where the candidates of two towers are counted once.
    """
    prepare = _PREPARED.get(type(spec.model))
    return records if prepare is None else prepare(spec, records, run_directory)


def candidates_of_run(spec: Spec, records: Records, run_directory: Path) -> DistinctRows:
    """Returns the distinct candidates of the rows that a run is trained on, counted the first time."""
    path = run_directory / CANDIDATES
    if not path.is_file():
        names = list(entries_of(spec, "candidate", records.manifest.features))
        distinct_rows(records, "train", names).save(path)
    return DistinctRows.load(path)


def _two_tower(spec: Spec, records: Records, run_directory: Path) -> Records:
    """Gives each row what `InBatchSoftmax` asks of its candidate; negative rows weigh nothing."""
    entries = records.manifest.features
    candidate, query = (list(entries_of(spec, side, entries)) for side in ("candidate", "query"))
    candidates = candidates_of_run(spec, records, run_directory)
    known = tf.constant(candidates.digests)
    total = int(candidates.counts.sum())
    shares = tf.constant(np.log(np.maximum(candidates.counts, 1) / total), tf.float32)
    # Of one that is in no training row, as if it were in one.
    unseen = float(np.log(1 / total))

    def prepared(
        features: dict[str, tf.Tensor], label: Any = None, weight: Any = None
    ) -> tuple[Any, ...]:
        digests = digests_of(features, candidate)
        places = tf.minimum(tf.searchsorted(known, digests), tf.size(known) - 1)
        log_share = tf.where(
            tf.equal(tf.gather(known, places), digests), tf.gather(shares, places), unseen
        )
        parts = [tf.math.floormod(digests, _PART), tf.math.floormod(digests // _PART, _PART)]
        truth = tf.stack([*(tf.cast(part, tf.float32) for part in parts), log_share], axis=1)
        weight = features.get(WEIGHT) if label is None else weight
        if label is not None:
            positive = tf.reshape(tf.cast(label, tf.float32), [-1])
            weight = positive if weight is None else positive * weight
        taken = {name: features[name] for name in (*query, *candidate)}
        return (taken, truth) if weight is None else (taken, truth, weight)

    return replace(records, prepared=prepared)


_PREPARED: dict[type, Callable[[Spec, Records, Path], Records]] = {TwoTowerSpec: _two_tower}
