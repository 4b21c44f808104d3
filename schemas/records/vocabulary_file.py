"""Vocabulary files: one entry a line, in ID order; an asset of transform and exported model.

A file is looked up in by a table of its own, or many by a joint one, whose keys say which file is
meant: a table brings three functions that are traced, saved and loaded, so that one for each of
hundreds of features takes seconds.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.lookup_ops import TableInitializerBase
from tensorflow.python.trackable.asset import Asset

__all__ = [
    "NO_ENTRIES",
    "file_table",
    "joint_keys",
    "joint_table",
    "of_joint_key",
    "read_vocabulary",
    "write_vocabulary",
]

# TensorFlow refuses to load a vocabulary file without a line, so an empty one holds this.
NO_ENTRIES = b"\x1f(no entries)\x1f"
_AT_ONCE = 10_000
_BETWEEN = b":"


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


def joint_keys(values: tf.Tensor, places: Sequence[int]) -> tf.Tensor:
    """Returns keys of [vocabularies, count] string values: whose, then the value.

    Args:
      values: Of each vocabulary those that are looked up in it.
      places: What stands for each vocabulary; in a joint table its place among the files.
    """
    prefixes = tf.repeat(_prefixes(places)[:, None], tf.shape(values)[1], axis=1)
    return tf.strings.join([prefixes, values])


def of_joint_key(key: bytes) -> tuple[int, bytes]:
    """Returns what stands for the vocabulary, and the value."""
    place, _, value = key.partition(_BETWEEN)
    return int(place), value


def joint_table(paths: Sequence[str]) -> tf.lookup.StaticHashTable:
    """Returns a table from `joint_keys` to places in the vocabulary files, -1 where absent."""
    return tf.lookup.StaticHashTable(_Lines(paths), default_value=-1)


def _prefixes(places: Sequence[int]) -> tf.Tensor:
    return tf.constant([b"%d" % place + _BETWEEN for place in places], tf.string)


class _Lines(TableInitializerBase):  # type: ignore[misc]
    """Fills a table with the lines of files, as TensorFlow's own initializer does with one file's."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(tf.string, tf.int64)
        # Tracked, so that they are saved as assets and found where the graph is loaded.
        self._files = [
            self._track_trackable(Asset(path), f"file_{place}") for place, path in enumerate(paths)
        ]

    def initialize(self, table: Any) -> tf.Operation:
        """Reads the files."""
        texts = tf.stack([tf.io.read_file(file.asset_path) for file in self._files])
        # A carriage return is part of no line there either.
        lines = tf.strings.split(tf.strings.regex_replace(texts, "\r", ""), "\n")[:, :-1]
        places = tf.ragged.range(lines.row_lengths()).flat_values
        prefixes = tf.gather(_prefixes(range(len(self._files))), lines.value_rowids())
        keys = tf.strings.join([prefixes, lines.flat_values])
        lengths = tf.gather(lines.row_lengths(), lines.value_rowids())
        entries = tf.not_equal(lines.flat_values, NO_ENTRIES) | (lengths > 1)
        return tf.raw_ops.LookupTableImportV2(
            table_handle=table.resource_handle,
            keys=tf.boolean_mask(keys, entries),
            values=tf.boolean_mask(places, entries),
        )
