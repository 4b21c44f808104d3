"""Dotted paths into objects: `from.zone` is `zone` within the object `from`.

A name that holds a dot itself goes first: `{"from.zone": 1}` holds `from.zone` whatever `from` is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["NotAnObjectError", "leaves", "value_at", "ways"]

_ABSENT = object()


class NotAnObjectError(Exception):
    """What stands where a path goes on is no object.

    Attributes:
      place: The path up to it.
      value: What it is.
    """

    def __init__(self, place: str, value: Any) -> None:
        super().__init__(f"expected an object at {place!r}, got {type(value).__name__}")
        self.place, self.value = place, value


def value_at(row: Mapping[str, Any], path: str) -> Any:
    """Returns what a row holds at a path; None where it, or an object on the way, is absent or None.

    Raises:
      NotAnObjectError: If another value stands where an object would have to.
    """
    if path in row:
        return row[path]
    if "." not in path:
        return None
    blocked: list[NotAnObjectError] = []
    found = _found(row, path, "", blocked)
    if found is _ABSENT:
        if blocked:
            raise blocked[0]
        return None
    return found


def leaves(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yields path and value of all that is no object, and of objects that hold nothing."""
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{above}{name}.")
        else:
            yield above + name, value


def ways(path: str) -> Iterator[tuple[str, str]]:
    """Yields a first name and the rest of a path, the longest first name first."""
    end = len(path)
    while (end := path.rfind(".", 0, end)) >= 0:
        yield path[:end], path[end + 1 :]


def _found(row: Mapping[str, Any], path: str, above: str, blocked: list[NotAnObjectError]) -> Any:
    if path in row:
        return row[path]
    for name, rest in ways(path):
        if name not in row:
            continue
        inner = row[name]
        if isinstance(inner, Mapping):
            found = _found(inner, rest, f"{above}{name}.", blocked)
            if found is not _ABSENT:
                return found
        elif inner is not None:
            blocked.append(NotAnObjectError(above + name, inner))
    return _ABSENT
