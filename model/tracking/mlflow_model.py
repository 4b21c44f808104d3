"""An exported model as MLflow keeps models: the SavedModel as it is, and beside it what it takes.

    model/MLmodel        the signature: each raw column with its type, none of them required
    model/saved_model/   what `skewless export` left

`mlflow.pyfunc.load_model("runs:/…/model")` gives a model of DataFrames; TensorFlow and TensorFlow
Serving take the folder `saved_model` itself.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from skewless.model.exported.served_model import ServedModel
from skewless.schemas.rows.raw_columns import served_columns

if TYPE_CHECKING:
    import pandas

    from skewless.model.tracking.mlflow_run import MlflowRun

__all__ = ["log_exported", "signature_of"]

_FOLDER, _SAVED = "model", "saved_model"


def log_exported(tracked: MlflowRun, exported: Path) -> None:
    """Gives an exported model to a run.

    Raises:
      MlflowException: If the server or store cannot be used.
    """
    import mlflow.models
    import mlflow.pyfunc

    described = mlflow.models.Model(
        artifact_path=_FOLDER, run_id=tracked.run_id, signature=signature_of(exported)
    )
    mlflow.pyfunc.add_to_model(described, loader_module=__name__, data=_SAVED)
    tracked.client.log_artifacts(tracked.run_id, str(exported), f"{_FOLDER}/{_SAVED}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "MLmodel"
        described.save(str(path))
        tracked.client.log_artifact(tracked.run_id, str(path), _FOLDER)


def signature_of(exported: Path) -> Any:
    """Returns the `mlflow.models.ModelSignature` of an exported model: raw columns to outputs."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema, TensorSpec

    kinds = {"string": DataType.string, "int64": DataType.long, "float32": DataType.float}
    served = ServedModel.open(exported)
    inputs: list[ColSpec | TensorSpec] = []
    for name, column in served_columns(served.spec).items():
        kind = kinds[column.kind]
        inputs.append(
            ColSpec(Array(kind) if column.multivalued else kind, name=name, required=False)
        )
    outputs: list[ColSpec | TensorSpec] = [
        TensorSpec(
            np.dtype(output.dtype.as_numpy_dtype),
            tuple(-1 if size is None else size for size in output.shape),
            name,
        )
        for name, output in served.graph.signatures["serving_default"].structured_outputs.items()
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


class _OfFrames:
    """What `mlflow.pyfunc` calls."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def predict(self, frame: pandas.DataFrame, params: Any = None) -> dict[str, np.ndarray]:
        """Returns [rows, …] arrays by output."""
        # Arrow gives Python's own values, and None for what pandas holds as missing.
        rows = pa.RecordBatch.from_pandas(frame, preserve_index=False).to_pylist()
        return self._served.predict(rows)


def _load_pyfunc(path: str) -> _OfFrames:
    """Loads a model; MLflow calls it by this name."""
    return _OfFrames(ServedModel.open(path))
