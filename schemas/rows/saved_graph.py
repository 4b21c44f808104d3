"""Saved graphs: written without tf.Transform, and loaded with tensorflow-text where its ops need it.

tf.Transform traces a function once for its graph and again for what it says of its outputs, and its
import brings Keras 2 and pandas. What lies on disk is the same (tests/test_same_as_tf_transform.py).
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import tensorflow as tf
from google.protobuf import text_format

from skewless.schemas.errors import UsageError
from skewless.schemas.records.layout import SCHEMA, TRANSFORM_FN

__all__ = ["OutputTypes", "load_graph", "looked_up_here", "write_graph", "written_outputs"]

# By output: its dtype, and the shape of a row.
OutputTypes: TypeAlias = dict[str, tuple[tf.DType, tuple[int, ...]]]

_METADATA = "transformed_metadata"
# The tables of the graph that is being traced; None where it is not traced here.
_TABLES: contextvars.ContextVar[list[Any] | None] = contextvars.ContextVar("tables", default=None)


def looked_up_here(make_table: Callable[[], Any], keys: tf.Tensor) -> tf.Tensor | None:
    """Looks keys up in a table, made of files; None where no graph is traced here.

    The table is made outside the graph, which would otherwise read the files anew at every call.
    """
    tables = _TABLES.get()
    if tables is None:
        return None
    with tf.init_scope():
        table = make_table()
    tables.append(table)
    return table.lookup(keys)


def write_graph(
    function: Callable[[Any], Mapping[str, tf.Tensor]],
    features: Mapping[str, tf.io.VarLenFeature],
    directory: str,
) -> None:
    """Writes the graph of a preprocessing function without analysers, which needs no data.

    Args:
      function: Takes a SparseTensor for each of `features`.
      features: By column.
      directory: Left with `transform_fn/` and `transformed_metadata/`.
    """
    signature = {
        name: tf.SparseTensorSpec([None, None], feature.dtype) for name, feature in features.items()
    }

    @tf.function(input_signature=[signature], autograph=False)
    def transform_fn(inputs: Mapping[str, tf.SparseTensor]) -> Mapping[str, tf.Tensor]:
        return function(dict(inputs))

    module = tf.Module()
    tables: list[Any] = []
    token = _TABLES.set(tables)
    try:
        # Saved as what it was traced to, it is neither traced anew nor wrapped in another function.
        module.transform_fn = transform_fn.get_concrete_function()
    finally:
        _TABLES.reset(token)
    module.tables = tables
    tf.saved_model.save(module, os.path.join(directory, TRANSFORM_FN), signatures={})
    _write_metadata(module.transform_fn.structured_outputs, os.path.join(directory, _METADATA))


def written_outputs(directory: str) -> OutputTypes | None:
    """Returns the outputs of a transform as its schema tells; None where it tells not of all.

    An output that tf.Transform wrote of a function of the user's may have any shape.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    path = os.path.join(directory, _METADATA, SCHEMA)
    with tf.io.gfile.GFile(path) as file:
        schema = text_format.Parse(file.read(), schema_pb2.Schema())
    types = {schema_pb2.FLOAT: tf.float32, schema_pb2.INT: tf.int64, schema_pb2.BYTES: tf.string}
    outputs: OutputTypes = {}
    for entry in schema.feature:
        shape = tuple(dimension.size for dimension in entry.shape.dim)
        if not entry.HasField("shape") or not all(size > 0 for size in shape):
            return None
        outputs[entry.name] = (types[entry.type], shape)
    return outputs


def _write_metadata(outputs: Mapping[str, tf.Tensor], directory: str) -> None:
    """Writes the schema of the outputs, each [batch, ...] with all but the batch known."""
    # Who only loads graphs may have it not installed.
    from tensorflow_metadata.proto.v0 import schema_pb2

    types = {
        tf.float32: schema_pb2.FLOAT,
        tf.int64: schema_pb2.INT,
        tf.string: schema_pb2.BYTES,
    }
    schema = schema_pb2.Schema()
    for name, output in sorted(outputs.items()):
        entry = schema.feature.add(name=name, type=types[output.dtype])
        entry.presence.min_fraction = 1.0
        entry.shape.SetInParent()
        for size in output.shape.as_list()[1:]:
            entry.shape.dim.add(size=size)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, SCHEMA), "w", encoding="utf-8") as file:
        file.write(text_format.MessageToString(schema))


def load_graph(path: str | Path) -> tf.Module:
    """Loads a SavedModel; where its ops are not TensorFlow's own, with tensorflow-text's.

    Raises:
      UsageError: If it needs tensorflow-text, and that is not installed.
    """
    try:
        return tf.saved_model.load(str(path))
    except (RuntimeError, OSError, tf.errors.NotFoundError) as error:
        if "Op type not registered" not in str(error):
            raise
        # normalize and subword graphs hold tensorflow-text ops, registered by its import.
        try:
            import tensorflow_text  # noqa: F401
        except ImportError:
            raise UsageError(
                f"{path}: holds ops of tensorflow-text (normalize or subword in its spec); "
                "install it with: pip install 'skewless[text]'"
            ) from error
        return tf.saved_model.load(str(path))
