"""Features that are prepared, counted and transformed together: many of one declaration.

A graph takes milliseconds to build, save and load for every operation in it, and a table of values
takes three functions; so what is done to each of many columns is done to all of them at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

__all__ = ["alike", "in_groups"]

# How many columns of one kind are worth stacking, and how many of them one operation takes: one
# operation is one thread.
_LEAST_TOGETHER, _MOST_TOGETHER = 8, 128


class _Asked(Protocol):
    @property
    def together(self) -> Hashable: ...

    @property
    def combines(self) -> Sequence[str]: ...


def alike(features: Mapping[str, _Asked]) -> list[tuple[str, ...]]:
    """Returns the features' names in groups that are prepared together; most are alone.

    Groups are in the order of their first features. Which features may be together they say
    themselves, by `together`. Those that combine others' values have none of their own to prepare.
    """
    kinds: dict[Hashable, list[str]] = {}
    for name, feature in features.items():
        if feature.combines:
            continue
        # One that is like no other is a kind of its own.
        kind = ("alone", name) if feature.together is None else feature.together
        kinds.setdefault(kind, []).append(name)
    return [group for names in kinds.values() for group in in_groups(names)]


def in_groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Cuts many into groups, which run side by side; few are alone, each."""
    size = _MOST_TOGETHER if len(names) >= _LEAST_TOGETHER else 1
    return [tuple(names[first : first + size]) for first in range(0, len(names), size)]
