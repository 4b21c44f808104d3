"""Tuning: trials of what leaves the records as they are, and the best spec compared over seeds.

The first trial is the spec as declared. Trials are judged by a metric of eval after each epoch, and
given up where the median of those before was better at that epoch. The best spec is then compared
with the declared one as `compare` does, on test, which chose nothing: the best of many trials is
better on eval by luck as well.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.model.comparison.arms import Arm, read_values, value_of, with_values
from skewless.model.comparison.metric import usual_metric
from skewless.model.comparison.runs import compared
from skewless.model.training.own_unit import ErrorUnit, error_units
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import write_json
from skewless.model.training.start import declared_spec
from skewless.model.tuning import arguments
from skewless.model.tuning.result import TrialResult, Tuned, shown
from skewless.model.tuning.search import Search, best_of, searched
from skewless.model.tuning.space import space_of
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.records.layout import SPEC
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.storage.alone import alone

__all__ = ["Asked", "execute", "run", "tune"]

_RESULT, _COMPARISON, _LOCK = "tuning.json", "comparison", "tune.lock"
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What is to be tuned.

    Attributes:
      spec: Instead of the records' own.
      epochs: Instead of `training.epochs`.
      varied: Values of keys, instead of what would be tried of them.
      kept: Knobs that stay as declared.
      metric: Of eval, to choose by; by default the label's usual one.
    """

    spec: Spec | None = None
    epochs: int | None = None
    varied: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    metric: str | None = None


def tune(
    records_directory: str | Path,
    output: str | Path,
    asked: Asked | None = None,
    *,
    trials: int = 20,
    minutes: float | None = None,
    seeds: int = 3,
    cache: str | None = None,
) -> Tuned:
    """Tries other values of the spec's keys, writes the best spec, and compares it.

    Args:
      records_directory: What `preprocess` left.
      output: Where the trials' journal, `spec.yaml`, `tuning.json` and the comparison lie. What is
        there already is gone on with.
      asked: What is tuned, where it is not all that can be.
      trials: How many in all.
      minutes: How long to try; the first trial ends in any case.
      seeds: Of the comparison; 0 leaves it out.
      cache: As `train` takes it.

    Raises:
      UsageError: If there is no such key, knob or metric, records would be others, nothing is varied,
        a number is too small, Optuna is not installed, another process is at the output, or it
        holds trials of something else.
      SpecError: If a value does not fit its key.
      DatasetMismatchError: If the records are incomplete, of another spec, or hold no eval rows.
      TrainingError: If no trial could be trained.
    """
    asked = asked or Asked()
    least = {"--trials": (trials, 1), "--epochs": (asked.epochs, 1), "--seeds": (seeds, 0)}
    for option, (value, at_least) in least.items():
        if value is not None and value < at_least:
            raise UsageError(f"{option}: expected at least {at_least}, got {value}")
    if minutes is not None and not minutes > 0:
        raise UsageError(f"--minutes: expected a number above 0, got {minutes:g}")
    search = _search(records_directory, output, asked, cache)
    with alone(Path(output) / _LOCK, str(output)):
        return _tuned(search, trials, minutes, seeds, asked.metric)


def _tuned(
    search: Search, trials: int, minutes: float | None, seeds: int, compared_by: str | None
) -> Tuned:
    found = searched(search, trials, minutes)
    best = best_of(found, search.metric)
    changed = _changed(search, best)
    tuned = with_values(search.spec, changed)
    path = search.output / SPEC
    path.write_text(tuned.to_yaml(), encoding="utf-8")
    comparison = None
    if seeds and changed:
        arms = [
            Arm({"spec": name}, _for_all_epochs(chosen))
            # By its number: another trial may be the best once this output is gone on with.
            for name, chosen in (("untuned", search.spec), (f"tuned, trial {best.number}", tuned))
        ]
        _LOGGER.info("comparing the best spec with the declared one, over %d seeds", seeds)
        comparison = compared(
            arms,
            search.spec,
            search.records,
            search.output / _COMPARISON,
            seeds=seeds,
            metric=compared_by,
            cache=search.cache,
        )
    result = Tuned(
        metric=search.metric,
        unit=search.unit.name,
        trials=tuple(found),
        best=best.number,
        changed=changed,
        spec=str(path),
        comparison=comparison,
    )
    write_json(search.output / _RESULT, result.as_json())
    return result


def _search(
    records_directory: str | Path, output: str | Path, asked: Asked, cache: str | None
) -> Search:
    records = open_records(records_directory)
    values = {} if asked.epochs is None else {"training.epochs": asked.epochs}
    base = with_values(declared_spec(records, asked.spec), values)
    for split, why in (("train", "to learn from"), ("eval", "to choose by")):
        if not records.rows(split):
            raise DatasetMismatchError(
                f"{records.directory}: {split} has no rows {why}; give it a share under `split` in "
                "the spec and preprocess again"
            )
    knobs = tuple(space_of(base, asked.varied, asked.kept))
    # Ranks, over all candidates or in groups, are not measured while training.
    ranks = isinstance(base.model, TwoTowerSpec) or base.training.loss is not None
    usual = "loss" if ranks else usual_metric(base)
    metric = asked.metric or usual
    unit = error_units(base, records).get(f"val_{metric}", ErrorUnit())
    return Search(records, base, knobs, metric, unit, Path(output), cache)


def _for_all_epochs(spec: Spec) -> Spec:
    training = spec.training.model_copy(update={"early_stopping": None})
    return spec.model_copy(update={"training": training})


def _changed(search: Search, best: TrialResult) -> dict[str, Any]:
    document = search.spec.model_dump(mode="json")
    tuned = with_values(search.spec, search.values(best.settings)).model_dump(mode="json")
    return {
        key: value
        for key in search.values(best.settings)
        if (value := value_of(tuned, key)) != value_of(document, key)
    }


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    varied: dict[str, list[Any]] = {}
    for text in known.vary:
        key, values = read_values("--vary", text)
        if key in varied:
            raise UsageError(f"{key}: is varied twice; give all its values at once")
        varied[key] = values
    spec = load(known.spec) if known.spec else None
    asked = Asked(spec, known.epochs, varied, tuple(known.keep), known.metric)
    if known.dry_run:
        search = _search(known.records, known.output, asked, known.cache)
        listed = {
            knob.name: {"declared": knob.declared, "tried": str(knob)} for knob in search.knobs
        }
        print(json.dumps(listed, indent=2) if known.json else _table(search))
        return 0
    result = tune(
        known.records,
        known.output,
        asked,
        trials=known.trials,
        minutes=known.minutes,
        seeds=known.seeds,
        cache=known.cache,
    )
    print(json.dumps(result.as_json(), indent=2) if known.json else result)
    return 0


def _table(search: Search) -> str:
    width = max(len(knob.name) for knob in search.knobs)
    lines = [f"{knob.name:<{width}}  {shown(knob.declared)}, of {knob}" for knob in search.knobs]
    chosen = (
        f"chosen by {search.metric} of eval, {search.spec.training.epochs} epochs a trial at most"
    )
    return "\n".join([*lines, chosen])


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module("skewless.model.tune", arguments.tune, execute, argv, description=__doc__)


if __name__ == "__main__":
    raise SystemExit(run())
