"""A preprocessing function as a user writes one, with tf.Transform's own analysers."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft


def preprocessing_fn(inputs: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
    """Crosses two columns and scales a product of two others."""
    country, device = (tf.sparse.to_dense(inputs[name])[:, 0] for name in ("country", "device"))
    price, pieces = (tf.sparse.to_dense(inputs[name])[:, 0] for name in ("price", "pieces"))
    return {
        "where": tft.compute_and_apply_vocabulary(
            tf.strings.join([country, device], separator="/"), num_oov_buckets=1
        ),
        "worth": tft.scale_to_z_score(price * pieces),
    }
