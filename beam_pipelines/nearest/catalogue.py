"""Candidates as a job embedded them: one row each, in order, checked.

part files of ID, place and vector -> sorted by place -> one of each ID -> vectors.parquet
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from skewless.schemas.errors import DataError

__all__ = ["VECTORS", "Catalogue", "vectors_in"]

VECTORS = "vectors.parquet"
# Vectors of equal rows may differ so much: float32 sums round otherwise in another batch.
_EQUAL = 1e-6
_ROWS_A_GROUP = 1 << 16


@dataclass(frozen=True)
class Catalogue:
    """Distinct candidates.

    Attributes:
      ids: [candidates] string.
      vectors: [candidates, width] float32.
      repeated: How many rows were left out: those of an ID that an earlier row has, with the same
        vector.
    """

    ids: pa.Array
    vectors: np.ndarray
    repeated: int = 0

    @classmethod
    def gathered(cls, paths: Sequence[Path]) -> Catalogue:
        """Puts together what the job's part files hold, in the order of files and rows.

        Raises:
          DataError: If a vector is not finite, or two candidates of one ID differ.
        """
        table = _gathered(paths)
        ids, vectors = table.column("key").combine_chunks(), _vectors(table)
        odd = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(odd):
            raise DataError(
                f"{_place(table, odd[0])}: the vector of {ids[odd[0]].as_py()!r} is not finite; look "
                "for extreme numbers in the row, or set `clip` on numeric features and train again"
            )
        codes = ids.dictionary_encode().indices.to_numpy()
        _, first, group = np.unique(codes, return_index=True, return_inverse=True)
        differs = np.abs(vectors - vectors[first[group]]).max(axis=1) > _EQUAL
        if differs.any():
            at = int(np.flatnonzero(differs)[0])
            raise DataError(
                f"{_place(table, at)}: {ids[at].as_py()!r} is the ID of {_place(table, first[group[at]])} "
                "too, with another vector; keep one row of each candidate, or name the column that "
                "tells them apart with --id"
            )
        kept = np.sort(first)
        return cls(ids.take(pa.array(kept)), vectors[kept], len(ids) - len(kept))

    def write(self, directory: Path) -> None:
        """Writes `vectors.parquet`: id, string, and vector, a list of float32."""
        width = self.vectors.shape[1]
        flat = pa.array(np.ascontiguousarray(self.vectors).ravel())
        lists = pa.FixedSizeListArray.from_arrays(flat, width)
        table = pa.table({"id": self.ids, "vector": lists})
        pa.parquet.write_table(table, directory / VECTORS, row_group_size=_ROWS_A_GROUP)

    @classmethod
    def read(cls, directory: Path) -> Catalogue:
        """Reads what `write` wrote."""
        table = pa.parquet.read_table(directory / VECTORS, columns=["id", "vector"])
        vectors = table.column("vector").combine_chunks()
        width = table.schema.field("vector").type.list_size
        return cls(
            table.column("id").combine_chunks(), vectors.flatten().to_numpy().reshape(-1, width)
        )


def vectors_in(paths: Sequence[Path]) -> np.ndarray:
    """Returns [rows, width] float32, all vectors of part files, in the order of files and rows."""
    return _vectors(_gathered(paths))


def _gathered(paths: Sequence[Path]) -> pa.Table:
    columns = ["key", "file", "row", "vectors"]
    table = pa.concat_tables([pa.parquet.read_table(path, columns=columns) for path in paths])
    return table.take(pc.sort_indices(table, [("file", "ascending"), ("row", "ascending")]))


def _vectors(table: pa.Table) -> np.ndarray:
    lists = table.column("vectors").combine_chunks()
    vectors: np.ndarray = lists.flatten().to_numpy().reshape(len(lists), -1)
    return vectors


def _place(table: pa.Table, at: int) -> str:
    return f"{table.column('file')[int(at)]}:row {table.column('row')[int(at)]}"
