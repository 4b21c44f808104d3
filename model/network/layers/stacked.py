"""Many features of one shape in one layer each: one gather, one stack, instead of one a feature.

A layer a feature makes training's first step, saving and export of hundreds of features slow. These
compute what a layer for each would, and say which layers those are (`stands_for`, `tables`), so that
weights can be carried between the two forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from skewless.schemas.records.id_contract import PADDING_ID

__all__ = [
    "Stacked",
    "StackedColumns",
    "StackedEmbedding",
    "StackedLinearOfIds",
    "StackedOneHot",
    "StackedTables",
]

Tensor = Any


class Stacked(keras.layers.Layer):
    """A list of [batch] values -> a list of [batch, width] vectors.

    Attributes:
      stands_for: For each output the layers that it replaces, by name, with their widths.
    """

    stands_for: list[list[tuple[str, int]]]

    @property
    def widths(self) -> list[int]:
        """Of the outputs."""
        return [sum(width for _, width in layers) for layers in self.stands_for]

    def compute_output_spec(self, values: list[Tensor]) -> list[keras.KerasTensor]:
        """Returns the shapes and dtype of the vectors."""
        batch = values[0].shape[0]
        return [
            keras.KerasTensor((batch, width), dtype=self.compute_dtype) for width in self.widths
        ]

    def split(self, together: Tensor) -> list[Tensor]:
        """Returns the outputs of [batch, sum of widths]."""
        parts: list[Tensor] = ops.split(together, np.cumsum(self.widths)[:-1].tolist(), axis=1)
        return parts


@keras.saving.register_keras_serializable(package="skewless")
class StackedColumns(Stacked):
    """A list of [batch] numbers -> a list of [batch, width], each of as many neighbours as declared.

    Args:
      columns: For each output the names of the layers that would make columns of its numbers.

    Raises:
      ValueError: If there is none.
    """

    def __init__(self, columns: Sequence[Sequence[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not columns or not all(columns):
            raise ValueError("columns: expected at least 1 of each output, got none")
        self.columns = [list(names) for names in columns]
        self.stands_for = [[(name, 1) for name in names] for names in self.columns]

    def call(self, values: list[Tensor]) -> list[Tensor]:
        """Returns the numbers as columns."""
        together = ops.stack([ops.cast(value, self.compute_dtype) for value in values], axis=1)
        return self.split(together)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "columns": [list(names) for names in self.columns]}


class StackedTables(keras.layers.Layer):
    """Lists of [batch] IDs, each with a cardinality, as IDs of one table with the rows of all.

    Args:
      tables: The layers that this one replaces, by name, with their cardinalities.

    Raises:
      ValueError: If there is none, or a cardinality is below 1.
    """

    def __init__(self, tables: Sequence[tuple[str, int]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not tables or any(cardinality < 1 for _, cardinality in tables):
            raise ValueError(f"tables: expected cardinalities of at least 1, got {list(tables)}")
        self.tables = [(name, cardinality) for name, cardinality in tables]
        sizes = [cardinality for _, cardinality in self.tables]
        self.total = sum(sizes)
        self._first = np.cumsum([0, *sizes[:-1]])

    def rows(self) -> dict[str, slice]:
        """Returns where the rows of each replaced layer lie, by its name."""
        return {
            name: slice(int(first), int(first) + cardinality)
            for (name, cardinality), first in zip(self.tables, self._first, strict=True)
        }

    def stacked(self, ids: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns [batch, features] int64: the IDs themselves, and their rows in the table."""
        own = ops.stack([ops.cast(each, "int64") for each in ids], axis=1)
        return own, own + ops.convert_to_tensor(self._first, dtype="int64")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "tables": [list(table) for table in self.tables]}


@keras.saving.register_keras_serializable(package="skewless")
class StackedEmbedding(StackedTables, Stacked):
    """A list of [batch] IDs -> a list of [batch, width]: the rows of their tables.

    Args:
      tables: As of `StackedTables`.
      width: Of all vectors.
      initializers: What each table begins with, [cardinality, width]; as Keras begins an embedding
        if not given.
    """

    def __init__(
        self,
        tables: Sequence[tuple[str, int]],
        width: int,
        initializers: Sequence[Callable[..., Tensor]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tables, **kwargs)
        if width < 1:
            raise ValueError(f"width: expected at least 1, got {width}")
        self.width = width
        self.stands_for = [[(name, width)] for name, _ in self.tables]
        self._begins = list(initializers or ())

    def build(self, shapes: Any) -> None:
        """Creates the table: [sum of cardinalities, width]."""
        self.embeddings = self.add_weight(
            shape=(self.total, self.width),
            initializer=self._initial if self._begins else "uniform",
            name="embeddings",
        )
        self.built = True

    def _initial(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        parts = [
            begin((cardinality, self.width), dtype=dtype)
            for begin, (_, cardinality) in zip(self._begins, self.tables, strict=True)
        ]
        return ops.concatenate(parts, axis=0)

    def call(self, ids: list[Tensor]) -> list[Tensor]:
        """Returns the rows of the IDs."""
        _, places = self.stacked(ids)
        vectors = ops.cast(ops.take(self.embeddings, places, axis=0), self.compute_dtype)
        return self.split(ops.reshape(vectors, (-1, len(self.tables) * self.width)))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, without what the table began with."""
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable(package="skewless")
class StackedOneHot(StackedTables, Stacked):
    """A list of [batch] IDs -> a list of [batch, cardinality]; padding is all zeros."""

    def __init__(self, tables: Sequence[tuple[str, int]], **kwargs: Any) -> None:
        super().__init__(tables, **kwargs)
        self.stands_for = [[table] for table in self.tables]
        sizes = [cardinality for _, cardinality in self.tables]
        # For each entry of the output, whose ID it is of, and which; that of padding is never met.
        self._of = np.repeat(np.arange(len(sizes)), sizes)
        ids = np.arange(self.total) - np.repeat(self._first, sizes)
        self._id = np.where(ids == PADDING_ID, -1, ids)

    def call(self, ids: list[Tensor]) -> list[Tensor]:
        """Returns the one-hot vectors."""
        own, _ = self.stacked(ids)
        each = ops.take(own, ops.convert_to_tensor(self._of, dtype="int32"), axis=1)
        met = ops.equal(each, ops.convert_to_tensor(self._id, dtype="int64"))
        return self.split(ops.cast(met, self.compute_dtype))


@keras.saving.register_keras_serializable(package="skewless")
class StackedLinearOfIds(StackedTables):
    """A list of [batch] IDs -> [batch, units]: the sum of their weights, padding's none.

    Args:
      tables: As of `StackedTables`.
      units: Weights of an ID; zeros at first.
    """

    def __init__(self, tables: Sequence[tuple[str, int]], units: int, **kwargs: Any) -> None:
        # A sum over features is more than half precision holds.
        super().__init__(tables, **{"dtype": "float32", **kwargs})
        if units < 1:
            raise ValueError(f"units: expected at least 1, got {units}")
        self.units = units

    def build(self, shapes: Any) -> None:
        """Creates the weights: [sum of cardinalities, units]."""
        self.weight = self.add_weight(
            shape=(self.total, self.units), initializer="zeros", name="weight"
        )
        self.built = True

    def call(self, ids: list[Tensor]) -> Tensor:
        """Returns the sums."""
        own, places = self.stacked(ids)
        present = ops.cast(ops.not_equal(own, PADDING_ID), self.compute_dtype)
        return ops.sum(ops.take(self.weight, places, axis=0) * present[..., None], axis=1)

    def compute_output_spec(self, ids: list[Tensor]) -> keras.KerasTensor:
        """Returns the shape and dtype of the sums."""
        return keras.KerasTensor((ids[0].shape[0], self.units), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "units": self.units}
