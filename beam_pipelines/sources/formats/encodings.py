"""Delimited text of other encodings as UTF-8, in blocks, and where in the file each place of it is.

Everything behind this reads UTF-8: records, fields and rejections. A byte that stands for no
character becomes an escape, three bytes that are not UTF-8 anywhere, so that a value with one is
rejected as one of a damaged UTF-8 file is, and no other.
"""

from __future__ import annotations

import bisect
import codecs
import re
from collections.abc import Callable, Iterable, Iterator

from skewless.schemas.errors import DataError
from skewless.schemas.rows.csv_format import UTF_8, CsvFormat, codec_of

__all__ = ["Transcoded", "as_utf8", "cut", "readable", "source_length", "unit_encoding"]

_ESCAPE = "skewless-escape"
_FIRST_ESCAPE = 0xDC00
_ESCAPED = re.compile(rb"\xed([\xb0-\xb3])([\x80-\xbf])")
_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(chr(_FIRST_ESCAPE + byte) for byte in wrong), error.end


codecs.register_error(_ESCAPE, _escaped)


def unit_encoding(file: str, head: bytes, written: CsvFormat) -> tuple[str, int]:
    """Returns the codec of a file, empty for UTF-8, and how many bytes its byte order mark takes.

    Args:
      file: The file, for messages.
      head: How it begins.
      written: The declared format.

    Raises:
      DataError: If its byte order mark says otherwise, or is wanted and not there.
    """
    declared = codec_of(written.encoding)
    mark, marked = next(
        ((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", None)
    )
    if marked is None and declared in ("utf-16", "utf-32"):
        if not head:
            return f"{declared}-le", 0
        raise DataError(
            f"{file}: expected {declared} with a byte order mark, got none; "
            f"declare csv.encoding: {declared}-le or {declared}-be"
        )
    if marked is not None and marked != declared and marked[: len(declared)] != declared:
        said = marked if marked == UTF_8 else marked[:6]
        raise DataError(
            f"{file}: expected {written.encoding.upper()}, got {said.upper()} by its byte order "
            f"mark; declare csv: {{encoding: {said}}}, or convert the file"
        )
    codec = marked or declared
    return ("" if codec == UTF_8 else codec), len(mark)


def as_utf8(source: Iterable[bytes], codec: str) -> Iterator[bytes]:
    """Yields a text as UTF-8; as it is where `codec` is empty."""
    return iter(Transcoded(source, codec, 0)) if codec else iter(source)


class Transcoded:
    """A text as UTF-8, which knows where each place of it is in the file."""

    def __init__(self, source: Iterable[bytes], codec: str, start: int) -> None:
        """Begins at a character.

        Args:
          source: The file's bytes from `start` on.
          codec: A stateless text codec of Python's.
          start: Where in the file they begin; places of the text are counted from there too.
        """
        self._source = source
        self._codec = codec
        self._texts = [start]
        self._files = [start]

    def __iter__(self) -> Iterator[bytes]:
        decoder = _decoder(self._codec)
        text, read = self._texts[0], self._files[0]
        for chunk in self._source:
            data = _utf8(decoder.decode(chunk))
            text, read = text + len(data), read + len(chunk)
            self._texts.append(text)
            self._files.append(read - len(decoder.getstate()[0]))
            yield data
        yield _utf8(decoder.decode(b"", True))

    def place(self, text: int, read: Callable[[int, int], bytes]) -> int:
        """Returns the place in the file of a place of the text that has been yielded.

        Args:
          text: A place between two characters.
          read: Gives the file's bytes from one place to another.
        """
        at = bisect.bisect_right(self._texts, text) - 1
        begin, rest = self._files[at], text - self._texts[at]
        if not rest:
            return begin
        end = self._files[at + 1] if at + 1 < len(self._files) else begin + 4 * rest
        return begin + source_length(read(begin, end), self._codec, rest)


def source_length(data: bytes, codec: str, length: int) -> int:
    """Returns how many bytes of `data` it takes for `length` bytes of UTF-8; all where too few."""
    if not codec:
        return min(length, len(data))
    decoder = _decoder(codec)
    low, high = 0, len(data)
    # Halves what is left each time, so that it is decoded about twice in all.
    while length > 0 and low < high:
        step = max(1, (high - low) // 2)
        state = decoder.getstate()
        size = len(_utf8(decoder.decode(data[low : low + step])))
        if size < length or step == 1:
            low, length = low + step, length - size
        else:
            decoder.setstate(state)
            high = low + step
    return low


def cut(source: Iterable[bytes], lengths: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Yields the beginnings of consecutive pieces of a text; as `streams.stretches` of a file.

    Args:
      source: The text.
      lengths: Of each piece how long it is, and how much of it to give at most.
    """
    chunks, rest = iter(source), b""
    for length, most in lengths:
        piece = bytearray()
        while length > 0:
            if not rest:
                rest = next(chunks, b"")
                if not rest:
                    break
            piece += rest[: min(length, max(0, most - len(piece)))]
            length, rest = length - min(length, len(rest)), rest[length:]
        yield bytes(piece)


def readable(data: bytes) -> bytes:
    r"""Returns UTF-8 with each escape as text: `\x81` for the byte that it stands for."""
    return _ESCAPED.sub(
        lambda found: b"\\x%02x" % ((found[1][0] & 3) << 6 | (found[2][0] & 63)), data
    )


def _decoder(codec: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(codec)(_ESCAPE)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
