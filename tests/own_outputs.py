"""Preprocessing functions whose outputs cannot be used, each for one reason."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft

Inputs = dict[str, tf.SparseTensor]


def _size(inputs: Inputs) -> tf.Tensor:
    return tf.sparse.to_dense(inputs["size"])[:, 0]


def sound(inputs: Inputs) -> dict[str, tf.Tensor]:
    """One more tower, whose IDs are of an analyser."""
    words = tf.sparse.to_dense(inputs["word"])[:, 0]
    return {"other": tft.compute_and_apply_vocabulary(words, num_oov_buckets=1)}


def named_odd(inputs: Inputs) -> dict[str, tf.Tensor]:
    """Names that no feature may have, two of which are entries or layers of ours."""
    return dict.fromkeys(["__missing__size", "embed.word", "a b", "1st", "été"], _size(inputs))


def named_as_a_feature(inputs: Inputs) -> dict[str, tf.Tensor]:
    """Would be trained on in the feature's place."""
    return {"size": _size(inputs)}


def named_as_a_group(inputs: Inputs) -> dict[str, tf.Tensor]:
    """Would be trained on in the group's place."""
    return {"both": _size(inputs)}


def texts(inputs: Inputs) -> dict[str, tf.Tensor]:
    """No record holds texts."""
    return {"other": tf.sparse.to_dense(inputs["word"])[:, 0]}


def sparse(inputs: Inputs) -> dict[str, tf.SparseTensor]:
    """No number of values a row."""
    return {"other": inputs["size"]}


def as_many_as_there_are(inputs: Inputs) -> dict[str, tf.Tensor]:
    """As many values as the batch's longest list has."""
    return {"other": tf.sparse.to_dense(inputs["list"], 0.0)}


def of_no_column(inputs: Inputs) -> dict[str, tf.Tensor]:
    """A column that no feature reads."""
    return {"other": tf.sparse.to_dense(inputs["price"])}


def no_dict(inputs: Inputs) -> list[tf.Tensor]:
    """No names at all."""
    return [_size(inputs)]


def file_of_a_feature(inputs: Inputs) -> dict[str, tf.Tensor]:
    """Its vocabulary file is called as that of the feature `word` is."""
    sizes = tf.strings.as_string(tf.cast(_size(inputs), tf.int64))
    return {"other": tft.compute_and_apply_vocabulary(sizes, vocab_filename="word")}
