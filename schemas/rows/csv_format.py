"""How delimited text is written: what stands between fields, and how numbers and letters are."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

from pydantic import Field, field_validator, model_validator

from skewless.schemas.spec.declared import Declared

__all__ = ["UTF_8", "CsvFormat", "codec_of"]

UTF_8 = "utf-8"
# What a character is depends on what came before in these, or not on the bytes alone.
_UNFIT = ("hz", "idna", "mbcs", "oem", "punycode", "undefined", "utf-7")
_UNFIT_BEGINNINGS = ("iso2022", "raw", "unicode")
# Of numbers themselves; `e` is of exponents.
_OF_NUMBERS = frozenset('+-eE"\r\n\0')


class CsvFormat(Declared):
    """How `.csv` and `.tsv` files are written; fields of `.tsv` files are always cut at tabs.

    `decimal`, `thousands` and `signs` are of columns read as numbers (numeric features, `dtype:
    int64`, weights, labels); text and categories are read as they are written.
    """

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """The character between fields, one of ASCII."""
    header: tuple[str, ...] | None = None
    """The columns' names, where files have no line of them."""
    encoding: str = UTF_8
    """The characters' encoding, by a name that Python knows. `utf-16` and `utf-32` are told by
    the file's byte order mark; without one write `utf-16-le` or `utf-16-be`.
    """
    decimal: str = Field(default=".", min_length=1, max_length=1)
    """The character before a number's fraction."""
    thousands: str | None = Field(default=None, min_length=1, max_length=1)
    """The character between groups of three digits before the fraction; a space stands for any
    space, `'` for the typographic one too. Numbers without groups are read as well.
    """
    signs: tuple[str, ...] = ()
    """Texts before or behind a number that are not part of it, such as currency signs."""

    @property
    def plain_numbers(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self.decimal == "." and self.thousands is None and not self.signs

    def told(self) -> dict[str, Any]:
        """Returns what is not as in every other file; the delimiter in any case."""
        defaults = CsvFormat()
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if name == "delimiter" or getattr(self, name) != getattr(defaults, name)
        }

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        codec_of(encoding)
        return encoding

    @model_validator(mode="after")
    def _sound(self) -> CsvFormat:
        problems = list(_problems(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self


def codec_of(encoding: str) -> str:
    """Returns Python's name of an encoding, `utf-8` for UTF-8 in any spelling.

    Raises:
      ValueError: If there is none of this name, or text in it cannot be read from any place.
    """
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError):
        raise ValueError(
            "expected the name of an encoding, such as latin-1, cp1252, utf-16 or shift_jis, "
            f"got {encoding!r}"
        ) from None
    name = UTF_8 if codec.name == "utf-8-sig" else codec.name
    text = getattr(codec, "_is_text_encoding", True) and codec.incrementaldecoder is not None
    if not text or name in _UNFIT or name.startswith(_UNFIT_BEGINNINGS):
        raise ValueError(
            f"expected an encoding in which each character stands for itself, got {encoding!r}; "
            "convert the files to UTF-8"
        )
    return name


def _problems(written: CsvFormat) -> Iterator[str]:
    """Yields what is wrong, each with its key."""
    if not written.delimiter.isascii() or written.delimiter in '"\r\n\0':
        yield (
            "delimiter: expected one ASCII character other than a quote, a line end and NUL, "
            f"got {written.delimiter!r}"
        )
    for key, sign in (("decimal", written.decimal), ("thousands", written.thousands)):
        if sign is not None and (sign.isalnum() or sign in _OF_NUMBERS):
            yield f"{key}: expected a character that is no letter, digit, quote or sign, got {sign!r}"
    if written.decimal.isspace():
        yield f"decimal: expected a character that is no white space, got {written.decimal!r}"
    if written.decimal == written.thousands:
        yield f"thousands: {written.thousands!r} is the decimal sign already; numbers need two"
    for sign in written.signs:
        own = {written.decimal, written.thousands, "+", "-"} - {None}
        if not sign.strip() or sign != sign.strip() or any(map(str.isdigit, sign)):
            yield f"signs: expected texts without digits and white space around, got {sign!r}"
        elif sign[0] in own or sign[-1] in own:
            yield f"signs: {sign!r} begins or ends with a sign of numbers themselves"
    if written.header is not None:
        names = written.header
        if not names:
            yield "header: expected the columns' names, got none; leave it out where files name them"
        for name in dict.fromkeys(names):
            if name.strip() != name or not name:
                yield f"header: expected names without white space around them, got {name!r}"
            elif names.count(name) > 1:
                yield f"header: {name!r} is there {names.count(name)} times; give each column a name"
