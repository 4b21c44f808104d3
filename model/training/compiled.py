"""A model ready to train: its seeds, devices, precision, optimizer and loss."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from skewless.model.network.build import build, compile_arguments
from skewless.model.network.layers import CutPadding
from skewless.model.training.epoch.lazy_adam import LazyAdam
from skewless.model.training.records import Records
from skewless.model.training.vectors.tables import begin_with_vectors
from skewless.model.training.vectors.term_weights import begin_with_term_weights
from skewless.schemas.errors import UsageError
from skewless.schemas.spec.network import TowersSpec, TrainingSpec, TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["choose_compiler", "compiled_model", "strategy"]

_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
    "lion": keras.optimizers.Lion,
    "lazy_adam": LazyAdam,
}

# Rows times epochs. From about a third of it on, XLA saves more time than its compiling takes.
_ROWS_WORTH_COMPILING = 1_000_000
_FASTER_COMPILED = ("mean", "gru", "lstm", "attention")


def compiled_model(spec: Spec, records: Records, *, ends: bool = True) -> keras.Model:
    """Returns the declared model, initialised from the seed; sets the process's random seeds.

    Args:
      spec: What is trained.
      records: What is trained on.
      ends: Whether all steps are known beforehand, for a schedule, and for XLA where it is worth
        its compiling.

    Raises:
      UsageError: If the training is endless and declares what needs all of its rows.
      DataError: If a file of word vectors cannot be used.
    """
    training = spec.training
    if not ends:
        _check_endless(spec)
    keras.utils.set_random_seed(training.seed)
    policy = keras.config.dtype_policy()
    steps = training.epochs * records.steps("train", training.batch_size)
    if training.mixed_precision:
        # float16 needs tensor cores to be worth its range; bfloat16 is safe everywhere else.
        gpu = bool(tf.config.list_logical_devices("GPU"))
        keras.config.set_dtype_policy("mixed_float16" if gpu else "mixed_bfloat16")
    try:
        with strategy().scope():
            model = build(spec, records.manifest.features)
            begin_with_vectors(model, spec, records)
            begin_with_term_weights(model, spec, records)
            xla = ends and _worth_compiling(spec, records)
            choose_compiler(model, xla=xla)
            model.compile(
                optimizer=_optimizer(training, steps if ends else None),
                jit_compile=xla,
                **compile_arguments(spec),
            )
    finally:
        keras.config.set_dtype_policy(policy)
    return model


def choose_compiler(model: keras.Model, *, xla: bool) -> None:
    """Has the steps of a model, none of which has run, compiled by XLA, or cut where there is padding."""
    for layer in model.layers:
        if isinstance(layer, CutPadding):
            layer.cuts(not xla)
    model.jit_compile = xla


def _check_endless(spec: Spec) -> None:
    training = spec.training
    for name, feature in spec.features.items():
        if feature.weighs_terms:
            raise UsageError(
                f"features.{name}.weighting: is not there with --follow, which does not know the rows "
                "to come; remove it from the spec"
            )
    for key in ("class_weights", "ema", "keep_negatives", "loss"):
        if getattr(training, key) is not None:
            raise UsageError(
                f"training.{key}: is not there with --follow, which does not know the rows to come; "
                "remove it from the spec"
            )


def strategy() -> tf.distribute.Strategy:
    """Returns a MirroredStrategy over several devices, else TensorFlow's default."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def _worth_compiling(spec: Spec, records: Records) -> bool:
    """Whether XLA saves more than its compiling takes; the same for a run and its resumption.

    CPU of the demo model on two cores, in microseconds a row, without XLA and with it
    (`python -m benchmarks.training`): 25 and 8; with attention over the body 38 and 18, with a GRU 116
    (of batches without padding, which XLA cannot take) and 86. A shape of batch takes 2 to 8 s to compile. Where it was measured to gain little (CNN) or to lose (transformer: 516 and 9,510), or was
    not measured, XLA stays off.

    Two towers in batches of 512: of 10,000 candidates 29 and 20, of a million 217 and 143, most of that
    Adam's pass over their table; with hard negatives 45 and 29.
    """
    # Which rows a batch looked up is known to no shape, which XLA wants to know.
    if spec.training.mixed_precision or spec.training.optimizer == "lazy_adam":
        return False
    if isinstance(spec.model, TowersSpec):
        if spec.model.merge != "concatenate" or spec.model.groups:
            return False
    elif not isinstance(spec.model, TwoTowerSpec):
        return False
    if any(
        encoder is not None and encoder.type not in _FASTER_COMPILED
        for encoder in (feature.encoder for feature in spec.features.values())
    ):
        return False
    if tf.config.list_logical_devices("GPU") or len(tf.config.list_logical_devices("CPU")) > 1:
        return False
    return records.rows("train") * spec.training.epochs >= _ROWS_WORTH_COMPILING


def _optimizer(training: TrainingSpec, steps: int | None) -> keras.optimizers.Optimizer:
    """Returns the optimizer of so many steps; None where they have no end."""
    rate: float | keras.optimizers.schedules.LearningRateSchedule = training.learning_rate
    if training.schedule is not None and steps is not None:
        rising = int(training.schedule.warmup * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            # Not from 0: the first step would teach nothing.
            training.learning_rate / (rising + 1) if rising else training.learning_rate,
            decay_steps=max(1, steps - rising),
            warmup_target=training.learning_rate if rising else None,
            warmup_steps=rising,
        )
    given: dict[str, Any] = {}
    if training.weight_decay is not None:
        given["weight_decay"] = training.weight_decay
    if training.ema is not None and steps is not None:
        given |= {"use_ema": True, "ema_momentum": training.ema}
    return _OPTIMIZERS[training.optimizer](
        learning_rate=rate, global_clipnorm=training.clip_norm, **given
    )
