"""Names of columns: each once, since a name says which column is meant, and none nearly another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Container, Iterable, Sequence

from skewless.schemas.errors import UsageError

__all__ = ["Asked", "each_once", "refuse_nearly_named"]


class Asked(Container[str]):
    """Names that are read; it notes the others that it was asked for, which frames hold besides."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self.others: dict[str, None] = {}

    def __contains__(self, name: object) -> bool:
        if name not in self.names:
            self.others[str(name)] = None
        return name in self.names


def each_once(names: Sequence[str], only: Container[str] | None = None) -> None:
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


def refuse_nearly_named(wanted: Collection[str], held: Iterable[str]) -> None:
    """Refuses columns that would be missing, while others have their names but for case or spaces.

    Args:
      wanted: Names that are read; absent ones are missing values.
      held: Names that are there.

    Raises:
      UsageError: Naming the first, and the other.
    """
    there = set(held)
    others = {_plain(name): name for name in sorted(there.difference(wanted))}
    for name in wanted:
        other = others.get(_plain(name))
        if name not in there and name.split(".")[0] not in there and other is not None:
            raise UsageError(
                f"column {name!r} is not there, and {other!r} is, which differs in case, spaces, - or _ alone; "
                "rename it, or drop it if it is another"
            )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()
