"""Exact vocabularies: tokens by descending count, ties by descending bytes, as in tf.Transform.

tf.Transform's own `tft.vocabulary` turns each token into a Python object and a Beam element.
Here a batch is reduced to its unique tokens and their counts inside the graph, and those are
folded into one dictionary per worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from schemas.vocabulary_file import NO_ENTRIES

__all__ = [
    "Counts",
    "KnownTokens",
    "MostFrequent",
    "TokenCounter",
    "add_counts",
]

Counts = dict[bytes, int]


@dataclass(frozen=True)
class MostFrequent:
    """Selects the tokens counted at least `min_count` times, at most `max_size` of them."""

    max_size: int | None = None
    min_count: int = 1

    def __call__(self, counts: Counts) -> list[bytes]:
        """Returns the selected tokens by descending count, ties by descending bytes."""
        kept = [(count, token) for token, count in counts.items() if count >= self.min_count]
        kept.sort(reverse=True)
        return [token for _, token in kept[: self.max_size]]


class KnownTokens:
    """Tokens seen before, each with a place; makes counting them a lookup.

    Looking a token up costs a third of finding the unique ones among all, and what is known
    needs no Python object a batch.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.tokens = list(tokens)
        keys = tf.constant(self.tokens or [NO_ENTRIES], tf.string)
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, tf.range(tf.size(keys, tf.int64))),
            default_value=-1,
        )

    def count(self, tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Counts [count] string tokens.

        Returns:
          [known] int64, how often each known token occurs; [unique] string, the others that
          occur; [unique] int64, how often.
        """
        size = len(self.tokens)
        places = (
            self._table.lookup(tokens)
            if size
            else tf.fill(tf.shape(tokens), tf.constant(-1, tf.int64))
        )
        known = tf.math.bincount(
            tf.cast(places + 1, tf.int32), minlength=size + 1, maxlength=size + 1, dtype=tf.int64
        )[1:]
        others, _, counts = tf.unique_with_counts(
            tf.boolean_mask(tokens, places < 0), out_idx=tf.int64
        )
        return known, others, counts


class TokenCounter:
    """Folds counted batches into one dictionary."""

    def __init__(self) -> None:
        self._counts: Counts = {}
        self._known: Sequence[bytes] = ()
        self._known_counts = np.zeros(0, np.int64)

    def know(self, known: KnownTokens) -> None:
        """Counts the known tokens by their place from here on."""
        self._settle()
        self._known = known.tokens
        self._known_counts = np.zeros(len(known.tokens), np.int64)

    def add(self, known: np.ndarray, tokens: np.ndarray, counts: np.ndarray) -> None:
        """Adds what `KnownTokens.count` gave for a batch."""
        self._known_counts += known
        add_counts(self._counts, tokens.tolist(), counts.tolist())

    def total(self) -> Counts:
        """Returns all tokens and their counts."""
        self._settle()
        return self._counts

    def _settle(self) -> None:
        places = np.flatnonzero(self._known_counts)
        tokens = [self._known[place] for place in places.tolist()]
        add_counts(self._counts, tokens, self._known_counts[places].tolist())
        self._known_counts = np.zeros(len(self._known), np.int64)


def add_counts(total: Counts, tokens: Iterable[bytes], counts: Iterable[int]) -> None:
    """Adds counted tokens to `total`; the empty one, which stands for no value, is left out."""
    get = total.get
    for token, count in zip(tokens, counts, strict=True):
        total[token] = get(token, 0) + count
    total.pop(b"", None)
