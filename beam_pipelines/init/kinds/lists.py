"""Columns of lists: sequences of numbers and of times, and which stand beside lists of categories."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from skewless.beam_pipelines.init.profile import Profile

__all__ = ["put_beside", "sequence_feature"]

_WEIGHTS = re.compile(r"(^|_)(weight|score|confidence|probabilit|relevance)", re.IGNORECASE)
_SEQUENCES = ("numeric_sequence", "time_gaps")


def sequence_feature(profile: Profile, length: int) -> tuple[dict[str, Any], str] | None:
    """Returns the declaration of lists of numbers or of times, and what they are; None if neither.

    Args:
      profile: Of the column.
      length: Steps to keep.
    """
    cut = {"separator": profile.separator} if profile.separator else {}
    if profile.share_of_dates > 0.95:
        return {"type": "time_gaps", "length": length, **cut}, "times"
    if profile.share_of_numbers > 0.99 and not profile.integral:
        return {"type": "numeric_sequence", "length": length, **cut, "scale": "z_score"}, "numbers"
    return None


def put_beside(features: dict[str, Any], profiles: Mapping[str, Profile]) -> dict[str, Any]:
    """Returns features of which sequences stand beside the lists of categories that they are as long as.

    A list of numbers that is named as one of weights becomes the weights of those categories.

    Args:
      features: Guesses by the feature's name.
      profiles: By column.
    """
    found = dict(features)
    for name, guess in features.items():
        own = guess.feature or {}
        if own.get("type") not in _SEQUENCES:
            continue
        other = _as_long(features, profiles, guess)
        if other is None:
            continue
        beside = found[other]
        declared = beside.feature or {}
        weights = own["type"] == "numeric_sequence" and _WEIGHTS.search(guess.column)
        if weights and "weights" not in declared:
            del found[name]
            found[other] = dataclasses.replace(
                beside,
                feature={**declared, "weights": guess.column},
                why=f"{beside.why}; weighed by {guess.column}, of as many numbers",
            )
            continue
        feature = {**own, "beside": other, "length": declared["length"]}
        why = f"{guess.why}; as many as {other}"
        found[name] = dataclasses.replace(guess, feature=feature, why=why)
    return found


def _as_long(
    features: Mapping[str, Any], profiles: Mapping[str, Profile], guess: Any
) -> str | None:
    """Returns the one feature of categories whose lists are as long in every row, and differ in length."""
    own = profiles.get(guess.column)
    if own is None or len(np.unique(own.lengths)) < 2:
        return None
    alike = [
        name
        for name, other in features.items()
        if (other.feature or {}).get("type") == "categorical"
        and "length" in (other.feature or {})
        and other.column in profiles
        and profiles[other.column].separator == own.separator
        and np.array_equal(profiles[other.column].lengths, own.lengths)
    ]
    return alike[0] if len(alike) == 1 else None
