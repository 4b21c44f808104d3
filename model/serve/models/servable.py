"""A servable: one version of an exported model, loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from skewless.model.exported.served_model import ServedModel
from skewless.model.serve.status import of_tensorflow

__all__ = ["SAVED_MODEL", "Arrays", "Servable"]

Arrays = dict[str, np.ndarray]
SAVED_MODEL = "saved_model.pb"


class Servable:
    """One version of a model; it stays loaded as long as a request holds it.

    Attributes:
      version: Its number.
      name: What clients call its model.
      model: What it was loaded from.
      signatures: What it can be asked for, by name.
    """

    def __init__(self, directory: Path, version: int, name: str | None = None) -> None:
        """Loads the model and calls each signature once, so that no request meets a cold graph.

        Raises:
          UsageError: If this is not a model that `skewless export` left, or if it needs
            tensorflow-text, and that is not installed.
        """
        self.version = version
        self.model = ServedModel.open(directory)
        self.name = self.model.spec.name if name is None else name
        saved = saved_model_pb2.SavedModel.FromString((directory / SAVED_MODEL).read_bytes())
        self.signatures: Mapping[str, meta_graph_pb2.SignatureDef] = dict(
            saved.meta_graphs[0].signature_def
        )
        for name in self.model.graph.signatures:
            self.call(name, self._missing_row(name))

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Returns the outputs of a signature.

        Args:
          signature: One of `signatures`.
          inputs: All of its inputs, but for those with a default.

        Raises:
          ServingError: If the graph refuses the values.
        """
        declared = self.signatures[signature]
        given = {**_defaults(declared), **inputs}
        arguments = {
            name: tf.constant(given[name], tf.dtypes.as_dtype(tensor.dtype))
            for name, tensor in declared.inputs.items()
        }
        try:
            outputs = self.model.graph.signatures[signature](**arguments)
        except tf.errors.OpError as error:
            raise of_tensorflow(error) from error
        return {name: value.numpy() for name, value in outputs.items()}

    def _missing_row(self, signature: str) -> dict[str, Any]:
        """Returns the inputs of one row whose every column is missing."""
        declared = self.signatures[signature]
        if not declared.defaults:
            return {name: [tf.train.Example().SerializeToString()] for name in declared.inputs}
        missing: dict[Any, Any] = {tf.string: b"", tf.int64: tf.int64.min, tf.float32: np.nan}
        return {
            name: np.full(
                [1] * len(tensor.tensor_shape.dim),
                missing[tf.dtypes.as_dtype(tensor.dtype)],
                object if tensor.dtype == tf.string.as_datatype_enum else None,
            )
            for name, tensor in declared.inputs.items()
        }


def _defaults(declared: meta_graph_pb2.SignatureDef) -> Arrays:
    return {name: tf.make_ndarray(value) for name, value in declared.defaults.items()}
