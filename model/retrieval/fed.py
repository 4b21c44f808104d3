"""What each kind of model is fed with: records as they are, or prepared for its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from skewless.model.network.two_tower import entries_of
from skewless.model.retrieval.distinct_rows import DistinctRows, digests_of, distinct_rows
from skewless.model.training.records import Records
from skewless.schemas.records.id_contract import FIRST_ID, first_vocabulary_id
from skewless.schemas.records.layout import CANDIDATES
from skewless.schemas.records.records import WEIGHT
from skewless.schemas.spec.network import TowersSpec, TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["candidates_of_run", "fed", "first_group_id", "weights_of"]

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


def weights_of(
    features: Mapping[str, tf.Tensor], label: Any = None, weight: Any = None
) -> tf.Tensor | None:
    """Returns what rows weigh, [batch] float32, of a batch of records; None where all weigh the same.

    Rows of a negative label weigh nothing. Without a label the weight is among the features.
    """
    given = [one for one in (label, weight, features.get(WEIGHT)) if one is not None]
    if not given:
        return None
    return tf.reduce_prod(
        tf.stack([tf.reshape(tf.cast(one, tf.float32), [-1]) for one in given]), axis=0
    )


def _two_tower(spec: Spec, records: Records, run_directory: Path) -> Records:
    """Gives each row what `InBatchSoftmax` asks of its candidate, and what it weighs."""
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
        truth = tf.stack([*_parts(digests), log_share], axis=1)
        weights = weights_of(features, label, weight)
        taken = {name: features[name] for name in (*query, *candidate)}
        return (taken, truth) if weights is None else (taken, truth, weights)

    return replace(records, prepared=prepared)


def _towers(spec: Spec, records: Records, run_directory: Path) -> Records:
    """Gives each row its label and its group, where the order in groups is learned; else leaves all."""
    group = spec.training.group
    if spec.training.loss is None or group is None:
        return records
    first = first_group_id(spec)

    def prepared(features: dict[str, tf.Tensor], label: Any, weight: Any = None) -> tuple[Any, ...]:
        digests = digests_of(features, [group])
        truth = tf.stack([tf.cast(label[:, 0], tf.float32), *_parts(digests)], axis=1)
        known = tf.cast(features[group] >= first, tf.float32)
        return features, truth, known if weight is None else known * tf.reshape(weight, [-1])

    return replace(records, prepared=prepared, grouped=group)


def first_group_id(spec: Spec) -> int:
    """Returns the least ID of the group's feature that names a group; those below mean missing or unknown."""
    feature = spec.features[str(spec.training.group)]
    return first_vocabulary_id(feature.unknown_ids) if feature.own_vocabulary else FIRST_ID


def _parts(digests: tf.Tensor) -> list[tf.Tensor]:
    """Returns two parts of each digest, [batch] float32 each, which hold its low 48 bits exactly."""
    parts = (tf.math.floormod(digests, _PART), tf.math.floormod(digests // _PART, _PART))
    return [tf.cast(part, tf.float32) for part in parts]


_PREPARED: dict[type, Callable[[Spec, Records, Path], Records]] = {
    TowersSpec: _towers,
    TwoTowerSpec: _two_tower,
}
