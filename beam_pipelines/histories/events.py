"""Events of one past each: of whom, when, and with what value, as a table to be sorted."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.analysis.spilled.runs import KEY
from skewless.beam_pipelines.rows.keys import wide_fingerprint
from skewless.schemas.rows.canonical import without_missing
from skewless.schemas.rows.raw_columns import RowColumns
from skewless.schemas.rows.times.columns import times_of
from skewless.schemas.rows.times.parsing import NO_TIME
from skewless.schemas.spec.kinds.history import HistoryFeature
from skewless.schemas.spec.spec import Spec

__all__ = ["PLACE", "SECOND", "TIME", "VALUE", "events_of", "order_of", "place_of"]

# Beside the first half of the hash of whom: the other half, the time, the value, and the row.
SECOND, TIME, VALUE, PLACE = "second", "time", "value", "place"
# A row's place: its unit's order above its record number.
_NUMBER_BITS = 40


def place_of(order: int, numbers: np.ndarray) -> np.ndarray:
    """Returns [rows] uint64, which sort as rows do: by unit, then by record number."""
    return (np.uint64(order) << np.uint64(_NUMBER_BITS)) | numbers.astype(np.uint64)


def order_of(places: np.ndarray) -> np.ndarray:
    """Returns [rows] int64, the orders of the units that rows at these places are of."""
    return (places >> np.uint64(_NUMBER_BITS)).astype(np.int64)


def events_of(
    history: HistoryFeature, spec: Spec, columns: pa.RecordBatch, places: np.ndarray
) -> pa.Table:
    """Returns the [events] of rows that have a past or are one: who and when are known.

    Args:
      history: What is gathered.
      spec: The declaration.
      columns: [rows] canonical columns.
      places: [rows] of `place_of`.

    Returns:
      `KEY` and `SECOND` (uint64, 128 bits of whom), `TIME` (int64 microseconds), `VALUE` (string or
      int64, null where a row has none: it is in nobody's past then) and `PLACE` (uint64).
    """
    unit = RowColumns(spec).wanted[history.time].time_unit
    assert unit is not None
    whom = _texts(columns.column(history.by), spec)
    times = times_of(_texts(columns.column(history.time), spec), unit)
    known = whom.is_valid().to_numpy(zero_copy_only=False) & (times != NO_TIME)
    chosen = pa.array(known)
    (column,) = spec.features[history.of].columns_read(history.of)
    values = columns.column(column).filter(chosen)
    if pa.types.is_string(values.type):
        values = pc.if_else(
            without_missing(values, spec.missing_values).is_valid(),
            values,
            pa.scalar(None, values.type),
        )
    hashes = wide_fingerprint(whom.filter(chosen)).reshape(-1, 2)
    return pa.table(
        {
            KEY: hashes[:, 0],
            SECOND: hashes[:, 1],
            TIME: times[known],
            VALUE: values,
            PLACE: places[known],
        }
    )


def _texts(column: pa.Array, spec: Spec) -> pa.Array:
    return without_missing(column.cast(pa.string()), spec.missing_values)
