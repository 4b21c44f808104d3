"""Subword tokens: WordPiece (Schuster and Nakajima 2012), learned and applied by tensorflow-text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import tensorflow as tf
from tensorflow_transform import tf_utils

from beam_pipelines.analyzers.vocabulary import Counts
from schemas.tokenizers import PIECE_SUFFIX, piece_tokenizer, tensorflow_text
from schemas.vocabulary_file import file_table

__all__ = ["LearnedPieces", "wordpieces"]

_DEFAULT_SIZE = 8_000


@dataclass(frozen=True)
class LearnedPieces:
    """Learns at most about `max_size` pieces from word counts.

    `min_count` applies to pieces, counted over the words of the training split.
    """

    max_size: int | None = None
    min_count: int = 1

    def __call__(self, counts: Counts) -> list[bytes]:
        """Returns the pieces by descending count, ties by descending bytes."""
        tensorflow_text("tokenizer: subword")
        from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as lib

        words = sorted((token.decode("utf-8", "replace"), count) for token, count in counts.items())
        if not words:
            return []
        learned = lib.learn(
            words,
            vocab_size=self.max_size or _DEFAULT_SIZE,
            reserved_tokens=[],
            upper_thresh=10_000_000,
            lower_thresh=2,
            num_iterations=4,
            max_input_tokens=-1,
            max_token_length=50,
            max_unique_chars=1_000,
            slack_ratio=0.05,
            include_joiner_token=True,
            joiner=PIECE_SUFFIX,
        )
        known = set(learned)
        used: Counter[str] = Counter()
        for word, count in words:
            for piece in _greedy(word, known):
                used[piece] += count
        kept = [(used[p], p.encode()) for p in known if used[p] >= max(1, self.min_count)]
        return [piece for _, piece in sorted(kept, reverse=True)[: self.max_size]]


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


def _greedy(word: str, known: set[str]) -> list[str]:
    """Returns the longest-match-first pieces of a word, none where it cannot be cut."""
    pieces: list[str] = []
    begin = 0
    while begin < len(word):
        for end in range(len(word), begin, -1):
            piece = (PIECE_SUFFIX if begin else "") + word[begin:end]
            if piece in known:
                pieces.append(piece)
                begin = end
                break
        else:
            return []
    return pieces
