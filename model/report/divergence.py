"""How far two splits are apart, feature by feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skewless.schemas.divergence import jensen_shannon_bits

__all__ = ["Divergence", "cells", "divergences"]


@dataclass(frozen=True)
class Divergence:
    """The Jensen-Shannon distance of a feature's values in two splits.

    Attributes:
      name: The feature, or the label.
      distance: In [0, 1]: 0 where both hold the same shares, 1 where they share no value.
      by_chance: What so few rows of one distribution would show on average.
    """

    name: str
    distance: float
    by_chance: float

    @property
    def limit(self) -> float:
        """Twice what chance makes, and large enough to matter."""
        return max(0.05, 2 * self.by_chance)

    @property
    def surprising(self) -> bool:
        """Whether it is above the limit."""
        return self.distance > self.limit


def divergences(
    left: Mapping[str, Any], right: Mapping[str, Any], label: str = "label"
) -> list[Divergence]:
    """Returns the distance of each feature and label, the largest first.

    Args:
      left: The statistics of a split, as `statistics.json` has them.
      right: Those of another one.
      label: What to call the label.
    """
    found = []
    for name, entry in left["features"].items():
        other = right["features"].get(name)
        if other is not None and (one := cells(entry)) and (two := cells(other)):
            found.append(_divergence(name, one, two))
    if "label_counts" in left and "label_counts" in right:
        found.append(_divergence(label, left["label_counts"], right["label_counts"]))
    for name, own in left.get("labels", {}).items():
        other = right.get("labels", {}).get(name, {})
        if "label_counts" in own and "label_counts" in other:
            called = f"{name} (label)"
            found.append(_divergence(called, own["label_counts"], other["label_counts"]))
    return sorted(found, key=lambda entry: -entry.distance)


def cells(entry: Mapping[str, Any]) -> list[int]:
    """Returns how many values fall into each bin, or are each frequent value; missing ones last."""
    if "histogram" in entry:
        return [*entry["histogram"]["counts"], entry["missing"]]
    if "frequent" in entry:
        counts = [item["count"] for item in entry["frequent"]]
        return [*counts, entry["others"], entry["out_of_vocabulary"], entry["missing"]]
    return []


def _divergence(name: str, left: Sequence[int], right: Sequence[int]) -> Divergence:
    size = max(len(left), len(right))
    one, two = (
        np.pad(np.array(counts, float), (0, size - len(counts))) for counts in (left, right)
    )
    if not one.sum() or not two.sum():
        return Divergence(name, 0.0, 0.0)
    chance = (np.count_nonzero(one + two) - 1) / (8 * np.log(2)) * (1 / one.sum() + 1 / two.sum())
    bits = jensen_shannon_bits(one / one.sum(), two / two.sum())
    return Divergence(name, float(np.sqrt(max(0.0, bits))), float(np.sqrt(min(1.0, chance))))
