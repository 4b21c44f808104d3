"""Columns that say too much: those that give the label away, and those that repeat another."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.init.features import MOST_ONE_HOT, percent
from skewless.beam_pipelines.init.profile import Profile
from skewless.beam_pipelines.init.vocabulary import by_chance

__all__ = ["GIVES_AWAY", "SUSPICIOUS", "Leak", "codes_of", "duplicates", "leaks", "ranks_of"]

_ROWS = 20_000
_BINS = 32
_FEWEST_OTHERS = 5
_FEWEST_PRESENT = 60
GIVES_AWAY = 0.98
SUSPICIOUS = 0.90


@dataclass(frozen=True)
class Leak:
    """A column that predicts the label nearly by itself; `certain` where it surely gives it away."""

    column: str
    why: str
    certain: bool


def leaks(profiles: Mapping[str, Profile], label: Profile) -> list[Leak]:
    """Returns the columns that give the label away.

    A column alone, half of the rows looked up in the other half, must get no more than 98% of the
    way from the commonest class to the truth, nor whether it has a value at all, as a date of death has
    one for the dead only; of a number the rank correlation counts.
    """
    if label.multivalued:
        return []
    chosen = _chosen(label.rows)
    by_rank = label.share_of_numbers > 0.99 and label.distinct > 20
    truth = ranks_of(label)[chosen] if by_rank else codes_of(label)[chosen]
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
    ranks = ranks_of(profile)[chosen]
    both = np.isfinite(ranks) & np.isfinite(truth)
    if both.sum() < 30 or not ranks[both].std() or not truth[both].std():
        return None
    correlation = abs(float(np.corrcoef(ranks[both], truth[both])[0, 1]))
    if correlation < SUSPICIOUS:
        return None
    why = f"its order is nearly the label's (rank correlation {correlation:.3f})"
    return Leak(profile.name, why, correlation >= GIVES_AWAY)


def _by_class(
    profile: Profile, truth: np.ndarray, chosen: np.ndarray, label: Profile
) -> Leak | None:
    held = _holds_label(profile, label, chosen)
    if held > GIVES_AWAY:
        return Leak(profile.name, f"{percent(held)} of its texts contain the label's value", True)
    if profile.share_of_numbers > 0.99 and profile.distinct > _BINS:
        codes = _binned(profile)[chosen]
    else:
        codes = codes_of(profile)[chosen]
    usable = truth >= 0
    codes, classes = codes[usable], truth[usable]
    present = codes >= 0
    found = [(codes, classes, "alone it tells {} of labels (the commonest: {})")]
    if not present.all():
        # Of a column with a value of its own in each row this is all that there is to look up.
        why = "whether it has a value tells {} of labels (the commonest: {})"
        found.insert(0, (present, classes, why))
    if _FEWEST_PRESENT <= present.sum() < len(codes):
        why = "where it has a value it tells {} of labels (the commonest: {})"
        found.append((codes[present], classes[present], why))
    told = []
    for looked_up, answers, why in found:
        shares = _looked_up(looked_up.astype(np.int64), answers)
        if shares is None:
            continue
        right, base = shares
        gain = (right - base) / max(1e-9, 1 - base)
        if gain >= SUSPICIOUS:
            why = why.format(percent(right), percent(base))
            told.append(Leak(profile.name, why, gain >= GIVES_AWAY))
    return next((leak for leak in told if leak.certain), next(iter(told), None))


def _looked_up(codes: np.ndarray, classes: np.ndarray) -> tuple[float, float] | None:
    """Returns which share of half of the rows the other half tells, and the share of the commonest class.

    Every other row is looked up, so that of rows that come in pairs one tells the other; where that
    half has other values, as where two shops take turns, a half by chance. None if that has too, or
    hardly any row is not of the commonest class: a few are told by chance.
    """
    for half in (np.arange(len(codes)) % 2 == 0, by_chance(len(codes), 0.5)):
        if not half.any() or half.all():
            continue
        best = _commonest(codes[half], classes[half])
        asked, answers = codes[~half], classes[~half]
        looked_up = np.array([best.get(code, -1) for code in asked.tolist()])
        known = looked_up >= 0
        if known.mean() >= 0.5:
            answers, looked_up = answers[known], looked_up[known]
            counts = np.bincount(answers)
            if len(answers) - counts.max() < _FEWEST_OTHERS:
                continue
            return float((looked_up == answers).mean()), float(counts.max() / len(answers))
    return None


def duplicates(profiles: Mapping[str, Profile], numbers: Container[str]) -> dict[str, str]:
    """Returns the columns that say the same as another one, by name, with that one's name.

    The same text in every row, or each value of one going with one value of the other, and of numbers
    in the same order or the reverse: a share of voters in each county says more than the county's
    number. Of two alike the first is kept, but of a number and words the words, and of more than
    twelve words the number too: its order may tell something of the words that few rows hold. Columns
    are found by a digest of each, so that the work grows with their number and not with its square.

    Args:
      profiles: The columns.
      numbers: The names of those that are features as numbers, not as categories.
    """
    found: dict[str, str] = {}
    kept: dict[bytes, list[Profile]] = {}
    for name, profile in profiles.items():
        if profile.multivalued or profile.distinct < 2:
            continue
        alike = kept.setdefault(_digest(profile), [])
        for at, other in enumerate(alike):
            if not _as_many(profile, other):
                continue
            if (name in numbers) != (other.name in numbers):
                number, words = (profile, other) if name in numbers else (other, profile)
                if words.distinct > MOST_ONE_HOT:
                    continue
                found[number.name] = words.name
                alike[at] = words
                break
            if name not in numbers or _same_order(profile, other):
                found[name] = other.name
                break
        else:
            alike.append(profile)
    return found


def _same_order(one: Profile, other: Profile) -> bool:
    """Whether numbers that go together one to one rise together, or one falls where the other rises."""
    pairs = np.unique(np.stack([_row_numbers(one), _row_numbers(other)]), axis=1)
    steps = np.diff(pairs[1][np.isfinite(pairs).all(axis=0)])
    return bool((steps >= 0).all() or (steps <= 0).all())


def _digest(profile: Profile) -> bytes:
    """Returns the same for columns that say the same.

    Any two columns of unique values go together one to one: of those the texts count. Of others it
    is enough which rows have one value: codes are given in the order in which values occur.
    """
    encoded = pc.dictionary_encode(profile.values.take(pa.array(_chosen(profile.rows))))
    codes = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int32)
    digest = hashlib.blake2b(codes.tobytes(), digest_size=16)
    if profile.occurrences < 2 or profile.rows < 50:
        for text in encoded.dictionary.to_pylist():
            digest.update(b"%d:" % len(text) + text.encode())
    return digest.digest()


def _as_many(one: Profile, other: Profile) -> bool:
    """Whether two columns that agree where they were compared hold as much in all rows."""
    most = max(one.distinct, other.distinct)
    return abs(one.distinct - other.distinct) <= 0.01 * most and one.present == other.present


def _chosen(rows: int) -> np.ndarray:
    return np.unique(np.linspace(0, rows - 1, min(rows, _ROWS)).astype(np.int64))


def codes_of(profile: Profile) -> np.ndarray:
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


def ranks_of(profile: Profile) -> np.ndarray:
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
    # One number for both; NumPy takes ten times as long for unique pairs.
    many = int(classes.max()) + 1
    pairs, counts = np.unique(codes.astype(np.int64) * many + classes, return_counts=True)
    pairs = pairs[np.argsort(counts, kind="stable")]
    return dict(zip((pairs // many).tolist(), (pairs % many).tolist(), strict=True))


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
