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


# By a share of smoothing: the losses of labels that may be smoothed.
_SMOOTHED: dict[type, Callable[[float], keras.losses.Loss]] = {
    BinaryLabel: lambda share: keras.losses.BinaryCrossentropy(label_smoothing=share),
    MulticlassLabel: SmoothedSparseCrossentropy,
    MultilabelLabel: lambda share: keras.losses.BinaryCrossentropy(label_smoothing=share),
}


# By the exponent: the focal losses of labels that may have one.
_FOCAL: dict[type, Callable[[float], keras.losses.Loss]] = {
    BinaryLabel: lambda gamma: keras.losses.BinaryFocalCrossentropy(gamma=gamma),
    MulticlassLabel: FocalSparseCrossentropy,
    MultilabelLabel: lambda gamma: keras.losses.BinaryFocalCrossentropy(gamma=gamma),
}


def head_of(spec: Spec) -> Head:
    """Returns the head of the spec's label.

    Raises:
      SpecError: If the spec has no label.
    """
    label: Label | None = spec.label
    if label is None:
        raise SpecError("label: a model needs one; add label: {column: …, type: …}")
    return _HEADS[type(label)]


def output_layer(spec: Spec, entry: FeatureEntry) -> keras.layers.Layer:
    """Returns the output layer; float32 whatever the mixed-precision policy is."""
    return keras.layers.Dense(
        entry.cardinality or 1,
        activation=head_of(spec).activation,
        dtype="float32",
        name=layer_name("predictions"),
    )


def compile_arguments(spec: Spec) -> dict[str, Any]:
    """Returns `loss` and `weighted_metrics` for `keras.Model.compile`."""
    head = head_of(spec)
    if spec.training.loss is not None:
        return {"loss": RANKING_LOSSES[spec.training.loss](), "weighted_metrics": []}
    smoothing, gamma = spec.training.label_smoothing, spec.training.focal
    loss: Any = head.loss
    if smoothing:
        loss = _SMOOTHED[type(spec.label)](smoothing)
    elif gamma is not None:
        loss = _FOCAL[type(spec.label)](gamma)
    return {"loss": loss, "weighted_metrics": head.metrics()}
