"""What is served of a label: its outputs, and its classification or regression where it fits one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from skewless.model.exported.transform import Transform, to_own_unit
from skewless.schemas.records.records import label_name
from skewless.schemas.spec.label import Label
from skewless.schemas.spec.spec import Spec

__all__ = ["ServedLabel", "output_name", "served_labels"]

Outputs = dict[str, tf.Tensor]


def output_name(kind: str, label: str) -> str:
    """Returns the name of an output: `predictions`, or of one of several labels `LABEL_predictions`."""
    return f"{label}_{kind}" if label else kind


def served_labels(
    spec: Spec, transform: Transform, classes: Mapping[str, Sequence[bytes]]
) -> tuple[ServedLabel, ...]:
    """Returns each label of a spec.

    Args:
      spec: The declaration.
      transform: Its fitted transform, which knows the labels' scales.
      classes: By record entry, of labels that have a vocabulary, its entries in ID order.
    """
    return tuple(
        ServedLabel(entry, label, transform, classes.get(entry, ()))
        for entry, label in spec.targets.items()
    )


class ServedLabel:
    """One label of an exported model.

    Attributes:
      name: Among several; "" of the only one.
      label: The declaration.
    """

    def __init__(
        self, entry: str, label: Label, transform: Transform, classes: Sequence[bytes]
    ) -> None:
        """Takes a label as its record entry is called; `classes` are those that have names."""
        self.name = label_name(entry)
        self.label = label
        self._own_unit = to_own_unit(label, transform, entry)
        named = [b"0", b"1"] if label.is_binary else list(classes)
        self._classes = tf.constant(named, tf.string)

    def outputs(self, predictions: tf.Tensor) -> Outputs:
        """Returns the outputs of what the network predicts, [batch, ...]."""
        if self._own_unit is not None:
            predictions = self._own_unit(predictions)
        outputs = {output_name("predictions", self.name): predictions}
        if self.label.one_of_classes:
            likeliest = tf.gather(self._classes, tf.argmax(predictions, axis=1))
            outputs[output_name("class", self.name)] = likeliest
        return outputs

    def classify(self, outputs: Outputs) -> Outputs:
        """Returns classes and scores, [batch, classes], of outputs, as TF Serving has them."""
        scores = outputs[output_name("predictions", self.name)]
        if self.label.is_binary:
            scores = tf.concat([1.0 - scores, scores], axis=1)
        classes = tf.tile(self._classes[None, :], [tf.shape(scores)[0], 1])
        return {"classes": classes, "scores": scores}

    def regress(self, outputs: Outputs) -> Outputs:
        """Returns values, [batch], of outputs, as TF Serving has them."""
        return {"outputs": outputs[output_name("predictions", self.name)][:, 0]}
