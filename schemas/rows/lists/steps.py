"""Lists of numbers, of vectors, and of times, to steps of numbers."""

from __future__ import annotations

import tensorflow as tf

from skewless.schemas.rows.lists.beside import Places, numbers_by_step, texts_by_place
from skewless.schemas.rows.times.calendar import SECOND
from skewless.schemas.rows.times.parsing import NO_TIME, parse_times
from skewless.schemas.rows.tokenizers import clean_values
from skewless.schemas.spec.kinds.sequences import NumericSequenceFeature, TimeGapsFeature

__all__ = ["gaps_of_times", "number_steps", "seconds_between"]


def number_steps(
    feature: NumericSequenceFeature, raw: tf.SparseTensor, places: Places | None
) -> tf.RaggedTensor:
    """Returns [batch, (steps), dimensions] float32, NaN where a number is missing.

    Args:
      feature: The declaration.
      raw: [batch, (steps * dimensions)] float32.
      places: Of the values that the steps stand beside: there is a step for each that is held. Without
        any, steps go on up to the last that holds a number.
    """
    dense = numbers_by_step(raw, feature.dimensions)
    if places is not None:
        steps = places.of_held(places.taken(dense))
    else:
        held = tf.reduce_any(tf.math.is_finite(dense), axis=2)
        number = tf.range(1, tf.shape(dense, tf.int64)[1] + 1)
        lengths = tf.reduce_max(tf.where(held, number, tf.zeros_like(number)), axis=1)
        steps = tf.RaggedTensor.from_tensor(dense, lengths=lengths)
    numbers = steps.flat_values
    present = tf.math.is_finite(numbers)
    if feature.clip is not None:
        numbers = tf.clip_by_value(numbers, *feature.clip)
    return steps.with_flat_values(tf.where(present, numbers, float("nan")))


def gaps_of_times(
    feature: TimeGapsFeature,
    raw: tf.SparseTensor,
    places: Places | None,
    missing_values: tuple[str, ...],
) -> tf.RaggedTensor:
    """Returns [batch, (steps), 1] float32, the seconds since the step before.

    Args:
      feature: The declaration.
      raw: [batch, (times)] string.
      places: Of the values that the times stand beside; without any, each time is a step.
      missing_values: Texts that mean there is no value.
    """
    if places is not None:
        texts = places.of_held(places.taken(texts_by_place(raw)))
    else:
        texts = tf.RaggedTensor.from_value_rowids(
            raw.values, raw.indices[:, 0], nrows=raw.dense_shape[0]
        )
    cleaned = texts.with_flat_values(clean_values(texts.flat_values, missing_values))
    if places is None:
        held = cleaned.with_flat_values(tf.not_equal(cleaned.flat_values, ""))
        cleaned = tf.ragged.boolean_mask(cleaned, held)
    times = cleaned.with_flat_values(parse_times(cleaned.flat_values, feature.unit))
    seconds = seconds_between(times)
    return seconds.with_flat_values(seconds.flat_values[:, None])


def seconds_between(times: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the seconds from each time back to the one before it in its row.

    Args:
      times: [batch, (times)] int64 microseconds, `NO_TIME` where there is none.

    Returns:
      [batch, (times)] float32: 0 of a row's first, negative where times go back, NaN where either time
      is none.
    """
    flat = times.flat_values
    before = tf.concat([flat[:1], flat[:-1]], axis=0)
    firsts = tf.ragged.range(times.row_lengths()).flat_values < 1
    before = tf.where(firsts, flat, before)
    # Whole microseconds: doubles hold no two times of one year that far apart from 1970.
    passed = tf.cast(flat - before, tf.float64) / SECOND
    unknown = tf.equal(flat, NO_TIME) | tf.equal(before, NO_TIME)
    return times.with_flat_values(tf.where(unknown, float("nan"), tf.cast(passed, tf.float32)))
