"""Comparing: the same budget, records and seeds for specs that differ in some keys.

Every run trains for all its epochs: early stopping is off unless it is what is varied, since stopped
runs would have had other budgets. Of each run the epoch of the least eval loss is kept, and
measured on the test split, which chose nothing. Runs go seed by seed over all arms, so that a
machine that gets slower slows every arm. Finished runs in the output are taken as they are, stopped
ones go on.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from skewless.model import arguments
from skewless.model.comparison.arms import Arm, arms_of, read_values, with_values
from skewless.model.comparison.result import ArmResult, Comparison
from skewless.model.metrics.names import LOWER_IS_BETTER
from skewless.model.network.build import build
from skewless.model.train import train
from skewless.model.training.records import Records, open_records
from skewless.model.training.run_directory import RunDirectory, write_json
from skewless.model.training.start import declared_spec
from skewless.schemas.ending import run_module
from skewless.schemas.errors import (
    DatasetMismatchError,
    SpecError,
    TrainingError,
    UsageError,
    nearest,
)
from skewless.schemas.progress import duration
from skewless.schemas.records.layout import METRICS, SPEC
from skewless.schemas.spec.label import (
    BinaryLabel,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)
from skewless.schemas.spec.network import TowersSpec
from skewless.schemas.spec.spec import Spec, load

__all__ = ["compare", "execute", "run"]

_LOGGER = logging.getLogger(__name__)
_RESULT = "comparison.json"
_WIDTH = 64
_METRICS: dict[type, str] = {
    BinaryLabel: "auc",
    MulticlassLabel: "accuracy",
    MultilabelLabel: "auc",
    RegressionLabel: "rmse",
    SequenceLabel: "token_accuracy",
}


@dataclass
class _Runs:
    """What an arm's runs gave so far."""

    parameters: int
    scores: list[float | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epochs: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    half_intervals: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def compare(
    records_directory: str | Path,
    output: str | Path,
    varied: Mapping[str, Sequence[Any]],
    *,
    seeds: int = 3,
    spec: Spec | None = None,
    fixed: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    metric: str | None = None,
    cache: str | None = None,
) -> Comparison:
    """Trains every combination of the varied keys' values, each with every seed.

    Args:
      records_directory: What `preprocess` left.
      output: Where the runs lie: OUTPUT/ARM/seed-N, each a run like any other.
      varied: Values by key of the spec.
      seeds: How many: `training.seed` and those after it.
      spec: Instead of the records' own.
      fixed: Values of keys for all arms.
      epochs: Instead of `training.epochs`.
      metric: A name in `metrics.json`; by default the label's usual one.
      cache: As `train` takes it.

    Raises:
      UsageError: If there is no such key, records would be others, nothing is varied, a number is
        below 1, or the output holds runs of another spec or other records.
      SpecError: If an arm's spec is refused, or its towers cannot be merged as declared.
      DatasetMismatchError: If the records are incomplete or of another spec.
    """
    for option, value in (("--seeds", seeds), ("--epochs", epochs)):
        if value is not None and value < 1:
            raise UsageError(f"{option}: expected at least 1, got {value}")
    if not varied:
        raise UsageError("nothing is varied; give --merge a,b or --vary KEY=a,b")
    records = open_records(records_directory)
    base = _base(declared_spec(records, spec), fixed or {}, epochs, varied)
    wanted = _metric(base, metric)
    arms, parameters = zip(*(_built(arm, records) for arm in arms_of(base, varied)), strict=True)
    split = "test" if records.rows("test") else "eval"
    if not records.rows(split):
        raise DatasetMismatchError(
            f"{records.directory}: neither test nor eval has rows to compare on; give them a share "
            "under `split` in the spec and preprocess again"
        )
    chosen = tuple(base.training.seed + number for number in range(seeds))
    pace = _Pace(len(arms) * seeds)
    gathered = [_Runs(count) for count in parameters]
    for seed in chosen:
        for arm, runs in zip(arms, gathered, strict=True):
            path = Path(output) / arm.folder / f"seed-{seed}"
            _gather(runs, path, _run(path, records, arm, seed, cache, pace), split, wanted)
    result = Comparison(
        records=str(records_directory),
        split=split,
        metric=wanted,
        higher_is_better=wanted not in LOWER_IS_BETTER,
        epochs=base.training.epochs,
        seeds=chosen,
        arms=tuple(_result(arm, runs) for arm, runs in zip(arms, gathered, strict=True)),
    )
    write_json(Path(output) / _RESULT, result.as_json())
    return result


def _base(
    spec: Spec, fixed: Mapping[str, Any], epochs: int | None, varied: Mapping[str, Sequence[Any]]
) -> Spec:
    if "training.seed" in {*varied, *fixed}:
        raise UsageError("training.seed: every arm is run with the same seeds; use --seeds N")
    values: dict[str, Any] = dict(fixed)
    if epochs is not None:
        values["training.epochs"] = epochs
    changed = with_values(spec, values)
    if "training.early_stopping" in {*varied, *fixed}:
        return changed
    training = changed.training.model_copy(update={"early_stopping": None})
    return changed.model_copy(update={"training": training})


def _metric(spec: Spec, metric: str | None) -> str:
    if spec.label is None:
        raise SpecError("label: a model needs one; add label: {column: …, type: …}")
    return metric or _METRICS[type(spec.label)]


def _built(arm: Arm, records: Records) -> tuple[Arm, int]:
    """Builds the arm's model, so that what cannot be built is refused before anything is trained.

    Returns:
      The arm, with a projection where its merge needs one and none is declared: to the width of the
      layer after the merge. And how many parameters it has.
    """
    refusal = None
    for candidate in (arm, _projected(arm)):
        try:
            count = _parameters(candidate.spec, records)
        except SpecError as error:
            refusal = refusal or error
            continue
        if candidate is not arm:
            _LOGGER.info(
                "%s: towers are projected to one width, which this merge needs; "
                "--set model.projection=N sets it",
                arm.name,
            )
        return candidate, count
    assert refusal is not None
    raise SpecError(refusal.problems, source=arm.name) from refusal


def _projected(arm: Arm) -> Arm:
    model = arm.spec.model
    if not isinstance(model, TowersSpec) or model.projection is not None:
        return arm
    width = model.hidden[0] if model.hidden else _WIDTH
    return Arm(arm.values, with_values(arm.spec, {"model.projection": width}))


def _parameters(spec: Spec, records: Records) -> int:
    count: int = build(spec, records.manifest.features).count_params()
    keras.utils.clear_session()
    return count


def _run(
    path: Path, records: Records, arm: Arm, seed: int, cache: str | None, pace: _Pace
) -> dict[str, Any] | str:
    """Returns the metrics of a run, made now unless it is there; or why it has none."""
    spec = with_values(arm.spec, {"training.seed": seed})
    there = (path / SPEC).is_file()
    if there:
        directory = RunDirectory(path)
        if directory.spec != spec or directory.manifest != records.manifest:
            raise UsageError(
                f"{path}: holds a run of another spec or of other records; choose another --output, "
                "or remove that directory"
            )
    if (path / METRICS).is_file():
        pace.end(None)
        found: dict[str, Any] = json.loads((path / METRICS).read_text(encoding="utf-8"))
        return found
    pace.begin(arm, seed)
    # A fresh state for each run: what it gives must not depend on those before it.
    keras.utils.clear_session()
    begun = time.monotonic()
    try:
        return train(
            records.directory, path, spec=None if there else spec, resume=there, cache=cache
        )
    except TrainingError as error:
        return str(error)
    finally:
        pace.end(time.monotonic() - begun)


def _gather(
    runs: _Runs, path: Path, metrics: dict[str, Any] | str, split: str, metric: str
) -> None:
    runs.paths.append(str(path))
    if isinstance(metrics, str):
        runs.scores.append(None)
        runs.failures.append(f"{path.name}: {metrics}")
        return
    values = metrics[split]
    score = values.get(metric)
    if metric not in values or not isinstance(score, int | float | None):
        numbers = sorted(name for name, value in values.items() if isinstance(value, float))
        raise UsageError(
            f"--metric {metric}: expected one of {', '.join(numbers)}{nearest(metric, numbers)}"
        )
    if score is None:
        runs.failures.append(f"{path.name}: {metric} is undefined on {split}; choose --metric loss")
    runs.scores.append(score)
    runs.seconds.append(metrics["seconds"])
    losses = [entry.get("val_loss", entry["loss"]) for entry in metrics["history"]]
    runs.best_epochs.append(1 + losses.index(min(losses)))
    interval = metrics["confidence"].get(split, {}).get(metric)
    if interval is not None:
        runs.half_intervals.append((interval[1] - interval[0]) / 2)


def _result(arm: Arm, runs: _Runs) -> ArmResult:
    half = runs.half_intervals
    return ArmResult(
        name=arm.name,
        values=arm.values,
        parameters=runs.parameters,
        scores=tuple(runs.scores),
        seconds=tuple(runs.seconds),
        best_epochs=tuple(runs.best_epochs),
        runs=tuple(runs.paths),
        half_interval=sum(half) / len(half) if half else None,
        failures=tuple(runs.failures),
    )


class _Pace:
    """Says which run of how many begins, and how long the rest may take by those before."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._trained = 0
        self._seconds = 0.0

    def begin(self, arm: Arm, seed: int) -> None:
        """Says which run begins."""
        left = (self._total - self._done) * self._seconds / max(self._trained, 1)
        _LOGGER.info(
            "run %d of %d: %s, seed %d%s",
            self._done + 1,
            self._total,
            arm.name,
            seed,
            f"; {duration(left)} left" if self._trained else "",
        )

    def end(self, seconds: float | None) -> None:
        """Counts a run; None for one that was there already."""
        self._done += 1
        if seconds is not None:
            self._trained += 1
            self._seconds += seconds


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    varied: dict[str, list[Any]] = {}
    if known.merge is not None:
        key, values = read_values("--merge", f"model.merge={known.merge}")
        varied[key] = values
    for text in known.vary:
        key, values = read_values("--vary", text)
        if key in varied:
            raise UsageError(f"{key}: is varied twice; give all its values at once")
        varied[key] = values
    fixed: dict[str, Any] = {}
    for text in known.set:
        key, values = read_values("--set", text)
        if len(values) != 1:
            raise UsageError(f"--set {text}: expected one value; to compare several use --vary")
        fixed[key] = values[0]
    result = compare(
        known.records,
        known.output,
        varied,
        seeds=known.seeds,
        spec=load(known.spec) if known.spec else None,
        fixed=fixed,
        epochs=known.epochs,
        metric=known.metric,
        cache=known.cache,
    )
    print(json.dumps(result.as_json(), indent=2) if known.json else result)
    return 1 if any(arm.mean is None for arm in result.arms) else 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.model.compare", arguments.compare, execute, argv, description=__doc__
    )


if __name__ == "__main__":
    raise SystemExit(run())
