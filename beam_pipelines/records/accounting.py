"""Accounting: no record may be lost, whatever runner did the work.

Records are counted when the training rows are read for analysis and again when all rows are
written, unit by unit, before any is checked. The plan, which knows where each unit of a file
begins, and the shards' own row counts are further witnesses.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skewless.beam_pipelines.records.parts import Part
from skewless.beam_pipelines.rows.seen_labels import most_seen
from skewless.beam_pipelines.sources import WorkUnit
from skewless.schemas.errors import AccountingError, DataError, TooManyRejectedError
from skewless.schemas.records.manifest import Rows
from skewless.schemas.rows.reasons import hides_rows

__all__ = ["UnitAccount", "account", "check_rejected"]


@dataclass
class UnitAccount:
    """What became of each record of a work unit; `labels` are values seen, for messages."""

    order: int
    file: str
    read: int = 0
    written: int = 0
    rejected: int = 0
    duplicate: int = 0
    reasons: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


def account(
    units: Sequence[WorkUnit],
    counted: Mapping[int, int],
    accounts: Sequence[UnitAccount],
    parts: Sequence[Part],
) -> Rows:
    """Returns the job's row counts.

    Args:
      units: What was planned.
      counted: Records that the analysis read, by unit order; empty when nothing was analysed.
      accounts: What the writing stage says of each unit.
      parts: The files it left.

    Raises:
      AccountingError: If a unit, a row or a file is lost or repeated.
    """
    orders = Counter(entry.order for entry in accounts)
    wrong = {unit.order: orders[unit.order] for unit in units if orders[unit.order] != 1}
    if wrong:
        raise AccountingError(
            f"of {len(units)} work units, {len(wrong)} were not written exactly once "
            f"(order: times) {dict(list(wrong.items())[:5])}; the runner lost or repeated work. {_REMEDY}"
        )
    read = {entry.order: entry.read for entry in accounts}
    for unit, following in itertools.pairwise(units):
        planned = following.first_row - unit.first_row
        if unit.file == following.file and read[unit.order] != planned:
            raise AccountingError(
                f"{unit.file}: rows {unit.first_row} to {following.first_row - 1} were planned, "
                f"{read[unit.order]} records were read. {_REMEDY}"
            )
    for entry in accounts:
        expected = counted.get(entry.order, entry.read)
        if entry.read != expected:
            raise AccountingError(
                f"{entry.file}: {expected} records were read for analysis, {entry.read} for writing; "
                "the file changed while the job ran; run it again"
            )
    if counted and len(counted) != len(units):
        raise AccountingError(f"analysis saw {len(counted)} of {len(units)} work units. {_REMEDY}")
    rows = Rows(
        read=sum(entry.read for entry in accounts),
        written=sum(part.rows for part in parts if part.kind == "records"),
        rejected=sum(part.rows for part in parts if part.kind == "rejected"),
        duplicate=sum(entry.duplicate for entry in accounts),
    )
    if rows.read != rows.written + rows.rejected + rows.duplicate:
        raise AccountingError(
            f"rows read {rows.read} != written {rows.written} + rejected {rows.rejected} "
            f"+ duplicate {rows.duplicate}. {_REMEDY}"
        )
    if not rows.read:
        raise DataError("the input holds no rows; check --input")
    return rows


_REMEDY = "Nothing was left at the output. Run with --direct_num_workers=1, and report this"


def check_rejected(
    rows: Rows,
    accounts: Sequence[UnitAccount],
    max_rejected: float,
    where: str,
    *,
    learning: bool = False,
) -> None:
    """Refuses a job of which too large a share was rejected; where rows are learned from, all of them.

    What cannot be read of a file's end may be any number of rows: only a share of 1 allows it.

    Raises:
      TooManyRejectedError: With the most frequent reasons, and where the rows are; with the files of
        which the rest cannot be read.
    """
    if max_rejected < 1:
        _refuse_unread(accounts, where)
    share = rows.rejected / rows.read
    none_left = learning and rows.rejected == rows.read
    if share <= max_rejected and not none_left:
        return
    limit = "so none is left" if none_left else f"more than --max-rejected {max_rejected:g} allows"
    remedy = "mend them" if none_left else "mend them, or raise --max-rejected"
    reasons: Counter[tuple[str | None, str]] = Counter()
    for entry in accounts:
        reasons.update(entry.reasons)
    lines = "".join(
        f"\n  {count:>8,}  {column or 'row'}: {reason}"
        for (column, reason), count in reasons.most_common(10)
    )
    labels: Counter[str] = Counter()
    for entry in accounts:
        labels.update(entry.labels)
    if any(reason.startswith("expected a label") for _, reason in reasons):
        lines += f"\nLabel values seen: {most_seen(labels)}"
    raise TooManyRejectedError(
        f"{rows.rejected:,} of {rows.read:,} rows ({share:.1%}) were rejected, {limit}:{lines}\n"
        f"The rows are in {where}; {remedy}"
    )


def _refuse_unread(accounts: Sequence[UnitAccount], where: str) -> None:
    unread = [
        f"{entry.file}: {reason}"
        for entry in accounts
        for _, reason in entry.reasons
        if hides_rows(reason)
    ]
    if not unread:
        return
    more = f"\n  and {len(unread) - 10:,} more" if len(unread) > 10 else ""
    lines = "".join(f"\n  {line}" for line in unread[:10])
    raise TooManyRejectedError(
        f"what is behind a damage may be any number of rows, and is lost:{lines}{more}\n"
        "Write or copy the files again, or take what could be read of them with --max-rejected 1; "
        f"where each ends is in {where}"
    )
