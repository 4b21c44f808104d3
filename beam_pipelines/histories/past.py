"""Sorted events to lists: what came before each, and nothing else.

A row's past are the rows of the same user, say, with an earlier time. Rows of one time do not see each
other, so nothing hangs on the order of the input; in a later row's list they stand in the order of
their values (bytes of texts, size of numbers).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.analysis.spilled.runs import KEY
from skewless.beam_pipelines.histories.events import PLACE, SECOND, TIME, VALUE

__all__ = ["LISTS", "pasts"]

LISTS = "lists"
# Values in the lists of one table: some tens of megabytes.
_MOST_VALUES = 1 << 21
_ORDER = [(name, "ascending") for name in (KEY, SECOND, TIME, VALUE)]


def pasts(events: pa.Table, length: int) -> Iterator[pa.Table]:
    """Yields the rows that have a past, with it: `KEY`, their place, and `LISTS`, the oldest value first.

    Args:
      events: [events] of `events_of`, all of each user among them.
      length: How many values of a past are kept, the newest.
    """
    if not len(events):
        return
    events = events.take(pc.sort_indices(events, sort_keys=_ORDER)).combine_chunks()
    first, second, times = (events[name].to_numpy() for name in (KEY, SECOND, TIME))
    other = np.append(True, (first[1:] != first[:-1]) | (second[1:] != second[:-1]))
    later = other | np.append(True, times[1:] != times[:-1])
    # A missing value is no part of a past: places are among the values that there are.
    held = events[VALUE].is_valid().to_numpy(zero_copy_only=False)
    before = np.append(0, np.cumsum(held))
    ends = before[_begins(later)]
    begins = np.maximum(before[_begins(other)], ends - length)
    values = events[VALUE].combine_chunks().drop_null()
    lengths = ends - begins
    places = events[PLACE].to_numpy()
    rows = np.flatnonzero(lengths)
    cuts = np.searchsorted(
        np.cumsum(lengths[rows]), np.arange(_MOST_VALUES, lengths.sum(), _MOST_VALUES)
    )
    for some in np.split(rows, cuts):
        if len(some):
            lists = _ranges(values, begins[some], lengths[some])
            yield pa.table({KEY: places[some], LISTS: lists})


def _begins(starts: np.ndarray) -> np.ndarray:
    """Returns [events] the place of the last start up to each."""
    return np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))


def _ranges(values: pa.Array, begins: np.ndarray, lengths: np.ndarray) -> pa.ListArray:
    """Returns [rows] lists, each of `lengths` values from `begins` on."""
    offsets = np.append(0, np.cumsum(lengths))
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    items = values.take(pa.array(np.repeat(begins, lengths) + within))
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), items)
