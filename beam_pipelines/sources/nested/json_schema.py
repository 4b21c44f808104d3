"""JSON lines by Arrow where columns are named by paths: what schema reads them as Python would.

Arrow knows no dotted paths, and Python looks at each object by itself: a name that holds the dots
goes before the way through objects. So Arrow reads a block only where its bytes show which it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

__all__ = ["places_in", "schema_of"]

_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
_ESCAPED = re.compile(rb"\\u")
# What a name in quotes may be written as in more ways than one.
_WRITTEN_FREELY = re.compile(r'["\\/\x00-\x1f]')


def places_in(data: bytes, names: Iterable[str]) -> dict[str, tuple[str, ...]] | None:
    """Returns the fields that lead to each column, or None where objects have to be looked at.

    Args:
      data: JSON objects.
      names: Columns, by name or by path.
    """
    places: dict[str, tuple[str, ...]] = {}
    for name in names:
        place = _place(data, name) if "." in name else (name,)
        if place is None:
            return None
        places[name] = place
    if any(len(place) > 1 for place in places.values()):
        ends = set(places.values())
        if any(place[:at] in ends for place in ends for at in range(1, len(place))):
            return None  # One column is an object that another lies in.
    return places


def schema_of(fields: Mapping[tuple[str, ...], pa.DataType]) -> pa.Schema:
    """Returns a schema with fields at those places, structs made around them."""
    tree: dict[str, Any] = {}
    for place, kind in fields.items():
        inner = tree
        for name in place[:-1]:
            inner = inner.setdefault(name, {})
        inner[place[-1]] = kind
    return pa.schema(_fields(tree))


def _fields(tree: Mapping[str, Any]) -> list[tuple[str, pa.DataType]]:
    return [
        (name, pa.struct(_fields(inner)) if isinstance(inner, dict) else inner)
        for name, inner in tree.items()
    ]


def _place(data: bytes, path: str) -> tuple[str, ...] | None:
    escaped = _ESCAPED_ASCII if path.isascii() else _ESCAPED
    if _WRITTEN_FREELY.search(path) or escaped.search(data):
        return None
    parts = path.split(".")
    dotted = {
        ".".join(parts[begin:end])
        for begin in range(len(parts))
        for end in range(begin + 2, len(parts) + 1)
    }
    there = {name for name in dotted if _quoted(name) in data}
    if not there:
        return tuple(parts)
    return (path,) if there == {path} and _quoted(parts[0]) not in data else None


def _quoted(name: str) -> bytes:
    return b'"' + name.encode("utf-8", "replace") + b'"'
