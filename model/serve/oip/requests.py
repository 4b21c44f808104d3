"""What the protocol asks of a model, by REST and by gRPC: its metadata, and predictions of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_shape_pb2

from skewless.model.serve import inference
from skewless.model.serve.batching import Batcher
from skewless.model.serve.models.registry import Models
from skewless.model.serve.models.servable import Arrays, Servable
from skewless.model.serve.oip.tensors import datatype_of
from skewless.model.serve.status import ServingError

__all__ = [
    "EXTENSIONS",
    "SERVER",
    "infer",
    "metadata",
    "ready",
    "servable_of",
    "server_version",
    "signature_of",
]

SERVER = "skewless"
EXTENSIONS = ("binary_tensor_data",)
_PLATFORM = "tensorflow_savedmodel"
_COLUMNS = "predict_columns"


def server_version() -> str:
    """Returns the version of this project that is installed, or nothing."""
    from importlib import metadata as installed

    try:
        return installed.version(SERVER)
    except installed.PackageNotFoundError:
        return ""


def servable_of(models: Models, name: str, version: str) -> Servable:
    """Returns the version that a request names; the newest if it names none.

    Raises:
      ServingError: If there is none.
    """
    if version and not (version.isascii() and version.isdecimal() and len(version) < 20):
        raise ServingError("INVALID_ARGUMENT", f"expected a version's number, got {version!r:.40}")
    return models.get(name, int(version) if version else None)


def ready(models: Models, name: str, version: str) -> bool:
    """Returns whether a model, or a version of it, is loaded."""
    try:
        servable_of(models, name, version)
    except ServingError:
        return False
    return True


def signature_of(servable: Servable) -> str:
    """Returns the signature that answers: of raw columns, or of tf.Examples where there is none."""
    return _COLUMNS if _COLUMNS in servable.signatures else inference.DEFAULT_SIGNATURE


def metadata(models: Models, name: str, version: str) -> dict[str, Any]:
    """Returns what a model takes and gives, as the protocol's JSON has it.

    Raises:
      ServingError: If there is no such model or version, or it is not loaded.
    """
    servable = servable_of(models, name, version)
    declared = servable.signatures[signature_of(servable)]
    return {
        "name": name,
        "versions": [str(servable.version)],
        "platform": _PLATFORM,
        "inputs": _tensors(declared.inputs),
        "outputs": _tensors(declared.outputs),
    }


async def infer(
    batcher: Batcher,
    servable: Servable,
    inputs: Mapping[str, tuple[str, np.ndarray]],
    wanted: Sequence[str],
) -> Arrays:
    """Returns outputs for the columns of a request.

    Args:
      batcher: Computes.
      servable: The version that answers.
      inputs: Datatype and [rows] or [rows, n] values of each column given.
      wanted: Names of outputs; empty for all.

    Raises:
      ServingError: If they are not what the model takes.
    """
    signature = signature_of(servable)
    declared = servable.signatures[signature].inputs
    for name, (datatype, _) in inputs.items():
        expected = _datatype(declared[name].dtype) if name in declared else ""
        if datatype != expected:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"unexpected input {name!r}; the model takes {', '.join(sorted(declared))}"
                if not expected
                else f"input {name!r}: expected the datatype {expected}, got {datatype!r:.40}",
            )
    arrays = {name: array for name, (_, array) in inputs.items()}
    return await inference.predict(batcher, servable, signature, arrays, wanted)


def _tensors(declared: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": _datatype(tensor.dtype), "shape": _shape(tensor.tensor_shape)}
        for name, tensor in sorted(declared.items())
    ]


def _shape(shape: tensor_shape_pb2.TensorShapeProto) -> list[int]:
    return [dimension.size for dimension in shape.dim]


def _datatype(dtype: int) -> str:
    return datatype_of(tf.dtypes.as_dtype(dtype).as_numpy_dtype)
