"""What a Keras model that was not built from the spec has to be: inputs and outputs as the records have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from skewless.model.network.heads import head_of
from skewless.model.training.records import Records
from skewless.schemas.errors import UsageError, nearest
from skewless.schemas.records.layout import SPEC
from skewless.schemas.records.records import is_feature
from skewless.schemas.spec.network import Seq2SeqSpec, TowersSpec
from skewless.schemas.spec.spec import Spec, load

__all__ = ["check_own_model"]

# Half floats are as coarse as a thousandth near 1.
_SLACK = 1e-2


def check_own_model(model: keras.Model, records: Records) -> None:
    """Refuses a model that the transform's outputs cannot be put into, or that gives no predictions.

    Args:
      model: Whatever was given as one.
      records: Those that it was trained on.

    Raises:
      UsageError: With what is expected instead.
    """
    spec = load(records.root / SPEC)
    if not isinstance(spec.model, TowersSpec):
        what = "for sequence labels" if isinstance(spec.model, Seq2SeqSpec) else "that finds"
        raise UsageError(f"an own model {what} cannot be exported; train the declared one")
    try:
        taken, given = model.input, model.output
    except AttributeError as error:
        # Of a subclass of keras.Model, and of a Sequential that was never called.
        raise UsageError(
            f"the model: expected a functional Keras model, got {type(model).__name__}, whose inputs are "
            "not known; build keras.Model(inputs, model(inputs)), inputs as `skewless.inputs(records)` "
            "gives them"
        ) from error
    _check_inputs(taken, records)
    _check_outputs(given, spec, records)
    if spec.training.loss is None:
        _check_probabilities(model, spec, records)


def _check_inputs(taken: Any, records: Records) -> None:
    entries = {name: entry for name, entry in records.manifest.features.items() if is_feature(name)}
    if not isinstance(taken, dict):
        raise UsageError(
            "the model: expected inputs as a dict by record entry; build it with "
            "keras.Model(inputs, outputs), inputs as `skewless.inputs(records)` gives them"
        )
    for name, tensor in taken.items():
        if name not in entries:
            raise UsageError(
                f"the model's input {name!r}: is no entry of {records.directory}"
                f"{nearest(name, entries)}; it has {', '.join(entries)}"
            )
        shape, dtype = tuple(tensor.shape[1:]), str(tensor.dtype)
        if (shape, dtype) != (tuple(entries[name].shape), entries[name].dtype):
            raise UsageError(
                f"the model's input {name!r}: expected {entries[name].dtype} of shape "
                f"{list(entries[name].shape)}, got {dtype} of shape {list(shape)}"
            )


def _check_outputs(given: Any, spec: Spec, records: Records) -> None:
    if spec.labels is not None and (not isinstance(given, dict) or set(given) != set(spec.labels)):
        raise UsageError(
            f"the model: expected outputs as a dict by label ({', '.join(spec.labels)}); build it with "
            "keras.Model(inputs, {name: output, …})"
        )
    outputs: Mapping[str, Any] = (
        given if spec.labels is not None else dict.fromkeys(spec.targets, given)
    )
    for name, output in outputs.items():
        width = records.manifest.features[name].cardinality or 1
        shape = list(output.shape[1:]) if hasattr(output, "shape") else type(output).__name__
        if shape != [width]:
            of_label = f" for label {name!r}" if spec.labels is not None else ""
            raise UsageError(
                f"the model's output{of_label}: expected shape [{width}] a row, as label type "
                f"{spec.targets[name].type} has, got {shape}; end it with keras.layers.Dense({width}, …)"
            )


def _check_probabilities(model: keras.Model, spec: Spec, records: Records) -> None:
    """Refuses scores where a label's predictions are probabilities, by a batch of records."""
    split = next((split for split in ("train", "eval", "test") if records.rows(split)), None)
    if split is None:
        return
    features = next(iter(records.in_order(split, batch_size=256)))[0]
    found = model.predict_on_batch({name: features[name] for name in model.input})
    for name, label in spec.targets.items():
        activation = head_of(label).activation
        values = np.asarray(found[name] if spec.labels is not None else found, np.float32)
        if activation != "linear" and (values.min() < -_SLACK or values.max() > 1 + _SLACK):
            raise UsageError(
                f"the model's output: expected probabilities, as label type {label.type} has, got "
                f"{values.min():.4g} to {values.max():.4g}; end it with activation {activation!r}, and train "
                "without from_logits"
            )
