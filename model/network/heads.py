"""Heads: the output layer, loss and metrics of each kind of label.

Outputs are [batch, 1] probabilities (binary), [batch, classes] probabilities (multiclass,
multilabel), [batch, 1] numbers in the label's scaled unit (regression) or
[batch, length + 1, cardinality] probabilities (sequence), all float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from skewless.model.network.body.losses import FocalSparseCrossentropy, SmoothedSparseCrossentropy
from skewless.model.network.body.ranking_losses import RANKING_LOSSES
from skewless.model.network.layer_names import layer_name
from skewless.schemas.errors import SpecError
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.spec.label import (
    BinaryLabel,
    Label,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)
from skewless.schemas.spec.spec import Spec

__all__ = ["Head", "compile_arguments", "head_of", "output_layer"]


@dataclass(frozen=True)
class Head:
    """How one kind of label is predicted.

    Attributes:
      activation: Of the output layer.
      loss: A Keras loss's name.
      metrics: Makes fresh Keras metrics.
    """

    activation: str
    loss: str
    metrics: Callable[[], list[Any]]


_HEADS: dict[type, Head] = {
    BinaryLabel: Head(
        "sigmoid",
        "binary_crossentropy",
        lambda: [keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.AUC(name="auc")],
    ),
    MulticlassLabel: Head(
        "softmax",
        "sparse_categorical_crossentropy",
        lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    ),
    MultilabelLabel: Head(
        "sigmoid",
        "binary_crossentropy",
        lambda: [keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.AUC(name="auc")],
    ),
    RegressionLabel: Head(
        "linear",
        "mean_squared_error",
        lambda: [
            keras.metrics.RootMeanSquaredError(name="rmse"),
            keras.metrics.MeanAbsoluteError(name="mae"),
        ],
    ),
    SequenceLabel: Head(
        "softmax",
        "sparse_categorical_crossentropy",
        lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    ),
}


# By a share of smoothing, and what else a loss is given: the losses of labels that may be smoothed.
_SMOOTHED: dict[type, Callable[..., keras.losses.Loss]] = {
    BinaryLabel: lambda share, **given: keras.losses.BinaryCrossentropy(
        label_smoothing=share, **given
    ),
    MulticlassLabel: SmoothedSparseCrossentropy,
    MultilabelLabel: lambda share, **given: keras.losses.BinaryCrossentropy(
        label_smoothing=share, **given
    ),
}


# By the exponent, and what else a loss is given: the focal losses of labels that may have one.
_FOCAL: dict[type, Callable[..., keras.losses.Loss]] = {
    BinaryLabel: lambda gamma, **given: keras.losses.BinaryFocalCrossentropy(gamma=gamma, **given),
    MulticlassLabel: FocalSparseCrossentropy,
    MultilabelLabel: lambda gamma, **given: keras.losses.BinaryFocalCrossentropy(
        gamma=gamma, **given
    ),
}


# The same of several labels, of whose rows some lack a label and have weight 0: the mean of the others.
_OF_SEVERAL: dict[type, type[keras.losses.Loss]] = {
    BinaryLabel: keras.losses.BinaryCrossentropy,
    MulticlassLabel: keras.losses.SparseCategoricalCrossentropy,
    RegressionLabel: keras.losses.MeanSquaredError,
}


def head_of(label: Label | None) -> Head:
    """Returns the head of a label.

    Raises:
      SpecError: If there is no label.
    """
    if label is None:
        raise SpecError("label: a model needs one; add label: {column: …, type: …}")
    return _HEADS[type(label)]


def output_layer(label: Label | None, entry: FeatureEntry, *name: str) -> keras.layers.Layer:
    """Returns the output layer; float32 whatever the mixed-precision policy is.

    Args:
      label: The declaration.
      entry: What the manifest says of it.
      name: Of one of several labels.

    Raises:
      SpecError: If there is no label.
    """
    return keras.layers.Dense(
        entry.cardinality or 1,
        activation=head_of(label).activation,
        dtype="float32",
        name=layer_name("predictions", *name),
    )


def compile_arguments(spec: Spec) -> dict[str, Any]:
    """Returns what `keras.Model.compile` is to be told of losses and metrics.

    The loss of several labels is the sum of each one's `weight` times its mean over a batch's rows
    that have it, 0 where none has.
    """
    if spec.labels is not None:
        return {
            "loss": {
                name: _declared_loss(spec, label, reduction="mean_with_sample_weight")
                or _OF_SEVERAL[type(label)](reduction="mean_with_sample_weight")
                for name, label in spec.labels.items()
            },
            "loss_weights": {name: label.weight or 1.0 for name, label in spec.labels.items()},
            "weighted_metrics": {
                name: head_of(label).metrics() for name, label in spec.labels.items()
            },
        }
    head = head_of(spec.label)
    if spec.training.loss is not None:
        return {"loss": RANKING_LOSSES[spec.training.loss](), "weighted_metrics": []}
    loss = _declared_loss(spec, spec.label) or head.loss
    return {"loss": loss, "weighted_metrics": head.metrics()}


def _declared_loss(spec: Spec, label: Label | None, **given: Any) -> keras.losses.Loss | None:
    """Returns the smoothed or focal loss of a label of classes, where the training declares one."""
    smoothing, gamma = spec.training.label_smoothing, spec.training.focal
    if smoothing and type(label) in _SMOOTHED:
        return _SMOOTHED[type(label)](smoothing, **given)
    if gamma is not None and type(label) in _FOCAL:
        return _FOCAL[type(label)](gamma, **given)
    return None
