"""Names of columns that JSON objects hold: those of plain values, by their paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skewless.schemas.nested_paths import leaves

__all__ = ["SeenObjects"]


class SeenObjects:
    """What was found at which path, over many objects."""

    def __init__(self) -> None:
        # By path in the order of their coming; whether a value that says something was there.
        self._plain: dict[str, bool] = {}
        self._bad: dict[str, str] = {}
        self._empty: dict[str, None] = {}
        self._above: set[str] = set()

    def add(self, row: Mapping[str, Any]) -> None:
        """Looks at an object."""
        for path, value in leaves(row):
            if isinstance(value, Mapping):
                self._empty[path] = None
                self._above.add(path)
                continue
            if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
                self._bad[path] = "holds lists of objects or lists; only plain values are read"
            self._plain[path] = self._plain.get(path, False) or value is not None
        for name, value in row.items():
            self._note_objects(name, value)

    def names(self) -> list[str]:
        """Returns the paths of plain values and lists; where objects are as well, only theirs."""
        return [path for path in self._plain if path not in self._above]

    def unreadable(self) -> dict[str, str]:
        """Returns the paths that no spec can name, and why."""
        mixed = [path for path, says in self._plain.items() if says and path in self._above]
        found = dict.fromkeys(mixed, "holds objects in some rows and plain values in others")
        inner = {path.rpartition(".")[0] for path in self._plain}
        for path in self._empty:
            if path not in inner and path not in found:
                found[path] = "holds objects without values"
        return found | self._bad

    def _note_objects(self, path: str, value: Any) -> None:
        if isinstance(value, Mapping):
            self._above.add(path)
            for name, inner in value.items():
                self._note_objects(f"{path}.{name}", inner)
