"""Tables of more columns than are worth a feature each: thousands of genes, sensors or pixels.

A spec of 100,000 features would tell nobody anything and train nothing. What helps is one feature of
many columns: of such a table every column of plain numbers is judged together with thousands of
others (`number_blocks`), and those of one declaration become one numeric feature. Of the other
columns only the first `MOST_CLOSE` are looked at one by one; the rest are named as not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from skewless.beam_pipelines.init.features import (
    Guess,
    Kind,
    guess_feature,
    left_out,
    percent,
    without_number,
)
from skewless.beam_pipelines.init.kinds.names import (
    LONG_NUMBER,
    counts_rows,
    is_identifier,
    is_index,
    mostly_one,
)
from skewless.beam_pipelines.init.kinds.times import named_as_time
from skewless.beam_pipelines.init.number_blocks import Numbers, Truth, number_blocks
from skewless.beam_pipelines.init.profile import Profile

__all__ = ["MOST_CLOSE", "Wide", "look_at_wide"]

MOST_CLOSE = 1_000
_UNEXAMINED = (
    f"of a table this wide only the first {MOST_CLOSE:,} columns that are no plain numbers are looked "
    "at; declare it by hand if it matters, or give `init` a table with fewer columns"
)


@dataclass(frozen=True)
class Wide:
    """What becomes of the columns of a wide table.

    Attributes:
      features: The joined features, by the name wanted.
      omitted: Columns left out.
      close: Columns to look at one by one, in the table's order.
      warnings: What a person should look at.
    """

    features: list[tuple[str, Guess]] = field(default_factory=list)
    omitted: list[Guess] = field(default_factory=list)
    close: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def look_at_wide(
    columns: Mapping[str, pa.Array],
    missing: Sequence[str],
    label: Profile | None,
    total: int,
    profiled: Callable[[str], Profile],
) -> Wide:
    """Decides on the columns of a table that has more of them than `MOST_CLOSE`.

    Args:
      columns: [rows] string or list<string> by name.
      missing: Texts that mean there is no value.
      label: What is to be predicted, if anything; it becomes no feature.
      total: About how many rows all data hold.
      profiled: Describes a column of these by itself.
    """
    named = [
        name
        for name, values in columns.items()
        if not pa.types.is_list(values.type) and (label is None or name != label.name)
    ]
    groups: dict[tuple[tuple[str, object], ...], list[Numbers]] = {}
    omitted: list[Guess] = []
    suspects: list[Numbers] = []
    taken: set[str] = set()
    twins: dict[bytes, str] = {}
    rows = len(next(iter(columns.values())))
    truth = Truth.of(label) if label is not None else None
    for numbers in number_blocks({name: columns[name] for name in named}, missing, truth):
        if _may_name(numbers, rows, total) and _names(numbers, profiled):
            continue
        taken.add(numbers.name)
        why = _why_not(numbers, twins)
        if why is not None:
            omitted.append(left_out(numbers.name, *why))
            continue
        suspects += [numbers] if numbers.leak is not None else []
        groups.setdefault(tuple(_declared(numbers).items()), []).append(numbers)
    others = [name for name in columns if name not in taken]
    first = [name for name in others if label is not None and name == label.name]
    close = {*first, *others[: MOST_CLOSE - len(first)]}
    unexamined = [name for name in others if name not in close]
    omitted += [left_out(name, "unexamined", _UNEXAMINED) for name in unexamined]
    return Wide(
        [_joined(dict(declared), members) for declared, members in groups.items()],
        omitted,
        [name for name in others if name in close],
        _warnings(len(columns), groups.values(), suspects, len(unexamined)),
    )


def _may_name(numbers: Numbers, rows: int, total: int) -> bool:
    """Whether whole numbers may be names, codes, times or count rows: what figures alone cannot tell.

    Where they are not, they are joined with the others.
    """
    if not numbers.integral:
        return False
    if max(abs(numbers.low), abs(numbers.high)) >= LONG_NUMBER:
        return True
    if numbers.distinct <= 2 and not numbers.codes:
        return is_identifier(numbers.name)
    name, span = numbers.name, numbers.high - numbers.low + 1
    return (
        is_identifier(name)
        or is_index(name)
        or named_as_time(name)
        or numbers.codes > 0
        or mostly_one(numbers.told_apart, numbers.distinct)
        or counts_rows(span, numbers.distinct, rows, total)
    )


def _names(numbers: Numbers, profiled: Callable[[str], Profile]) -> bool:
    """Whether a column is to be looked at by itself, as one of a narrow table would be."""
    return is_identifier(numbers.name) or guess_feature(profiled(numbers.name)).kind != "number"


def _why_not(numbers: Numbers, twins: dict[bytes, str]) -> tuple[Kind, str] | None:
    """Returns the kind and the reason of a column that is no feature."""
    if not numbers.present or numbers.missing_share > 0.995:
        return "empty", f"{percent(numbers.missing_share)} of rows have no value"
    if numbers.distinct == 1 and not numbers.missing_share:
        return "constant", f"every row holds {numbers.low:g}"
    if numbers.leak is not None and numbers.leak.certain:
        return "leak", numbers.leak.why
    twin = twins.setdefault(numbers.digest, numbers.name)
    return None if twin == numbers.name else ("duplicate", f"says the same as {twin}")


def _declared(numbers: Numbers) -> dict[str, object]:
    feature: dict[str, object] = {"type": "numeric"}
    feature["scale"] = "log1p" if numbers.heavy and numbers.low >= 0 else "z_score"
    return feature | without_number(numbers.heavy, numbers.missing_share)


def _joined(declared: dict[str, object], members: Sequence[Numbers]) -> tuple[str, Guess]:
    columns = [numbers.name for numbers in members]
    low, high = min(numbers.low for numbers in members), max(numbers.high for numbers in members)
    gaps = max(numbers.missing_share for numbers in members)
    why = f"{len(columns):,} columns of numbers joined, {low:.6g} to {high:.6g}"
    why += ", long tails" if declared["scale"] == "log1p" else ""
    why += f"; up to {percent(gaps)} missing" if gaps else ""
    if len(columns) == 1:
        return columns[0], Guess(columns[0], "number", why, {**declared, "column": columns[0]})
    stems = {re.sub(r"_?\d+$", "", column) for column in columns}
    feature = {"type": "numeric", **declared, "columns": columns}
    name = stems.pop() if len(stems) == 1 else "numbers"
    return name, Guess(columns[0], "numbers", why, feature)


def _warnings(
    columns: int,
    groups: Collection[Sequence[Numbers]],
    suspects: Sequence[Numbers],
    unexamined: int,
) -> list[str]:
    sizes = [len(members) for members in groups]
    warnings = [
        f"the width of the table: {columns:,} columns. {sum(sizes):,} columns of numbers are joined "
        f"into {len(sizes)} features (`columns`), each scaled by itself"
        + (f"; {unexamined:,} other columns were not looked at" if unexamined else "")
        + ". To choose among them, cut the lists of `columns`"
    ]
    told = [f"{numbers.name}: {numbers.leak.why}" for numbers in suspects[:5] if numbers.leak]
    if told:
        more = f"; and {len(suspects) - 5} more columns" if len(suspects) > 5 else ""
        warnings.append(f"{'; '.join(told)}{more}: are they known when a prediction is asked for?")
    return warnings
