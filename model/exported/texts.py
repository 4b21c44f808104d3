"""From IDs back to texts: the tokens of a feature or a label, put together as they were cut apart."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from skewless.schemas.records.id_contract import PADDING_ID, first_vocabulary_id
from skewless.schemas.rows.tokenizers import LETTER, PIECE_SUFFIX
from skewless.schemas.spec.features import TextFeature
from skewless.schemas.spec.label import SequenceLabel

__all__ = ["UNKNOWN", "Texts"]

UNKNOWN = b"[unknown]"


class Texts(tf.Module):
    """Reads IDs as texts, by operations of TensorFlow alone."""

    def __init__(
        self,
        declared: TextFeature | SequenceLabel,
        vocabulary: Sequence[bytes],
        cardinality: int,
        unknown: bytes = UNKNOWN,
    ) -> None:
        """Takes what a feature or a label is cut into.

        Args:
          declared: Whose tokens.
          vocabulary: Its tokens in the order of their IDs.
          cardinality: How many IDs there are, those that stand for no token too.
          unknown: What one outside the vocabulary reads as; empty to leave it out.
        """
        super().__init__(name="texts")
        first = first_vocabulary_id(declared.unknown_ids)
        # Of padding, missing, start and end nothing is read.
        texts = [b""] * cardinality
        texts[PADDING_ID + 2 : first] = [unknown] * declared.unknown_ids
        texts[first : first + len(vocabulary)] = vocabulary
        self._texts = tf.constant(texts)
        self._between = "" if declared.tokenizer == "characters" else " "
        self._letters = declared.tokenizer == "words_or_letters"
        self._pieces = declared.learns_pieces

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns [...] string of [..., length] IDs."""
        tokens = tf.gather(self._texts, ids)
        joined = tf.strings.reduce_join(tokens, axis=-1, separator=self._between)
        joined = tf.strings.regex_replace(joined, " +", " ")
        if self._letters:
            joined = tf.strings.regex_replace(joined, f"({LETTER}) ", r"\1")
        if self._pieces:
            joined = tf.strings.regex_replace(joined, f"(^| ){PIECE_SUFFIX}", "")
        return tf.strings.strip(joined)
