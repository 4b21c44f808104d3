"""Knobs: what a trial may turn, each a range of numbers or a choice of values of the spec's keys.

None changes a record. What the spec declares is always among what a knob can be set to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Choice", "Chooser", "Knob", "Range", "choice"]


class Chooser(Protocol):
    """What sets knobs: a trial of Optuna."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Returns a number between the two."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        """Returns one of the choices."""


class Knob(Protocol):
    """What a trial may turn."""

    @property
    def name(self) -> str:
        """What a person calls it: the key that it sets, or what the keys have in common."""

    @property
    def declared(self) -> Any:
        """What it is set to by the spec, as it is kept of a trial."""

    def set_by(self, chooser: Chooser) -> Any:
        """Returns what a trial sets it to."""

    def values(self, setting: Any) -> dict[str, Any]:
        """Returns the values by key that a setting stands for."""

    def __str__(self) -> str:
        """Returns what it can be set to."""


@dataclass(frozen=True)
class Range:
    """A number between two.

    Attributes:
      name: The key.
      declared: What the spec has.
      low: The least.
      high: The largest.
      log: Whether its logarithm is what is spread evenly.
    """

    name: str
    declared: float
    low: float
    high: float
    log: bool = False

    def set_by(self, chooser: Chooser) -> float:
        """Returns the number that a trial sets it to."""
        return chooser.suggest_float(self.name, self.low, self.high, log=self.log)

    def values(self, setting: float) -> dict[str, Any]:
        """Returns the key's value, with three digits that count unless it is the declared one."""
        same = math.isclose(setting, self.declared, rel_tol=1e-12)
        return {self.name: self.declared if same else float(f"{setting:.3g}")}

    def __str__(self) -> str:
        """Returns the two ends."""
        return f"{self.low:.3g} to {self.high:.3g}" + (" (log)" if self.log else "")


@dataclass(frozen=True)
class Choice:
    """One of several settings, each of one key or of several together.

    Attributes:
      name: The key, or what the keys have in common.
      declared: The name of the setting that the spec has.
      settings: Values by key, by the setting's name.
    """

    name: str
    declared: str
    settings: Mapping[str, Mapping[str, Any]]

    def set_by(self, chooser: Chooser) -> str:
        """Returns the name of the setting that a trial chooses."""
        return str(chooser.suggest_categorical(self.name, list(self.settings)))

    def values(self, setting: str) -> dict[str, Any]:
        """Returns the values by key of a setting."""
        return dict(self.settings[setting])

    def __str__(self) -> str:
        """Returns the settings' names."""
        return ", ".join(self.settings)


def choice(key: str, declared: Any, others: Sequence[Any]) -> Choice:
    """Returns a choice between values of one key.

    Args:
      key: Of the spec.
      declared: Its value, as JSON has it.
      others: Other values; the declared one may be among them.
    """
    settings: dict[str, dict[str, Any]] = {}
    for value in (declared, *others):
        settings.setdefault(_named(value), {key: value})
    return Choice(key, _named(declared), settings)


def _named(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
