"""Whether columns of a Parquet file are encrypted, asked before pyarrow is asked for their sizes.

Where it has no key of a column, pyarrow 25 answers that question by ending the process. The footer is read here
as it is written, in Thrift's compact protocol; its fields are those of parquet.thrift in
https://github.com/apache/parquet-format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["has_encrypted_columns"]

# FileMetaData.row_groups, RowGroup.columns, ColumnChunk.crypto_metadata.
_PATH = (4, 1, 8)
# The head of a struct that is field 8, and its own first field or end: without them nothing is encrypted.
_MAY_BE = re.compile(rb"(?:[\x1c\x2c\x3c\x4c\x5c\x6c\x7c\x8c]|\x0c\x10)[\x00\x1c\x2c]")
# An end is four bytes of length and "PAR1".
_END = 8
_STOP, _TRUE, _FALSE, _BYTE = 0, 1, 2, 3
_DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 7, 8, 9, 10, 11, 12


def has_encrypted_columns(file: BinaryIO) -> bool:
    """Returns whether a Parquet file that pyarrow has opened has a plain footer and encrypted columns.

    Raises:
      ValueError: If the footer ends within a value, or nests deeper than any that is written.
    """
    file.seek(-_END, os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(-_END - length, os.SEEK_END)
    footer = file.read(length)
    if not _MAY_BE.search(footer):
        return False
    try:
        return _holds(_Compact(footer), _PATH)
    except (IndexError, RecursionError) as error:
        raise ValueError("the footer ends within a value") from error


def _holds(footer: _Compact, path: tuple[int, ...]) -> bool:
    """Returns whether the struct has a field, or a struct in its lists on the way to it does."""
    for field, kind in footer.fields():
        if field != path[0]:
            footer.skip(kind)
        elif len(path) == 1:
            return True
        else:
            count, _ = footer.items()
            if any(_holds(footer, path[1:]) for _ in range(count)):
                return True
    return False


class _Compact:
    """Bytes in the compact protocol, and how far they are read."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yields number and kind of each field of a struct; the caller reads or skips its value."""
        field = 0
        while True:
            head = self._byte()
            delta, kind = head >> 4, head & 15
            if kind == _STOP:  # With any delta, as pyarrow reads it.
                return
            if delta:
                field += delta
            else:
                number = self._number()
                field = (number >> 1) ^ -(number & 1)
            yield field, kind

    def items(self) -> tuple[int, int]:
        """Returns how many items a list has and their kind."""
        head = self._byte()
        count = head >> 4
        return (self._number() if count == 15 else count), head & 15

    def skip(self, kind: int) -> None:
        """Passes over a value."""
        if kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner)
        elif kind in (_LIST, _SET):
            count, inner = self.items()
            self._skip_items([inner], count)
        elif kind == _MAP:
            count = self._number()
            kinds = self._byte() if count else 0
            self._skip_items([kinds >> 4, kinds & 15], count)
        elif kind == _BINARY:
            size = self._number()
            self._at += size
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BYTE:
            self._at += 1
        elif kind not in (_TRUE, _FALSE):
            self._number()

    def _skip_items(self, kinds: list[int], count: int) -> None:
        for _ in range(count):
            for kind in kinds:
                # In a list a truth value takes a byte; as a field it is part of the head.
                self.skip(_BYTE if kind in (_TRUE, _FALSE) else kind)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _number(self) -> int:
        number = shift = 0
        while (byte := self._byte()) & 128:
            number |= (byte & 127) << shift
            shift += 7
        return number | byte << shift
