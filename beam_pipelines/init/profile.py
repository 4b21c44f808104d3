"""What a column of the sample holds: counts of its values, numbers, words, parts.

A profile says what is there; what to make of it is decided in `features` and `label`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.init.kinds.unspaced import letters
from skewless.schemas.rows.canonical import without_missing

__all__ = ["CODE", "MISSING_TEXTS", "Profile", "missing_texts", "numbers_of", "profile", "spread"]

# Texts that stand for "no value": the first wherever they are seen, the rest among numbers and dates.
_ALWAYS_MISSING = (
    "?", "\\N", "N/A", "n/a", "#N/A", "NULL", "null", "(null)", "NaN", "nan", "<NA>",
)  # fmt: skip
_MISSING_AMONG_NUMBERS = (
    "NA", "na", "n.a.", "None", "none", "nil", "-", "--", "\u2013", "\u2014", ".", "..", ":", "unknown", "Unknown",
    "missing", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!",
)  # fmt: skip
MISSING_TEXTS = _ALWAYS_MISSING + _MISSING_AMONG_NUMBERS
_SEPARATORS = ("|", ";", ",", "\u3001", "\uff1b", "\uff0c")  # the last as in Chinese and Japanese
_TOGETHER_BYTES = 64 << 20
_LOOKED_AT = 5_000
# Digits with a zero before others, as `02139`.
CODE = r"^0[0-9]+$"
_MONTH = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = (
    r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    rf"|{_MONTH}[. -]+\d{{1,2}}(st|nd|rd|th)?[, -]+\d{{2,4}}|\d{{1,2}}[-/. ]*{_MONTH}[-/., ]*\d{{2,4}})([T ,].*)?$"
)


@dataclass(frozen=True)
class Profile:
    """A column of the sample.

    Attributes:
      name: The column.
      values: [rows] string, trimmed, or list<string>; null where there is no value.
      total: About how many rows all data hold.
      separator: What cuts a text into several values, if anything does.
    """

    name: str
    values: pa.Array
    total: int
    separator: str | None = None

    @property
    def rows(self) -> int:
        """Rows of the sample."""
        return len(self.values)

    @property
    def multivalued(self) -> bool:
        """Whether a row holds several values."""
        return bool(pa.types.is_list(self.values.type))

    @cached_property
    def present(self) -> int:
        """Rows with a value."""
        if self.multivalued:
            return int(np.count_nonzero(self.lengths))
        return len(self.values) - self.values.null_count

    @property
    def missing_share(self) -> float:
        """Share of rows without a value."""
        return 1 - self.present / self.rows

    @cached_property
    def lengths(self) -> np.ndarray:
        """[rows] values a row of a multivalued column."""
        lengths = pc.fill_null(pc.list_value_length(self.values), 0)
        return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)

    @cached_property
    def flat(self) -> pa.Array:
        """Every single value."""
        return pc.drop_null(pc.list_flatten(self.values) if self.multivalued else self.values)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each single value occurs, most frequent first."""
        found = pc.value_counts(self.flat)
        counts = found.field("counts").to_numpy()
        order = np.argsort(-counts, kind="stable")
        words = found.field("values").take(pa.array(order)).to_pylist()
        return dict(zip(words, counts[order].tolist(), strict=True))

    @property
    def distinct(self) -> int:
        """Different single values in the sample."""
        return len(self.counts)

    @cached_property
    def estimated_distinct(self) -> int:
        """Different values in all data, by Chao's estimate from values seen once and twice."""
        if self.rows >= self.total or not self.counts:
            return self.distinct
        seen = np.fromiter(self.counts.values(), np.int64)
        once, twice = int((seen == 1).sum()), int((seen == 2).sum())
        unseen = once * (once - 1) / (2 * (twice + 1))
        return min(round(self.distinct + unseen), round(len(self.flat) * self.total / self.rows))

    @cached_property
    def occurrences(self) -> float:
        """How often a value occurs in all data, on average."""
        everywhere = len(self.flat) * max(1.0, self.total / self.rows)
        return everywhere / max(1, self.estimated_distinct)

    @cached_property
    def numbers(self) -> np.ndarray:
        """[values] float64, every single value as a number; NaN where it is none."""
        return numbers_of(self.flat)

    @property
    def share_of_numbers(self) -> float:
        """Share of the values that are finite numbers."""
        return float(np.isfinite(self.numbers).mean()) if len(self.numbers) else 0.0

    @cached_property
    def integral(self) -> bool:
        """Whether every number is whole."""
        finite = self.numbers[np.isfinite(self.numbers)]
        return bool(len(finite) and (finite == np.floor(finite)).all())

    @property
    def codes(self) -> bool:
        """Whether digits are codes rather than numbers: some begin with a zero, as `02139` does."""
        return self.share_of_codes >= 0.002

    @cached_property
    def share_of_codes(self) -> float:
        """Share of the values that are digits with a zero before others."""
        return _share(self.flat, CODE)

    @cached_property
    def words(self) -> float:
        """Words a value, cut at white space, on average."""
        if not len(self.flat):
            return 0.0
        gaps = pc.count_substring_regex(spread(self.flat, _LOOKED_AT), r"\s+")
        return float(pc.mean(gaps).as_py()) + 1.0

    @cached_property
    def characters(self) -> float:
        """Characters a value, on average."""
        return float(pc.mean(pc.utf8_length(self.flat)).as_py() or 0.0)

    @cached_property
    def unspaced(self) -> float:
        """Letters a value, on average, of scripts that put no spaces between words."""
        return letters(spread(self.flat, _LOOKED_AT))

    @cached_property
    def share_of_dates(self) -> float:
        """Share of the values that are written as dates."""
        return _share(self.flat, _DATE)


def missing_texts(columns: Sequence[pa.Array]) -> tuple[str, ...]:
    """Returns the texts that stand for "no value" in any of the columns.

    Args:
      columns: [rows] string or list<string> each.
    """
    found: dict[str, None] = {}
    for values in _with_any(columns, (*_ALWAYS_MISSING, *_MISSING_AMONG_NUMBERS)):
        trimmed = pc.drop_null(without_missing(values, ()))
        candidates: tuple[str, ...] = _ALWAYS_MISSING
        rest = trimmed.filter(
            pc.invert(pc.is_in(trimmed, value_set=pa.array(_MISSING_AMONG_NUMBERS)))
        )
        rest = rest.filter(pc.invert(pc.is_in(rest, value_set=pa.array(_ALWAYS_MISSING))))
        numbers = len(rest) and np.isfinite(numbers_of(rest)).mean() > 0.95
        if numbers or _share(rest, _DATE) > 0.95:
            candidates += _MISSING_AMONG_NUMBERS
        there = set(
            pc.unique(trimmed.filter(pc.is_in(trimmed, value_set=pa.array(candidates)))).to_pylist()
        )
        found |= dict.fromkeys(text for text in candidates if text in there)
    return tuple(found)


def _with_any(columns: Sequence[pa.Array], texts: Sequence[str]) -> Iterator[pa.Array]:
    """Yields the columns of single values that hold any of the texts, many looked at together."""
    single = [values for values in columns if not pa.types.is_list(values.type)]
    wanted = pa.array(texts)
    begin = 0
    while begin < len(single):
        end, size = begin, 0
        while end < len(single) and (end == begin or size + single[end].nbytes < _TOGETHER_BYTES):
            size += single[end].nbytes
            end += 1
        long = pc.utf8_trim_whitespace(pa.concat_arrays(single[begin:end]))
        places = np.flatnonzero(
            pc.is_in(long, value_set=wanted).to_numpy(zero_copy_only=False)
        ) // max(1, len(single[begin]))
        for place in np.unique(places).tolist():
            yield single[begin + place]
        begin = end


def profile(name: str, values: pa.Array, total: int, missing: Sequence[str]) -> Profile:
    """Describes one column.

    Args:
      name: The column.
      values: [rows] string or list<string>.
      total: About how many rows all data hold.
      missing: Texts that mean there is no value.
    """
    if pa.types.is_list(values.type):
        return Profile(name, values, total)
    values = without_missing(values, missing)
    for separator in _SEPARATORS:
        if (parts := _cut(values, separator)) is not None:
            return Profile(name, parts, total, separator)
    return Profile(name, values, total)


def _cut(values: pa.Array, separator: str) -> pa.Array | None:
    """Returns lists of values, or None where the separator does not stand between values.

    What tells a list from a sentence with commas: its parts are short, few and recur, in any place.
    """
    present = pc.drop_null(values)
    holds = pc.match_substring(present, separator)
    if not len(present) or pc.mean(holds).as_py() < 0.1:
        return None
    parts = pc.split_pattern(present, separator)
    flat = pc.utf8_trim_whitespace(pc.list_flatten(parts))
    distinct = len(pc.unique(flat))
    if distinct * 5 > len(flat) or pc.mean(pc.count_substring_regex(flat, r"\s+")).as_py() > 1.5:
        return None
    offsets = parts.offsets.to_numpy()
    first = np.zeros(len(flat), bool)
    first[offsets[:-1]] = True
    firsts, later = flat.filter(pa.array(first)), flat.filter(pa.array(~first))
    if pc.mean(pc.is_in(later, value_set=pc.unique(firsts))).as_py() < 0.5:
        return None
    lists = pc.split_pattern(values, separator)
    items = without_missing(pc.list_flatten(lists), ())
    rows = np.asarray(pc.list_parent_indices(lists))[
        items.is_valid().to_numpy(zero_copy_only=False)
    ]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(values)))])
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), items.drop_null())


def spread(values: pa.Array, most: int) -> pa.Array:
    """Returns up to so many of the values, from all over: sorted ones differ from end to end."""
    if len(values) <= most:
        return values
    return values.take(pa.array(np.linspace(0, len(values) - 1, most).astype(np.int64)))


def _share(values: pa.Array, pattern: str) -> float:
    """Returns the share of values that a pattern matches, as far as some of them tell."""
    some = spread(values, _LOOKED_AT)
    return float(pc.mean(pc.match_substring_regex(some, pattern)).as_py()) if len(some) else 0.0


def numbers_of(texts: pa.Array) -> np.ndarray:
    """Returns [values] float64 of texts; NaN where one is no number."""
    try:
        parsed = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        looks = pc.match_substring_regex(texts, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
        parsed = pc.if_else(looks, texts, pa.scalar(None, pa.string())).cast(pa.float64())
    return np.asarray(parsed.fill_null(np.nan).to_numpy(zero_copy_only=False), np.float64)
