"""Vocabulary files: one entry a line, in ID order; an asset of transform and exported model."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable

import tensorflow as tf

__all__ = ["NO_ENTRIES", "file_table", "read_vocabulary", "write_vocabulary"]

# TensorFlow refuses to load a vocabulary file without a line, so an empty one holds this.
NO_ENTRIES = b"\x1f(no entries)\x1f"
_AT_ONCE = 10_000


def write_vocabulary(path: str, tokens: Iterable[bytes]) -> None:
    """Writes a vocabulary file: one token a line, in ID order."""
    tf.io.gfile.makedirs(os.path.dirname(path))
    entries = iter(tokens)
    begun = False
    with tf.io.gfile.GFile(path, "wb") as file:
        while some := b"".join(token + b"\n" for token in itertools.islice(entries, _AT_ONCE)):
            file.write(some)
            begun = True
        if not begun:
            file.write(NO_ENTRIES + b"\n")


def read_vocabulary(path: str) -> list[bytes]:
    """Reads a vocabulary file that an analyser or a user left."""
    with tf.io.gfile.GFile(path, "rb") as file:
        tokens: list[bytes] = file.read().split(b"\n")
    if tokens and not tokens[-1]:
        tokens.pop()
    return [] if tokens == [NO_ENTRIES] else tokens


def file_table(path: tf.Tensor) -> tf.lookup.StaticHashTable:
    """Returns a table from a vocabulary file's lines to their places, -1 where absent."""
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            path,
            key_dtype=tf.string,
            key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
            value_dtype=tf.int64,
            value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        default_value=-1,
    )
