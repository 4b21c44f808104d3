"""Constants of numeric columns: everything that scaling and bucketing need, from one summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import tensorflow as tf

from skewless.schemas.records.constants import Numbers
from skewless.schemas.spec.features import NumericFeature
from skewless.schemas.spec.kinds.scale import steps_of

__all__ = [
    "NumericConstants",
    "bin_edges",
    "constants_of",
    "joined",
    "numbers_of",
    "robustly_clipped",
    "scaled",
    "signed_log",
    "standardized",
]


@dataclass(frozen=True)
class NumericConstants:
    """Constants of a numeric feature, each [width] float32 but the boundaries.

    Attributes:
      mean, standard_deviation, low, high, median: Of the present values, as the steps of a scale
        that come before the one they are for leave them; 0 when there is none.
      boundaries: [width, buckets - 1] float32, ascending: the values at ranks
        ceil(k * count / buckets). A value that fills several buckets is the boundary of each, and
        is put into the last of them; the others stay empty, their IDs in use by no row. Of a
        piecewise-linear embedding: the edges between its bins. Of `robust_clip`: the quartiles.
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


def robustly_clipped(
    values: tf.Tensor, median: np.ndarray, lower: np.ndarray, upper: np.ndarray, spread: np.ndarray
) -> tf.Tensor:
    """Returns numbers within (-3, 3): centred, scaled by the quartiles and bent smoothly.

    `RobustScale` and `SmoothClip` of RealMLP (Holzmüller, Grinsztajn, Steinwart 2024): where the
    quartiles are one value, half the range takes their place; a constant column gives 0.

    Args:
      values: [batch, width] float32.
      median, lower, upper: [width] float32, of the training split.
      spread: [width] float32, the whole range, halved.
    """
    between = upper / 2 - lower / 2
    unit = np.where(between > 0, between, spread / 2)
    # In float64, as the logarithm is: roots of float32 round differently when vectorised.
    centred = tf.cast(tf.math.divide_no_nan(values / 2 - median / 2, unit), tf.float64)
    return tf.cast(centred / tf.sqrt(1 + tf.square(centred / 3)), tf.float32)


def _min_max(values: tf.Tensor, constants: NumericConstants) -> tf.Tensor:
    # Halves, because the range of float32 numbers may itself be no float32.
    spread = constants.high / 2 - constants.low / 2
    return tf.math.divide_no_nan(values / 2 - constants.low / 2, spread)


def _z_score(values: tf.Tensor, constants: NumericConstants) -> tf.Tensor:
    return standardized(values, constants.mean, constants.standard_deviation)


def _robust_clip(values: tf.Tensor, constants: NumericConstants) -> tf.Tensor:
    lower, upper = constants.boundaries[:, 0], constants.boundaries[:, 2]
    spread = constants.high / 2 - constants.low / 2
    return robustly_clipped(values, constants.median, lower, upper, spread)


_LEARNED_STEPS = {"min_max": _min_max, "robust_clip": _robust_clip, "z_score": _z_score}


def scaled(
    steps: Sequence[str], values: tf.Tensor, constants: NumericConstants | None = None
) -> tf.Tensor:
    """Returns [batch, width] float32 after some steps of a scale; a constant column scales to 0.

    Args:
      steps: In their order.
      values: [batch, width] float32.
      constants: What a step that is learned needs.
    """
    for step in steps:
        if step == "log1p":  # Symmetric, so that negative numbers keep their order.
            values = signed_log(values)
        else:
            assert constants is not None
            values = _LEARNED_STEPS[step](values, constants)
    return values


def bin_edges(
    feature: NumericFeature, constants: NumericConstants
) -> tuple[tuple[float, ...], ...]:
    """Returns [width, bins + 1] edges of the bins that a piecewise-linear embedding has.

    From the training split's least value to its greatest, as records hold them: scaled by the
    transform's own operations, from where the constants were measured on.
    """
    columns = np.concatenate(
        [constants.low[:, None], constants.boundaries, constants.high[:, None]], axis=1
    )
    steps = steps_of(feature.scale)[len(feature.measured_after) :]
    edges = scaled(steps, tf.constant(columns.T, tf.float32), constants).numpy().T
    return tuple(tuple(sorted(map(float, column))) for column in edges)
