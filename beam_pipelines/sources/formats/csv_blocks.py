"""Where records of delimited text end: blocks of whole records, found without parsing fields.

A quote opens only at the start of a field and `""` inside quotes is a quote, as in RFC 4180 and
in Arrow's reader. While every quote of a block stands where that rule expects one, counting
quotes before a newline decides whether it ends a record, which numpy does for a whole block.
A block with stray quotes, or with bare carriage returns, goes record by record through an
equivalent regular expression. What neither delimits within `MAX_RECORD_BYTES` is followed to its
end by `_Follower`, without being held.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np

from skewless.beam_pipelines.sources.formats.text_blocks import (
    KEPT_BYTES,
    MAX_RECORD_BYTES,
    TOO_LONG,
    Block,
)

__all__ = ["blocks", "fields_of", "record_pattern", "records", "whole_records"]

# A quote with no end so far behind its line is a slip of that line. There is no second one in the
# text that was looked at for it: quotes that close nothing come in pairs there.
MAX_QUOTED_BYTES = 256 * 1024 * 1024
_IN_MEMORY_BYTES = 32 * 1024 * 1024
_COPIED_BYTES = 4 * 1024 * 1024
_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D
_LINE_END = re.compile(rb"\r\n?|\n")
_STRAY = "a quote is opened and not closed"


def blocks(chunks: Iterable[bytes], delimiter: str) -> Iterator[Block]:
    """Cuts a text that begins at a record into blocks of whole records.

    A record of more than `MAX_RECORD_BYTES` is one that is not used. A quote that is not closed
    within `MAX_QUOTED_BYTES` of its line's end, or before the text ends, condemns its own line
    only: reading goes on at the next line.
    """
    with contextlib.ExitStack() as asides:
        yield from _blocks(iter(chunks), delimiter, asides)


def _blocks(
    source: Iterator[bytes], delimiter: str, asides: contextlib.ExitStack
) -> Iterator[Block]:
    rest = b""
    ended = False
    while rest or not ended:
        if not ended:
            chunk = next(source, None)
            ended = chunk is None
            rest += chunk or b""
        end, count = whole_records(rest, delimiter, ended)
        if end:
            yield Block(rest[:end], count)
            rest = rest[end:]
        if not rest or not (ended or len(rest) > MAX_RECORD_BYTES):
            continue
        block, source = _Follower(delimiter, asides).follow(itertools.chain((rest,), source))
        yield block
        rest, ended = b"", False


def whole_records(data: bytes, delimiter: str, ended: bool) -> tuple[int, int]:
    """Returns where the last whole record ends, before one that is too long, and how many there are.

    Args:
      data: Begins at a record.
      delimiter: Between fields.
      ended: Whether the text ends with it.
    """
    return _up_to_the_first_long_one(data, *_whole_records(data, delimiter, ended), delimiter)


def records(data: bytes, delimiter: str) -> Iterator[bytes]:
    """Yields the text of each record of a block, without its line end; blank lines are skipped."""
    for match in record_pattern(delimiter).finditer(data):
        text = match.group(1)
        if text:
            yield text


def fields_of(record: bytes, delimiter: str) -> int:
    """Counts the fields of a record's text."""
    separator = delimiter.encode()
    return sum(1 for _ in _field_pattern(delimiter).finditer(record + separator))


@functools.cache
def record_pattern(delimiter: str) -> re.Pattern[bytes]:
    """Returns the expression of one record: its text, then its line end (group 2)."""
    entry, separator = _entry(delimiter)
    return re.compile(rb"(" + entry + rb"(?:" + separator + entry + rb")*)(\r\n|\n|\r|\Z)")


@functools.cache
def _field_pattern(delimiter: str) -> re.Pattern[bytes]:
    entry, separator = _entry(delimiter)
    return re.compile(entry + separator)


def _entry(delimiter: str) -> tuple[bytes, bytes]:
    separator = re.escape(delimiter.encode())
    rest = rb"[^" + separator + rb"\r\n]*"
    # (?!") keeps a failed match from taking the first half of an escaped quote as a closing one.
    quoted = rb'"[^"]*(?:""[^"]*)*"(?!")' + rest
    plain = rb'(?!")' + rest
    return rb"(?:" + quoted + rb"|" + plain + rb")", separator


class _Follower:
    """Follows one record to its end through any number of chunks, holding little of them.

    From the first line end within quotes on, what is read is set aside on disk: if the quote turns
    out not to be closed, reading has to go on there.
    """

    def __init__(self, delimiter: str, asides: contextlib.ExitStack) -> None:
        # Closes what is set aside once nobody reads on.
        self._asides = asides
        self._separator = delimiter.encode()
        # Outside quotes only a line end and a quote at the start of a field matter.
        self._outside = re.compile(rb"\r\n?|\n|" + re.escape(self._separator) + rb'"')
        self._at_field = True
        self._quoted = False

    def follow(self, source: Iterator[bytes]) -> tuple[Block, Iterator[bytes]]:
        """Returns the record as a block, and what comes after it."""
        head, size, line = b"", 0, 0
        aside: IO[bytes] | None = None
        while True:
            more = next(source, None)
            if more is None:
                if not self._quoted:
                    _close(aside)
                    return Block(head, 1, TOO_LONG, size), iter(())
                break
            if not more:
                continue
            # A quote, or a carriage return, at the edge says what it means only with what follows.
            while more and more[-1] in b'"\r' and (after := next(source, None)) is not None:
                more += after
            chunk = more
            end, first_line = self._end_in(chunk)
            head = head if len(head) >= KEPT_BYTES else (head + chunk)[:KEPT_BYTES]
            if aside is None and first_line is not None:
                aside = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
                self._asides.enter_context(aside)
                line = size + first_line
                aside.write(chunk[first_line:])
            elif aside is not None:
                aside.write(chunk)
            if end is not None and (aside is None or size + end - line <= MAX_QUOTED_BYTES):
                size += end
                _close(aside)
                block = Block(head[:size], 1, TOO_LONG, size)
                return block, itertools.chain((chunk[end:],), source)
            size += len(chunk)
            if aside is not None and size - line > MAX_QUOTED_BYTES:
                break
        if aside is None:
            return Block(head, 1, _STRAY, size), source
        return Block(head[:line], 1, _STRAY, line), itertools.chain(_read_back(aside), source)

    def _end_in(self, chunk: bytes) -> tuple[int | None, int | None]:
        """Returns the end of the record in `chunk`, and of the first line in quotes, if there."""
        place, first_line = 0, None
        if self._at_field and chunk[:1] == b'"':
            self._quoted, place = True, 1
        self._at_field = False
        while place < len(chunk):
            if self._quoted:
                close = chunk.find(b'"', place)
                until = len(chunk) if close < 0 else close
                if first_line is None and (found := _LINE_END.search(chunk, place, until)):
                    first_line = found.end()
                if close < 0:
                    break
                escaped = chunk[close + 1 : close + 2] == b'"'
                self._quoted, place = escaped, close + 1 + escaped
                continue
            match = self._outside.search(chunk, place)
            if match is None:
                self._at_field = chunk.endswith(self._separator)
                break
            place = match.end()
            if match.group()[-1] != _QUOTE:
                return place, first_line
            self._quoted = True
        return None, first_line


def _close(aside: IO[bytes] | None) -> None:
    if aside is not None:
        aside.close()


def _read_back(aside: IO[bytes]) -> Iterator[bytes]:
    with aside:
        aside.seek(0)
        while piece := aside.read(_COPIED_BYTES):
            yield piece


def _up_to_the_first_long_one(data: bytes, end: int, count: int, delimiter: str) -> tuple[int, int]:
    """Returns a shorter end and count where a record before it is too long to be used."""
    if end <= MAX_RECORD_BYTES:
        return end, count
    position = count = 0
    for match in record_pattern(delimiter).finditer(data, 0, end):
        if match.end() - match.start() > MAX_RECORD_BYTES:
            break
        position = match.end()
        count += bool(match.group(1))
        if position == end:
            break
    return position, count


def _whole_records(data: bytes, delimiter: str, ended: bool) -> tuple[int, int]:
    """Returns where the last whole record ends, and how many records lie before that."""
    text = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(text == _LF)
    quotes = np.flatnonzero(text == _QUOTE) if b'"' in data else np.empty(0, np.int64)
    bare = b"\r" in data and data.count(b"\r") != data.count(b"\r\n")
    if bare or not _regular(text, quotes, ord(delimiter)):
        return _record_by_record(data, delimiter, ended)
    closed = np.searchsorted(quotes, newlines) % 2 == 0 if len(quotes) else None
    ends = (newlines if closed is None else newlines[closed]) + 1
    last = int(ends[-1]) if len(ends) else 0
    if ended and last < len(data) and len(quotes) % 2 == 0:
        ends = np.append(ends, len(data))
        last = len(data)
    widths = np.diff(ends, prepend=0)
    ended_by_lf = text[ends - 1] == _LF
    blank = int(np.count_nonzero(ended_by_lf & (widths == 1)))
    pairs = ends[ended_by_lf & (widths == 2)]
    blank += int(np.count_nonzero(text[pairs - 2] == _CR))
    return last, len(ends) - blank


def _regular(text: np.ndarray, quotes: np.ndarray, delimiter: int) -> bool:
    """Whether each quote, counted from the first, stands where a pair opens or closes."""
    opening, closing = quotes[0::2], quotes[1::2]
    before = text[opening[opening > 0] - 1]
    after = text[closing[closing < len(text) - 1] + 1]
    return _edge(before, delimiter) and _edge(after, delimiter)


def _edge(neighbours: np.ndarray, delimiter: int) -> bool:
    allowed = np.zeros(256, bool)
    allowed[[delimiter, _LF, _CR, _QUOTE]] = True
    return bool(allowed[neighbours].all())


def _record_by_record(data: bytes, delimiter: str, ended: bool) -> tuple[int, int]:
    pattern = record_pattern(delimiter)
    position = count = 0
    while position < len(data):
        match = pattern.match(data, position)
        if match is None:
            break
        end_of_line = match.group(2)
        # At the edge of what has been read, more text could change what was matched.
        if not ended and (not end_of_line or (end_of_line == b"\r" and match.end() == len(data))):
            break
        count += bool(match.group(1))
        position = match.end()
    return position, count
