"""Exact vocabularies: tokens by descending count, ties by descending bytes, as in tf.Transform.

tf.Transform's own `tft.vocabulary` turns each token into a Python object and a Beam element.
Here a batch is reduced to its unique pieces and their counts inside the graph, and those are
folded into one dictionary of tokens per worker. A piece is a value, a token or, where tokens can be
told from it alone, what stands between two spaces (`skewless.beam_pipelines.rows.pieces`):
lower-casing and cutting each piece once costs far less than doing so wherever it occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import tensorflow as tf

from skewless.beam_pipelines.rows.pieces import Pieces

__all__ = [
    "Counts",
    "KnownPieces",
    "MostFrequent",
    "TextCounter",
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


class KnownPieces:
    """Pieces seen before, each with a place; makes counting them a lookup.

    Looking a piece up costs a third of finding the unique ones among all, and what is known
    needs no Python object a batch.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = list(pieces)
        if not self.pieces:
            return
        keys = tf.constant(self.pieces, tf.string)
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, tf.range(tf.size(keys, tf.int64))),
            default_value=-1,
        )

    def count(self, pieces: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Counts [count] string pieces.

        Returns:
          [known] int64, how often each known piece occurs; [unique] string, the others that
          occur; [unique] int64, how often.
        """
        size = len(self.pieces)
        if not size:
            unique, _, counts = tf.unique_with_counts(pieces, out_idx=tf.int64)
            return tf.zeros([0], tf.int64), unique, counts
        places = self._table.lookup(pieces)
        known = tf.math.bincount(
            tf.cast(places + 1, tf.int32), minlength=size + 1, maxlength=size + 1, dtype=tf.int64
        )[1:]
        others, _, counts = tf.unique_with_counts(
            tf.boolean_mask(pieces, places < 0), out_idx=tf.int64
        )
        return known, others, counts


class TokenCounter:
    """Folds counted batches of values or tokens into one dictionary."""

    def __init__(self) -> None:
        self._counts: Counts = {}
        self._unsettled: Counts = {}
        self._bytes = 0
        self._known: Sequence[bytes] = ()
        self._known_counts = np.zeros(0, np.int64)

    def know(self, most: int) -> KnownPieces:
        """Returns the `most` frequent pieces so far, which are counted by place from here on."""
        known = KnownPieces(MostFrequent(most)(self._unsettled))
        self.resume(known)
        return known

    def resume(self, known: KnownPieces) -> None:
        """Counts pieces that were known before by their place from here on."""
        self._settle()
        self._known = known.pieces
        self._known_counts = np.zeros(len(known.pieces), np.int64)

    def add(self, known: np.ndarray, pieces: np.ndarray, counts: np.ndarray) -> None:
        """Adds what `KnownPieces.count` gave for a batch."""
        self._known_counts += known
        self._add(self._counts if len(self._known) else self._unsettled, pieces, counts)

    @property
    def held(self) -> tuple[int, int]:
        """How many values are held, and how many bytes at most these have."""
        return len(self._counts) + len(self._unsettled), self._bytes

    def take(self) -> Counts:
        """Returns all tokens and their counts since the last time, and forgets the counts."""
        self._settle()
        taken, self._counts, self._bytes = self._counts, {}, 0
        return taken

    def _settle(self) -> None:
        places = np.flatnonzero(self._known_counts)
        known = np.array([self._known[place] for place in places.tolist()], object)
        self._add(self._counts, known, self._known_counts[places])
        self._known_counts = np.zeros(len(self._known), np.int64)
        add_counts(self._counts, self._unsettled, self._unsettled.values())
        self._unsettled = {}

    def _add(self, total: Counts, pieces: np.ndarray, counts: np.ndarray) -> None:
        values: list[bytes] = pieces.tolist()
        self._bytes += sum(map(len, values))
        add_counts(total, values, counts.tolist())


class TextCounter:
    """Counts the tokens of texts: each kept piece by its place, cut into tokens when taken."""

    def __init__(self, tokens_of: Callable[[tf.Tensor], tf.RaggedTensor]) -> None:
        """Begins to count.

        Args:
          tokens_of: [pieces] string to [pieces, (tokens)] string.
        """
        self._tokens_of = tokens_of
        self._counts: Counts = {}
        self._bytes = 0
        self._kept = np.zeros(0, np.int64)

    def add(self, codes: np.ndarray, pieces: Pieces) -> None:
        """Adds the [occurrences] codes that the last call of `pieces` gave."""
        counts = np.bincount(codes, minlength=len(pieces.dictionary))
        self._kept = np.pad(self._kept, (0, pieces.kept - len(self._kept)))
        self._kept += counts[: pieces.kept]
        self._count(pieces.dictionary, counts, pieces.kept)

    @property
    def held(self) -> tuple[int, int]:
        """How many values are held, and how many bytes at most these have."""
        return len(self._counts), self._bytes

    def take(self, pieces: Pieces) -> Counts:
        """Returns all tokens and their counts since the last time, and forgets the counts."""
        self._count(pieces.dictionary, self._kept, 0)
        taken, self._counts, self._bytes = self._counts, {}, 0
        self._kept[:] = 0
        return taken

    def _count(self, dictionary: pa.Array, counts: np.ndarray, first: int) -> None:
        """Adds the tokens of those from place `first` on that were counted."""
        places = first + np.flatnonzero(counts[first:])
        if not len(places):
            return
        counted = dictionary.take(pa.array(places)).cast(pa.large_binary())
        tokens = self._tokens_of(tf.constant(counted.to_numpy(zero_copy_only=False), tf.string))
        values: list[bytes] = tokens.flat_values.numpy().tolist()
        self._bytes += sum(map(len, values))
        add_counts(self._counts, values, counts[places][tokens.value_rowids().numpy()].tolist())


def add_counts(total: Counts, tokens: Iterable[bytes], counts: Iterable[int]) -> None:
    """Adds counted tokens to `total`; the empty one, which stands for no value, is left out."""
    get = total.get
    for token, count in zip(tokens, counts, strict=True):
        total[token] = get(token, 0) + count
    total.pop(b"", None)
