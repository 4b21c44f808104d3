"""Constants of numeric columns: everything that scaling and bucketing need, from one summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import tensorflow as tf

from skewless.schemas.records.constants import Numbers
from skewless.schemas.spec.features import NumericFeature

__all__ = [
    "NumericConstants",
    "bin_edges",
    "constants_of",
    "joined",
    "numbers_of",
    "scaled",
    "signed_log",
    "standardized",
]


@dataclass(frozen=True)
class NumericConstants:
    """Constants of a numeric feature, each [width] float32 but the boundaries.

    Attributes:
      mean, standard_deviation, low, high, median: Of the present values; 0 when there is none.
      boundaries: [width, buckets - 1] float32, ascending: the values at ranks
        ceil(k * count / buckets). A value that fills several buckets is the boundary of each, and
        is put into the last of them; the others stay empty, their IDs in use by no row. Of a
        piecewise-linear embedding: the edges between its bins.
    """

    mean: np.ndarray
    standard_deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray
    median: np.ndarray
    boundaries: np.ndarray


def joined(constants: Sequence[NumericConstants]) -> NumericConstants | None:
    """Returns the constants of features as those of one with all their numbers; None of none."""
    if not constants:
        return None
    return NumericConstants(
        **{
            field.name: np.concatenate([getattr(found, field.name) for found in constants])
            for field in fields(NumericConstants)
        }
    )


def numbers_of(constants: Mapping[str, NumericConstants]) -> Numbers:
    """Returns constants by feature as JSON has them; float32 values survive as they are."""
    return {
        name: {constant: values.tolist() for constant, values in vars(found).items()}
        for name, found in constants.items()
    }


def constants_of(numbers: Numbers) -> dict[str, NumericConstants]:
    """Returns what `numbers_of` was given."""
    return {
        name: NumericConstants(
            **{constant: np.array(values, np.float32) for constant, values in found.items()}
        )
        for name, found in numbers.items()
    }


def standardized(values: tf.Tensor, mean: np.ndarray, deviation: np.ndarray) -> tf.Tensor:
    """Returns (values - mean) / deviation, 0 where the deviation is 0.

    In halves, because the difference of two float32 numbers may itself be no float32.
    """
    return tf.math.divide_no_nan(values / 2 - mean / 2, deviation / 2)


def signed_log(values: tf.Tensor) -> tf.Tensor:
    """Returns sign(x) * log(1 + abs(x)), float32 of float32.

    In float64, because the vectorised and the scalar logarithm of float32 round differently: a value
    would depend on how many rows it came with.
    """
    exact = tf.cast(values, tf.float64)
    return tf.cast(tf.sign(exact) * tf.math.log1p(tf.abs(exact)), tf.float32)


def scaled(
    feature: NumericFeature, values: tf.Tensor, constants: NumericConstants | None
) -> tf.Tensor:
    """Returns [batch, width] float32 as `scale` says; a constant column scales to 0."""
    if feature.scale == "log1p":  # Symmetric, so that negative numbers keep their order.
        return signed_log(values)
    if feature.scale == "none":
        return values
    assert constants is not None
    if feature.scale == "z_score":
        return standardized(values, constants.mean, constants.standard_deviation)
    # Halves, because the range of float32 numbers may itself be no float32.
    spread = constants.high / 2 - constants.low / 2
    return tf.math.divide_no_nan(values / 2 - constants.low / 2, spread)


def bin_edges(
    feature: NumericFeature, constants: NumericConstants
) -> tuple[tuple[float, ...], ...]:
    """Returns [width, bins + 1] edges of the bins that a piecewise-linear embedding has.

    From the training split's least value to its greatest, as records hold them: scaled by the
    transform's own operations.
    """
    columns = np.concatenate(
        [constants.low[:, None], constants.boundaries, constants.high[:, None]], axis=1
    )
    edges = scaled(feature, tf.constant(columns.T, tf.float32), constants).numpy().T
    return tuple(tuple(sorted(map(float, column))) for column in edges)
