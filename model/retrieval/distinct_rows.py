"""Distinct rows of one side of the records: the candidates that there are, or the queries.

Rows are told apart by a digest of 64 bits over the side's record entries; a million distinct rows
have two of one digest with a probability of about one in ten million.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from skewless.model.training.records import Records
from skewless.schemas.errors import DataError
from skewless.schemas.staged import put_in_place, staging_beside

__all__ = ["DistinctRows", "digests_of", "distinct_rows"]

_BATCH = 8192
# So many rows are held before equal ones are put together.
_HELD_ROWS = 1 << 20
# Before the names of record entries in a file, which may be called anything.
_ENTRY = "entry."


@dataclass(frozen=True)
class DistinctRows:
    """Distinct rows and how often each occurs.

    Attributes:
      features: By record entry, [rows, ...].
      digests: [rows] int64, ascending.
      counts: [rows] int64, occurrences in the rows that were counted.
    """

    features: dict[str, np.ndarray]
    digests: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self.digests)

    def places(self, digests: np.ndarray) -> np.ndarray:
        """Returns where [n] digests stand, -1 for those that are not there."""
        if not len(self):
            return np.full(len(digests), -1)
        places = np.minimum(np.searchsorted(self.digests, digests), len(self) - 1)
        return np.where(self.digests[places] == digests, places, -1)

    def with_more(self, others: DistinctRows) -> DistinctRows:
        """Returns these and those that only `others` has, which count 0."""
        uncounted = DistinctRows(others.features, others.digests, np.zeros_like(others.counts))
        return _put_together([self, uncounted])

    def save(self, path: Path) -> None:
        """Writes them, whole or not at all."""
        arrays: dict[str, Any] = {
            f"{_ENTRY}{name}": values for name, values in self.features.items()
        }
        with staging_beside(path) as staging:
            with staging.open("wb") as file:
                np.savez(file, digests=self.digests, counts=self.counts, **arrays)
            put_in_place(staging, path)

    @classmethod
    def load(cls, path: Path) -> DistinctRows:
        """Reads what `save` wrote.

        Raises:
          DataError: If it is not there, or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                entries = [name for name in held.files if name.startswith(_ENTRY)]
                features = {name.removeprefix(_ENTRY): held[name] for name in entries}
                return cls(features, held["digests"], held["counts"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path}: expected the candidates that `skewless train` counted, got {error!r}; "
                "train again"
            ) from error


def digests_of(features: Mapping[str, tf.Tensor], names: Sequence[str]) -> tf.Tensor:
    """Returns [batch] int64, equal where rows agree in all entries of `names`, bit for bit.

    Multilinear hashing: random odd factors, sums that wrap at 64 bits.
    """
    parts = []
    for name in sorted(names):
        values = features[name]
        bits = values if values.dtype == tf.int64 else tf.bitcast(values, tf.int32)
        parts.append(tf.reshape(tf.cast(bits, tf.int64), [tf.shape(values)[0], -1]))
    whole = tf.concat(parts, axis=1)
    width = sum(int(np.prod(features[name].shape[1:])) for name in names)
    factors = np.random.default_rng(20190916).integers(-(2**62), 2**62, width) * 2 + 1
    return tf.reduce_sum(whole * tf.constant(factors, tf.int64), axis=1)


def distinct_rows(records: Records, split: str, names: Sequence[str]) -> DistinctRows:
    """Returns the distinct rows of a split by the record entries `names`, and counts them.

    Raises:
      DatasetMismatchError: If the split is empty.
    """
    return _put_together(list(_pieces(records, split, names)))


def _pieces(records: Records, split: str, names: Sequence[str]) -> Iterator[DistinctRows]:
    held: list[DistinctRows] = []
    batches = records.in_order(split, batch_size=_BATCH).map(
        lambda features, *_: (
            digests_of(features, names),
            {name: features[name] for name in names},
        )
    )
    for digests, features in batches.as_numpy_iterator():
        ones = np.ones(len(digests), np.int64)
        held.append(_put_together([DistinctRows(features, digests, ones)]))
        if sum(map(len, held)) > _HELD_ROWS:
            held = [_put_together(held)]
            if len(held[0]) > _HELD_ROWS // 2:
                yield held.pop()
    yield from held


def _put_together(parts: Sequence[DistinctRows]) -> DistinctRows:
    digests = np.concatenate([part.digests for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    known, first, places = np.unique(digests, return_index=True, return_inverse=True)
    features = {
        name: np.concatenate([part.features[name] for part in parts])[first]
        for name in parts[0].features
    }
    total = np.zeros(len(known), np.int64)
    np.add.at(total, places, counts)
    return DistinctRows(features, known, total)
