"""Keys: what identifies a row, and stable hashes of it.

farmhash64 is stable across versions and platforms (TensorFlow promises it for
`tf.fingerprint`), so a row falls into the same split on every machine.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import tensorflow as tf

__all__ = ["content_keys", "fingerprint", "wide_fingerprint"]

_ABSENT = b"\x00"


def fingerprint(values: pa.Array) -> np.ndarray:
    """Returns [rows] uint64, the farmhash64 of each text; a null hashes as the byte 0."""
    return _farmhash(tf.constant(_bytes(values), tf.string))


def wide_fingerprint(values: pa.Array) -> np.ndarray:
    """Returns [rows, 2] uint64: 128 bits, so that unequal keys never meet in practice."""
    texts = tf.constant(_bytes(values), tf.string)
    return np.stack([_farmhash(texts), _farmhash(tf.strings.join(["\x01", texts]))], axis=1)


def content_keys(contents: pa.Array) -> pa.Array:
    """Returns [rows] string, what stands for a key where none is declared.

    Args:
      contents: [rows] bytes, all that is known of each row (`sources.contents`).
    """
    hashes = fingerprint(contents)
    return pa.array([f"{value:016x}" for value in hashes.tolist()], pa.string())


def _bytes(values: pa.Array) -> np.ndarray:
    texts: np.ndarray = values.cast(pa.binary()).fill_null(_ABSENT).to_numpy(zero_copy_only=False)
    return texts


def _farmhash(texts: tf.Tensor) -> np.ndarray:
    digests = tf.fingerprint(texts, method="farmhash64")
    return np.ascontiguousarray(digests.numpy()).view("<u8").reshape(-1)
