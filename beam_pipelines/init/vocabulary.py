"""How large a vocabulary, and the share of values that would then be out of it.

The sample's rows are cut in two: entries are counted in four fifths and looked up in the rest, as
the eval split will be. Of a sample the share is an upper bound: all data know more entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from skewless.beam_pipelines.init.profile import Profile
from skewless.schemas.rows.tokenizers import clean_values, tokenize
from skewless.schemas.spec.features import TextFeature

__all__ = [
    "Entries",
    "Vocabulary",
    "by_chance",
    "entries_of_text",
    "entries_of_values",
    "vocabulary",
]

_SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
_TEXTS = 20_000
_HELD_OUT = 0.2


@dataclass(frozen=True)
class Entries:
    """What would be looked up, row by row.

    Attributes:
      codes: [entries] int64 in [0, distinct), the same for the same entry.
      lengths: [rows] int64, entries a row.
    """

    codes: np.ndarray
    lengths: np.ndarray

    @property
    def distinct(self) -> int:
        """Different entries."""
        return int(self.codes.max()) + 1 if len(self.codes) else 0


@dataclass(frozen=True)
class Vocabulary:
    """A guessed vocabulary: entries kept, and the share of held-out entries it lacks."""

    max_size: int | None
    min_count: int
    oov_share: float


def by_chance(rows: int, share: float) -> np.ndarray:
    """Returns [rows] bool, true of about `share` of them, of as many rows always the same ones.

    Not every nth row: where the same shops follow each other day after day, those would be all the
    rows of some shops and none of the others.
    """
    return np.asarray(np.random.default_rng(0).random(rows) < share)


def entries_of_text(profile: Profile, cut: Mapping[str, Any]) -> Entries:
    """Returns the tokens of a text column, cut by the ops of the transform graph.

    Args:
      profile: Of the column.
      cut: Keys of a text feature that say how.
    """
    texts = pc.fill_null(profile.values, "")
    chosen = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), _TEXTS)).astype(np.int64))
    declared = TextFeature(length=1, **cut)
    parts, lengths = [], []
    for begin in range(0, len(chosen), 4_000):
        some = texts.take(pa.array(chosen[begin : begin + 4_000]))
        strings = tf.constant(some.to_numpy(zero_copy_only=False), tf.string)
        tokens = tokenize(clean_values(strings, ()), declared)
        parts.append(tokens.flat_values)
        lengths.append(tokens.row_lengths().numpy())
    codes = tf.unique(tf.concat(parts, 0), out_idx=tf.int64).idx.numpy()
    return Entries(codes, np.concatenate(lengths).astype(np.int64))


def entries_of_values(profile: Profile) -> Entries:
    """Returns the values of a categorical column, one a row or several."""
    codes = pc.dictionary_encode(profile.flat).indices.to_numpy(zero_copy_only=False)
    if profile.multivalued:
        return Entries(codes.astype(np.int64), profile.lengths)
    held = profile.values.is_valid().to_numpy(zero_copy_only=False)
    return Entries(codes.astype(np.int64), held.astype(np.int64))


def vocabulary(entries: Entries, total: int, min_count: int) -> Vocabulary:
    """Returns the smallest vocabulary that costs at most one point of OOV share.

    Args:
      entries: Of the sample.
      total: About how many rows all data hold.
      min_count: Entries rarer than this in the training split get no ID.
    """
    rows = np.repeat(np.arange(len(entries.lengths)), entries.lengths)
    held_out = by_chance(len(entries.lengths), _HELD_OUT)[rows]
    known = np.bincount(entries.codes[~held_out], minlength=entries.distinct)
    asked = np.bincount(entries.codes[held_out], minlength=entries.distinct)
    order = np.argsort(-known, kind="stable")
    # What an entry's count in the sample stands for in all data.
    expected = known[order] * max(1.0, total / max(1, len(entries.lengths)))
    eligible = int(np.count_nonzero((expected >= min_count) & (known[order] > 0)))
    covered = np.cumsum(asked[order]) / max(1, asked.sum())
    best = float(covered[eligible - 1]) if eligible else 0.0
    for size in _SIZES:
        if size < eligible and covered[size - 1] >= best - 0.01:
            return Vocabulary(size, min_count, 1 - float(covered[size - 1]))
    return Vocabulary(None, min_count, 1 - best)
