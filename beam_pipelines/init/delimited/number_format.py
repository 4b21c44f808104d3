"""How numbers are written in delimited text: decimal comma, groups of thousands, currency signs.

One format is proposed for all columns: the least permissive one that reads most of those that hold
numbers. A column of numbers that it does not read cannot be a feature of that spec, and is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from skewless.beam_pipelines.init.profile import MISSING_TEXTS, spread
from skewless.schemas.rows.canonical import without_missing
from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.rows.written_numbers import plain_where_number, written_numbers

__all__ = ["NumberFormat", "number_format"]

_LOOKED_AT = 5_000
_COLUMNS = 2_000
_MOST = 0.95
# By how little they permit.
_SIGNS_OF_NUMBERS = (
    (".", None), (",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"),
)  # fmt: skip
_CODES = [
    "AUD",
    "BGN",
    "BRL",
    "CAD",
    "CHF",
    "CNY",
    "CZK",
    "DKK",
    "EUR",
    "GBP",
    "HKD",
    "HUF",
    "ILS",
    "INR",
    "JPY",
    "KRW",
    "MXN",
    "NOK",
    "NZD",
    "PLN",
    "RON",
    "RUB",
    "SEK",
    "SGD",
    "TRY",
    "UAH",
    "USD",
    "ZAR",
    "kr",
    "Kč",
    "zł",
    "Ft",
    "lei",
    "Fr",
]
_SIGN = rf"(?:[A-Z]{{0,3}}\p{{Sc}}|%|{'|'.join(_CODES)})"
_SPACES = r"[ \x{a0}\x{2007}\x{2009}\x{202f}]"
_BODY = rf"[0-9](?:[0-9.,'\x{{2019}}]|{_SPACES}[0-9])*"
_WRITTEN = rf"^[+-]?(?P<a>{_SIGN})?{_SPACES}*[+-]?{_BODY}{_SPACES}*(?P<b>{_SIGN})?$"
_PLAIN = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_CODE = r"^0[0-9]"
_DECIMAL_POINT = r"\.[0-9]"


@dataclass(frozen=True)
class NumberFormat:
    """A format of numbers, and what it comes to for the columns.

    Attributes:
      written: With `decimal`, `thousands` and `signs`.
      columns: [rows] the columns of numbers that it changes, as programs write them.
      unreadable: Columns of numbers that are written otherwise, and why they cannot be read.
      seen: What it was told by.
    """

    written: CsvFormat
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    seen: tuple[str, ...] = ()


def number_format(columns: Mapping[str, pa.Array], written: CsvFormat) -> NumberFormat:
    """Finds how numbers are written.

    Args:
      columns: [rows] string, or lists, which are passed by.
      written: What is known of the format.
    """
    texts = {name: values for name, values in columns.items() if pa.types.is_string(values.type)}
    heads = {name: _head(texts[name]) for name in list(texts)[:_COLUMNS]}
    numbers = {
        name: head for name, head in heads.items() if len(head) and _share(head, _WRITTEN) >= _MOST
    }
    odd = {
        name: head
        for name, head in numbers.items()
        if _share(head, _PLAIN) < _MOST and not _share(head, _CODE)
    }
    if not odd:
        return NumberFormat(written)
    signs = sorted({sign for head in odd.values() for sign in _signs(head)})
    telling = odd | {name: head for name, head in numbers.items() if _share(head, _DECIMAL_POINT)}
    formats = [
        written.model_copy(update={"decimal": decimal, "thousands": group, "signs": tuple(signs)})
        for decimal, group in _SIGNS_OF_NUMBERS
    ]
    fits = [{name for name, head in telling.items() if _fit(head, one) >= _MOST} for one in formats]
    # Dates, versions and addresses are no numbers in any format.
    telling = {name: head for name, head in telling.items() if any(name in names for names in fits)}
    odd = {name: head for name, head in odd.items() if name in telling}
    most = max(len(names) for names in fits)
    best = [one for one, names in zip(formats, fits, strict=True) if len(names) == most]
    chosen, doubt = _decided(best, odd, written.delimiter)
    read = fits[formats.index(chosen)]
    examples = {name: _odd_example(head) for name, head in odd.items() if name in read}
    if not examples or chosen.plain_numbers:
        return NumberFormat(written, seen=_left_as_texts(odd, telling, read))
    example = max(examples, key=lambda name: len(examples[name]))
    shown = examples[example]
    seen = [f"numbers are written as {shown!r} in {example}", *([doubt] if doubt else [])]
    unreadable = {
        name: f"its numbers are written as {head[0].as_py()!r}, unlike {shown!r} in {example}; "
        "write the file with one kind of numbers, or make a text of it"
        for name, head in telling.items()
        if name not in read
    }
    plain = {
        name: plain_where_number(values, chosen)
        for name, values in texts.items()
        if name not in unreadable
        and len(head := heads.get(name, _head(values)))
        and _fit(head, chosen) >= _MOST
    }
    return NumberFormat(chosen, plain, unreadable, tuple(seen))


def _left_as_texts(
    odd: Mapping[str, pa.Array], telling: Mapping[str, pa.Array], read: set[str]
) -> tuple[str, ...]:
    """Returns a line on columns that may be numbers, where more columns are written as programs do."""
    plain = next((name for name in telling if name in read), None)
    if plain is None:
        return ()
    return tuple(
        f"{name} may be numbers written as {_odd_example(head)!r}, but {plain} is written as "
        f"{telling[plain][0].as_py()!r} and one spec has one kind: {name} is taken for text; write the file "
        "with one kind of numbers"
        for name, head in odd.items()
        if name not in read
    )


def _head(values: pa.Array) -> pa.Array:
    head = spread(values, _LOOKED_AT)
    return pc.drop_null(without_missing(head, MISSING_TEXTS))


def _share(texts: pa.Array, pattern: str) -> float:
    return float(pc.mean(pc.match_substring_regex(texts, pattern)).as_py())


def _fit(texts: pa.Array, written: CsvFormat) -> float:
    return float(pc.mean(written_numbers(texts, written)).as_py())


def _signs(head: pa.Array) -> set[str]:
    found = pc.extract_regex(head, _WRITTEN)
    parts = [pc.unique(found.field(name)).to_pylist() for name in ("a", "b")]
    return {sign for part in parts for sign in part if sign}


def _odd_example(head: pa.Array) -> str:
    """Returns the longest of some numbers that are not written as programs write them."""
    odd = head.filter(pc.invert(pc.match_substring_regex(head, _PLAIN)))
    return max(odd[:200].to_pylist(), key=len)


def _decided(
    formats: list[CsvFormat], odd: Mapping[str, pa.Array], delimiter: str
) -> tuple[CsvFormat, str | None]:
    """Returns the least permissive format; where 1,234 may be either, by what stands between fields.

    Of as many columns with a point as with a comma, those with a comma where semicolons stand between.
    """
    if delimiter == ";" and formats[0].decimal == ".":
        formats = [one for one in formats if one.decimal == ","] or formats
    comma = next((one for one in formats if (one.decimal, one.thousands) == (",", None)), None)
    grouped = next((one for one in formats if (one.decimal, one.thousands) == (".", ",")), None)
    if comma is None or grouped is None or formats[0] not in (comma, grouped):
        return formats[0], None
    if all(_share(head, r",") == 0 for head in odd.values()):
        return formats[0], None
    if delimiter == ";":
        return (
            comma,
            "a comma before three digits was taken for the decimal sign, as semicolons go with it",
        )
    return (
        grouped,
        "a comma before three digits was taken for thousands; it may be the decimal sign",
    )
