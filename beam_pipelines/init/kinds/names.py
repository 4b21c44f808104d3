"""Columns that name things or rows: told by the column's name, by long digits, by numbers that only count rows.

Asked of one column by its profile, and of thousands at once by their figures.
"""

from __future__ import annotations

import re

__all__ = [
    "LONG_NUMBER",
    "counts_rows",
    "counts_time",
    "is_identifier",
    "is_index",
    "is_long",
    "mostly_one",
]

_IDENTIFIER = re.compile(
    r"(^|[\W_])(ids?|uuid|guid|key|code|sku|zip|isbn|ean|upc|plz|(zip|post|postal|bar)code)$",
    re.IGNORECASE,
)
_CAMEL_CASE = re.compile(r"[a-z](I[dD]|U[uU][iI][dD]|Key|Code|Sku|SKU|Zip|ZIP)$")
# Whole numbers of so many digits are more than a float64 tells apart: nothing is counted so far.
_DIGITS = re.compile(r"[+-]?[1-9][0-9]{15,}")
LONG_NUMBER = 1e15
# What pandas calls an index without a name in Parquet, and having read it back from a CSV.
_INDEX = re.compile(r"__index_level_[0-9]+__|Unnamed: 0(\.[0-9]+)?|level_0|index|")
_TIME = re.compile(
    r"(^|[\W_])(years?|quarters?|months?|weeks?|days?|dates?|hours?|minutes?|time|period|trend)$",
    re.IGNORECASE,
)
# Rows of which fewer may be each other's successors by chance, and how near a total is guessed.
_FEW_ROWS, _ABOUT = 50, 0.02


def is_identifier(name: str) -> bool:
    """Whether a column's name says that it names things rather than counts them."""
    return bool(_IDENTIFIER.search(name) or _CAMEL_CASE.search(name))


def is_index(name: str) -> bool:
    """Whether a column is called what pandas calls an index without a name."""
    return _INDEX.fullmatch(name) is not None


def counts_time(name: str) -> bool:
    """Whether a column's name says that it counts years or days: of a row each it still tells when."""
    return _TIME.search(name) is not None


def is_long(value: str) -> bool:
    """Whether a text is a whole number from `LONG_NUMBER` on: as a float it may be its neighbour."""
    return _DIGITS.fullmatch(value) is not None


def mostly_one(told_apart: int, distinct: int) -> bool:
    """Whether of so many numbers most would be the same as float32, which tells so many apart."""
    return told_apart * 10 < distinct


def counts_rows(span: float, distinct: int, rows: int, total: int) -> bool:
    """Whether whole numbers are each other's successors, one a row, as far as a sample tells.

    Args:
      span: From the lowest to the highest, both counted.
      distinct: Different numbers.
      rows: Rows of the sample.
      total: About how many rows all data hold.
    """
    if distinct < rows or rows < _FEW_ROWS:
        return False
    if rows >= total:
        return span == rows
    return abs(span / total - 1) < _ABOUT
