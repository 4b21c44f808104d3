"""Numbers as people write them, to numbers as programs do: `1.234,50 €` is `1234.50`.

Only digits are moved about, so that a value is as exact as the same number in any other file. A text
that is not written as declared is a fault, also where it would be a number otherwise: `1.5` among
decimal commas may be anything.
"""

from __future__ import annotations

import functools
import re

import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.rows.reasons import Reason

__all__ = ["plain_numbers", "plain_where_number", "written_numbers"]

_SPACES = " \u00a0\u2007\u2009\u202f"
_APOSTROPHES = "'\u2019"
_SHOWN = 80


def plain_numbers(texts: pa.Array, written: CsvFormat) -> tuple[pa.Array, dict[int, str]]:
    """Reads numbers that are written in a format.

    Args:
      texts: [rows] string, trimmed; null where there is no value.
      written: The format.

    Returns:
      [rows] string, the numbers as Python writes them, null where a fault is reported; and the
      faults by position.
    """
    fits = written_numbers(texts, written)
    if pc.all(fits, min_count=0).as_py():
        return _rewritten(texts, written), {}
    faults: dict[int, str] = {}
    for at, fit in enumerate(fits.to_pylist()):
        if fit is False:
            text = repr(texts[at].as_py())
            text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
            faults[at] = Reason(f"expected a number written as {_example(written)} (csv)", text)
    kept = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
    return _rewritten(kept, written), faults


def written_numbers(texts: pa.Array, written: CsvFormat) -> pa.Array:
    """Returns [rows] whether trimmed texts are numbers of a format."""
    return pc.match_substring_regex(texts, _pattern(written))


def plain_where_number(texts: pa.Array, written: CsvFormat) -> pa.Array:
    """Returns [rows] strings, those that are numbers of a format as Python writes them."""
    trimmed = pc.utf8_trim_whitespace(texts)
    fits = pc.fill_null(written_numbers(trimmed, written), False)
    return pc.if_else(fits, _rewritten(trimmed, written), texts)


def _rewritten(texts: pa.Array, written: CsvFormat) -> pa.Array:
    """Returns texts that fit without signs of currency, groups and commas."""
    # RE2 gives nothing for the one of the two minus signs that is not there.
    texts = pc.replace_substring_regex(texts, _pattern(written), r"\1\2\3")
    for sign in _alike(written.thousands or ""):
        texts = pc.replace_substring(texts, sign, "")
    return texts if written.decimal == "." else pc.replace_substring(texts, written.decimal, ".")


@functools.lru_cache
def _pattern(written: CsvFormat) -> str:
    """Returns RE2's expression of a number: its sign (group 1 or 2) and the rest (group 3)."""
    digit, decimal = r"\p{Nd}", re.escape(written.decimal)
    whole = rf"{digit}+"
    if written.thousands is not None:
        group = f"[{re.escape(_alike(written.thousands))}]"
        whole += rf"|{digit}{{1,3}}(?:{group}{digit}{{3}})+"
        if written.thousands == ",":
            # India writes 12,34,567.
            whole += rf"|{digit}{{1,2}}(?:{group}{digit}{{2}})+{group}{digit}{{3}}"
    body = (
        rf"(?:(?:{whole})(?:{decimal}{digit}*)?|{decimal}{digit}+)(?:[eE][+-]?{digit}+)?"
        r"|(?i:nan|inf(?:inity)?)"
    )
    if not written.signs:
        return rf"^([+-]?)()({body})$"
    # The longest first: `US$` before `$` or `US`.
    signs = "|".join(re.escape(sign) for sign in sorted(written.signs, key=len, reverse=True))
    gap = f"[{_SPACES}]*"
    before = rf"([+-]?)(?:{gap}(?:{signs}){gap})?|(?:{signs}){gap}([+-])"
    return rf"^(?:{before})({body})(?:{gap}(?:{signs}))?$"


def _alike(sign: str) -> str:
    """Returns every character that is written for one."""
    return next((kinds for kinds in (_SPACES, _APOSTROPHES) if sign and sign in kinds), sign)


def _example(written: CsvFormat) -> str:
    sign = f" {written.signs[0]}" if written.signs else ""
    return f"1{written.thousands or ''}234{written.decimal}5{sign}"
