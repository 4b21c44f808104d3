"""What runs of several arms over the same seeds say: means, spreads, and which differences are real.

Arms and seeds form a randomized complete block design: each seed (initial weights, order of rows,
dropout) is a block in which every arm is run once. Two arms differ beyond the spread where their
means are further apart than Tukey's honestly significant difference, q(0.95; arms, df) ·
sqrt(MSE / seeds), MSE being what is left of the variance without arms and seeds, with
df = (arms - 1)(seeds - 1) (Montgomery, "Design and Analysis of Experiments", 4.1). It holds for all
pairs at once; with two arms it is the paired t-test. It takes the arms' variances for equal: one arm
of a far larger spread hides differences between the others.

The spread is over seeds only. What other rows would say is the interval of the split's metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.stats

__all__ = ["ArmResult", "Comparison", "Difference", "differences_of"]

_LEVEL = 0.05


@dataclass(frozen=True)
class ArmResult:
    """The runs of one arm.

    Attributes:
      name: As a person calls it.
      values: By varied key.
      parameters: What the model learns.
      scores: The metric of each seed's run; None where training could not go on.
      seconds: Of training, of each seed's run.
      best_epochs: The epoch whose weights were kept, of each seed's run.
      runs: Their directories.
      half_interval: Half the 95% interval over rows of the metric, on average; None without one.
      failures: Why runs without a score have none.
    """

    name: str
    values: Mapping[str, Any]
    parameters: int
    scores: tuple[float | None, ...]
    seconds: tuple[float, ...]
    best_epochs: tuple[int, ...]
    runs: tuple[str, ...]
    half_interval: float | None = None
    failures: tuple[str, ...] = ()

    @property
    def mean(self) -> float | None:
        """The mean score, where every run has one."""
        if any(score is None for score in self.scores):
            return None
        return float(np.mean(np.array(self.scores, float)))

    @property
    def spread(self) -> float | None:
        """The standard deviation of the scores over seeds (n - 1)."""
        if self.mean is None or len(self.scores) < 2:
            return None
        return float(np.std(np.array(self.scores, float), ddof=1))


@dataclass(frozen=True)
class Difference:
    """Two arms whose means differ beyond the spread; `p` is Tukey's, over all pairs."""

    better: str
    worse: str
    by: float
    p: float


def differences_of(
    scores: Mapping[str, Sequence[float]], *, higher_is_better: bool
) -> tuple[float | None, list[Difference]]:
    """Returns which arms differ beyond the spread.

    Args:
      scores: [seeds] by arm, the same seeds in the same order for each.
      higher_is_better: Whether more is better.

    Returns:
      The least difference of two means that is beyond the spread, None with fewer than two arms or
      seeds; and the pairs whose difference is, the largest first.
    """
    names = list(scores)
    table = np.array([scores[name] for name in names], float)
    arms, seeds = table.shape if table.ndim == 2 else (0, 0)
    if arms < 2 or seeds < 2:
        return None, []
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    freedom = (arms - 1) * (seeds - 1)
    error = float(np.sqrt((left**2).sum() / freedom / seeds))
    tukey = scipy.stats.studentized_range
    least = float(tukey.ppf(1 - _LEVEL, arms, freedom)) * error
    found = []
    for first, second in ((a, b) for a in range(arms) for b in range(a)):
        by = float(table[first].mean() - table[second].mean())
        # Where nothing varies, every difference is beyond the spread.
        if by == 0 or abs(by) <= least:
            continue
        ordered = (first, second) if (by > 0) == higher_is_better else (second, first)
        p = float(tukey.sf(abs(by) / error, arms, freedom)) if error else 0.0
        found.append(Difference(names[ordered[0]], names[ordered[1]], abs(by), p))
    return least, sorted(found, key=lambda entry: -entry.by)


@dataclass(frozen=True)
class Comparison:
    """All arms on the same records, for the same epochs and seeds.

    Attributes:
      records: The records directory.
      split: Where the metric is from.
      metric: Its name, as in `metrics.json`.
      higher_is_better: Whether more of it is better.
      epochs: Of every run, by the spec compared; an arm that varies it has its own.
      seeds: `training.seed` of the runs.
      arms: In the order they were named.
    """

    records: str
    split: str
    metric: str
    higher_is_better: bool
    epochs: int
    seeds: tuple[int, ...]
    arms: tuple[ArmResult, ...]

    def differences(self) -> tuple[float | None, list[Difference]]:
        """Returns what `differences_of` says of the arms that have all their scores."""
        scores = {
            arm.name: [float(score) for score in arm.scores if score is not None]
            for arm in self.arms
            if arm.mean is not None
        }
        return differences_of(scores, higher_is_better=self.higher_is_better)

    def as_json(self) -> dict[str, Any]:
        """Returns plain dicts, lists, strings and numbers."""
        least, found = self.differences()
        document = asdict(self)
        for arm, entry in zip(self.arms, document["arms"], strict=True):
            entry |= {"mean": arm.mean, "spread": arm.spread}
        document["least_difference"] = least
        document["differences"] = [asdict(entry) for entry in found]
        return document

    def __str__(self) -> str:
        """Returns the table, the best arm first, and what of it is beyond the spread."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        sign = -1 if self.higher_is_better else 1
        ranked = sorted(
            self.arms, key=lambda arm: (arm.mean is None, sign * (arm.mean or 0.0), arm.name)
        )
        width = max(len(arm.name) for arm in ranked)
        yield (
            f"{self.split} {self.metric}, {len(self.seeds)} seeds, {self.epochs} epochs each, the "
            "best epoch by eval kept"
        )
        yield (
            f"{'':<{width}}  {'mean':>9} {'spread':>9} {'parameters':>12} {'seconds':>8} "
            f"{'best epoch':>11}"
        )
        for arm in ranked:
            mean = "failed" if arm.mean is None else f"{arm.mean:.5f}"
            spread = "" if arm.spread is None else f"± {arm.spread:.5f}"
            epochs = sorted(set(arm.best_epochs))
            kept = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]}-{epochs[-1]}"
            yield (
                f"{arm.name:<{width}}  {mean:>9} {spread:>9} {arm.parameters:>12,} "
                f"{np.mean(arm.seconds):>8.1f} {kept if epochs else '':>11}"
            )
        for arm in ranked:
            for failure in arm.failures:
                yield f"{arm.name}: {failure}"
        yield from self._verdict(ranked)

    def _verdict(self, ranked: Sequence[ArmResult]) -> Iterator[str]:
        least, found = self.differences()
        if least is None:
            yield "no spread to compare with: give two arms and --seeds 2 at least"
            return
        whole = sum(arm.mean is not None for arm in ranked)
        pairs = whole * (whole - 1) // 2
        yield (
            f"differences above {least:.5f} are larger than the spread (Tukey's test over all pairs, "
            f"seeds as blocks, 5%): {len(found)} of {pairs}"
        )
        for entry in found:
            yield f"  {entry.better} is better than {entry.worse} by {entry.by:.5f} (p {entry.p:.2g})"
        half = [arm.half_interval for arm in ranked if arm.half_interval is not None]
        if half:
            yield (
                f"over other rows of as large a split, the {self.metric} may be off by ±{np.mean(half):.5f} "
                "(95%), which is no part of the spread"
            )
