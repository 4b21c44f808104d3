"""The graphs, called on rows: what analyses them, and the fitted transform that makes records."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_transform import impl_helper

from beam_pipelines.analysis import Constants, Reduction
from beam_pipelines.analyzers.numeric import numbers_of
from beam_pipelines.analyzers.vocabulary import KnownPieces
from beam_pipelines.preprocessing_fn import make_preprocessing_fn
from schemas.constants import write_numbers
from schemas.prepare import RawTensors, prepare
from schemas.raw_columns import raw_columns, raw_feature_spec
from schemas.row_encoding import sparse_arrays
from schemas.spec import Spec
from schemas.tokenizers import tensorflow_text

__all__ = ["AnalysisGraph", "TransformGraph", "write_transform_graph"]

Outputs = dict[str, np.ndarray]


class _RowsFunction:
    """A traced function of raw tensors, called on canonical columns."""

    def __init__(self, spec: Spec, function: Callable[[RawTensors], dict[str, Any]]) -> None:
        self._spec = spec
        self._body = function
        self._dtypes = {
            name: tf.dtypes.as_dtype(column.kind) for name, column in raw_columns(spec).items()
        }
        # Without a signature the function would be traced anew for each size of batch.
        signature = {
            name: (
                tf.TensorSpec([None, 2], tf.int64),
                tf.TensorSpec([None], dtype),
                tf.TensorSpec([2], tf.int64),
            )
            for name, dtype in self._dtypes.items()
        }
        self._function = tf.function(self._apply, input_signature=[signature], autograph=False)

    def _apply(self, components: dict[str, tuple[tf.Tensor, ...]]) -> dict[str, tf.Tensor]:
        outputs = self._body({name: tf.SparseTensor(*parts) for name, parts in components.items()})
        return {
            name: _dense(value) if isinstance(value, tf.SparseTensor) else value
            for name, value in outputs.items()
        }

    def __call__(self, columns: pa.RecordBatch) -> Outputs:
        components = {
            name: (
                tf.constant(indices, tf.int64, shape=[len(indices), 2]),
                tf.constant(values, self._dtypes[name]),
                tf.constant(shape, tf.int64),
            )
            for name, (indices, values, shape) in sparse_arrays(columns, self._spec).items()
        }
        return {name: value.numpy() for name, value in self._function(components).items()}


class AnalysisGraph(_RowsFunction):
    """Prepares and reduces rows; called on canonical columns it gives what totals add."""

    def __init__(self, spec: Spec, known: Mapping[str, KnownPieces]) -> None:
        reduction = Reduction(spec, known)
        super().__init__(spec, lambda inputs: reduction(prepare(spec, inputs, reduction.uncut)))


class TransformGraph(_RowsFunction):
    """A fitted graph, loaded once; called on canonical columns it gives [rows, ...] outputs."""

    def __init__(self, spec: Spec, saved_model: str) -> None:
        self._loaded = _load(saved_model)
        super().__init__(spec, self._loaded.transform_fn)


def write_transform_graph(spec: Spec, constants: Constants, directory: str) -> str:
    """Builds the transform graph and writes it as tf.Transform does; returns its SavedModel.

    Every number in it is known, so tf.Transform needs no data.

    Args:
      spec: The declaration; its own functions (`preprocessing`) must hold no analysers.
      constants: What the analysis found.
      directory: Left with `transform_fn/`, `transformed_metadata/` and `constants.json`.
    """
    impl_helper.analyze_in_place(
        make_preprocessing_fn(spec, constants),
        force_tf_compat_v1=False,
        feature_specs=raw_feature_spec(spec),
        type_specs={
            name: tf.SparseTensorSpec([None, None], feature.dtype)
            for name, feature in raw_feature_spec(spec).items()
        },
        transform_output_path=directory,
    )
    write_numbers(directory, numbers_of(constants.numbers))
    return os.path.join(directory, "transform_fn")


def _dense(value: tf.SparseTensor) -> tf.Tensor:
    return tf.sparse.to_dense(value)


def _load(saved_model: str) -> Any:
    try:
        return tf.saved_model.load(saved_model)
    except (RuntimeError, OSError, tf.errors.NotFoundError) as error:
        if "Op type not registered" not in str(error):
            raise
        # A worker of its own, or one given a ready graph, has not built the tokenizers.
        tensorflow_text("this transform graph (normalize or subword)")
        return tf.saved_model.load(saved_model)
