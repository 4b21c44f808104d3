"""Sorted events to lists: what came before each, and nothing else.

A row's past are the rows of the same user, say, with an earlier time. Rows of one time do not see each
other, so nothing hangs on the order of the input; in a later row's list they stand in the order of
their values (bytes of texts, size of numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.analysis.spilled.runs import KEY
from skewless.beam_pipelines.histories.events import PLACE, SECOND, TIME, VALUE

__all__ = ["LISTS", "NOWHERE", "newest", "pasts"]

LISTS = "lists"
# Values in the lists of one table: some tens of megabytes.
_MOST_VALUES = 1 << 21
_ORDER = [(name, "ascending") for name in (KEY, SECOND, TIME, VALUE)]
# The place of an event that is in pasts alone, and has none itself.
NOWHERE = np.uint64(2**64 - 1)


def pasts(
    tables: Iterable[pa.Table], length: int, left: Callable[[pa.Table], None] | None = None
) -> Iterator[pa.Table]:
    """Yields the rows that have a past, with it: `KEY`, their place, and `LISTS`, the oldest value first.

    Args:
      tables: [events] of `events_of` in the order of users and times; those of one user, and of one time,
        may be in several. An event at `NOWHERE` gets no list.
      length: How many values of a past are kept, the newest.
      left: Given what `newest` keeps of each user in the end, users in their order, some at once.
    """
    kept: pa.Table | None = None
    for table in tables:
        if not len(table):
            continue
        events = table if kept is None else pa.concat_tables([kept, table])
        events = events.take(pc.sort_indices(events, sort_keys=_ORDER)).combine_chunks()
        yield from _listed(events, length)
        last = [
            np.equal(events[name].to_numpy(), events[name][-1].as_py()) for name in (KEY, SECOND)
        ]
        of_last = pa.array(np.logical_and(*last))
        if left is not None:
            left(newest(events.filter(pc.invert(of_last)), length))
        kept = newest(events.filter(of_last), length)
        nowhere = pa.array(np.full(len(kept), NOWHERE))
        kept = kept.set_column(kept.schema.get_field_index(PLACE), PLACE, nowhere)
    if left is not None and kept is not None:
        left(kept)


def newest(events: pa.Table, length: int) -> pa.Table:
    """Returns what later rows may see of events: at most twice `length` of each user.

    The newest of a user's newest time are kept, since a row of a later time sees them, and the newest of before,
    since one of that time sees those alone.

    Args:
      events: [events] sorted by user, time and value.
      length: How many values of a past are kept.
    """
    valued = events.filter(events[VALUE].is_valid())
    if not len(valued):
        return valued
    first, second, times = (valued[name].to_numpy() for name in (KEY, SECOND, TIME))
    begins = np.flatnonzero(
        np.append(True, (first[1:] != first[:-1]) | (second[1:] != second[:-1]))
    )
    ends = np.append(begins[1:], len(valued))
    users = np.repeat(np.arange(len(begins)), ends - begins)
    latest = times == times[ends - 1][users]
    before = ends - np.bincount(users, latest).astype(np.int64)
    bound = np.where(latest, ends[users], before[users])
    return valued.filter(pa.array(np.arange(len(valued)) >= bound - length))


def _listed(events: pa.Table, length: int) -> Iterator[pa.Table]:
    """Yields the lists of rows whose events are sorted by user, time and value."""
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
    rows = np.flatnonzero((lengths > 0) & (places != NOWHERE))
    cuts = np.searchsorted(
        np.cumsum(lengths[rows]), np.arange(_MOST_VALUES, lengths[rows].sum(), _MOST_VALUES)
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
