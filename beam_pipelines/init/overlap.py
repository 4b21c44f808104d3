"""Columns that say too much: those that give the label away, and those that repeat another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.init.features import percent
from skewless.beam_pipelines.init.profile import Profile

__all__ = ["Leak", "duplicates", "leaks"]

_ROWS = 20_000
_BINS = 32
_GIVES_AWAY = 0.98
_SUSPICIOUS = 0.90


@dataclass(frozen=True)
class Leak:
    """A column that predicts the label nearly by itself; `certain` where it surely gives it away."""

    column: str
    why: str
    certain: bool


def leaks(profiles: Mapping[str, Profile], label: Profile) -> list[Leak]:
    """Returns the columns that give the label away.

    A column alone, half of the rows looked up in the other half, must get no more than 98% of the
    way from the commonest class to the truth; of a number the rank correlation counts.
    """
    if label.multivalued:
        return []
    chosen = _chosen(label.rows)
    by_rank = label.share_of_numbers > 0.99 and label.distinct > 20
    truth = _ranks(label)[chosen] if by_rank else _codes(label)[chosen]
    found: list[Leak] = []
    for name, profile in profiles.items():
        if name == label.name or profile.multivalued or not profile.present:
            continue
        leak = (
            _by_rank(profile, truth, chosen)
            if by_rank
            else _by_class(profile, truth, chosen, label)
        )
        if leak is not None:
            found.append(leak)
    return found


def _by_rank(profile: Profile, truth: np.ndarray, chosen: np.ndarray) -> Leak | None:
    if profile.share_of_numbers < 0.99:
        return None
    ranks = _ranks(profile)[chosen]
    both = np.isfinite(ranks) & np.isfinite(truth)
    if both.sum() < 30 or not ranks[both].std() or not truth[both].std():
        return None
    correlation = abs(float(np.corrcoef(ranks[both], truth[both])[0, 1]))
    if correlation < _SUSPICIOUS:
        return None
    why = f"its order is nearly the label's (rank correlation {correlation:.3f})"
    return Leak(profile.name, why, correlation >= _GIVES_AWAY)


def _by_class(
    profile: Profile, truth: np.ndarray, chosen: np.ndarray, label: Profile
) -> Leak | None:
    held = _holds_label(profile, label, chosen)
    if held > _GIVES_AWAY:
        return Leak(profile.name, f"{percent(held)} of its texts contain the label's value", True)
    if profile.share_of_numbers > 0.99 and profile.distinct > _BINS:
        codes = _binned(profile)[chosen]
    else:
        codes = _codes(profile)[chosen]
    usable = (codes >= 0) & (truth >= 0)
    codes, classes = codes[usable], truth[usable]
    half = np.arange(len(codes)) % 2 == 0
    if not half.any() or half.all():
        return None
    best = _commonest(codes[half], classes[half])
    asked, answers = codes[~half], classes[~half]
    looked_up = np.array([best.get(code, -1) for code in asked.tolist()])
    known = looked_up >= 0
    if known.mean() < 0.5:
        return None
    base = float(np.bincount(answers[known]).max() / known.sum())
    right = float((looked_up[known] == answers[known]).mean())
    gain = (right - base) / max(1e-9, 1 - base)
    if gain < _SUSPICIOUS:
        return None
    why = f"alone it tells {percent(right)} of labels (the commonest: {percent(base)})"
    return Leak(profile.name, why, gain >= _GIVES_AWAY)


def duplicates(profiles: Mapping[str, Profile]) -> dict[str, str]:
    """Returns the columns that say the same as an earlier one, by name, with that one's name.

    The same text in every row, or each value of one going with one value of the other.
    """
    found: dict[str, str] = {}
    kept: list[tuple[Profile, np.ndarray]] = []
    for name, profile in profiles.items():
        if profile.multivalued or profile.distinct < 2:
            continue
        codes = _codes(profile)[_chosen(profile.rows)]
        twin = next((other for other, its in kept if _same(profile, codes, other, its)), None)
        if twin is None:
            kept.append((profile, codes))
        else:
            found[name] = twin.name
    return found


def _same(left: Profile, left_codes: np.ndarray, right: Profile, right_codes: np.ndarray) -> bool:
    if abs(left.distinct - right.distinct) > 0.01 * max(left.distinct, right.distinct):
        return False
    if left.present != right.present:
        return False
    if (
        left.occurrences < 2 or left.rows < 50
    ):  # Any two columns of unique values go together one to one: compare what they say.
        if left.values.type != right.values.type:
            return False
        return bool(left.values.equals(right.values))
    pairs = np.unique(left_codes.astype(np.int64) * (right_codes.max() + 2) + right_codes)
    return len(pairs) == len(np.unique(left_codes)) == len(np.unique(right_codes))


def _chosen(rows: int) -> np.ndarray:
    return np.unique(np.linspace(0, rows - 1, min(rows, _ROWS)).astype(np.int64))


def _codes(profile: Profile) -> np.ndarray:
    """Returns [rows] int64, the same for the same value, -1 where there is none."""
    encoded = pc.dictionary_encode(profile.values)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), np.int64)


def _row_numbers(profile: Profile) -> np.ndarray:
    numbers = np.full(profile.rows, np.nan)
    numbers[profile.values.is_valid().to_numpy(zero_copy_only=False)] = profile.numbers
    return numbers


def _binned(profile: Profile) -> np.ndarray:
    numbers = _row_numbers(profile)
    held = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[held], np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.where(held, np.searchsorted(edges, numbers, side="right"), -1)


def _ranks(profile: Profile) -> np.ndarray:
    """Returns [rows] float64, equal numbers equal ranks, NaN where there is none."""
    numbers = _row_numbers(profile)
    held = np.isfinite(numbers)
    _, inverse, counts = np.unique(numbers[held], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = np.full(len(numbers), np.nan)
    ranks[held] = (ends - (counts - 1) / 2)[inverse]
    return ranks


def _commonest(codes: np.ndarray, classes: np.ndarray) -> dict[int, int]:
    """Returns the class seen most with each code."""
    pairs, counts = np.unique(np.stack([codes, classes]), axis=1, return_counts=True)
    best: dict[int, int] = {}
    for place in np.argsort(counts, kind="stable").tolist():
        best[int(pairs[0, place])] = int(pairs[1, place])
    return best


def _holds_label(profile: Profile, label: Profile, chosen: np.ndarray) -> float:
    """Returns the share of texts that contain their row's label, if labels are words."""
    if (
        label.characters < 3
        or label.share_of_numbers > 0.5
        or profile.characters < label.characters
    ):
        return 0.0
    some = pa.array(chosen[:2_000])
    texts, labels = profile.values.take(some).to_pylist(), label.values.take(some).to_pylist()
    both = [(text, word) for text, word in zip(texts, labels, strict=True) if text and word]
    return sum(word.lower() in text.lower() for text, word in both) / max(1, len(both))
