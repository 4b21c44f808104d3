"""What kind of label a column is: classes, yes or no, a number, several classes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.init.features import percent
from skewless.beam_pipelines.init.kinds.names import mostly_one
from skewless.beam_pipelines.init.profile import Profile, numbers_of
from skewless.schemas.errors import DataError
from skewless.schemas.rows.label_values import NEGATIVE_WORDS, POSITIVE_WORDS, label_text

__all__ = ["LabelGuess", "guess_label", "likely_label"]

_NAMES = ("label", "target", "class", "y", "outcome", "rating")
_MOST_CLASSES = 1_000
_MOST_NUMBERED_CLASSES = 20
# A label of such a name is no count, though its classes may be numbered by how often they occur.
_CLASSES = re.compile(
    r"(^|[\W_])(class|label|category|cluster|group|kind|type|species|segment)(es|s)?([\W_]|$)",
    re.IGNORECASE,
)
# Of whole numbers that are counts: how many there are, and in how few rows the largest is.
_FEWEST_COUNTS, _RARE = 5, 10


@dataclass(frozen=True)
class LabelGuess:
    """A declared label, from which figures, and what else it could be."""

    declared: dict[str, Any]
    why: str
    otherwise: tuple[str, ...] = ()


def likely_label(columns: Iterable[str]) -> str | None:
    """Returns the column that its name calls the label, if one does."""
    by_name = {column.lower(): column for column in columns}
    return next((by_name[name] for name in _NAMES if name in by_name), None)


def guess_label(profile: Profile, *, several: bool = False) -> LabelGuess:
    """Decides what is to be predicted of a column.

    Args:
      profile: Of the column.
      several: Whether it is one of several labels.

    Raises:
      DataError: If nothing can be learned from it, or not beside other labels.
    """
    known, strays = _numbers_alone(profile)
    guess = _guess(known, named=bool(strays))
    if several and guess.declared["type"] == "multilabel":
        raise DataError(
            f"--label {profile.name}: holds {guess.why}, which several labels do not take; name it "
            "alone, or leave it out"
        )
    if strays:
        held = f"hold {strays[0][:20]!r}" if len(strays) == 1 else "hold what is no number"
        none = len(profile.flat) - len(known.flat)
        told = f"; {none:,} rows {held} and will be rejected"
        guess = replace(guess, why=guess.why + told)
    if profile.missing_share > 0 and "empty" not in guess.declared:
        lacking = "teach the other labels" if several else "will be rejected"
        told = f"; {percent(profile.missing_share)} of rows have none and {lacking}"
        return LabelGuess(guess.declared, guess.why + told, guess.otherwise)
    return guess


def _numbers_alone(profile: Profile) -> tuple[Profile, list[str]]:
    """Returns a column of numbers without the few texts among them, such as a header's, and those."""
    if profile.multivalued or profile.codes or not 0.99 < profile.share_of_numbers < 1:
        return profile, []
    numbers = pa.array(np.isfinite(numbers_of(profile.values)))
    strays = pc.unique(profile.values.filter(pc.invert(numbers)).drop_null()).to_pylist()
    values = pc.if_else(numbers, profile.values, pa.scalar(None, pa.string()))
    return replace(profile, values=values), strays


def _guess(profile: Profile, *, named: bool) -> LabelGuess:
    """Decides of the values; `named` declares classes, so that others in the data are none."""
    name, values = profile.name, list(profile.counts)
    if profile.multivalued:
        several: dict[str, Any] = {"column": name, "type": "multilabel"}
        if profile.separator:
            several["separator"] = profile.separator
        why = f"several of {profile.distinct:,} classes a row"
        if profile.missing_share > 0:
            several["empty"] = "no_classes"
            why += f"; {percent(profile.missing_share)} of rows name none and are taken for rows of none"
        return LabelGuess(several, why)
    if profile.distinct < 2:
        raise DataError(
            f"--label {name}: expected at least two values, got {profile.distinct} in "
            f"{profile.rows:,} rows; name another column"
        )
    numeric = profile.share_of_numbers > 0.99 and not profile.codes
    groups = _same_but_for_writing(values)
    if len(groups) == 2:
        return _binary(profile, groups)
    if numeric and not (profile.integral and profile.distinct <= _MOST_NUMBERED_CLASSES):
        return _regression(profile)
    if numeric and not _CLASSES.search(name) and _counts_things(profile):
        found = _regression(profile)
        classes = f"{{column: {_text(name)}, type: multiclass}}"
        return LabelGuess(found.declared, f"counts: {found.why}", (classes,))
    if profile.distinct > _MOST_CLASSES or profile.occurrences < 3:
        raise DataError(
            f"--label {name}: {profile.distinct:,} different texts in {profile.rows:,} rows are too "
            "many for classes; name another column, or, to generate the text, declare a label of "
            "type sequence (schemas/examples/seq2seq.yaml shows one)"
        )
    rarest = values[-1]
    why = f"{profile.distinct} classes; the rarest, {rarest!r}, {profile.counts[rarest]:,} times in the sample"
    otherwise: tuple[str, ...] = ()
    if numeric:
        upper = sorted(values, key=float)[-max(1, len(values) * 2 // 5) :]
        otherwise = (
            f"{{column: {_text(name)}, type: binary, positive: [{', '.join(upper)}]}}",
            f"{{column: {_text(name)}, type: regression, scale: z_score}}",
        )
    declared: dict[str, Any] = {"column": name, "type": "multiclass"}
    if named:
        declared["classes"] = [_plain(value) for value in sorted(values, key=float)]
    return LabelGuess(declared, why, otherwise)


def _binary(profile: Profile, groups: list[list[str]]) -> LabelGuess:
    counts = profile.counts
    sides = sorted(groups, key=lambda group: sum(counts[value] for value in group))
    total = sum(counts.values())
    share = percent(sum(counts[value] for value in sides[0]) / total)
    known = {label_text(value).lower() for group in groups for value in group}
    declared: dict[str, Any] = {"column": profile.name, "type": "binary"}
    if known <= {*POSITIVE_WORDS, *NEGATIVE_WORDS} and len(known & {*POSITIVE_WORDS}) == 1:
        positive = next(group for group in groups if label_text(group[0]).lower() in POSITIVE_WORDS)
        share = percent(sum(counts[value] for value in positive) / total)
        return LabelGuess(declared, f"{', '.join(sorted(known))}; {share} positive")
    declared["positive"], declared["negative"] = (
        [_plain(value) for value in side] for side in sides
    )
    why = f"two values; the rarer one ({share}) taken as positive"
    if len(counts) > 2:
        why = f"two values but for how they are written; the rarer one ({share}) taken as positive"
    return LabelGuess(declared, why)


def _regression(profile: Profile) -> LabelGuess:
    numbers = profile.numbers[np.isfinite(profile.numbers)]
    if mostly_one(len(np.unique(numbers.astype(np.float32))), len(np.unique(numbers))):
        raise DataError(
            f"--label {profile.name}: numbers from {numbers.min():.9g} to {numbers.max():.9g}, of which most are "
            "the same as float32, as labels are held; change the column: subtract what its numbers have in common"
        )
    low, middle, high = np.quantile(numbers, (0, 0.5, 0.99))
    heavy = low >= 0 and high > 10 * max(middle, 1e-12)
    declared = {
        "column": profile.name,
        "type": "regression",
        "scale": "log1p" if heavy else "z_score",
    }
    why = f"numbers, {low:.6g} to {numbers.max():.6g}, median {middle:.6g}"
    return LabelGuess(declared, why + (", a long tail" if heavy else ""))


def _counts_things(profile: Profile) -> bool:
    """Whether whole numbers say how many rather than which: from 0 on, ever rarer, down to a few rows.

    Or on both sides of 0, as goals scored less those let in.
    As classes the rarest would not be learned, and a row of one that no training row has would be rejected.
    """
    values = sorted(profile.counts, key=float)
    rows = np.array([profile.counts[value] for value in values])
    if float(values[0]) < 0:
        return len(values) >= _FEWEST_COUNTS
    if float(values[0]) or len(values) < _FEWEST_COUNTS or rows[-1] >= _RARE:
        return False
    tail = rows[rows.argmax() :]
    return bool(len(tail) > len(values) / 2 and (tail[1:] <= tail[:-1] + _RARE).all())


def _same_but_for_writing(values: list[str]) -> list[list[str]]:
    """Groups values that differ only in case, outer punctuation or a fraction of zero."""
    groups: dict[str, list[str]] = {}
    for value in values[: _MOST_CLASSES + 1]:
        bare = re.sub(r"[\s.,;:!]+$", "", label_text(value)).lower()
        groups.setdefault(bare, []).append(value)
    return list(groups.values())


def _plain(value: str) -> str | int:
    return int(value) if re.fullmatch(r"-?(0|[1-9]\d{0,14})", value) else value


def _text(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z]\w*", name) else json.dumps(name, ensure_ascii=False)
