"""Keys: what identifies a row, and stable hashes of it.

farmhash64 is stable across versions and platforms (TensorFlow promises it for
`tf.fingerprint`), so a row falls into the same split on every machine.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import tensorflow as tf

__all__ = ["fingerprint", "row_keys", "wide_fingerprint"]

_ABSENT = b"\x00"


def fingerprint(values: pa.Array) -> np.ndarray:
    """Returns [rows] uint64, the farmhash64 of each text; a null hashes as the byte 0."""
    return _farmhash(tf.constant(_bytes(values), tf.string))


def wide_fingerprint(values: pa.Array) -> np.ndarray:
    """Returns [rows, 2] uint64: 128 bits, so that unequal keys never meet in practice."""
    texts = tf.constant(_bytes(values), tf.string)
    return np.stack([_farmhash(texts), _farmhash(tf.strings.join(["\x01", texts]))], axis=1)


def row_keys(columns: pa.RecordBatch, key: pa.Array | None) -> pa.Array:
    """Returns each row's key as text: the declared key, else a hash of all its values.

    Args:
      columns: [rows] canonical columns, hashed where there is no key.
      key: [rows] string, or None.
    """
    if key is not None:
        return key
    hashes = np.zeros(columns.num_rows, np.uint64)
    for name in sorted(columns.schema.names):
        column = fingerprint(_as_text(columns.column(name)))
        with np.errstate(over="ignore"):
            hashes = (hashes ^ column) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    return pa.array([f"{value:016x}" for value in hashes.tolist()], pa.string())


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        joined = [
            "\x1f".join(map(str, values)) if values else None for values in column.to_pylist()
        ]
        return pa.array(joined, pa.string())
    return column.cast(pa.string())


def _bytes(values: pa.Array) -> np.ndarray:
    texts: np.ndarray = values.cast(pa.binary()).fill_null(_ABSENT).to_numpy(zero_copy_only=False)
    return texts


def _farmhash(texts: tf.Tensor) -> np.ndarray:
    digests = tf.fingerprint(texts, method="farmhash64")
    return np.ascontiguousarray(digests.numpy()).view("<u8").reshape(-1)
