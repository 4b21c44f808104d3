"""The largest by blocks are those of `tf.math.top_k`, ties and places included."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from skewless.model.exported.largest import largest


@pytest.mark.parametrize("distinct", [1, 3, 400, 1 << 20])
@pytest.mark.parametrize("count", [5, 1 << 14, (1 << 14) + 77])
def test_they_are_those_of_top_k(count: int, distinct: int) -> None:
    random = np.random.default_rng(distinct + count)
    scores = tf.constant(random.integers(0, distinct, (3, count)).astype(np.float32))
    for k in (1, 5, 60, 100):
        k = min(k, count)
        values, places = largest(scores, tf.constant(k))
        wanted = np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(places, wanted)
        np.testing.assert_array_equal(values, np.take_along_axis(scores.numpy(), wanted, axis=1))
