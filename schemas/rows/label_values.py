"""Label values as text: the one rule by which a spec's values, classes and rows are compared.

Text is compared as it is written, with three allowances, since programs print one value in
several ways (docs/labels.md has the table):

- white space around it does not count, and line breaks inside it are a space;
- `true` and `false` in any case are the booleans;
- a number as programs print numbers is its value: 5, 5.0 and 5.00 are one, 1e+16 is its 17 digits.

Text that no program prints for a number is no number: 05, +4, 1e3 and 1_000 are codes, and stay
themselves. Whole numbers are exact at any size.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NEGATIVE_WORDS", "POSITIVE_WORDS", "label_text", "label_texts"]

POSITIVE_WORDS = ("1", "true", "yes")
NEGATIVE_WORDS = ("0", "false", "no")

_LINE_BREAKS = re.compile(r"[\r\n]+")
# An exponent has a sign when a program prints it.
_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]*))?(?:[eE]([+-][0-9]{1,3}))?")


def label_text(value: str | int | float | bool | Decimal) -> str:
    """Returns the text that stands for a label value; empty where it is white space only."""
    text = _LINE_BREAKS.sub(" ", str(value).strip())
    if text.lower() in ("true", "false"):
        return text.lower()
    number = _NUMBER.fullmatch(text)
    return _plain(*number.groups()) if number else text


def label_texts(texts: pa.Array) -> pa.Array:
    """Returns `label_text` of each of [rows] strings; null stays null.

    Numbers and booleans are taken as `canonical` prints them.
    """
    # The spec is read without Arrow.
    import pyarrow as pa

    distinct = texts.dictionary_encode()
    rule = pa.array([label_text(text) for text in distinct.dictionary.to_pylist()], pa.string())
    return rule.take(distinct.indices)


def _plain(sign: str, whole: str, fraction: str | None, exponent: str | None) -> str:
    """Returns a number's digits without an exponent and without needless zeros."""
    digits, point = whole + (fraction or ""), len(whole) + int(exponent or 0)
    if point < 1:
        digits, point = "0" * (1 - point) + digits, 1
    digits = digits.ljust(point, "0")
    text, rest = digits[:point].lstrip("0") or "0", digits[point:].rstrip("0")
    text += f".{rest}" if rest else ""
    return text if text == "0" else sign + text
