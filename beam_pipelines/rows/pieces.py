"""Texts as numbers of pieces: what stands between their spaces, by one dictionary that grows.

Where tokens can be told from pieces alone (`cuts_at_spaces`), counting and encoding need work on each
distinct piece only. Arrow cuts and numbers them without an object, or a tensor, for each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.raw_columns import raw_columns
from skewless.schemas.rows.tokenizers import WHITE_SPACES, cuts_at_spaces
from skewless.schemas.spec.features import TextFeature
from skewless.schemas.spec.spec import Spec

__all__ = ["Pieces", "read_by_no_other", "texts_in_pieces"]

_MOST_PIECES = 1 << 18
_MOST_BYTES = 1 << 25
_SPACE = ord(" ")
_NO_TEXTS = pa.array([], pa.string())


def texts_in_pieces(spec: Spec) -> dict[str, TextFeature]:
    """Returns the texts whose tokens are those of their pieces, one after the other."""
    columns = raw_columns(spec)
    return {
        name: feature
        for name, feature in spec.features.items()
        if isinstance(feature, TextFeature)
        and cuts_at_spaces(feature)
        and not columns[feature.column or name].multivalued
    }


def read_by_no_other(spec: Spec, names: Collection[str]) -> list[str]:
    """Returns the columns that these features read and nothing else of the spec does."""
    own: set[str] = set()
    others = {spec.weight, *(label.column for label in spec.targets.values())}
    for name, feature in spec.features.items():
        (own if name in names else others).update(feature.columns_read(name))
    return sorted(own - others)


class Pieces:
    """Numbers pieces. A number once kept stands for its piece from there on.

    Attributes:
      dictionary: The pieces that the codes of the last call are places of.
      kept: How many of them keep their places; the others are forgotten at the next call.
    """

    def __init__(self) -> None:
        self.dictionary = _NO_TEXTS
        self.kept = 0

    @property
    def mostly_kept(self) -> bool:
        """Whether few of the pieces that the last call found will be forgotten."""
        return len(self.dictionary) - self.kept < self.kept // 8

    def cut(self, spec: Spec, columns: Mapping[str, pa.Array]) -> dict[str, np.ndarray]:
        """Cuts texts at spaces.

        Returns:
          By name, [pieces] int32 places in `dictionary`, in the order of the texts; a missing one has none.

        Args:
          spec: Says which texts mean that there is none.
          columns: [rows] canonical texts, by any name.
        """
        cut = {name: _cut(_present(texts, spec)) for name, texts in columns.items()}
        chunks = [self.dictionary[: self.kept], *cut.values()]
        encoded = pa.chunked_array(chunks, pa.string()).dictionary_encode()
        # One dictionary stands behind all chunks; empty ones are left out.
        numbered = iter(encoded.chunks)
        codes = [
            next(numbered).indices.to_numpy() if len(chunk) else np.zeros(0, np.int32)
            for chunk in chunks
        ]
        self.dictionary = encoded.chunk(0).dictionary if encoded.num_chunks else _NO_TEXTS
        if self.dictionary.nbytes <= _MOST_BYTES:
            self.kept = max(self.kept, min(len(self.dictionary), _MOST_PIECES))
        return dict(zip(cut, codes[1:], strict=True))


def _present(texts: pa.Array, spec: Spec) -> pa.Array:
    if spec.missing_values:
        bare = pc.utf8_trim(texts, WHITE_SPACES)
        missing = pc.is_in(bare, value_set=pa.array(spec.missing_values, pa.string()))
        texts = pc.if_else(missing, "", texts)
    return texts.fill_null("")


def _cut(texts: pa.Array) -> pa.Array:
    """Cuts after each space, in place: pieces share the texts' bytes, most end in the space."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return _NO_TEXTS
    edges = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    first, last = int(edges[0]), int(edges[-1])
    begins = np.zeros(last - first + 1, bool)
    np.equal(np.frombuffer(data, np.uint8)[first:last], _SPACE, out=begins[1:])
    begins[edges - first] = True
    starts = np.flatnonzero(begins).astype(np.int32) + edges[0]
    return pa.StringArray.from_buffers(len(starts) - 1, pa.py_buffer(starts), data)
