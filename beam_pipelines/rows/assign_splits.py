"""Which split a row belongs to: a pure function of the row, the same on every worker."""

from __future__ import annotations

from typing import cast

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.rows.keys import fingerprint
from skewless.schemas.errors import SpecError
from skewless.schemas.rows.times.columns import times_of
from skewless.schemas.spec.splits import SPLITS, Split, SplitName

__all__ = ["assign_splits"]


def assign_splits(
    split: Split,
    *,
    keys: pa.Array,
    hashed: pa.Array | None,
    named: pa.Array | None,
    times: np.ndarray | None,
    forced: SplitName | None,
) -> np.ndarray:
    """Returns [rows] int8, places in `SPLITS`.

    Args:
      split: The declared split.
      keys: [rows] string, hashed where the spec names no other column.
      hashed: [rows] string, the column `split.by`, or None.
      named: [rows] string, the column `split.column` (already checked), or None.
      times: [rows] int64 microseconds of the column `split.time` (already checked), or None.
      forced: The split that `--input SPLIT=GLOB` gave to the rows' file.
    """
    if forced is not None:
        return np.full(len(keys), SPLITS.index(forced), np.int8)
    if named is not None:
        places = {name: place for place, name in enumerate(SPLITS)}
        return np.array([places[name] for name in named.to_pylist()], np.int8)
    if times is not None:
        return _by_time(split, times)
    # The top 53 bits are what a float64 holds exactly.
    uniform = (fingerprint(keys if hashed is None else hashed) >> np.uint64(11)) / float(1 << 53)
    edges = np.cumsum(list(split.shares.values()))[:-1]
    return np.searchsorted(edges, uniform, side="right").astype(np.int8)


def _by_time(split: Split, times: np.ndarray) -> np.ndarray:
    """Returns [rows] int8: the last split that has begun at each time."""
    if split.needs_edges:
        raise SpecError(
            "split.time: the shares' edges in time are not found yet; use the spec.yaml of the records "
            "directory, or give eval_from and test_from"
        )
    places = np.zeros(len(times), np.int8)
    for name, edge in (("eval", split.eval_from), ("test", split.test_from)):
        if edge is not None:
            begin = times_of(pa.array([edge]))[0]
            places[times >= begin] = SPLITS.index(cast(SplitName, name))
    return places
