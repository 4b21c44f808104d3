"""Training: records in, a run directory out.

Each epoch is one `fit` over input whose order follows from seed and epoch, so that `--resume`
goes on at the batch after the last checkpoint: none lost, none twice.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from skewless.model import arguments
from skewless.model.evaluate import evaluate_model
from skewless.model.training.callbacks import (
    CheckpointWithinEpoch,
    StopOnNonFinite,
    TellProgress,
    check_weights,
)
from skewless.model.training.checkpoints import Checkpoints, Progress
from skewless.model.training.compiled import strategy
from skewless.model.training.records import Records, open_records
from skewless.model.training.run_directory import METRICS, MODEL, RunDirectory, write_json
from skewless.model.training.start import _with_epochs, declared_spec, resumed_run
from skewless.model.training.stopped_run import STATE, to_resume
from skewless.model.training.warm_start import initial_model
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DatasetMismatchError, TrainingError, UsageError
from skewless.schemas.spec.spec import Spec, load

__all__ = ["execute", "run", "train"]

_LOGGER = logging.getLogger(__name__)


def train(
    records_directory: str | Path,
    output: str | Path,
    *,
    spec: Spec | None = None,
    epochs: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    cache: str | None = None,
    checkpoint_steps: int = 500,
    warm_start: str | Path | None = None,
) -> dict[str, Any]:
    """Trains the declared model.

    Args:
      records_directory: What `preprocess` left.
      output: The run directory.
      spec: Other `model` and `training` sections than those of the records' spec.
      epochs: Instead of `training.epochs`; a resumed run keeps those it was started with.
      resume: Continues a stopped run.
      overwrite: Replaces a run.
      cache: `memory` or a file's path, to keep serialized records in after the first epoch.
      checkpoint_steps: Steps between checkpoints within an epoch.
      warm_start: A finished run whose weights training begins with (model/training/warm_start.py).

    Returns:
      What `metrics.json` holds.

    Raises:
      DatasetMismatchError: If the records are incomplete, or of another spec or transform.
      TrainingError: If the loss, the eval loss or a weight is no longer finite.
      UsageError: If there is a run at `output` and neither resume nor overwrite is asked for, or
        a number is not at least 1, or a run is resumed with another spec or another `cache`; or if
        what another run learned cannot be carried over, or a resumed run is to begin with it.
    """
    for option, value in (("--epochs", epochs), ("--checkpoint-steps", checkpoint_steps)):
        if value is not None and value < 1:
            raise UsageError(f"{option}: expected at least 1, got {value}")
    records = open_records(records_directory)
    model: keras.Model | None = None
    if resume:
        if warm_start is not None:
            raise UsageError("--warm-start: begins a run; leave it out to resume one")
        directory = resumed_run(Path(output), spec)
        directory.check_records(records)
        spec = directory.spec
    else:
        if not records.rows("train"):
            raise DatasetMismatchError(
                f"{records.directory}: the train split has no rows; give it a share under "
                "`split` in the spec and preprocess again"
            )
        spec = _with_epochs(declared_spec(records, spec), epochs)
        # Before the run is made, so that a refusal leaves what is at the output as it is.
        model = initial_model(spec, records, warm_start)
        directory = RunDirectory.create(
            Path(output),
            records,
            spec,
            overwrite=overwrite,
            warm_start=None if warm_start is None else Path(warm_start),
        )
    finished = directory.path / METRICS
    if finished.is_file():
        _LOGGER.info("%s is finished already; nothing to resume", directory.path)
        return dict(json.loads(finished.read_text(encoding="utf-8")))
    training = spec.training
    epochs = training.epochs if epochs is None else epochs
    checkpoints = Checkpoints(directory.path / STATE.parent, Progress)
    with strategy().scope():
        restored = checkpoints.load() if resume else None
    if restored is None:
        model = model or initial_model(spec, records, directory.warm_start)
        progress = Progress(cached=cache is not None)
    else:
        model, progress = restored
        if progress.cached != (cache is not None):
            raise UsageError(
                f"{directory.path}: was started {'with' if progress.cached else 'without'} --cache, "
                "and the order of its input depends on that; resume it the same way"
            )
        _LOGGER.info("resumed at epoch %d, step %d", progress.epoch + 1, progress.step)

    steps = records.steps("train", training.batch_size)
    cached = None if cache is None else records.cached(cache)
    tensorboard = keras.callbacks.TensorBoard(str(directory.path / "logs"))
    while progress.epoch < epochs and not _stops_early(spec, progress):
        begun = time.monotonic()
        batches = records.training(
            batch_size=training.batch_size,
            seed=training.seed,
            epoch=progress.epoch,
            skip=progress.step,
            cached=cached,
        )
        has_eval = records.rows("eval") > 0
        fitted = model.fit(
            batches,
            initial_epoch=progress.epoch,
            epochs=progress.epoch + 1,
            validation_data=(
                records.in_order("eval", batch_size=training.batch_size) if has_eval else None
            ),
            callbacks=[
                StopOnNonFinite(progress),
                TellProgress(progress, steps=steps, epochs=epochs, batch_size=training.batch_size),
                CheckpointWithinEpoch(checkpoints, progress, checkpoint_steps),
                tensorboard,
            ],
            verbose=0,
        )
        check_weights(model, progress)
        progress.seconds += time.monotonic() - begun
        progress.examples += records.rows("train") - progress.step * training.batch_size
        entry = {name: float(values[-1]) for name, values in fitted.history.items()}
        progress.history.append({"epoch": progress.epoch + 1, **entry})
        _LOGGER.info(
            "epoch %d/%d  %s",
            progress.epoch + 1,
            epochs,
            "  ".join(f"{name} {value:.4f}" for name, value in entry.items()),
        )
        progress.epoch, progress.step = progress.epoch + 1, 0
        watched = entry.get("val_loss", entry["loss"])
        if not math.isfinite(watched):
            raise TrainingError(
                f"the eval loss is {watched} after epoch {progress.epoch}, though the training loss "
                "is finite; look for extreme numbers in eval, or set `clip` on numeric features"
            )
        if watched < progress.best_loss:
            progress.best_loss, progress.epochs_without_gain = watched, 0
            checkpoints.save_best(model)
        else:
            progress.epochs_without_gain += 1
        checkpoints.save(model, progress)
    if progress.epoch < epochs:
        _LOGGER.info("stopped early: no better loss in %d epochs", training.early_stopping)
    checkpoints.load_best(model)
    model.save(directory.path / MODEL)
    return _finish(directory, spec, records, model, progress)


def _stops_early(spec: Spec, progress: Progress) -> bool:
    """Decides from the checkpoint alone, so that a run killed after it had stopped stays stopped."""
    patience = spec.training.early_stopping
    return patience is not None and progress.epochs_without_gain >= patience


def _finish(
    directory: RunDirectory, spec: Spec, records: Records, model: keras.Model, progress: Progress
) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    confidence: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for split in ("eval", "test"):
        if records.rows(split):
            metrics[split], confidence[split], curves[split] = evaluate_model(
                model, spec, records, split, directory.path
            )
            if metrics[split].get("constant_predictions"):
                _LOGGER.warning(
                    "every prediction on %s is the same: the model has learned nothing; look at the "
                    "label, at missing features and at training.learning_rate",
                    split,
                )
    metrics |= {"confidence": confidence, "curves": curves, "history": progress.history}
    metrics["seconds"] = round(progress.seconds, 3)
    metrics["examples_per_second"] = round(progress.examples / max(progress.seconds, 1e-9), 1)
    write_json(directory.path / METRICS, metrics)
    return metrics


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    spec = load(known.spec) if known.spec else None
    if known.follow is not None:
        return _follow(known, spec)
    if known.records is None:
        raise UsageError("expected a records directory, or --follow with a directory of windows")
    for option in ("max_windows", "idle_timeout", "export_every", "export_to", "prove_on"):
        if getattr(known, option) is not None:
            raise UsageError(f"--{option.replace('_', '-')}: goes with --follow DIR")
    metrics = train(
        known.records,
        known.output,
        spec=spec,
        epochs=known.epochs,
        resume=known.resume,
        overwrite=known.overwrite,
        cache=known.cache,
        checkpoint_steps=known.checkpoint_steps,
        warm_start=known.warm_start,
    )
    print(json.dumps({split: metrics[split] for split in ("eval", "test") if split in metrics}))
    return 0


def _follow(known: argparse.Namespace, spec: Spec | None) -> int:
    from skewless.model.follow import Exports, follow  # It imports from here.

    for option in ("records", "epochs", "cache"):
        if getattr(known, option) is not None:
            name = "RECORDS" if option == "records" else f"--{option}"
            raise UsageError(
                f"{name}: has no meaning with --follow, which sees each window once; leave it out"
            )
    exports = None
    if known.export_to is not None:
        exports = Exports(
            Path(known.export_to),
            every=1 if known.export_every is None else known.export_every,
            check=not known.no_verify,
            records=None if known.prove_on is None else Path(known.prove_on),
        )
    elif known.export_every is not None:
        raise UsageError("--export-every: expected --export-to DIR as well")
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
