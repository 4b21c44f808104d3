"""Exact vocabularies: tokens by descending count, ties by bytes.

tf.Transform's own `tft.vocabulary` turns each token into a Python object and a Beam element.
Here a batch is reduced to its unique tokens and their counts inside the graph, and those are
folded into one dictionary per worker.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import tensorflow as tf

__all__ = [
    "Counts",
    "MostFrequent",
    "add_counts",
    "read_vocabulary",
    "unique_tokens",
    "write_vocabulary",
]

# TensorFlow refuses to load a vocabulary file without a line, so an empty one holds this.
_NO_ENTRIES = b"\x1f(no entries)\x1f"

Counts = dict[bytes, int]


@dataclass(frozen=True)
class MostFrequent:
    """Selects the tokens counted at least `min_count` times, at most `max_size` of them."""

    max_size: int | None = None
    min_count: int = 1

    def __call__(self, counts: Counts) -> list[bytes]:
        """Returns the selected tokens by descending count, ties by bytes."""
        kept = ((-count, token) for token, count in counts.items() if count >= self.min_count)
        return [token for _, token in sorted(kept)[: self.max_size]]


def unique_tokens(tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the [unique] string tokens among [count] and how often each occurs, [unique] int64."""
    unique, _, counts = tf.unique_with_counts(tokens, out_idx=tf.int64)
    return unique, counts


def add_counts(total: Counts, tokens: list[bytes], counts: list[int]) -> None:
    """Adds counted tokens to `total`; the empty one, which stands for no value, is left out."""
    get = total.get
    for token, count in zip(tokens, counts, strict=True):
        total[token] = get(token, 0) + count
    total.pop(b"", None)


def write_vocabulary(path: str, tokens: list[bytes]) -> None:
    """Writes a vocabulary file: one token a line, in ID order."""
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(b"".join(token + b"\n" for token in tokens or [_NO_ENTRIES]))


def read_vocabulary(path: str) -> list[bytes]:
    """Reads a vocabulary file that an analyser or a user left."""
    with tf.io.gfile.GFile(path, "rb") as file:
        tokens: list[bytes] = file.read().split(b"\n")
    if tokens and not tokens[-1]:
        tokens.pop()
    return [] if tokens == [_NO_ENTRIES] else tokens
