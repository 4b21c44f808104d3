"""Raw columns: what a row holds before the transform, derived from the spec.

Every raw column may be absent from a row, which means missing. In the transform graph and in
tf.Example each is therefore a variable-length feature (`tf.io.VarLenFeature`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from skewless.schemas.spec.features import Kind
from skewless.schemas.spec.kinds.column import TimeUnit
from skewless.schemas.spec.label import MultilabelLabel, RegressionLabel
from skewless.schemas.spec.spec import Spec

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow_metadata.proto.v0 import schema_pb2

__all__ = ["RawColumn", "raw_columns", "raw_feature_spec", "raw_schema", "row_columns"]


@dataclass(frozen=True)
class RawColumn:
    """One column that the transform graph takes.

    Attributes:
      name: The column's name in the input.
      kind: Its dtype in the graph; `string` columns are UTF-8.
      multivalued: Whether a row may hold several values (a list, or text to split).
      width: Numbers a row must hold if it holds any; 1 unless a numeric list.
      required: Whether a row without a value is rejected.
      role: `feature`, `label` or `weight`; only features are asked for when serving.
      time_unit: What numbers count, where it holds times as text or numbers; else None.
    """

    name: str
    kind: Kind
    multivalued: bool = False
    width: int = 1
    required: bool = False
    role: Literal["feature", "label", "weight"] = "feature"
    time_unit: TimeUnit | None = None


def raw_columns(spec: Spec, *, serving: bool = False) -> dict[str, RawColumn]:
    """Returns the columns that the transform graph takes, by name, label and weight last.

    Args:
      spec: The declaration.
      serving: Leaves out label and weight, which nobody is asked for then.
    """
    columns: dict[str, RawColumn] = {}
    for name, feature in spec.features.items():
        read = feature.columns_read(name)
        width = feature.width // len(read)
        for column in read:
            known = columns.get(column)
            columns[column] = RawColumn(
                name=column,
                kind=feature.kind,
                multivalued=feature.multivalued or bool(known and known.multivalued),
                width=max(width, known.width if known else 1),
                required=feature.required or bool(known and known.required),
                time_unit=feature.time_unit or (known.time_unit if known else None),
            )
    if serving:
        return columns
    if spec.label is not None:
        columns[spec.label.column] = RawColumn(
            name=spec.label.column,
            kind="float32" if isinstance(spec.label, RegressionLabel) else "string",
            multivalued=isinstance(spec.label, MultilabelLabel),
            required=True,
            role="label",
        )
    if spec.weight is not None and spec.weight not in columns:
        columns[spec.weight] = RawColumn(spec.weight, "float32", required=True, role="weight")
    return columns


def row_columns(spec: Spec) -> tuple[str, ...]:
    """Returns the columns read as text beside the graph's: key, split and kept columns."""
    wanted = (spec.key, spec.split.by, spec.split.column, spec.split.time, *spec.keep)
    return tuple(dict.fromkeys(column for column in wanted if column is not None))


def raw_feature_spec(spec: Spec, *, serving: bool = False) -> dict[str, tf.io.VarLenFeature]:
    """Returns the parsing spec of a raw tf.Example; `serving` leaves out label and weight."""
    import tensorflow as tf

    return {
        name: tf.io.VarLenFeature(tf.dtypes.as_dtype(column.kind))
        for name, column in raw_columns(spec, serving=serving).items()
    }


def raw_schema(spec: Spec) -> schema_pb2.Schema:
    """Returns the raw data's tensorflow-metadata Schema."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    types = {
        "string": schema_pb2.FeatureType.BYTES,
        "int64": schema_pb2.FeatureType.INT,
        "float32": schema_pb2.FeatureType.FLOAT,
    }
    schema = schema_pb2.Schema()
    for name, column in raw_columns(spec).items():
        feature = schema.feature.add(name=name, type=types[column.kind])
        feature.presence.min_fraction = 1.0 if column.required else 0.0
        if column.required:
            feature.presence.min_count = 1
        if not column.multivalued:
            feature.value_count.max = 1
        elif column.width > 1:
            feature.value_count.max = column.width
    return schema
