"""An index that `skewless index` left: opened once, asked often."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.nearest.approximate import INDEX, restored
from skewless.beam_pipelines.nearest.catalogue import Catalogue
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.layout import INDEX_SUMMARY
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.storage.fetched import fetched

if TYPE_CHECKING:
    from usearch.index import Index as Approximate

__all__ = ["Index", "open_index"]


@dataclass(frozen=True)
class Index:
    """Candidates and their index, in memory.

    Attributes:
      path: Its directory.
      summary: What `index.json` says: recall, seconds, rows.
      catalogue: IDs and vectors, in the order of `vectors.parquet`.
      approximate: usearch's index; an entry's number is its row in the catalogue.
    """

    path: Path
    summary: dict[str, Any]
    catalogue: Catalogue
    approximate: Approximate

    def find(
        self, vectors: np.ndarray, count: int = 10, *, exact: bool = False
    ) -> tuple[list[list[str]], np.ndarray]:
        """Returns the IDs nearest to each query's vector, nearest first, and their cosines.

        Args:
          vectors: [queries, width] float32, as `Model.vectors(rows, "query")` gives them.
          count: How many; all if there are fewer.
          exact: Compares with every candidate instead of asking the index.

        Returns:
          [queries] lists of IDs, and [queries, count] float32.

        Raises:
          UsageError: If the vectors are of another width, or `count` is below 1.
        """
        if count < 1:
            raise UsageError(f"count: expected at least 1, got {count}")
        width = self.catalogue.vectors.shape[1]
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise UsageError(f"vectors: expected [queries, {width}], got {list(vectors.shape)}")
        count = min(count, len(self.catalogue.ids))
        queries = np.ascontiguousarray(vectors, np.float32)
        found = [self._nearest(query, count, exact=exact) for query in queries]
        keys = np.array(found, np.int64).reshape(len(queries), count)
        scores = np.einsum("qd,qkd->qk", queries, self.catalogue.vectors[keys])
        ids = self.catalogue.ids.take(pa.array(keys.ravel())).to_pylist()
        return [ids[at : at + count] for at in range(0, len(ids), count)], scores

    def _nearest(self, query: np.ndarray, count: int, *, exact: bool) -> np.ndarray:
        keys: np.ndarray = self.approximate.search(query, count, exact=exact).keys
        if len(keys) < count:  # From where the graph is entered it may not lead to as many.
            keys = self.approximate.search(query, count, exact=True).keys
        return keys

    def with_more(self, more: Index) -> Index:
        """Returns an index, in memory, over the candidates of both.

        Raises:
          DataError: If both hold an ID.
        """
        shared = pc.is_in(more.catalogue.ids, self.catalogue.ids)
        if pc.any(shared).as_py():
            at = pc.index(shared, True).as_py()
            raise DataError(
                f"{more.path}: {more.catalogue.ids[at].as_py()!r} is in {self.path} too; index each "
                "candidate once, remove it from one of the two"
            )
        first = len(self.catalogue.ids)
        ids = pa.concat_arrays([self.catalogue.ids, more.catalogue.ids])
        vectors = np.concatenate([self.catalogue.vectors, more.catalogue.vectors])
        approximate = self.approximate.copy()
        approximate.add(np.arange(first, len(ids), dtype=np.uint64), more.catalogue.vectors)
        return replace(self, catalogue=Catalogue(ids, vectors), approximate=approximate)


def open_index(directory: str | Path) -> Index:
    """Checks the files of an index and loads them.

    Raises:
      UsageError: If the directory is not one that `skewless index` left.
      DataError: If a file is missing, or not as it was left.
    """
    path = Path(fetched(directory))
    try:
        summary = json.loads((path / INDEX_SUMMARY).read_text(encoding="utf-8"))
        listed = dict(summary["files"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{directory}: expected what `skewless index` left, found no {INDEX_SUMMARY}, which is put last"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path / INDEX_SUMMARY}: cannot be read: {error!r}; {_REMEDY}") from error
    for name, digest in listed.items():
        if not (path / name).is_file() or file_sha256(path / name) != digest:
            raise DataError(f"{path / name}: is missing, or not as it was left; {_REMEDY}")
    catalogue = Catalogue.read(path)
    return Index(path, summary, catalogue, restored(path / INDEX, summary["search_width"]))


_REMEDY = "copy the index whole, or run `skewless index` again"
