"""The ID contract: what every integer feature's values mean.

    0                              padding
    1                              missing
    [2, 2 + oov_buckets)           out of vocabulary
    [2 + oov_buckets, cardinality) the vocabulary, by descending count, ties by descending bytes

Quantile buckets and hash buckets have no out-of-vocabulary range: they start at `FIRST_ID`.
A sequence label ends with two more IDs, `start_id` and `end_id`, after its vocabulary.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FIRST_ID", "MISSING_ID", "PADDING_ID", "end_id", "first_vocabulary_id", "start_id"]

PADDING_ID: Final = 0
MISSING_ID: Final = 1
FIRST_ID: Final = 2


def first_vocabulary_id(oov_buckets: int) -> int:
    """Returns the ID of the most frequent vocabulary entry."""
    return FIRST_ID + oov_buckets


def start_id(cardinality: int) -> int:
    """Returns the ID that starts a decoder's input, given the label's cardinality."""
    return cardinality - 2


def end_id(cardinality: int) -> int:
    """Returns the ID that ends a target sequence, given the label's cardinality."""
    return cardinality - 1
