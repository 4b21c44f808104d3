"""Columns of plain numbers, thousands at a time: what they hold and how they go with the label.

A block is a matrix [rows, columns], sorted by column once; from that come the counts, quantiles,
ranks and the digest that tells columns which say the same. The questions are those that `profile`
and `overlap` ask of one column.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.init.columns import together
from skewless.beam_pipelines.init.features import percent
from skewless.beam_pipelines.init.overlap import GIVES_AWAY, SUSPICIOUS, Leak, codes_of, ranks_of
from skewless.beam_pipelines.init.profile import CODE, Profile, numbers_of
from skewless.schemas.rows.canonical import without_missing

__all__ = ["Numbers", "Truth", "number_blocks"]

_BINS = 32
_FEWEST_RANKED = 30
_FEWEST_TO_GO_TOGETHER = 50
_CELLS = 8 << 20
_LOOKED_AT = 100
# How unlikely it must be that any column of the table tells as much of the label by chance.
_BY_CHANCE = 0.01


@dataclass(frozen=True)
class Numbers:
    """A column whose every value is a finite number.

    Attributes:
      name: The column.
      present: Rows with a value.
      missing_share: Share of rows without one.
      distinct: Different numbers.
      integral: Whether every number is whole.
      low: The smallest.
      high: The largest.
      told_apart: Different numbers as float32.
      codes: Share of the values that are digits with a zero before others.
      heavy: Whether the outermost tenth reaches over more than three times the range of the rest.
      digest: The same for columns that say the same: where the same rows have one number, or,
        where numbers hardly recur, the same numbers.
      leak: What the column tells of the label, where that is suspiciously much.
    """

    name: str
    present: int
    missing_share: float
    distinct: int
    integral: bool
    low: float
    high: float
    told_apart: int
    codes: float
    heavy: bool
    digest: bytes
    leak: Leak | None


@dataclass(frozen=True)
class Truth:
    """The label, by rank where it is a number, else by class; no values where it is a list."""

    ranks: np.ndarray | None = None
    classes: np.ndarray | None = None

    @classmethod
    def of(cls, label: Profile) -> Truth:
        if label.multivalued:
            return cls()
        if label.share_of_numbers > 0.99 and label.distinct > 20:
            return cls(ranks=ranks_of(label))
        return cls(classes=codes_of(label))


def number_blocks(
    columns: Mapping[str, pa.Array], missing: Sequence[str], truth: Truth | None
) -> Iterator[Numbers]:
    """Yields the columns that hold finite numbers only, or nothing.

    Args:
      columns: [rows] string by name.
      missing: Texts that mean there is no value.
      truth: The label's ranks or classes, if there is a label.
    """
    names = list(columns)
    size = max((columns[name].nbytes for name in names[:_LOOKED_AT]), default=0)
    for some in together(names, size):
        texts = without_missing(pa.concat_arrays([columns[name] for name in some]), missing)
        matrix = numbers_of(texts).reshape(len(some), -1).T
        held = texts.is_valid().to_numpy(zero_copy_only=False).reshape(len(some), -1).T
        plain = ~((~np.isfinite(matrix)) & held).any(axis=0)
        kept = [name for name, fit in zip(some, plain.tolist(), strict=True) if fit]
        if kept:
            codes = pc.match_substring_regex(texts, CODE).fill_null(False)
            shares = codes.to_numpy(zero_copy_only=False).reshape(len(some), -1).mean(axis=1)
            yield from _looked_at(kept, matrix[:, plain], shares[plain], truth, len(columns))


def _looked_at(
    names: Sequence[str],
    matrix: np.ndarray,
    zeros: np.ndarray,
    truth: Truth | None,
    columns: int,
) -> Iterator[Numbers]:
    """Yields what each column of [rows, columns] float64 holds; NaN where there is no value.

    `zeros` is the share of codes of each column, [columns] float64.
    """
    rows = len(matrix)
    order = np.argsort(matrix, axis=0, kind="stable")
    ranked = np.take_along_axis(matrix, order, axis=0)
    present = np.isfinite(ranked).sum(axis=0)
    there = np.arange(rows)[:, None] < present
    starts = there & _begins(ranked)
    distinct = starts.sum(axis=0)
    with np.errstate(over="ignore"):
        told_apart = (there & _begins(ranked.astype(np.float32))).sum(axis=0)
    integral = (np.where(there, ranked == np.floor(ranked), True)).all(axis=0) & (present > 0)
    low, first, last, high = _quantiles(ranked, present, (0, 0.05, 0.95, 1))
    heavy = np.maximum(high - last, first - low) > 3 * np.maximum(last - first, 1e-12)
    partition = _by_row(order, _first_rows(order, starts))
    partition[~np.isfinite(matrix)] = -1
    recurring = (2 * distinct <= present) & (rows >= _FEWEST_TO_GO_TOGETHER)
    found: list[Leak | None] = [None] * len(names)
    if truth is not None and truth.ranks is not None:
        ranks = _by_row(order, _mean_ranks(starts, present))
        ranks[~np.isfinite(matrix)] = np.nan
        found = _leaks_by_rank(names, ranks, truth.ranks)
    elif truth is not None and truth.classes is not None:
        codes = _by_row(order, _binned(starts, distinct, present))
        codes[~np.isfinite(matrix)] = -1
        found = _leaks_by_class(names, codes, truth.classes, columns)
    for at, name in enumerate(names):
        yield Numbers(
            name,
            int(present[at]),
            1 - int(present[at]) / rows,
            int(distinct[at]),
            bool(integral[at]),
            float(low[at]),
            float(high[at]),
            int(told_apart[at]),
            float(zeros[at]),
            bool(heavy[at]),
            _digest(partition[:, at] if recurring[at] else matrix[:, at]),
            found[at],
        )


def _begins(ranked: np.ndarray) -> np.ndarray:
    """Returns [rows, columns] bool: where a number is another than the one before it."""
    begins = np.ones(ranked.shape, bool)
    begins[1:] = ranked[1:] != ranked[:-1]
    return begins


def _digest(column: np.ndarray) -> bytes:
    return hashlib.blake2b(column.tobytes(), digest_size=16).digest()


def _by_row(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Puts [rows, columns] values of the sorted matrix back where they came from."""
    result = np.empty_like(values)
    np.put_along_axis(result, order, values, axis=0)
    return result


def _group_begins(starts: np.ndarray) -> np.ndarray:
    """Returns for each place of the sorted matrix where the run of its number begins."""
    places = np.where(starts, np.arange(len(starts), dtype=np.int32)[:, None], 0)
    return np.maximum.accumulate(places, axis=0)


def _first_rows(order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Returns the first row that holds the number: the same rows, the same answer."""
    return np.take_along_axis(order.astype(np.int32), _group_begins(starts), axis=0)


def _mean_ranks(starts: np.ndarray, present: np.ndarray) -> np.ndarray:
    begins = _group_begins(starts)
    rows = len(starts)
    following = np.full(starts.shape, rows, np.int32)
    following[:-1] = np.where(starts[1:], np.arange(1, rows, dtype=np.int32)[:, None], rows)
    ends = np.minimum(np.minimum.accumulate(following[::-1], axis=0)[::-1], present)
    return (begins + ends + 1) / 2


def _binned(starts: np.ndarray, distinct: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Returns few numbers as they are, many as bins of equal size, equal ones in one bin."""
    each = np.cumsum(starts, axis=0, dtype=np.int32) - 1
    bins = _group_begins(starts) * _BINS // np.maximum(present, 1)
    return np.where(distinct <= _BINS, each, bins).astype(np.int32)


def _quantiles(
    ranked: np.ndarray, present: np.ndarray, shares: Sequence[float]
) -> Iterator[np.ndarray]:
    for share in shares:
        place = np.maximum(present - 1, 0) * share
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(present - 1, 0))
        lower = np.take_along_axis(ranked, below[None], axis=0)[0]
        upper = np.take_along_axis(ranked, above[None], axis=0)[0]
        yield lower + (upper - lower) * (place - below)


def _leaks_by_rank(names: Sequence[str], ranks: np.ndarray, truth: np.ndarray) -> list[Leak | None]:
    both = np.isfinite(ranks) & np.isfinite(truth)[:, None]
    count = np.maximum(both.sum(axis=0), 1)
    x = np.where(both, ranks, 0.0)
    y = np.where(both, truth[:, None], 0.0)
    x = np.where(both, x - x.sum(axis=0) / count, 0.0)
    y = np.where(both, y - y.sum(axis=0) / count, 0.0)
    spread = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    correlation = np.abs((x * y).sum(axis=0)) / np.where(spread > 0, spread, np.inf)
    correlation[both.sum(axis=0) < _FEWEST_RANKED] = 0.0
    return [
        Leak(name, f"its order is nearly the label's (rank correlation {r:.3f})", r >= GIVES_AWAY)
        if r >= SUSPICIOUS
        else None
        for name, r in zip(names, correlation.tolist(), strict=True)
    ]


def _leaks_by_class(
    names: Sequence[str], codes: np.ndarray, classes: np.ndarray, columns: int
) -> list[Leak | None]:
    """Looks up half of the rows in the other half, as `overlap` does for one column."""
    usable = classes >= 0
    codes, classes = codes[usable], classes[usable]
    most = int(classes.max()) + 1 if len(classes) else 0
    step = max(1, _CELLS // max(1, _BINS * most))
    found: list[Leak | None] = []
    for begin in range(0, len(names), step):
        some = codes[:, begin : begin + step]
        width = some.shape[1]
        place = np.arange(width)[None, :] * (_BINS + 1) + some + 1
        half = np.arange(len(classes)) % 2 == 0
        seen = np.bincount(
            (place[half] * most + classes[half, None]).ravel(),
            minlength=width * (_BINS + 1) * most,
        ).reshape(-1, most)
        best = np.where(seen.any(axis=1), seen.argmax(axis=1), -1)
        best[:: _BINS + 1] = -1
        looked_up, answers = best[place[~half]], classes[~half, None]
        known = looked_up >= 0
        asked = known.sum(axis=0)
        held = np.arange(width)[None, :] * most + answers
        commonest = np.bincount(held[known], minlength=width * most).reshape(width, most)
        there = (some[~half] >= 0).sum(axis=0)
        right = ((looked_up == answers) & known).sum(axis=0) / np.maximum(asked, 1)
        base = commonest.max(axis=1) / np.maximum(asked, 1)
        for at, name in enumerate(names[begin : begin + step]):
            enough = asked[at] and asked[at] >= 0.5 * there[at]
            found.append(
                _leak(name, float(right[at]), float(base[at]), int(asked[at]), columns)
                if enough
                else None
            )
    return found


def _leak(name: str, right: float, base: float, asked: int, columns: int) -> Leak | None:
    gain = (right - base) / max(1e-9, 1 - base)
    # Of 100,000 columns some tell ten labels right by chance.
    surprise = asked * -math.log(max(base, 1e-9))
    if gain < SUSPICIOUS or surprise < math.log(columns / _BY_CHANCE):
        return None
    why = f"alone it tells {percent(right)} of labels (the commonest: {percent(base)})"
    return Leak(name, why, gain >= GIVES_AWAY)
