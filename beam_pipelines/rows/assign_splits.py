"""Which split a row belongs to: a pure function of the row, the same on every worker."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.rows.keys import fingerprint
from skewless.schemas.spec.splits import SPLITS, Split, SplitName

__all__ = ["assign_splits"]


def assign_splits(
    split: Split,
    *,
    keys: pa.Array,
    hashed: pa.Array | None,
    named: pa.Array | None,
    forced: SplitName | None,
) -> np.ndarray:
    """Returns [rows] int8, places in `SPLITS`.

    Args:
      split: The declared split.
      keys: [rows] string, hashed where the spec names no other column.
      hashed: [rows] string, the column `split.by`, or None.
      named: [rows] string, the column `split.column` (already checked), or None.
      forced: The split that `--input SPLIT=GLOB` gave to the rows' file.
    """
    if forced is not None:
        return np.full(len(keys), SPLITS.index(forced), np.int8)
    if named is not None:
        places = {name: place for place, name in enumerate(SPLITS)}
        return np.array([places[name] for name in named.to_pylist()], np.int8)
    # The top 53 bits are what a float64 holds exactly.
    uniform = (fingerprint(keys if hashed is None else hashed) >> np.uint64(11)) / float(1 << 53)
    edges = np.cumsum(list(split.shares.values()))[:-1]
    return np.searchsorted(edges, uniform, side="right").astype(np.int8)
