"""Objects of JSON requests: rows that hold features of dotted names within nested objects."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

__all__ = ["by_argument", "is_base64", "is_object", "with_paths"]


def is_base64(value: Any) -> bool:
    """Returns whether a value is `{"b64": "..."}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def is_object(value: Any) -> bool:
    """Returns whether a value is an object of named values, not of bytes."""
    return isinstance(value, dict) and not is_base64(value)


def by_argument(row: dict[str, Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Returns a row whose columns are named as the signature's arguments are.

    Args:
      row: By name, values. One that has the argument itself keeps both names, and is refused later.
      arguments: By a column's own name, the argument's, where that is another.
    """
    if arguments.keys().isdisjoint(row):
        return row
    return {
        name if arguments.get(name, name) in row else arguments[name]: value
        for name, value in row.items()
    }


def with_paths(row: dict[str, Any], known: Collection[str] = ()) -> dict[str, Any]:
    """Returns a row whose nested objects are named by path: `{"from": {"zone": 1}}` by `from.zone`.

    Args:
      row: By name, values or objects of them. A name that holds the dots itself goes first.
      known: Names that are left as they are, whatever they hold.
    """
    nested = {name for name, value in row.items() if is_object(value) and name not in known}
    if not nested:
        return row
    found = {name: value for name, value in row.items() if name not in nested}
    for name in nested:
        for path, value in _within(row[name], name):
            found.setdefault(path, value)
    return found


def _within(value: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    # Not by recursion: a request may nest deeper than Python calls.
    left = [(above, value)]
    while left:
        place, inner = left.pop()
        for name, entry in inner.items():
            path = f"{place}.{name}"
            if is_object(entry):
                left.append((path, entry))
            else:
                yield path, entry
