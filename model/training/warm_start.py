"""Warm start: a new model begins with what an earlier run learned.

Weights are carried over by layer. Where a vocabulary has grown (`preprocess --grow-from`), a table
keeps the rows of old IDs, and rows of new IDs stay as they were initialised; so does the kernel
behind a one-hot vector, whose rows are found again wherever they moved to. For a row that holds no
new token the model then predicts what the earlier one did.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

import keras
import numpy as np

from skewless.model.network.layer_names import earlier_name
from skewless.model.network.layers import (
    AttentionPooling,
    ClearPadding,
    Cross,
    CutPadding,
    MaskedMax,
    MaskedMean,
    OneHot,
    Stacked,
    StackedEmbedding,
    StackedOneHot,
    StackedTables,
    TermWeights,
    WeightedSum,
)
from skewless.model.training.compiled import compiled_model, strategy
from skewless.model.training.records import Records
from skewless.model.training.run_directory import RunDirectory, load_trained
from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.records.constants import load_numbers
from skewless.schemas.records.id_meaning import meaning_differences
from skewless.schemas.records.layout import ASSETS, MODEL, TRANSFORM, TRANSFORM_FN
from skewless.schemas.records.transform_digest import same_transform
from skewless.schemas.records.vocabulary_file import NO_ENTRIES
from skewless.schemas.records.vocabulary_names import vocabulary_file
from skewless.schemas.spec.spec import Spec

__all__ = ["carry_over", "check_warm_start", "initial_model"]

_LOGGER = logging.getLogger(__name__)
layers = keras.layers
# Layers that leave their first input's entries in their places.
_PASSING = (
    AttentionPooling, ClearPadding, Cross, CutPadding, MaskedMax, MaskedMean, WeightedSum,
    layers.Dropout,
)  # fmt: skip
# Layers in which an entry that was not there before, and is 0, changes nothing.
_READING = (
    AttentionPooling,
    Cross,
    layers.Bidirectional,
    layers.Conv1D,
    layers.Dense,
    layers.GRU,
    layers.LSTM,
)
_REMEDY = "preprocess with --grow-from {} to keep every ID, or train without --warm-start"


def initial_model(
    spec: Spec, records: Records, run_directory: str | Path | None, *, ends: bool = True
) -> keras.Model:
    """Returns the model that training begins with.

    Args:
      spec: What is trained.
      records: What is trained on.
      run_directory: A finished run to begin with, or None to begin from the seed.
      ends: Whether all steps are known beforehand, for a schedule, and for XLA where it is worth
        its compiling.

    Raises:
      UsageError, DatasetMismatchError: As `check_warm_start` and `carry_over` do.
    """
    if run_directory is None:
        return compiled_model(spec, records, ends=ends)
    run = check_warm_start(spec, records, run_directory)
    model = compiled_model(spec, records, ends=ends)
    with strategy().scope():
        new_rows = carry_over(model, run)
    _LOGGER.info("begun with the weights of %s; %d rows are of new entries", run.path, new_rows)
    return model


def check_warm_start(spec: Spec, records: Records, run_directory: str | Path) -> RunDirectory:
    """Refuses records whose IDs or scales mean other things than a run's.

    Returns:
      The run.

    Raises:
      UsageError: If there is no finished run.
      DatasetMismatchError: If a vocabulary does not begin with the run's, a constant is another,
        the specs differ in more than the sizes of vocabularies, `model` and `training`, or a
        function of their own was fitted anew.
    """
    run = RunDirectory.open(run_directory)
    earlier, now = run.path / TRANSFORM, records.root / TRANSFORM
    if same_transform(
        run.manifest.transform_sha256, earlier, records.manifest.transform_sha256, now
    ):
        return run
    if run.spec.preprocessing is not None:
        raise DatasetMismatchError(
            f"--warm-start {run.path}: preprocessing: {run.spec.preprocessing} may hold analysers of its "
            f"own, which were fitted anew for {records.directory}; preprocess with --transform {earlier}, "
            "or train without --warm-start"
        )
    remedy = _REMEDY.format(earlier)
    differences = meaning_differences(run.spec, spec)
    if differences:
        raise DatasetMismatchError(
            f"--warm-start {run.path}: its IDs mean other things than those of "
            f"{records.directory}: {'; '.join(differences[:5])}; {remedy}"
        )
    old, new = (directory / TRANSFORM_FN / ASSETS for directory in (earlier, now))
    declared = {
        vocabulary_file(run.spec, name, old): vocabulary_file(spec, name, new)
        for name in (*spec.features, *spec.targets)
    }
    for path in sorted(old.iterdir()):
        grown = declared.get(path, new / path.name)
        lines = path.read_bytes()
        if lines == NO_ENTRIES + b"\n":
            continue
        if not grown.is_file() or not grown.read_bytes().startswith(lines):
            raise DatasetMismatchError(
                f"--warm-start {run.path}: the vocabulary {grown} does not begin with the run's, so "
                f"its IDs mean other tokens; {remedy}"
            )
    if load_numbers(earlier) != load_numbers(now):
        raise DatasetMismatchError(
            f"--warm-start {run.path}: numbers of {records.directory} are scaled by other "
            f"constants; {remedy}"
        )
    return run


def carry_over(model: keras.Model, run: RunDirectory) -> int:
    """Puts a run's best weights into a freshly initialised model, which is all or nothing.

    Returns:
      How many rows of tables and kernels are new, and stay as they were initialised.

    Raises:
      UsageError: If the model has other layers than the run's, or a layer's weights cannot be told
        to be the old ones and new rows.
    """
    learned, wanted = _parts(load_trained(run.path / MODEL)), _parts(model)
    if learned.keys() != wanted.keys():
        # A run of before called them otherwise; and so that two could be called alike today.
        learned = {earlier_name(name): part for name, part in learned.items()}
        wanted = {earlier_name(name): part for name, part in wanted.items()}
    if learned.keys() != wanted.keys():
        odd = sorted(learned.keys() ^ wanted.keys())
        raise UsageError(
            f"--warm-start {run.path}: the model and the run's differ in their layers "
            f"({', '.join(odd[:5])}); keep the run's `model` section, encoders and embeddings"
        )
    new_rows = 0
    values = [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.weights]
    target_of = {id(weight): value for weight, value in zip(model.weights, values, strict=True)}
    for name, part in wanted.items():
        old = learned[name]
        for weight, source in zip(part.layer.weights, old.values(), strict=True):
            target = target_of[id(weight)][part.rows]
            if target.shape == source.shape:
                target[...] = source
                continue
            places = _places(part.layer, old.layer, target.shape, source.shape)
            if places is None:
                raise UsageError(
                    f"--warm-start {run.path}: {name} has weights {target.shape}, where "
                    f"the run has {source.shape}, which cannot be carried over; keep the "
                    "run's `model` section, and give features that grow an embedding width "
                    "instead of one_hot, or their encoder its `units`"
                )
            new_rows += sum(
                size - len(kept)
                for size, kept in zip(target.shape, places, strict=True)
                if size != len(kept)
            )
            target[np.ix_(*places)] = source
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)
    return new_rows


@dataclass(frozen=True)
class _Part:
    """What was, or would be, a layer of its own: a whole one, or rows of one with many tables."""

    layer: keras.Layer
    rows: slice | EllipsisType = ...

    def values(self) -> list[np.ndarray]:
        """Returns its weights."""
        return [keras.ops.convert_to_numpy(weight)[self.rows] for weight in self.layer.weights]


def _parts(model: keras.Model) -> dict[str, _Part]:
    """Returns what has weights, by the name of the layer that it is, or would be if alone."""
    found: dict[str, _Part] = {}
    for layer in model.layers:
        if isinstance(layer, StackedTables):
            if layer.weights:
                found |= {name: _Part(layer, rows) for name, rows in layer.rows().items()}
        elif layer.weights:
            found[layer.name] = _Part(layer)
    return found


def _places(
    layer: keras.Layer, old: keras.Layer, shape: tuple[int, ...], old_shape: tuple[int, ...]
) -> list[np.ndarray] | None:
    """Returns, by axis, where the old weights' entries are in the new; None if that is not known."""
    axes = [axis for axis, size in enumerate(shape) if size != old_shape[axis]]
    places = [np.arange(size) for size in old_shape]
    if isinstance(layer, layers.Embedding | StackedEmbedding | TermWeights):
        # IDs keep their places; a table never shrinks.
        return places if axes == [0] and shape[0] > old_shape[0] else None
    if not isinstance(layer, _READING) or (len(axes) > 1 and not isinstance(layer, Cross)):
        return None
    entries, old_entries = _entries(_first_input(layer)), _entries(_first_input(old))
    if any((shape[axis], old_shape[axis]) != (len(entries), len(old_entries)) for axis in axes):
        return None
    where = {entry: place for place, entry in enumerate(entries)}
    if not where.keys() >= set(old_entries):
        return None
    moved = np.array([where[entry] for entry in old_entries])
    for axis in axes:
        places[axis] = moved
    return places


def _entries(tensor: Any) -> list[Hashable]:
    """Returns what each entry of a tensor's last axis is: a one-hot ID, or some layer's output."""
    operation = tensor._keras_history.operation
    if isinstance(operation, layers.Concatenate):
        return [entry for part in operation.input for entry in _entries(part)]
    if isinstance(operation, layers.Flatten):
        steps = operation.input
        each = _entries(steps)
        count = int(np.prod(steps.shape[1:-1], initial=1))
        return [(step, entry) for step in range(count) for entry in each]
    if isinstance(operation, _PASSING):
        return _entries(_first_input(operation))
    if isinstance(operation, Stacked):
        # As of the layers that it stands for.
        kinds = isinstance(operation, StackedOneHot)
        return [
            (False, earlier_name(name), "one_hot" if kinds else width, place)
            for name, width in operation.stands_for[tensor._keras_history.tensor_index]
            for place in range(width)
        ]
    width = tensor.shape[-1]
    # An entry is known by its layer, place and width. So where any other layer than a one-hot one
    # has grown, none of its entries is taken for one of before.
    kind = "one_hot" if isinstance(operation, OneHot) else width
    # Tells a feature from a layer of an earlier run that was called the same.
    given = isinstance(operation, layers.InputLayer)
    return [(given, earlier_name(operation.name), kind, place) for place in range(width)]


def _first_input(operation: Any) -> Any:
    inputs = operation.input
    return inputs[0] if isinstance(inputs, list | tuple) else inputs
