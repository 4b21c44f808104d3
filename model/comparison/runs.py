"""The runs of all arms, over the same seeds, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skewless.model.comparison.arm_runs import ArmRuns
from skewless.model.comparison.arms import Arm
from skewless.model.comparison.built import built
from skewless.model.comparison.metric import usual_metric
from skewless.model.comparison.one_run import Pace, run_of
from skewless.model.comparison.result import Comparison
from skewless.model.metrics.names import lower_is_better
from skewless.model.training.records import Records
from skewless.model.training.run_directory import write_json
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.spec.spec import Spec

__all__ = ["compared"]

_RESULT = "comparison.json"


def compared(
    arms: Sequence[Arm],
    base: Spec,
    records: Records,
    output: Path,
    *,
    seeds: int,
    metric: str | None,
    cache: str | None,
) -> Comparison:
    """Trains each arm with each seed, and leaves the result.

    Args:
      arms: What is compared.
      base: What they were made of: its label, its first seed and its epochs are told.
      records: What all are trained on.
      output: Where the runs lie: OUTPUT/ARM/seed-N.
      seeds: How many.
      metric: A name in `metrics.json`; by default the label's usual one.
      cache: As `train` takes it.

    Raises:
      SpecError: If an arm's towers cannot be merged as declared.
      DatasetMismatchError: If no rows are held out.
      UsageError: If there is no such metric, or the output holds runs of another spec.
    """
    wanted = metric or usual_metric(base)
    ready, parameters = zip(*(built(arm, records) for arm in arms), strict=True)
    split = "test" if records.rows("test") else "eval"
    if not records.rows(split):
        raise DatasetMismatchError(
            f"{records.directory}: neither test nor eval has rows to compare on; give them a share "
            "under `split` in the spec and preprocess again"
        )
    chosen = tuple(base.training.seed + number for number in range(seeds))
    pace = Pace(len(ready) * seeds)
    gathered = [
        ArmRuns(count, arm.spec.training.best_by)
        for arm, count in zip(ready, parameters, strict=True)
    ]
    for seed in chosen:
        for arm, runs in zip(ready, gathered, strict=True):
            path = output / arm.folder / f"seed-{seed}"
            runs.add(path, run_of(path, records, arm, seed, cache, pace), split, wanted)
    result = Comparison(
        records=str(records.directory),
        split=split,
        metric=wanted,
        higher_is_better=not lower_is_better(wanted),
        epochs=base.training.epochs,
        seeds=chosen,
        arms=tuple(runs.result(arm) for arm, runs in zip(ready, gathered, strict=True)),
    )
    write_json(output / _RESULT, result.as_json())
    return result
