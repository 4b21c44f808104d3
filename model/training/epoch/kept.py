"""Which epoch is kept: the one that is best by what a spec says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skewless.model.metrics.names import lower_is_better

__all__ = ["kept_epoch", "watched"]


def watched(entry: Mapping[str, Any], best_by: str) -> float:
    """Returns what is to be least: a metric or its negative, of eval where that was measured."""
    name = f"val_{best_by}"
    value = float(entry[name if name in entry else best_by])
    return value if lower_is_better(best_by) else -value


def kept_epoch(history: Sequence[Mapping[str, Any]], best_by: str) -> int:
    """Returns the place in a history of the epoch whose weights are kept, the earliest of equals."""
    return min(range(len(history)), key=lambda place: watched(history[place], best_by))
