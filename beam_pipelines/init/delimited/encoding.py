"""The encoding of delimited text that is not UTF-8, by a few of its lines.

A byte order mark and the zeros of UTF-16 leave no doubt. Scripts are told apart by charset-normalizer;
it does not tell western from central Europe, where most letters are ASCII. There the encoding is taken
in which one language's alphabet covers the letters.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from skewless.schemas.rows.csv_format import UTF_8

__all__ = ["encoding_of", "is_utf8"]

_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PEEKED_BYTES = 256 * 1024
# Letters beyond ASCII, by the encoding that has them, the likelier first; capitals are added.
_ALPHABETS = {
    "cp1252": (
        "äöüß", "àâæçéèêëîïôœùûüÿ", "áéíóúñü", "áâãàçéêíóôõú", "åäöé", "æøåéòóô", "àèéìîòóù",
        "áðéíóúýþæö", "éëïóöüè", "àçéèíïóòúü",
    ),
    "cp1250": (
        "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîșțşţ",
    ),
    "cp1254": ("çğ\u0131iöşüâî",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),
    "iso8859-2": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "čćđšž"),
}  # fmt: skip
# Currencies, quotes, dashes, fractions and the like, which stand in any language.
_ANYWHERE = frozenset(
    "€£$§°„“”«»…²³½¼¾±·•¡¿ºª™®©\u00a0\u00d7\u2013\u2014\u2018\u2019\u201a\u2039\u203a"
)
_OTHERS = (
    "cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256", "shift_jis", "euc_jp", "gb18030",
    "big5", "cp949", "mac_roman", "cp850",
)  # fmt: skip
_WIDER = {"shift_jis": "cp932", "koi8_r": "koi8-r", "euc_jp": "euc-jp"}
_COVERED = 0.98
_FEWEST_WORDS = 3
# The second byte of a character may be one of ASCII from @ on.
_WORDS = re.compile(rb"[A-Za-z\x80-\xff][@-~\x80-\xff]*")


def is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        data.decode(UTF_8)
    except UnicodeDecodeError:
        return False
    return True


def encoding_of(data: bytes) -> str:
    """Returns the likeliest encoding of a text, by a name for `csv.encoding`.

    Args:
      data: The beginning of a file, or whole lines of it.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    zeros = [data[place:_PEEKED_BYTES:2].count(0) for place in (0, 1)]
    if max(zeros) * 5 > min(len(data), _PEEKED_BYTES):
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    read = [line for line in lines if is_utf8(line)]
    # A few damaged lines do not make a file one of another encoding.
    if len(read) * 2 >= len(lines):
        return UTF_8
    odd = b"\n".join(lines)[:_PEEKED_BYTES]
    covered, latin = _best_alphabet(odd)
    if covered >= _COVERED:
        return latin
    # Of a word or two any script can be made: a damaged file, whose rows preprocess will name.
    words = _WORDS.findall(odd)
    if len({word for word in words if not word.isascii()}) < _FEWEST_WORDS:
        return UTF_8
    # Digits and separators between words keep it from seeing a language.
    found = from_bytes(b" ".join(words), cp_isolation=[*_OTHERS, "cp1252", "cp1250"]).best()
    if found is None or found.encoding in ("cp1252", "cp1250"):
        return latin if covered else UTF_8
    return _WIDER.get(found.encoding, found.encoding)


def _best_alphabet(data: bytes) -> tuple[float, str]:
    """Returns how much of the text one European alphabet covers at most, and in which encoding."""
    best = (0.0, "cp1252")
    for encoding, alphabets in _ALPHABETS.items():
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        odd = [match.start() for match in re.finditer(r"[^\x00-\x7f]", text)]
        letters = [at for at in odd if text[at].isalpha()]
        beside = sum(
            1 for at in letters if _ascii_letter(text, at - 1) or _ascii_letter(text, at + 1)
        )
        if beside * 2 < len(letters):
            continue
        for alphabet in alphabets:
            known = {*alphabet, *alphabet.upper()}
            covered = sum(
                1
                for at in odd
                if text[at] in known or (text[at] in _ANYWHERE and not _within_a_word(text, at))
            )
            best = max(best, (covered / max(1, len(odd)), encoding), key=lambda entry: entry[0])
    return best


def _ascii_letter(text: str, at: int) -> bool:
    letter = text[at : at + 1] if at >= 0 else ""
    return letter.isascii() and letter.isalpha()


def _within_a_word(text: str, at: int) -> bool:
    return at > 0 and text[at - 1].isalpha() and text[at + 1 : at + 2].isalpha()
