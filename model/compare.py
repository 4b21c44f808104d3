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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skewless.model import arguments
from skewless.model.comparison.arms import arms_of, read_values, with_values
from skewless.model.comparison.result import Comparison
from skewless.model.comparison.runs import compared
from skewless.model.training.records import open_records
from skewless.model.training.start import declared_spec
from skewless.schemas.ending import run_module
from skewless.schemas.errors import UsageError
from skewless.schemas.spec.spec import Spec, load

__all__ = ["compare", "execute", "run"]


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
    return compared(
        arms_of(base, varied),
        base,
        records,
        Path(output),
        seeds=seeds,
        metric=metric,
        cache=cache,
    )


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
