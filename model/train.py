"""Training: records in, a run directory out.

    begun or resumed -> an epoch, and an epoch -> finished

Each epoch is one `fit` over input whose order follows from seed and epoch, so that `--resume`
goes on at the batch after the last checkpoint: none lost, none twice.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from skewless.model import arguments
from skewless.model.evaluate import evaluate_model
from skewless.model.option_rules import check_options
from skewless.model.tracking.tracking import Tracking, checked_tracker
from skewless.model.training.checkpoints import Progress
from skewless.model.training.epochs import Epochs
from skewless.model.training.records import Records, open_records
from skewless.model.training.run_directory import write_json
from skewless.model.training.start import Start, Training, begun, resumed, run_to_resume
from skewless.model.training.stopped_run import to_resume
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.records.layout import METRICS, MODEL
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.spec.splits import SPLITS
from skewless.schemas.storage.ahead.fetching import SHARD_CACHE, shards_ahead

__all__ = ["execute", "run", "train"]

_LOGGER = logging.getLogger(__name__)


def train(
    records_directory: str | Path,
    output: str | Path,
    *,
    spec: Spec | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    cache: str | None = None,
    checkpoint_steps: int = 500,
    warm_start: str | Path | None = None,
    track: str | None = None,
    shard_cache: int = SHARD_CACHE,
) -> dict[str, Any]:
    """Trains the declared model.

    Args:
      records_directory: What `preprocess` left, a path or URI.
      output: The run directory.
      spec: Other `model` and `training` sections than those of the records' spec.
      epochs: Instead of `training.epochs`; a resumed run keeps those it was started with.
      minutes: No epoch begins that would end later; one is trained in any case.
      resume: Continues a stopped run.
      overwrite: Replaces a run.
      cache: `memory` or a file's path, to keep serialized records in after the first epoch.
      checkpoint_steps: Steps between checkpoints within an epoch.
      warm_start: A finished run whose weights training begins with (model/training/warm_start.py).
      track: `mlflow:URI`, to tell MLflow of parameters, metrics and files; one that cannot be
        reached is told of, and training goes on.
      shard_cache: Of records at a URI, how many bytes of shards are kept on this machine.

    Returns:
      What `metrics.json` holds.

    Raises:
      DatasetMismatchError: If the records are incomplete, or of another spec or transform.
      TrainingError: If the loss, the eval loss or a weight is no longer finite.
      UsageError: If there is a run at `output` and neither resume nor overwrite is asked for, or
        a number is not at least 1, `track` cannot be understood or MLflow is not installed, or a
        run is resumed with another spec or another `cache`; or if what another run learned cannot
        be carried over, or a resumed run is to begin with it.
    """
    for option, value in (("--epochs", epochs), ("--checkpoint-steps", checkpoint_steps)):
        if value is not None and value < 1:
            raise UsageError(f"{option}: expected at least 1, got {value}")
    if minutes is not None and not minutes > 0:
        raise UsageError(f"--minutes: expected a number above 0, got {minutes:g}")
    tracking = Tracking(checked_tracker(track))
    directory, ahead = shards_ahead(records_directory, shard_cache)
    records = open_records(directory, ahead=ahead)
    with nullcontext() if ahead is None else ahead.telling():
        start = Start(spec, epochs, warm_start, overwrite)
        if resume:
            run = run_to_resume(Path(output), start)
            run.check_records(records)
            if run.finished:
                _LOGGER.info("%s is finished already; nothing to resume", run.path)
                return dict(json.loads((run.path / METRICS).read_text(encoding="utf-8")))
            training = resumed(run, records, Progress(cached=cache is not None))
            _check_resumed(training, cached=cache is not None)
        else:
            _check_not_empty(records)
            training = begun(Path(output), records, start, Progress(cached=cache is not None))
        loop = Epochs(
            training,
            epochs=training.run.spec.training.epochs if epochs is None else epochs,
            minutes=minutes,
            cache=cache,
            checkpoint_steps=checkpoint_steps,
        )
        with tracking:
            tracking.begin(training.run, {split: records.rows(split) for split in SPLITS})
            while loop.go_on():
                loop.train_one()
                tracking.epochs(training.progress.history)
            metrics = _finish(training, records)
            tracking.finish(training.run, metrics)
        return metrics


def _check_not_empty(records: Records) -> None:
    if not records.rows("train"):
        raise DatasetMismatchError(
            f"{records.directory}: the train split has no rows; give it a share under "
            "`split` in the spec and preprocess again"
        )


def _check_resumed(training: Training[Progress], *, cached: bool) -> None:
    progress = training.progress
    if progress.cached != cached:
        raise UsageError(
            f"{training.run.path}: was started {'with' if progress.cached else 'without'} --cache, "
            "and the order of its input depends on that; resume it the same way"
        )
    if progress.epoch or progress.step:
        _LOGGER.info("resumed at epoch %d, step %d", progress.epoch + 1, progress.step)


def _finish(training: Training[Progress], records: Records) -> dict[str, Any]:
    """Saves the best model, and writes its metrics last."""
    run, model, progress = training.run, training.model, training.progress
    training.checkpoints.load_best(model)
    model.save(run.path / MODEL)
    metrics: dict[str, Any] = {}
    confidence: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for split in ("eval", "test"):
        if records.rows(split):
            metrics[split], confidence[split], curves[split] = evaluate_model(
                model, run.spec, records, split, run.path
            )
            for figures in (metrics[split], *metrics[split].get("labels", {}).values()):
                if figures.get("constant_predictions"):
                    _LOGGER.warning(
                        "every prediction on %s is the same: the model has learned nothing; look at "
                        "the label, at missing features and at training.learning_rate",
                        split,
                    )
    metrics |= {"confidence": confidence, "curves": curves, "history": progress.history}
    metrics["seconds"] = round(progress.seconds, 3)
    metrics["examples_per_second"] = round(progress.examples / max(progress.seconds, 1e-9), 1)
    write_json(run.path / METRICS, metrics)
    return metrics


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    spec = load(known.spec) if known.spec else None
    if known.records is None and known.follow is None:
        raise UsageError("expected a records directory, or --follow with a directory of windows")
    check_options(known, arguments.TRAIN_RULES)
    if known.follow is not None:
        return _follow(known, spec)
    metrics = train(
        known.records,
        known.output,
        spec=spec,
        epochs=known.epochs,
        minutes=known.minutes,
        resume=known.resume,
        overwrite=known.overwrite,
        cache=known.cache,
        checkpoint_steps=known.checkpoint_steps,
        warm_start=known.warm_start,
        track=known.track,
        shard_cache=SHARD_CACHE if known.shard_cache is None else known.shard_cache,
    )
    print(json.dumps({split: metrics[split] for split in ("eval", "test") if split in metrics}))
    return 0


def _follow(known: argparse.Namespace, spec: Spec | None) -> int:
    # Only a stream of windows needs it, and the exporter that it imports.
    from skewless.model.follow import Exports, follow

    exports = None
    if known.export_to is not None:
        exports = Exports(
            known.export_to,
            every=1 if known.export_every is None else known.export_every,
            check=not known.no_verify,
            records=None if known.prove_on is None else Path(known.prove_on),
        )
    metrics = follow(
        known.follow,
        known.output,
        spec=spec,
        warm_start=known.warm_start,
        resume=known.resume,
        overwrite=known.overwrite,
        checkpoint_steps=known.checkpoint_steps,
        poll=known.poll,
        idle_timeout=known.idle_timeout,
        max_windows=known.max_windows,
        exports=exports,
    )
    print(json.dumps({name: metrics[name] for name in ("windows", "rows")}))
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.model.train",
        arguments.train,
        execute,
        argv,
        description=__doc__,
        left=lambda known: to_resume(known.output),
    )


if __name__ == "__main__":
    raise SystemExit(run())
