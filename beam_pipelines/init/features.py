"""What to make of a column: a text, a category, several of them, a number, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from skewless.beam_pipelines.init.kinds.lists import sequence_feature
from skewless.beam_pipelines.init.kinds.names import (
    counts_rows,
    counts_time,
    is_identifier,
    is_index,
    is_long,
    mostly_one,
)
from skewless.beam_pipelines.init.kinds.times import time_feature
from skewless.beam_pipelines.init.kinds.unspaced import cut_of
from skewless.beam_pipelines.init.profile import Profile
from skewless.beam_pipelines.init.vocabulary import (
    Vocabulary,
    entries_of_text,
    entries_of_values,
    vocabulary,
)

__all__ = [
    "MOST_ONE_HOT",
    "Guess",
    "Kind",
    "guess_category",
    "guess_feature",
    "left_out",
    "without_number",
]

Kind = Literal[
    "text", "category", "identifier", "categories", "number", "numbers", "time",
    "key", "label", "sequence", "split", "near-unique", "constant", "empty", "date", "unreadable",
    "leak", "duplicate", "unexamined", "meeting", "history", "newcomers",
]  # fmt: skip

MOST_ONE_HOT = 12
_TEXT_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_LIST_LENGTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


@dataclass(frozen=True)
class Guess:
    """What a column is taken for.

    Attributes:
      column: The column.
      kind: In one word.
      why: From which figures of the sample.
      feature: The declaration, or None where the column is left out.
    """

    column: str
    kind: Kind
    why: str
    feature: dict[str, Any] | None = field(default=None)


def left_out(column: str, kind: Kind, why: str) -> Guess:
    """Returns the guess that a column is no feature."""
    return Guess(column, kind, why)


def guess_feature(profile: Profile) -> Guess:
    """Decides on one column by its values, and by its name only where values cannot tell."""
    name = profile.name
    if not profile.present:
        return left_out(name, "empty", "no row has a value")
    if profile.missing_share > 0.995:
        return left_out(name, "empty", f"{percent(profile.missing_share)} of rows have no value")
    if profile.multivalued:
        return _list(profile)
    if profile.distinct == 1:
        value = next(iter(profile.counts))
        if not profile.missing_share:
            return left_out(name, "constant", f"every row holds {value[:40]!r}")
    dates = profile.share_of_dates > 0.95
    if (dates or profile.share_of_numbers > 0.99) and (time := time_feature(profile)) is not None:
        return Guess(name, "time", f"{time[1]}{_missing(profile)}", time[0])
    if dates:
        return left_out(
            name,
            "date",
            "dates, but written in several ways, or none tells the month from the day: declare a timestamp, "
            "whose `dates` says which comes first",
        )
    if profile.share_of_numbers > 0.99 and not profile.codes:
        return _number(profile)
    if _is_text(profile):
        return _text(profile)
    if profile.occurrences < 1.25 and profile.distinct > 20:
        return left_out(
            name, "near-unique", f"a value occurs {profile.occurrences:.1f} times: nothing to learn"
        )
    return guess_category(profile)


def percent(share: float) -> str:
    """Returns a share in percent, with as many digits as it needs."""
    if 0 < share < 0.0005:
        return "under 0.1%"
    return f"{100 * share:.1f}%" if 0 < share < 0.1 else f"{100 * share:.0f}%"


def _is_text(profile: Profile) -> bool:
    varied = min(1.0, 1 / profile.occurrences)
    # Two letters are about a word where no spaces are.
    words = max(profile.words, profile.unspaced / 2 - 1)
    return (words >= 2.5 and varied > 0.2) or (words >= 1.6 and varied > 0.5)


def _text(profile: Profile) -> Guess:
    cut = cut_of(profile.unspaced, profile.characters)
    entries = entries_of_text(profile, cut)
    lengths = entries.lengths[entries.lengths > 0]
    length, longer = _length(lengths, _TEXT_LENGTHS, 0.95)
    words = vocabulary(entries, profile.total, 5 if profile.total >= 200_000 else 2)
    feature: dict[str, Any] = {
        "type": "text",
        **cut,
        "weighting": "tf_idf",
        "length": length,
        **_vocabulary(words),
        "embedding": 64 if entries.distinct > 5_000 else 32,
    }
    middle = int(np.median(lengths)) if len(lengths) else 0
    why = (
        f"{'letters and pairs of them, for want of spaces: ' if cut else ''}"
        f"{middle} tokens at the median; {length} would cut {percent(longer)} of texts; "
        f"{_oov(words, profile)}{_missing(profile)}"
    )
    return Guess(profile.name, "text", why, feature)


def guess_category(profile: Profile, *, whatever: bool = False) -> Guess:
    """Returns the guess of a category.

    Args:
      profile: Of the column.
      whatever: Makes an embedding of it, however few its values are or often new ones.
    """
    entries = entries_of_values(profile)
    distinct = profile.estimated_distinct
    feature: dict[str, Any]
    if distinct <= MOST_ONE_HOT and not whatever:
        feature = {"type": "categorical", "embedding": "one_hot"}
        why = f"{distinct} values: {_shown(profile)}{_missing(profile)}"
        return Guess(profile.name, "category", why, feature)
    rare = _rare_share(profile)
    values = vocabulary(entries, profile.total, 2 if rare > 0.001 else 1)
    if values.oov_share > 0.7 and not whatever:
        why = f"{percent(values.oov_share)} of its values are new ones: too little to learn"
        return left_out(profile.name, "near-unique", why)
    feature = {"type": "categorical", **_vocabulary(values), **_oov_buckets(values)}
    feature["embedding"] = _width(distinct)
    kind: Kind = "identifier" if is_identifier(profile.name) or distinct > 1_000 else "category"
    about = "" if profile.rows >= profile.total else "about "
    why = (
        f"{about}{distinct:,} values, each {profile.occurrences:,.0f} times on average; "
        f"{_oov(values, profile)}{_missing(profile)}"
    )
    return Guess(profile.name, kind, why, feature)


def _list(profile: Profile) -> Guess:
    name = profile.name
    feature: dict[str, Any]
    lengths = profile.lengths[profile.lengths > 0]
    if profile.separator is None and profile.share_of_numbers > 0.99 and not profile.integral:
        widths = np.unique(lengths)
        if len(widths) == 1:
            feature = {"type": "numeric", "length": int(widths[0]), "scale": "z_score"}
            why = f"lists of {widths[0]} numbers{_missing(profile)}"
            return Guess(name, "numbers", why, feature)
    length, cut = _length(lengths, _LIST_LENGTHS, 0.99)
    if (sequence := sequence_feature(profile, length)) is not None:
        feature, what = sequence
        why = (
            f"lists of {lengths.min()} to {lengths.max()} {what}; {length} would cut {percent(cut)} of "
            f"rows{_missing(profile)}"
        )
        return Guess(name, "sequence", why, feature)
    entries = entries_of_values(profile)
    values = vocabulary(entries, profile.total, 2 if _rare_share(profile) > 0.001 else 1)
    feature = {"type": "categorical", "length": length}
    if profile.separator:
        feature["separator"] = profile.separator
    feature |= {**_vocabulary(values), **_oov_buckets(values)}
    feature["embedding"] = _width(profile.estimated_distinct)
    how = f"cut at {profile.separator!r}" if profile.separator else "lists"
    why = (
        f"{how}: {lengths.mean():.1f} of {profile.distinct:,} values a row; {length} would cut "
        f"{percent(cut)} of rows; {_oov(values, profile)}{_missing(profile)}"
    )
    return Guess(name, "categories", why, feature)


def _number(profile: Profile) -> Guess:
    numbers = profile.numbers[np.isfinite(profile.numbers)]
    name = profile.name
    if profile.distinct <= 2:
        feature: dict[str, Any] = {"type": "categorical", "embedding": "one_hot"}
        why = f"{profile.distinct} values: {_shown(profile)}{_missing(profile)}"
        return Guess(name, "category", why, feature)
    if profile.integral and (is_identifier(name) or _names_things(profile, numbers)):
        if profile.occurrences < 1.25:
            return left_out(name, "near-unique", "a number that names each row anew")
        return guess_category(profile)
    if profile.integral and is_index(name) and profile.distinct == len(numbers):
        return left_out(
            name, "near-unique", "the index of a pandas frame: it counts rows that were"
        )
    if _counts_rows(profile, numbers) and not counts_time(name):
        return left_out(name, "near-unique", "counts the rows: nothing to learn")
    low, first, middle, last, high = np.quantile(numbers, (0, 0.05, 0.5, 0.95, 1))
    # The outermost tenth of the values reaches over more than three times the range of the rest.
    heavy = max(high - last, first - low) > 3 * max(last - first, 1e-12)
    feature = {"type": "numeric", "scale": "log1p" if heavy and low >= 0 else "z_score"}
    if heavy and low < 0:
        clip = [float(f"{edge:.4g}") for edge in np.quantile(numbers, (0.005, 0.995))]
        if clip[0] < clip[1]:
            feature["clip"] = clip
    feature |= without_number(heavy, profile.missing_share)
    feature["embedding"] = "piecewise_linear"
    why = f"{low:.6g} to {high:.6g}, median {middle:.6g}"
    why += ", a long tail" if heavy else ""
    unfit = len(profile.numbers) - len(numbers)
    if unfit:
        why += f"; {unfit:,} values are no numbers: preprocess rejects their rows"
    return Guess(name, "number", why + _missing(profile), feature)


def without_number(heavy: bool, missing_share: float) -> dict[str, Any]:
    """Returns what a row without its number counts as.

    Also where the sample has none: a row that is served may lack it, and 0 is no number like the others.

    Args:
      heavy: Whether numbers have a long tail.
      missing_share: Share of rows without one.
    """
    missing = {"missing": "median" if heavy else "mean"}
    return {**missing, "indicator": True} if missing_share >= 0.01 else missing


def _names_things(profile: Profile, numbers: np.ndarray) -> bool:
    """Whether whole numbers are so long that they name things: as numbers most would be the same."""
    long = sum(1 for value in profile.counts if is_long(value))
    told_apart = len(np.unique(numbers.astype(np.float32)))
    return long * 2 > profile.distinct or mostly_one(told_apart, profile.distinct)


def _counts_rows(profile: Profile, numbers: np.ndarray) -> bool:
    """Whether numbers only count the rows."""
    span = float(numbers.max() - numbers.min()) + 1
    return profile.integral and counts_rows(span, profile.distinct, profile.rows, profile.total)


def _length(lengths: np.ndarray, ladder: tuple[int, ...], share: float) -> tuple[int, float]:
    """Returns the first rung that keeps at least `share` of the rows whole, and the share it cuts."""
    if not len(lengths):
        return ladder[0], 0.0
    wanted = int(np.quantile(lengths, share, method="inverted_cdf"))
    length = next((rung for rung in ladder if rung >= wanted), ladder[-1])
    length = min(length, max(1, int(lengths.max())))
    return length, float((lengths > length).mean())


def _vocabulary(found: Vocabulary) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if found.max_size:
        entry["max_size"] = found.max_size
    if found.min_count > 1:
        entry["min_count"] = found.min_count
    return {"vocabulary": entry} if entry else {}


def _oov_buckets(found: Vocabulary) -> dict[str, Any]:
    return {"oov_buckets": 4} if found.oov_share > 0.05 else {}


def _oov(found: Vocabulary, profile: Profile) -> str:
    share = percent(found.oov_share)
    exact = profile.rows >= profile.total or found.oov_share < 0.0005
    return f"{'' if exact else 'at most '}{share} out of vocabulary"


def _missing(profile: Profile) -> str:
    return f"; {percent(profile.missing_share)} missing" if profile.missing_share > 0 else ""


def _rare_share(profile: Profile) -> float:
    """Returns the share of values that occur once in the sample."""
    once = sum(1 for count in profile.counts.values() if count == 1)
    return once / max(1, len(profile.flat))


def _width(distinct: int) -> int:
    return 8 if distinct <= 100 else 16 if distinct <= 1_000 else 32 if distinct <= 50_000 else 64


def _shown(profile: Profile) -> str:
    values = list(profile.counts)
    return ", ".join(value[:20] for value in values[:4]) + (", …" if len(values) > 4 else "")
