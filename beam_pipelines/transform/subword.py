"""Subword tokens: WordPiece (Schuster and Nakajima 2012), learned and applied by tensorflow-text."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_transform import tf_utils

from skewless.schemas.records.vocabulary_file import file_table
from skewless.schemas.rows.tokenizers import piece_tokenizer

__all__ = ["wordpieces"]


def wordpieces(words: tf.RaggedTensor, path: str) -> tf.RaggedTensor:
    """Cuts [batch, (words)] into [batch, (pieces)]; what cannot be cut becomes `[UNK]`.

    Args:
      words: [batch, (words)] string.
      path: The file of pieces.
    """
    with tf.init_scope():
        asset = tf.constant(path)
    joined, _ = tf_utils.construct_and_lookup_table(_PieceTable, asset, words.flat_values)
    pieces = tf.strings.split(joined, " ")
    return words.with_flat_values(pieces).merge_dims(1, 2)


class _PieceTable:
    """A table that maps a word to its pieces, joined by spaces, which no word contains."""

    def __init__(self, path: tf.Tensor) -> None:
        self._table = file_table(path)
        self._tokenizer = piece_tokenizer(self._table)

    def size(self) -> tf.Tensor:
        return self._table.size()

    def lookup(self, words: tf.Tensor) -> tf.Tensor:
        return tf.strings.reduce_join(self._tokenizer.tokenize(words), axis=1, separator=" ")
