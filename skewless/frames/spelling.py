"""Booleans and numbers of frames, where the training rows had them as other texts.

A file of text says `True` and `1.0`, and pandas reads it as a boolean and a number, whose texts are `true`
and `1` (docs/values.md). A vocabulary made of the file has the former only, so every value of the frame
would be out of vocabulary, and the prediction another than that of the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.errors import DataError
from skewless.schemas.rows.canonical import plain_layout
from skewless.schemas.rows.native.texts import as_text
from skewless.schemas.spec.features import CategoricalFeature
from skewless.schemas.spec.spec import Spec

__all__ = ["Spellings"]


class Spellings:
    """Which texts of a model's categories booleans and numbers are not spelled as."""

    def __init__(self, spec: Spec, vocabulary: Callable[[str], list[bytes]]) -> None:
        """Takes the declaration, and what gives a feature's vocabulary."""
        self._features = {
            name: feature.columns_read(name)[0]
            for name, feature in spec.features.items()
            if isinstance(feature, CategoricalFeature)
            and feature.own_vocabulary is not None
            and feature.dtype == "string"
        }
        self._vocabulary = vocabulary
        self._known: dict[str, frozenset[str]] = {}

    def check(self, columns: Mapping[str, pa.Array]) -> None:
        """Refuses a boolean or number that is unknown while another spelling of it is known.

        Args:
          columns: [rows] raw values by column, as they came.

        Raises:
          DataError: Naming the column, and both texts.
        """
        for name, column in self._features.items():
            for text in _texts(columns.get(column)):
                known = self._texts_known(name)
                other = next((way for way in _other_ways(text) if way in known), None)
                if text not in known and other is not None:
                    raise DataError(
                        f"column {column!r}: expected texts such as {other!r}, as the training rows had, "
                        f"got a number or boolean, whose text {text!r} the model does not know; turn "
                        "the column into such texts, or train on rows of the same types"
                    )

    def _texts_known(self, name: str) -> frozenset[str]:
        if name not in self._known:
            words = self._vocabulary(name)
            self._known[name] = frozenset(word.decode("utf-8", "replace") for word in words)
        return self._known[name]


def _texts(values: pa.Array | None) -> list[str]:
    """Returns the distinct texts of booleans and numbers; of other columns none."""
    if values is None:
        return []
    values = plain_layout(values)
    kind = values.type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return []
    texts, _ = as_text(pc.unique(values).drop_null())
    return texts.drop_null().to_pylist()


def _other_ways(text: str) -> tuple[str, ...]:
    """Returns how programs write a boolean or a whole number otherwise."""
    if text in ("true", "false"):
        return (text.title(), text.upper())
    return (f"{text}.0",) if text.lstrip("-").isdigit() else ()
