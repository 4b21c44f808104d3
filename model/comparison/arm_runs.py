"""What an arm's runs gave, gathered as they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.model.comparison.arms import Arm
from skewless.model.comparison.result import ArmResult
from skewless.model.metrics.names import flat_metrics
from skewless.model.training.epoch.kept import kept_epoch
from skewless.schemas.errors import UsageError, nearest

__all__ = ["ArmRuns"]


@dataclass
class ArmRuns:
    """What an arm's runs gave so far."""

    parameters: int
    best_by: str
    scores: list[float | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epochs: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    half_intervals: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, path: Path, metrics: dict[str, Any] | str, split: str, metric: str) -> None:
        """Adds what a run gave: its metrics, or why it has none.

        Raises:
          UsageError: If its metrics have no such number.
        """
        self.paths.append(str(path))
        if isinstance(metrics, str):
            self.scores.append(None)
            self.failures.append(f"{path.name}: {metrics}")
            return
        values = flat_metrics(metrics[split])
        score = values.get(metric)
        if metric not in values or not isinstance(score, int | float | None):
            numbers = sorted(name for name, value in values.items() if isinstance(value, float))
            raise UsageError(
                f"--metric {metric}: expected one of {', '.join(numbers)}{nearest(metric, numbers)}"
            )
        if score is None:
            self.failures.append(
                f"{path.name}: {metric} is undefined on {split}; choose --metric loss"
            )
        self.scores.append(score)
        self.seconds.append(metrics["seconds"])
        self.best_epochs.append(1 + kept_epoch(metrics["history"], self.best_by))
        interval = flat_metrics(metrics["confidence"].get(split, {})).get(metric)
        if interval is not None:
            self.half_intervals.append((interval[1] - interval[0]) / 2)

    def result(self, arm: Arm) -> ArmResult:
        """Returns what all of them gave."""
        half = self.half_intervals
        return ArmResult(
            name=arm.name,
            values=arm.values,
            parameters=self.parameters,
            scores=tuple(self.scores),
            seconds=tuple(self.seconds),
            best_epochs=tuple(self.best_epochs),
            runs=tuple(self.paths),
            half_interval=sum(half) / len(half) if half else None,
            failures=tuple(self.failures),
        )
