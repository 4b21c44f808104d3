"""What a tuning gave: its trials, the best of them, and whether that is more than luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from skewless.model.comparison.result import Comparison

__all__ = ["TrialResult", "Tuned", "scored", "shown"]


@dataclass(frozen=True)
class TrialResult:
    """A trial that ended.

    Attributes:
      number: From 0, which is the spec as declared.
      settings: By knob.
      score: The eval metric; None of a trial that was given up.
      epochs: How many it was trained for.
      seconds: How long it took.
      reason: Why it has no score.
    """

    number: int
    settings: Mapping[str, Any]
    score: float | None
    epochs: int
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Tuned:
    """All trials, and the comparison of the best with the spec as declared.

    Attributes:
      metric: What was chosen by, of eval.
      unit: Of the metric, empty where it has none.
      trials: In their order.
      best: The number of the best.
      changed: The values that the best spec has and the declared one has not, by key.
      spec: Where the best spec lies.
      comparison: Of both specs over seeds; None where it was left out, or they are the same.
    """

    metric: str
    unit: str
    trials: tuple[TrialResult, ...]
    best: int
    changed: Mapping[str, Any]
    spec: str
    comparison: Comparison | None

    def as_json(self) -> dict[str, Any]:
        """Returns plain dicts, lists, strings and numbers."""
        comparison = self.comparison.as_json() if self.comparison else None
        trials = [asdict(trial) for trial in self.trials]
        return {**asdict(self), "trials": trials, "comparison": comparison}

    def __str__(self) -> str:
        """Returns the trials, the best first, what the best changed, and the comparison."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        best = next(trial for trial in self.trials if trial.number == self.best)
        ended = sum(trial.score is not None for trial in self.trials)
        others = len(self.trials) - ended
        yield (
            f"{ended} trials to their end, {others} given up; best eval {self.metric} "
            f"{scored(best, self.unit)} of trial {best.number}, of trial 0 (as declared) "
            f"{scored(self.trials[0], self.unit)}"
        )
        if not self.changed:
            yield "no trial was better than the spec as it is declared"
        for key, value in self.changed.items():
            yield f"  {key}: {shown(value)}"
        yield f"the best spec: {self.spec}"
        if self.comparison:
            yield str(self.comparison)


def shown(value: Any) -> str:
    """Returns a setting as a line tells it."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value)


def scored(trial: TrialResult, unit: str = "") -> str:
    """Returns a trial's score in its unit, or why it has none."""
    if trial.score is None:
        return trial.reason
    return f"{trial.score:.6g} {unit}" if unit else f"{trial.score:.5f}"
