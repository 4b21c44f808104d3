"""What can become of a file, and the table of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["BAD", "KINDS", "FoundError", "Outcome", "Read", "table"]

GOOD = ("ok", "rejected", "refused")
BAD = ("TRACEBACK", "UNCLEAR", "DIFFERS", "UNCOUNTED", "HANG", "CRASH")
KINDS = (*GOOD, *BAD)


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
      file: Its path, as given.
      family: What sort of file it is: its ending, or a family of the generated corpus.
      kind: `ok` (every row read), `rejected` (some rows, each with a reason), `refused` (the file as
        a whole, with a line that names it); or what must not be: `TRACEBACK` (an exception not our
        own), `UNCLEAR` (a refusal that does not name the file, or is no readable line), `DIFFERS`
        (other rows than Python's csv or json, or other rows by another cut), `UNCOUNTED` (rows read
        are not those written and rejected), `HANG`, `CRASH` (the process died, or asked for too much
        memory).
      level: Where: `init`, `read`, `rows as KIND`, `cut`, `preprocess`.
      detail: The refusal, the first difference, or the traceback.
      read: Records of the file.
      rejected: Those of them rejected, every column read as text.
      reasons: Rejections by record number: column and reason.
      seconds: How long it took.
    """

    file: str
    family: str
    kind: str
    level: str = ""
    detail: str = ""
    read: int = 0
    rejected: int = 0
    reasons: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        return self.kind in BAD

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class FoundError(Exception):
    """What must not be, where an attempt finds it."""

    def __init__(self, kind: str, level: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.level, self.detail = kind, level, detail


@dataclass
class Read:
    """What a spec made of a file: values by record number, and the rejections."""

    values: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    reasons: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    read: int = 0


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns the counts by family and kind, kinds that must not be only where there are any."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.family, Counter())[outcome.kind] += 1
    total = Counter(outcome.kind for outcome in outcomes)
    kinds = [kind for kind in KINDS if kind in GOOD or total[kind]]
    lines = [["family", "files", *kinds]]
    for family, count in [*sorted(counts.items()), ("all", total)]:
        lines.append([family, str(count.total()), *(str(count[kind] or "") for kind in kinds)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    )
