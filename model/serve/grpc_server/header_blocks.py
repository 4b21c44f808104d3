"""HPACK's blocks of headers, remembered: a client's calls are opened, and answered, by the same few.

After the first of them, such a block only points into a connection's table of headers (RFC 7541,
section 6.1), so it leaves the table as it is, and means the same until another block changes the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import hpack

__all__ = ["Decoder", "Encoder"]

_ONLY_POINTS = re.compile(rb"[\x81-\xfe]{1,32}")
_MOST = 16


class Decoder(hpack.Decoder):
    """As hpack's, which decodes blocks of pointers once."""

    def __init__(self, max_header_list_size: int) -> None:
        """Takes the bytes that the headers of a block may have."""
        super().__init__(max_header_list_size)
        self._known: dict[tuple[bytes, bool], list[hpack.HeaderTuple]] = {}

    def decode(self, data: bytes, raw: bool = False) -> Iterable[hpack.HeaderTuple]:
        """Returns the headers of a block; the same list for the same block.

        Raises:
          HPACKError: If there is no such block.
        """
        found = self._known.get((data, raw))
        if found is None:
            found = list(super().decode(data, raw))
            if not _ONLY_POINTS.fullmatch(data) or len(self._known) >= _MOST:
                self._known.clear()
            else:
                self._known[data, raw] = found
        return found


class Encoder(hpack.Encoder):
    """As hpack's, which encodes headers that become a block of pointers once."""

    def __init__(self) -> None:
        """Begins with an empty table."""
        super().__init__()
        self._known: dict[tuple[Any, ...], bytes] = {}

    def encode(self, headers: Any, huffman: bool = True) -> bytes:
        """Returns the block of headers; of a tuple of them the same block while the table stays."""
        remembered = isinstance(headers, tuple) and not self.table_size_changes
        if remembered and (found := self._known.get(headers)) is not None:
            return found
        found = super().encode(headers, huffman)
        if not remembered or not _ONLY_POINTS.fullmatch(found) or len(self._known) >= _MOST:
            self._known.clear()
        else:
            self._known[headers] = found
        return found
