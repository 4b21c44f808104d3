"""Reasons why a row is turned away: texts that know which part of them is the row's own."""

from __future__ import annotations

__all__ = [
    "Faults",
    "Reason",
    "hides_rows",
    "kind_as_written",
    "kind_of",
    "shown",
    "undecompressed",
    "unread",
]

# Why values are turned away, by their position.
Faults = dict[int, str]

_GOT = ", got "
_REST = "the rest of the file cannot be"


class Reason(str):
    """What was expected and what a row holds instead: `KIND, got GOT`, and perhaps more.

    A text everywhere else, so that files hold it as one.

    Attributes:
      kind: What was expected, the same for all rows of this fault, so that they can be counted.
      got: What the row holds, as it is shown.
    """

    kind: str
    got: str

    def __new__(cls, kind: str, got: object, more: str = "") -> Reason:
        """Writes the reason.

        Args:
          kind: What was expected.
          got: What the row holds.
          more: What comes after that, such as a remedy.
        """
        reason = super().__new__(cls, f"{kind}{_GOT}{got}{more}")
        reason.kind, reason.got = kind, str(got)
        return reason

    def __getnewargs__(self) -> tuple[str, str, str]:  # type: ignore[override]
        """Returns what a copy is made of."""
        return self.kind, self.got, self[len(self.kind) + len(_GOT) + len(self.got) :]


def kind_of(reason: str) -> str:
    """Returns a reason without the row's own part, so that reasons can be counted."""
    return reason.kind if isinstance(reason, Reason) else reason


def kind_as_written(text: str) -> str:
    """Returns the same of a reason that was read from a file, as far as it can be told."""
    return text.split(_GOT)[0]


def unread(problem: str) -> str:
    """Returns the reason of what stands in place of all rows behind a damage: how many is not known."""
    return f"{problem}: {_REST} read"


def undecompressed(problem: str) -> str:
    """Returns the same of a compressed stream that is damaged, or ends early."""
    return f"{_REST} decompressed: {problem}"


def hides_rows(reason: str) -> bool:
    """Whether a reason is one of those two: what it turns away is any number of rows."""
    return _REST in reason


def shown(value: object) -> str:
    """Returns how a value is shown in a reason: as Python writes it, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
