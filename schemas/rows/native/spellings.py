"""Booleans and whole numbers as categories, where the training rows had them as other texts.

A file of text says `True` and `1.0`, and what pandas or Parquet holds is a boolean and a number, whose
texts are `true` and `1` (docs/values.md). A vocabulary made of the one has none of the other, so every
value would be out of vocabulary, and the prediction another than that of the same file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.errors import DataError
from skewless.schemas.rows.native.layouts import plain_layout
from skewless.schemas.rows.native.texts import as_text
from skewless.schemas.spec.features import CategoricalFeature
from skewless.schemas.spec.spec import Spec

__all__ = ["Spellings"]

# Each a way that programs write booleans or whole numbers in.
_WAYS = tuple(
    re.compile(way)
    for way in (rb"true|false", rb"True|False", rb"TRUE|FALSE", rb"-?\d+", rb"-?\d+\.0")
)


class Spellings:
    """Which texts of a model's categories booleans and whole numbers are not written as."""

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
        self._known: dict[str, frozenset[bytes]] = {}
        self._ways: dict[str, frozenset[re.Pattern[bytes]]] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are looked at."""
        return tuple(dict.fromkeys(self._features.values()))

    def check(self, columns: Mapping[str, pa.Array], where: str = "") -> None:
        """Refuses a value that is unknown while it is known written another way.

        Of booleans and numbers that is any. Of texts it is one that is written in a way that none of the
        vocabulary is: where both ways are known, the difference may be meant.

        Args:
          columns: [rows] raw values by column, as they came.
          where: What messages begin with.

        Raises:
          DataError: Naming the column, and both texts.
        """
        for name, column in self._features.items():
            values = columns.get(column)
            if values is None:
                continue
            typed, texts = _distinct(values)
            for text in texts:
                other = self._known_otherwise(name, text, by_way=not typed)
                if other is None:
                    continue
                got, remedy = (
                    (
                        f"a number or boolean, whose text {text.decode()!r} the model does not know",
                        "turn the column into such texts, or train on rows of the same types",
                    )
                    if typed
                    else (
                        f"{text.decode()!r}, which the model does not know",
                        "write them so, or train on rows that are written alike",
                    )
                )
                raise DataError(
                    f"{where}column {column!r}: expected texts such as {other.decode()!r}, as the training "
                    f"rows had, got {got}; {remedy}"
                )

    def _known_otherwise(self, name: str, text: bytes, *, by_way: bool) -> bytes | None:
        """Returns how the vocabulary has a value that it does not have as `text`."""
        ways = [way for way in _WAYS if way.fullmatch(text)]
        known = self._texts_known(name) if ways else frozenset()
        if not ways or text in known:
            return None
        other = next((way for way in _otherwise(text) if way in known), None)
        if other is None or (by_way and ways[0] in self._ways_known(name)):
            return None
        return other

    def _texts_known(self, name: str) -> frozenset[bytes]:
        if name not in self._known:
            self._known[name] = frozenset(self._vocabulary(name))
        return self._known[name]

    def _ways_known(self, name: str) -> frozenset[re.Pattern[bytes]]:
        if name not in self._ways:
            known = self._texts_known(name)
            self._ways[name] = frozenset(
                way for way in _WAYS if any(way.fullmatch(text) for text in known)
            )
        return self._ways[name]


def _distinct(values: pa.Array) -> tuple[bool, list[bytes]]:
    """Returns whether values are booleans or numbers, and their distinct texts; of lists none."""
    values = plain_layout(values)
    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        texts, _ = as_text(pc.unique(values).drop_null())
        return True, [text.encode() for text in texts.drop_null().to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = values.cast(pa.large_binary())
    elif not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return False, []
    return False, pc.unique(values).drop_null().to_pylist()


def _otherwise(text: bytes) -> Iterator[bytes]:
    """Yields how programs write a boolean or a whole number otherwise."""
    if text.lower() in (b"true", b"false"):
        yield from (way for way in (text.title(), text.lower(), text.upper()) if way != text)
    else:
        yield text.removesuffix(b".0") if text.endswith(b".0") else text + b".0"
