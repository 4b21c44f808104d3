"""Arrow columns of times, read by the ops that the graph reads them with."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skewless.schemas.spec.kinds.column import TimeWriting

__all__ = ["in_microseconds", "not_times", "times_of"]


def in_microseconds(raw: pa.Array) -> pa.Array:
    """Returns times of nanoseconds as those of microseconds, what is finer cut off."""
    if not pa.types.is_timestamp(raw.type) or raw.type.unit != "ns":
        return raw
    # Arrow's cast rounds towards zero, which before 1970 would be upwards.
    nanos = raw.view(pa.int64())
    micros = np.floor_divide(nanos.fill_null(0).to_numpy(zero_copy_only=False), 1_000)
    mask = raw.is_null().to_numpy(zero_copy_only=False)
    return pa.array(micros, pa.int64(), mask=mask).view(pa.timestamp("us", raw.type.tz))


def times_of(texts: pa.Array, unit: TimeWriting = "auto") -> np.ndarray:
    """Returns [rows] int64 microseconds since 1970 of [rows] trimmed string; `NO_TIME` for none."""
    import tensorflow as tf

    from skewless.schemas.rows.times.parsing import parse_times

    values = texts.fill_null("").cast(pa.binary()).to_numpy(zero_copy_only=False)
    times: np.ndarray = parse_times(tf.constant(values, tf.string), unit).numpy()
    return times


def not_times(texts: pa.Array, unit: TimeWriting) -> np.ndarray:
    """Returns the places of [rows] trimmed string that hold a value which is no time."""
    from skewless.schemas.rows.times.parsing import NO_TIME

    if texts.null_count == len(texts):
        return np.zeros(0, np.int64)
    held = texts.is_valid().to_numpy(zero_copy_only=False)
    return np.flatnonzero(held & (times_of(texts, unit) == NO_TIME))
