"""The constants that a transform graph is built from."""

from __future__ import annotations

from dataclasses import dataclass, field

from skewless.beam_pipelines.transform.numeric import NumericConstants

__all__ = ["Constants"]


@dataclass(frozen=True)
class Constants:
    """What the transform graph is built from.

    Attributes:
      vocabularies: The file of each counted vocabulary, by its owner's name.
      numbers: The constants of each numeric feature, or label, that is scaled or bucketed.
      growth: Of each vocabulary that was grown, how many entries were added, and how many
        found no room.
    """

    vocabularies: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, NumericConstants] = field(default_factory=dict)
    growth: dict[str, tuple[int, int]] = field(default_factory=dict)
