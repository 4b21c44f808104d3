"""The search: trial after trial, until there are enough or the time is over."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.model.comparison.arms import with_values
from skewless.model.metrics.names import lower_is_better
from skewless.model.training.own_unit import ErrorUnit
from skewless.model.training.records import Records
from skewless.model.tuning.knobs import Knob
from skewless.model.tuning.result import TrialResult, scored, shown
from skewless.model.tuning.study import Study
from skewless.model.tuning.trial import OutOfTime, Pruned, Trials
from skewless.schemas.errors import SpecError, TrainingError
from skewless.schemas.progress import duration
from skewless.schemas.spec.spec import Spec

__all__ = ["Search", "best_of", "searched"]

_TRIALS = "trials"
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes:
      records: What all trials are trained on.
      spec: As declared: the first trial.
      knobs: What the others turn.
      metric: Of eval, to choose by.
      unit: Of the metric.
      output: Where the journal and the runs under way lie.
      cache: As `train` takes it.
    """

    records: Records
    spec: Spec
    knobs: tuple[Knob, ...]
    metric: str
    unit: ErrorUnit
    output: Path
    cache: str | None

    def values(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values by key of the spec that settings of the knobs stand for."""
        values: dict[str, Any] = {}
        for knob in self.knobs:
            values |= knob.values(settings[knob.name])
        return values

    @property
    def subject(self) -> str:
        """What two searches have in common whose trials can be compared."""
        told = {
            "spec": self.spec.model_dump(mode="json"),
            "records": self.records.manifest.transform_sha256,
            "rows": {split: self.records.rows(split) for split in ("train", "eval")},
            "knobs": {knob.name: [str(knob), knob.declared] for knob in self.knobs},
            "metric": self.metric,
        }
        if self.unit.name:
            told["unit"] = self.unit.name
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def searched(search: Search, trials: int, minutes: float | None) -> list[TrialResult]:
    """Runs trials, after those that the output holds.

    Args:
      search: What is searched.
      trials: How many in all.
      minutes: How long; the first trial that can be trained ends in any case.

    Returns:
      All that ended, in their order.

    Raises:
      UsageError: If Optuna is not installed, the output holds trials of something else, or the metric
        is not measured while training.
      TrainingError: If no trial could be trained.
    """
    study = Study(
        search.output,
        search.knobs,
        search.subject,
        maximize=not lower_is_better(search.metric),
        epochs=search.spec.training.epochs,
        seed=search.spec.training.seed,
    )
    begun = time.monotonic()

    def time_is_over() -> bool:
        over = minutes is not None and time.monotonic() - begun > 60 * minutes
        return over and study.best() is not None

    running = Trials(
        search.records,
        search.output / _TRIALS,
        search.metric,
        search.unit.factor,
        search.cache,
        time_is_over,
    )
    before = len(study.ended())
    if before:
        _LOGGER.info("%s holds %d trials; going on", search.output, before)
    while len(study.ended()) < trials and not time_is_over():
        try:
            _try_one(search, study, running)
        except OutOfTime:
            _LOGGER.info("the time is over within a trial; the same command goes on with it")
            break
        _tell(search, study, trials, (time.monotonic() - begun) / (len(study.ended()) - before))
    ended = study.ended()
    if study.best() is None:
        raise TrainingError(
            f"none of {len(ended)} trials could be trained, the first for this: {ended[0].reason}; "
            "mend the spec, or --vary other values, into another --output"
        )
    return ended


def _try_one(search: Search, study: Study, running: Trials) -> None:
    trial, settings = study.next()
    begun = time.monotonic()
    try:
        spec = with_values(search.spec, search.values(settings))
        score = running.score(trial, spec)
    except Pruned as pruned:
        study.give_up(trial, str(pruned), time.monotonic() - begun)
    except TrainingError as error:
        study.give_up(trial, str(error), time.monotonic() - begun)
    except SpecError as error:
        study.fail(trial, str(error), time.monotonic() - begun)
    else:
        study.complete(trial, score, time.monotonic() - begun)


def _tell(search: Search, study: Study, trials: int, seconds: float) -> None:
    ended, best = study.ended(), study.best()
    last = ended[-1]
    changed = [
        f"{knob.name} {shown(last.settings[knob.name])}"
        for knob in search.knobs
        if last.settings[knob.name] != knob.declared
    ]
    _LOGGER.info(
        "trial %d of %d: %s%s; %s; %s left",
        len(ended),
        trials,
        last.reason if last.score is None else f"{search.metric} {scored(last, search.unit.name)}",
        f" (best {scored(best, search.unit.name)}, trial {best.number})" if best else "",
        ", ".join(changed) or "as declared",
        duration(seconds * max(0, trials - len(ended))),
    )


def best_of(trials: list[TrialResult], metric: str) -> TrialResult:
    """Returns the best of the trials that ran to their end, the earliest of equals."""
    sign = 1 if lower_is_better(metric) else -1
    return min(
        (trial for trial in trials if trial.score is not None),
        key=lambda trial: (sign * (trial.score or 0.0), trial.number),
    )
