"""How an input, and later the records that came of it, name a table."""

from __future__ import annotations

__all__ = ["BIGQUERY", "DELTA", "ICEBERG", "is_table"]

BIGQUERY, DELTA, ICEBERG = "bigquery://", "delta://", "iceberg://"


def is_table(name: str) -> bool:
    """Whether a name is of a table, not of files."""
    return name.startswith((BIGQUERY, DELTA, ICEBERG))
