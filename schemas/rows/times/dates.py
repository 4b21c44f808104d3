"""Dates as people and spreadsheets write them, as ISO 8601, by ops of the graph.

`1/31/2026 5:07 PM`, `31.1.26`, `2026/1/31`, `20260131`, and, in any order that is declared, months by
their English names: `Jan 31, 2026`, `31-Jan-2026`. What is written otherwise is left as it is.
"""

from __future__ import annotations

import tensorflow as tf

from skewless.schemas.spec.kinds.column import DateOrder

__all__ = ["dates_as_iso"]

_REST = r"((?:[T ,]+.*)?)"
_NUMBERED: dict[DateOrder, tuple[tuple[str, str], ...]] = {
    "year_first": (
        (rf"^(\d{{4}})[-/.](\d\d?)[-/.](\d\d?){_REST}$", r"\1-\2-\3\4"),
        (rf"^(\d{{4}})(\d\d)(\d\d){_REST}$", r"\1-\2-\3\4"),
    ),
    "month_first": ((rf"^(\d\d?)[-/.](\d\d?)[-/.](\d{{4}}|\d\d){_REST}$", r"\3-\1-\2\4"),),
    "day_first": ((rf"^(\d\d?)[-/.](\d\d?)[-/.](\d{{4}}|\d\d){_REST}$", r"\3-\2-\1\4"),),
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMES = (
    r"(?i:(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?))\.?"
)
_NAMED = (
    (rf"^{_NAMES}[- ]+(\d\d?)(?:st|nd|rd|th)?(?:, *|[- ]+)(\d{{4}}|\d\d){_REST}$", r"\3-\1-\2\4"),
    (
        rf"^(\d\d?)(?:st|nd|rd|th)?[-/. ]*{_NAMES}(?:, *|[-/. ]*)(\d{{4}}|\d\d){_REST}$",
        r"\3-\2-\1\4",
    ),
)
# As POSIX has it: 69 to 99 are of the last century.
_CENTURIES = ((r"^([0-5]\d|6[0-8])-", r"20\1-"), (r"^(\d\d)-", r"19\1-"))
_DATE = r"\d{4}-\d\d-\d\d"
_PADDED = (
    (r"^(\d{4})-(\d)-", r"\1-0\2-"),
    (r"^(\d{4}-\d\d)-(\d)([^\d]|$)", r"\1-0\2\3"),
    (rf"^({_DATE})[T ,]+", r"\1 "),
    # RE2 has ten groups: \10 is the first, then a zero.
    (rf"^({_DATE} )(\d)(:|$| ?[AaPp]\.?[Mm]\.?$)", r"\10\2\3"),
)
_HALF = r" ?([AaPp])\.?[Mm]\.?$"


def dates_as_iso(texts: tf.Tensor, order: DateOrder) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns texts as `parse_times` reads them, and the hours that are to be added for AM and PM.

    Args:
      texts: [batch] string, without white space around them.
      order: In which dates that are all digits are written.

    Returns:
      [batch] string, and [batch] int64: 12 for PM, -12 for 12 AM, else 0. A clock that no AM or PM
      can follow is left with it, so that it is no time.
    """
    for pattern, written in (*_NUMBERED[order], *_NAMED):
        texts = tf.strings.regex_replace(texts, pattern, written)
    for number, name in enumerate(_MONTHS, 1):
        texts = tf.strings.regex_replace(texts, rf"^(\d+)-(?i:{name})[a-zA-Z]*-", rf"\1-{number}-")
    for pattern, written in (*_CENTURIES, *_PADDED):
        texts = tf.strings.regex_replace(texts, pattern, written)
    halved = tf.strings.regex_full_match(texts, rf"{_DATE} (0[1-9]|1[0-2])(:.*)?{_HALF}")
    twelve = tf.strings.regex_full_match(texts, rf"{_DATE} 12.*")
    after_noon = tf.strings.regex_full_match(texts, r".*[Pp]\.?[Mm]\.?")
    hours = 12 * tf.cast(halved & after_noon, tf.int64) - 12 * tf.cast(halved & twelve, tf.int64)
    return tf.where(halved, tf.strings.regex_replace(texts, _HALF, ""), texts), hours
