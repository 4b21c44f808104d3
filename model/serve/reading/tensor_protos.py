"""TensorProtos of a request to arrays, their size known before they are expanded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from skewless.model.serve.status import ServingError

__all__ = ["arrays_of"]

# NumPy holds 64 dimensions at most, a signature of ours two.
_MOST_LEVELS = 32
# What a signature of ours may take, and a batch holds; no handles of resources, no variants.
_BYTES = {"string": 8, "bool": 1, "int32": 4, "int64": 8, "float32": 4, "float64": 8}
_NAMES = {tf.dtypes.as_dtype(kind).as_datatype_enum: kind for kind in _BYTES}


def arrays_of(
    inputs: Mapping[str, tensor_pb2.TensorProto], max_bytes: int, limit: str = "--max-body-bytes"
) -> dict[str, np.ndarray]:
    """Returns the arrays of a request's tensors.

    Args:
      inputs: By name.
      max_bytes: Of all arrays together. A tensor may say one value and a shape, which stand for as
        many values as the shape has room for.
      limit: What sets `max_bytes`, as a person is told.

    Raises:
      ServingError: If they are larger than that, of another type, or not what their shape says.
    """
    found = {}
    left = max_bytes
    for name, tensor in inputs.items():
        kind, sizes, count = _layout(name, tensor)
        left -= count * _BYTES[kind]
        if left < 0:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"tensor parsing error: {name}: the tensors hold more than {max_bytes} bytes ({limit})",
            )
        try:
            if kind == "string" and len(tensor.string_val) == count:
                # What most requests are; TensorFlow takes several times as long for it.
                found[name] = np.array([*tensor.string_val], object).reshape(sizes)
            else:
                found[name] = tf.make_ndarray(tensor)
        except (TypeError, ValueError) as error:
            raise ServingError(
                "INVALID_ARGUMENT", f"tensor parsing error: {name}: {error}"
            ) from error
    return found


def _layout(name: str, tensor: tensor_pb2.TensorProto) -> tuple[str, list[int], int]:
    """Returns a tensor's type, its shape, and how many values it will hold."""
    kind = _NAMES.get(tensor.dtype)
    if kind is None:
        try:
            kind = tf.dtypes.as_dtype(tensor.dtype).name
        except TypeError:
            kind = str(tensor.dtype)
        raise ServingError(
            "INVALID_ARGUMENT",
            f"tensor parsing error: {name}: type {kind} is none of {', '.join(_BYTES)}",
        )
    sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or min(sizes, default=0) < 0 or len(sizes) > _MOST_LEVELS:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"tensor parsing error: {name}: its shape {sizes[: _MOST_LEVELS + 1]} is not known, "
            "negative or of too many dimensions",
        )
    count = 1
    for size in sizes:
        count *= size
    return kind, sizes, count
