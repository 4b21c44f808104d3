"""A polars DataFrame or LazyFrame as an Arrow table, in layouts that Parquet can hold."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import pyarrow as pa

from skewless.schemas.errors import UsageError

__all__ = ["polars_table"]

# Arrow has no such numbers, and of objects polars would hand on their places in memory.
_NOT_HELD = ("Object", "Int128", "UInt128")


def polars_table(frame: Any, only: Container[str] | None = None) -> pa.Table:
    """Returns a frame's columns; a LazyFrame is collected.

    Args:
      frame: [rows].
      only: The columns to take, where they are there; all by default.

    Raises:
      UsageError: If a column is of Python objects, or of whole numbers of 128 bits.
    """
    import polars

    schema = frame.collect_schema()
    names = [name for name in schema.names() if only is None or name in only]
    for name in names:
        if str(schema[name]) in _NOT_HELD:
            raise UsageError(
                f"column {name!r}: expected a type that Arrow has, got polars' {schema[name]}; cast it "
                "to text or numbers, or leave it out"
            )
    chosen = frame if only is None else frame.select(names)
    if isinstance(chosen, polars.LazyFrame):
        chosen = chosen.collect()
    # Parquet can hold no dictionaries of views, which categories are in the newest layout.
    return chosen.to_arrow(compat_level=polars.CompatLevel.oldest())
