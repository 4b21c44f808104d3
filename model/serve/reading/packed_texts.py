"""Many strings as one piece of bytes: passed between processes whole, and made objects part by part."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["PackedTexts"]


class PackedTexts:
    """As much of an array of bytes objects as batching asks for: its shape, and parts along the rows."""

    dtype = np.dtype(object)

    def __init__(self, data: bytes, lengths: np.ndarray, shape: tuple[int, ...]) -> None:
        """Takes the strings one after the other.

        Args:
          data: All of them.
          lengths: [strings] of each.
          shape: [rows, ...] of the array they stand for.
        """
        self.shape = shape
        self.ndim, self.size = len(shape), len(lengths)
        self._data = data
        self._ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    @staticmethod
    def parts_of(array: np.ndarray) -> tuple[bytes, np.ndarray]:
        """Returns data and lengths of an array of bytes objects."""
        values = array.ravel().tolist()
        return b"".join(values), np.fromiter(map(len, values), np.int64, len(values))

    def __len__(self) -> int:
        """Returns the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Returns rows as an array of objects."""
        begin, end, _ = rows.indices(len(self))
        width = self.size // max(1, len(self))
        ends = self._ends[begin * width : end * width + 1].tolist()
        found = np.empty((end - begin) * width, object)
        found[:] = [self._data[start:stop] for start, stop in pairwise(ends)]
        return found.reshape(end - begin, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns all rows."""
        return self[:]
