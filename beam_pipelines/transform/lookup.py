"""From tokens to IDs under the ID contract (schemas/records/id_contract.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from skewless.beam_pipelines.transform.tft_internals import looked_up
from skewless.schemas.records.id_contract import (
    FIRST_ID,
    MISSING_ID,
    PADDING_ID,
    first_vocabulary_id,
)
from skewless.schemas.records.vocabulary_file import (
    file_table,
    joint_keys,
    joint_table,
    read_vocabulary,
)
from skewless.schemas.rows.prepare import Together, each
from skewless.schemas.rows.tokenizers import piece_tokenizer
from skewless.schemas.spec.features import Feature

__all__ = [
    "combination_ids",
    "combined",
    "hash_ids",
    "padded",
    "places",
    "vocabulary_ids",
    "wordpieces",
]


def places(tokens: tf.Tensor, path: str) -> tuple[tf.Tensor, int]:
    """Looks tokens up in a vocabulary file.

    Returns:
      [count] int64 in [-1, vocabulary), -1 where absent; and the vocabulary's size.
    """
    size = len(read_vocabulary(path))
    found = looked_up(lambda: file_table(tf.constant(path)), tokens)
    # The placeholder of an empty vocabulary is no entry; whoever sends it gets no ID for it.
    return found if size else tf.minimum(found, tf.constant(-1, tf.int64)), size


def vocabulary_ids(
    tokens: tf.Tensor, paths: Sequence[str], oov_buckets: int, *, may_be_missing: bool = True
) -> tf.Tensor:
    """Maps tokens to IDs.

    Args:
      tokens: [count] string, or [files, count] where there are several; none of them empty unless
        missing.
      paths: The vocabulary file, or that of each row of `tokens`.
      oov_buckets: IDs for what is not in the vocabulary.
      may_be_missing: False where no token is empty, which saves comparing each.

    Returns:
      As `tokens`, int64 in [1, 2 + oov_buckets + vocabulary); an empty token is 1, missing.
    """
    if len(paths) == 1:
        found, _ = places(tokens, paths[0])
    else:
        found = looked_up(lambda: joint_table(paths), joint_keys(tokens, range(len(paths))))
    # With one bucket its ID lies just before the vocabulary's: absent (-1) needs no case of its own.
    ids = found + first_vocabulary_id(oov_buckets)
    if oov_buckets > 1:
        unknown = FIRST_ID + tf.strings.to_hash_bucket_fast(tokens, oov_buckets)
        ids = tf.where(found >= 0, ids, unknown)
    if not may_be_missing:
        return ids
    return tf.where(tf.equal(tokens, ""), tf.constant(MISSING_ID, tf.int64), ids)


def hash_ids(tokens: tf.Tensor, hash_buckets: int) -> tf.Tensor:
    """Maps [...] string to [...] int64 in [1, 2 + hash_buckets); empty is 1, missing."""
    ids = FIRST_ID + tf.strings.to_hash_bucket_fast(tokens, hash_buckets)
    return tf.where(tf.equal(tokens, ""), tf.constant(MISSING_ID, tf.int64), ids)


def combination_ids(
    features: Mapping[str, Feature], prepared: Together, ids: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Returns the IDs of those features that combine others' values.

    Args:
      features: The declarations.
      prepared: What was prepared of the others; a category counts by its value.
      ids: [batch] int64 of those whose values are numbers, which count by their bucket.

    Returns:
      [batch] int64 by name, in [1, 2 + hash_buckets); 1 where any of the values is missing.
    """
    crosses = {name: feature for name, feature in features.items() if feature.combines}
    # In one order always: files of graphs are compared by their bytes.
    wanted = dict.fromkeys(other for feature in crosses.values() for other in feature.combines)
    values = each({names: some for names, some in prepared.items() if set(wanted) & set(names)})
    texts = {
        name: _texts(ids[name]) if features[name].is_number else values[name] for name in wanted
    }
    found = {}
    for name, feature in crosses.items():
        assert feature.fixed_ids is not None
        together = combined([texts[other] for other in feature.combines])
        found[name] = hash_ids(together, feature.fixed_ids)
    return found


def _texts(ids: tf.Tensor) -> tf.Tensor:
    missing = tf.equal(ids, tf.constant(MISSING_ID, tf.int64))
    return tf.where(missing, "", tf.strings.as_string(ids))


def combined(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Joins [batch] strings into one of each row, [batch] string; empty where any part is.

    Each part stands behind its length in bytes, `5:Paris2:42`, so that different parts never make
    the same text, whatever characters they hold.
    """
    pieces = [
        piece
        for part in parts
        for piece in (tf.strings.as_string(tf.strings.length(part)), ":", part)
    ]
    lacking = tf.reduce_any(tf.equal(tf.stack(parts), ""), axis=0)
    return tf.where(lacking, "", tf.strings.join(pieces))


def padded(
    ids: tf.RaggedTensor, length: int, *, truncate: str = "end", pad: str = "end"
) -> tf.Tensor:
    """Cuts and pads IDs, or what else steps are, to [batch, length, ...].

    `truncate` and `pad` say which side loses what is too much and which gets the padding.
    """
    if truncate == "start":
        ids = ids[:, -length:]
    elif pad == "start":
        ids = ids[:, :length]
    shape = [None, length, *ids.flat_values.shape[1:]]
    if pad == "end":  # to_tensor cuts at the end by itself.
        return ids.to_tensor(PADDING_ID, shape=shape)
    return ids[:, ::-1].to_tensor(PADDING_ID, shape=shape)[:, ::-1]


def wordpieces(words: tf.RaggedTensor, path: str) -> tf.RaggedTensor:
    """Cuts [batch, (words)] into [batch, (pieces)]; what cannot be cut becomes `[UNK]`.

    WordPiece (Schuster and Nakajima 2012), learned and applied by tensorflow-text.

    Args:
      words: [batch, (words)] string.
      path: The file of pieces.
    """
    joined = looked_up(lambda: _PieceTable(tf.constant(path)), words.flat_values)
    return words.with_flat_values(tf.strings.split(joined, " ")).merge_dims(1, 2)


class _PieceTable(tf.Module):
    """A table that maps a word to its pieces, joined by spaces, which no word contains."""

    def __init__(self, path: tf.Tensor) -> None:
        super().__init__()
        self._table = file_table(path)
        self._tokenizer = piece_tokenizer(self._table)

    def size(self) -> tf.Tensor:
        return self._table.size()

    def lookup(self, words: tf.Tensor) -> tf.Tensor:
        return tf.strings.reduce_join(self._tokenizer.tokenize(words), axis=1, separator=" ")
