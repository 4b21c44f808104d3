"""Options that mean something only beside another, or without it: declared, and checked at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from skewless.schemas.errors import UsageError

__all__ = ["OptionRule", "check_options"]


@dataclass(frozen=True)
class OptionRule:
    """Where options may be given.

    Attributes:
      options: Names as parsed; None stands for not given.
      other: The option that decides.
      beside: Whether they go with `other`, or only without it.
      remedy: What one is told who gives them where they do not go.
    """

    options: tuple[str, ...]
    other: str
    beside: bool
    remedy: str


def check_options(known: argparse.Namespace, rules: Sequence[OptionRule]) -> None:
    """Refuses the first option that does not go with what else is given.

    Raises:
      UsageError: If there is one.
    """
    for rule in rules:
        if (getattr(known, rule.other) is not None) == rule.beside:
            continue
        for option in rule.options:
            if getattr(known, option) is not None:
                raise UsageError(f"{_shown(option)}: {rule.remedy}")


def _shown(option: str) -> str:
    # The one argument without dashes of those that rules are on.
    return "RECORDS" if option == "records" else f"--{option.replace('_', '-')}"
