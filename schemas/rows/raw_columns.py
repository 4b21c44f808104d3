"""Raw columns: what a row holds before the transform, derived from the spec.

Every raw column may be absent from a row, which means missing. In the transform graph and in
tf.Example each is therefore a variable-length feature (`tf.io.VarLenFeature`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from skewless.schemas.spec.features import Kind
from skewless.schemas.spec.kinds.column import TimeWriting
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.spec import Spec
from skewless.schemas.spec.splits import SplitName

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow_metadata.proto.v0 import schema_pb2

__all__ = [
    "Lists",
    "RawColumn",
    "RowColumns",
    "raw_columns",
    "raw_feature_spec",
    "raw_schema",
    "served_columns",
]


Lists = Literal["built", "held", "completed"]


@dataclass(frozen=True)
class RawColumn:
    """One column that the transform graph takes.

    Attributes:
      name: The column's name in the input.
      kind: Its dtype in the graph; `string` columns are UTF-8.
      multivalued: Whether a row may hold several values (a list, or text to split).
      width: Numbers a row, or a step of it, must hold if it holds any; 1 unless a numeric list.
      required: Whether a row without a value is rejected; of several labels a row needs one.
      role: `feature`, `label` or `weight`; only features are asked for when serving.
      time_unit: What numbers count, or the order of dates, where it holds times as text or numbers; else None.
      steps: Whether lists may be of any length: one or more values, or vectors of `width` numbers.
      beside: The column whose lists these are as long as, with one value for each of theirs.
      complete: Whether none of a list's values may be missing.
      separator: What parts the values of such lists where a text holds them all.
      keeps_places: Whether a missing value in a list keeps its place, for what stands beside it.
    """

    name: str
    kind: Kind
    multivalued: bool = False
    width: int = 1
    required: bool = False
    role: Literal["feature", "label", "weight"] = "feature"
    time_unit: TimeWriting | None = None
    steps: bool = False
    beside: str | None = None
    complete: bool = False
    separator: str | None = None
    keeps_places: bool = False


@dataclass(frozen=True)
class RowColumns:
    """Which columns rows have: rows to learn from, or rows to predict for.

    Attributes:
      spec: The declaration.
      serving: Whether the rows are to be predicted for; nobody is asked for label, weight and
        split then.
      lists: How rows to learn from come to their histories: `built` from the rows, `held` by each row,
        as by a row to predict for, or `completed`: held, and built where a row lacks them.
    """

    spec: Spec
    serving: bool = False
    lists: Lists = "built"

    @cached_property
    def of_graph(self) -> dict[str, RawColumn]:
        """Those that the transform graph is given."""
        return served_columns(self.spec) if self.serving else raw_columns(self.spec)

    @cached_property
    def wanted(self) -> dict[str, RawColumn]:
        """Those read from input: the graph's, then key, split and kept ones as text beside them.

        Of rows to predict for also the label, where it is kept: a prediction may carry it.
        """
        spec, split = self.spec, self.spec.split
        columns = dict(self.of_graph)
        label = {label.column for label in spec.targets.values()} if self.serving else set()
        histories = histories_of(spec.features)
        made = not self.serving and self.lists != "held"
        past = list(histories.values()) if made else []
        asked = [name for history in past for name in (history.by, history.time)]
        for name in (spec.key, split.by, split.column, split.time, *asked, *spec.keep):
            if name is not None and name not in label - set(spec.keep):
                columns.setdefault(name, RawColumn(name, "string"))
        times = {history.time for history in past}
        if split.time is not None and not self.serving:
            times.add(split.time)
        for time in times:
            if columns[time].time_unit is None:
                columns[time] = replace(columns[time], time_unit="auto")
        return columns

    @cached_property
    def built(self) -> frozenset[str]:
        """Those of `wanted` that the job builds itself: no input holds them."""
        hold_them = self.serving or self.lists != "built"
        return frozenset() if hold_them else frozenset(histories_of(self.spec.features))

    def may_lack(self, split: SplitName | None) -> set[str]:
        """Returns those of `wanted` that a file need not have, whose rows are all of `split`."""
        declared = self.spec.split
        excused = {declared.column, declared.time} if self.serving or split is not None else set()
        if self.serving:
            excused.add(declared.by)
        needed = {*self.spec.keep, *raw_columns(self.spec), self.spec.key}
        lacked = set(histories_of(self.spec.features)) if self.lists == "completed" else set()
        return {name for name in excused - needed if name is not None} | lacked


def raw_columns(spec: Spec) -> dict[str, RawColumn]:
    """Returns the columns that the transform graph takes, by name, labels and weight last."""
    columns = served_columns(spec)
    for label in spec.targets.values():
        columns[label.column] = RawColumn(
            name=label.column,
            kind=label.kind,
            multivalued=label.multivalued,
            required=spec.label is not None and label.needs_value,
            role="label",
        )
    if spec.weight is not None and spec.weight not in columns:
        columns[spec.weight] = RawColumn(spec.weight, "float32", required=True, role="weight")
    return columns


def served_columns(spec: Spec) -> dict[str, RawColumn]:
    """Returns the features' columns: what the transform graph takes of a row to predict for."""
    columns: dict[str, RawColumn] = {}
    kept = {
        beside
        for name, feature in spec.features.items()
        if feature.parted_by is None and (beside := _beside(spec, name)) is not None
    }
    for name, feature in spec.features.items():
        read = feature.kinds_read(name)
        for column, kind in read.items():
            known = columns.get(column)
            listed = column == feature.weights_column or feature.numbers_of_step > 0
            columns[column] = RawColumn(
                name=column,
                kind=kind,
                multivalued=feature.multivalued or bool(known and known.multivalued),
                width=max(feature.width // len(read), known.width if known else 1),
                required=(feature.needs_value and column != feature.weights_column)
                or bool(known and known.required),
                time_unit=feature.time_unit or (known.time_unit if known else None),
                steps=listed,
                beside=_beside(spec, name) if listed else None,
                complete=listed
                and (kind == "string" or column == feature.weights_column)
                and _beside(spec, name) is not None,
                separator=feature.parted_by if listed else None,
                # Of values in one text the places are those in the text.
                keeps_places=column in kept,
            )
    return columns


def _beside(spec: Spec, name: str) -> str | None:
    """Returns the column that a feature's weights, or its steps, stand beside."""
    feature = spec.features[name]
    other = name if feature.weights_column is not None else feature.stands_beside
    return None if other is None else spec.features[other].columns_read(other)[0]


def raw_feature_spec(columns: Mapping[str, RawColumn]) -> dict[str, tf.io.VarLenFeature]:
    """Returns the parsing spec of a tf.Example that holds `columns`."""
    import tensorflow as tf

    return {
        name: tf.io.VarLenFeature(tf.dtypes.as_dtype(column.kind))
        for name, column in columns.items()
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
        elif column.width > 1 and not column.steps:
            feature.value_count.max = column.width
    return schema
