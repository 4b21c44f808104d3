"""Merges of towers: what comes out at the start of training."""

from __future__ import annotations

import keras
import numpy as np

from skewless.model.network.merges import merge_towers
from skewless.schemas.spec.network import TowersSpec


def test_a_product_of_many_projected_towers_does_not_vanish() -> None:
    keras.utils.set_random_seed(1)
    towers = {f"t{place}": keras.Input([16]) for place in range(12)}
    merged = merge_towers(TowersSpec(merge="multiply", projection=32), towers)
    model = keras.Model(towers, merged)
    small = {name: np.random.default_rng(1).normal(0, 0.1, [256, 16]) for name in towers}
    # With biases of zero the spread is 1e-13.
    assert np.std(np.asarray(model(small))) > 0.1
