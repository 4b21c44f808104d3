"""Names of columns: each once, since a name says which column is meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from skewless.schemas.errors import UsageError

__all__ = ["each_once"]


def each_once(names: Sequence[str], only: Collection[str] | None = None) -> None:
    """Refuses names of which one stands twice.

    Args:
      names: Those of a table's columns.
      only: Those that are read; all by default.

    Raises:
      UsageError: Naming the first.
    """
    for name, count in Counter(names).items():
        if count > 1 and (only is None or name in only):
            raise UsageError(
                f"columns: expected each name once, got {name!r} {count} times; rename or drop one"
            )
