"""The fitted transform graph, as the model's side sees it: a SavedModel on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from skewless.model.exported.traced import traced_once
from skewless.schemas.records.layout import TRANSFORM_FN
from skewless.schemas.records.records import (
    LABEL,
    is_diagnostic,
    is_feature,
    label_mean_name,
    label_scale_name,
)
from skewless.schemas.rows.raw_columns import raw_columns, raw_feature_spec, served_columns
from skewless.schemas.rows.saved_graph import load_graph
from skewless.schemas.spec.label import Label, RegressionLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["Transform", "empty_column", "in_own_unit", "to_own_unit"]


class Transform(tf.Module):
    """Applies the transform graph to requests: no label, no weight, absent columns missing."""

    def __init__(self, spec: Spec, directory: str | Path) -> None:
        """Loads `directory/transform_fn`."""
        super().__init__(name="transform")
        self._parsing = raw_feature_spec(served_columns(spec))
        self._unasked = {
            name: tf.dtypes.as_dtype(column.kind)
            for name, column in raw_columns(spec).items()
            if name not in self._parsing
        }
        self.graph = load_graph(Path(directory) / TRANSFORM_FN)
        self._of_examples = traced_once(self._parsed, [tf.TensorSpec([None], tf.string)])

    def of_examples(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the features of [batch] serialized tf.Examples."""
        if not self._parsing:
            raise ValueError("the spec reads no feature column")
        features: dict[str, tf.Tensor] = self._of_examples(serialized)
        return features

    def of_sparse(
        self, raw: Mapping[str, tf.SparseTensor], batch: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the features of raw SparseTensors of `batch` rows each."""
        outputs = self._apply(raw, batch)
        return {
            name: value
            for name, value in outputs.items()
            if is_feature(name) and not is_diagnostic(name)
        }

    def _parsed(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = tf.io.parse_example(serialized, self._parsing)
        return self.of_sparse(raw, tf.size(serialized, tf.int64))

    def label_constants(self, entry: str = LABEL) -> tuple[float, float]:
        """Returns the mean and scale of a z-scored label, by its record entry."""
        empty = {
            name: empty_column(feature.dtype, tf.constant(1, tf.int64))
            for name, feature in self._parsing.items()
        }
        outputs = self._apply(empty, tf.constant(1, tf.int64))
        return float(outputs[label_mean_name(entry)][0]), float(outputs[label_scale_name(entry)][0])

    def _apply(self, raw: Mapping[str, tf.SparseTensor], batch: tf.Tensor) -> dict[str, tf.Tensor]:
        unasked = {name: empty_column(dtype, batch) for name, dtype in self._unasked.items()}
        outputs: dict[str, tf.Tensor] = self.graph.transform_fn({**raw, **unasked})
        return outputs


def to_own_unit(
    label: Label | None, transform: Transform, entry: str = LABEL
) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """Returns what undoes a regression label's scale, or None where there is nothing to undo."""
    if not isinstance(label, RegressionLabel) or label.scale == "none":
        return None
    mean, scale = transform.label_constants(entry) if label.standardized else (0.0, 1.0)

    def own_unit(values: tf.Tensor) -> tf.Tensor:
        if label.standardized:
            values = values * scale + mean
        return tf.sign(values) * tf.math.expm1(tf.abs(values)) if label.logarithmic else values

    return own_unit


def in_own_unit(
    label: Label | None, transform: Transform, *values: np.ndarray, entry: str = LABEL
) -> list[np.ndarray]:
    """Returns [rows, ...] labels or predictions with a regression label's scale undone.

    In float64 then: expm1 of a wild prediction overflows float32 at 89.
    """
    own_unit = to_own_unit(label, transform, entry)
    if own_unit is None:
        return list(values)
    return [np.asarray(own_unit(array.astype(np.float64))) for array in values]


def empty_column(dtype: tf.DType, batch: tf.Tensor) -> tf.SparseTensor:
    """Returns a column of `batch` rows whose every value is missing."""
    return tf.SparseTensor(
        tf.zeros([0, 2], tf.int64),
        tf.zeros([0], dtype),
        tf.stack([batch, tf.constant(0, tf.int64)]),
    )
