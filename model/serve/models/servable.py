"""A servable: one version of an exported model, loaded."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from skewless.model.exported.nearest import EXCLUDE
from skewless.model.exported.served_model import ServedModel
from skewless.model.serve.reading.json_tensors import Input
from skewless.model.serve.status import CODES, ServingError
from skewless.schemas.records.exported_files import load_description
from skewless.schemas.records.layout import SAVED_MODEL

__all__ = ["SAVED_MODEL", "Arrays", "Cancellation", "Servable", "of_tensorflow"]

Arrays = dict[str, np.ndarray]
_NODES = re.compile(
    r"^Graph execution error:\s*|Detected at node .*\n<stack traces unavailable>\s*|"
    r"\{\{function_node [^}]*\}\}\s*|\s*\[\[\{\{[\s\S]*|\s*\[Op:[\s\S]*"
)


class Cancellation:
    """Says that nobody waits for a call any more; to be asked and told on any thread.

    A call that has begun is not ended: TensorFlow's own way of it is one for all threads at a time.
    """

    def __init__(self) -> None:
        """Is for one call, or for several."""
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Lets no more of them begin."""
        self._cancelled.set()

    def check(self) -> None:
        """Does nothing while somebody waits.

        Raises:
          ServingError: CANCELLED, once nobody does.
        """
        if self._cancelled.is_set():
            raise ServingError("CANCELLED", "nobody waits for the answer any more")


class Servable:
    """One version of a model; it stays loaded as long as a request holds it.

    Attributes:
      version: Its number.
      name: What clients call its model.
      model: What it was loaded from.
      signatures: What it can be asked for, by name.
      inputs: What each of them takes.
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
        declared = saved.meta_graphs[0].signature_def
        # Those alone that can be called: TensorFlow declares one for its own initialization beside them.
        self.signatures: Mapping[str, meta_graph_pb2.SignatureDef] = {
            name: declared[name] for name in self.model.graph.signatures
        }
        columns = load_description(directory).get("columns", {})
        self.inputs = {
            name: _inputs(signature, columns) for name, signature in self.signatures.items()
        }
        for name in self.signatures:
            self.call(name, self.missing_rows(name, 1))

    def call(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        cancellation: Cancellation | None = None,
    ) -> Arrays:
        """Returns the outputs of a signature.

        Args:
          signature: One of `signatures`.
          inputs: All of its inputs, but for those with a default.
          cancellation: Says whether anybody waits for it still.

        Raises:
          ServingError: If the graph refuses the values, or nobody waits for the answer.
        """
        if cancellation is not None:
            cancellation.check()
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
        except UnicodeDecodeError as error:
            # What TensorFlow tells holds bytes of the request, and Python wants UTF-8 of it.
            told = error.object.decode("utf-8", "replace")
            raise ServingError("INVALID_ARGUMENT", _told(told)) from error
        return {name: value.numpy() for name, value in outputs.items()}

    def missing_rows(self, signature: str, rows: int) -> Arrays:
        """Returns the inputs of rows whose every column is missing, as many columns as it takes."""
        declared = self.inputs[signature]
        if not all(found.optional for found in declared.values()):
            empty = tf.train.Example().SerializeToString()
            return {name: np.full(rows, empty, object) for name in declared}
        missing: dict[str, Any] = {"string": b"", "int64": tf.int64.min, "float32": np.nan}
        # By a column: names to exclude do not say how many rows there are.
        columns = {name: found for name, found in declared.items() if name != EXCLUDE}
        name, first = next(iter(sorted((columns or declared).items())))
        shape = [rows] + [1] * (first.rank - 1)
        kind = object if first.dtype == "string" else first.dtype
        return {name: np.full(shape, missing[first.dtype], kind)}


def _inputs(signature: meta_graph_pb2.SignatureDef, columns: Mapping[str, str]) -> dict[str, Input]:
    return {
        name: Input(
            tf.dtypes.as_dtype(tensor.dtype).name,
            name in signature.defaults,
            len(tensor.tensor_shape.dim),
            columns.get(name, ""),
        )
        for name, tensor in signature.inputs.items()
    }


def of_tensorflow(error: tf.errors.OpError) -> ServingError:
    """Returns the error that a graph, or another part of TensorFlow, ended with."""
    return ServingError(CODES[error.error_code], _told(error.message))


def _told(message: str) -> str:
    """Returns what a graph ended with, without the names of its nodes."""
    return _NODES.sub("", message)


def _defaults(declared: meta_graph_pb2.SignatureDef) -> Arrays:
    return {name: tf.make_ndarray(value) for name, value in declared.defaults.items()}
