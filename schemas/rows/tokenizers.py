"""From text to tokens, in TensorFlow ops: the same ones count tokens and encode them.

RE2's `\\w` and `\\s` are ASCII, so classes are spelled as Unicode properties. Invalid UTF-8
becomes U+FFFD. Line breaks count as spaces, since a vocabulary file holds a token a line.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import tensorflow as tf

from skewless.schemas.errors import SpecError, UsageError
from skewless.schemas.spec.features import RegexTokenizer, TextFeature, Tokenizer
from skewless.schemas.spec.label import SequenceLabel

__all__ = [
    "LETTER",
    "PIECE_SUFFIX",
    "UNSPACED",
    "WHITE_SPACES",
    "between_spaces",
    "check_regex",
    "clean_values",
    "cuts_at_spaces",
    "piece_tokenizer",
    "stripped",
    "tensorflow_text",
    "tokenize",
]

_WORD = r"\p{L}\p{N}\p{M}"
# The letters of scripts that put no spaces between words, for the brackets of a class: Chinese, Japanese (with
# the marks that make vowels long, which are of no script), Thai, Lao, Khmer, Burmese.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\x{30fc}\x{ff70}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
LETTER = rf"[{UNSPACED}]\p{{M}}*"
_APOSTROPHE = "['\u2019]"
# What stands between words, single spaces apart: `split` takes those for nothing, while each match
# of an expression costs. Separators take the apostrophes beside them along, which leaves only the
# inner ones.
_BETWEEN_WORDS = (
    f"{_APOSTROPHE}*[^{_WORD}'\u2019 ]+{_APOSTROPHE}*|{_APOSTROPHE}{{2,}}"
    f"|{_APOSTROPHE}+ {_APOSTROPHE}*| {_APOSTROPHE}+|^{_APOSTROPHE}+|{_APOSTROPHE}+$"
)
_WHITE_SPACE = r"[\p{Z}\s\x{000b}\x{0085}]+"
# The characters of that class.
WHITE_SPACES = (
    "".join(map(chr, (*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))))
    + "\u2028\u2029\u202f\u205f\u3000"
)
# What marks a piece that goes on with a word.
PIECE_SUFFIX = "##"
_LONGEST_WORD = 100
# The letters beyond ASCII whose lower case depends on the locale, with that of the root locale
# (SpecialCasing.txt of Unicode: Turkish and Azeri, then Lithuanian).
_BY_LOCALE = (
    ("\u0130", "i\u0307"),
    ("\u00cc", "\u00ec"),
    ("\u00cd", "\u00ed"),
    ("\u0128", "\u0129"),
    ("\u012e", "\u012f"),
)
_BEGIN, _END = "\x1e", "\x1f"


def clean_values(values: tf.Tensor, missing_values: tuple[str, ...]) -> tf.Tensor:
    """Strips white space and empties what means "no value".

    Args:
      values: [...] string.
      missing_values: Texts that mean there is no value.

    Returns:
      [...] string, of the same shape; empty where there is no value.
    """
    values = stripped(values)
    values = tf.strings.regex_replace(values, r"[\r\n]+", " ")
    for missing in missing_values:
        values = tf.where(tf.equal(values, missing), "", values)
    return values


def stripped(values: tf.Tensor) -> tf.Tensor:
    """Returns [...] string without Unicode white space at either end."""
    return tf.strings.regex_replace(values, f"^{_WHITE_SPACE}|{_WHITE_SPACE}$", "")


def check_regex(path: str, tokenizer: object) -> None:
    """Refuses a tokenizer's expression that RE2 does not take, before any data is read.

    Raises:
      SpecError: Naming the key's path and RE2's complaint.
    """
    if not isinstance(tokenizer, RegexTokenizer):
        return
    try:
        with tf.init_scope():
            tf.strings.regex_replace("", f"(?:{tokenizer.regex})", "")
    except tf.errors.InvalidArgumentError as error:
        raise SpecError(
            f"{path}: expected an RE2 expression, got {tokenizer.regex!r}: {error.message}"
        ) from error


def tokenize(texts: tf.Tensor, declared: TextFeature | SequenceLabel) -> tf.RaggedTensor:
    """Splits texts as a text feature or a sequence label declares.

    Args:
      texts: [batch] string.
      declared: Supplies tokenizer, lowercase, normalize and, for a feature, ngrams.

    Returns:
      [batch, (tokens)] string, without empty tokens.
    """
    if declared.normalize != "none":
        texts = _normalize(texts, declared.normalize)
    if declared.lowercase:
        texts = _lower(texts)
    else:
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    tokens = _split(texts, declared.tokenizer)
    ngrams = getattr(declared, "ngrams", 1)
    if ngrams > 1:
        tokens = tf.strings.ngrams(tokens, ngram_width=tuple(range(1, ngrams + 1)), separator=" ")
    return tokens


def cuts_at_spaces(declared: TextFeature | SequenceLabel) -> bool:
    """Whether a text's tokens are those of what stands between its spaces, one after the other.

    So they are where no token holds a space, and nothing looks across one: lower-casing a final
    sigma looks at the letters around it, but a space ends the word.
    """
    plain = declared.normalize == "none" and getattr(declared, "ngrams", 1) == 1
    return plain and declared.tokenizer in ("words", "words_or_letters", "whitespace", "subword")


def between_spaces(texts: tf.Tensor) -> tf.RaggedTensor:
    """Returns [batch, (pieces)] string, what stands between the spaces of [batch] string."""
    # Half the time of `tf.strings.split`, whose op looks for longer separators too.
    pieces = tf.raw_ops.StringSplit(input=texts, delimiter=" ", skip_empty=True)
    return tf.RaggedTensor.from_value_rowids(
        pieces.values, pieces.indices[:, 0], nrows=tf.size(texts, tf.int64), validate=False
    )


def tensorflow_text(need: str) -> ModuleType:
    """Imports tensorflow_text, whose ops a serving host must register too.

    Raises:
      UsageError: If it is not installed.
    """
    try:
        import tensorflow_text
    except ImportError as error:
        raise UsageError(
            f"{need} needs tensorflow-text; install it with: pip install 'skewless[text]'"
        ) from error
    return tensorflow_text


def piece_tokenizer(pieces: tf.lookup.StaticHashTable) -> Any:
    """Returns tensorflow-text's WordPiece tokenizer over a table of pieces.

    It cuts [words] string into [words, (pieces)] string; what cannot be cut becomes `[UNK]`.
    """
    return tensorflow_text("tokenizer: subword").WordpieceTokenizer(
        pieces,
        suffix_indicator=PIECE_SUFFIX,
        max_bytes_per_word=_LONGEST_WORD,
        token_out_type=tf.string,
        unknown_token="[UNK]",
    )


def _lower(texts: tf.Tensor) -> tf.Tensor:
    """Returns [...] string in lower case, by Unicode's root locale whatever the host's is.

    `tf.strings.lower(encoding="utf-8")` asks ICU for the locale of the process: where that is Turkish or
    Lithuanian, a host would serve other tokens than were trained.
    """
    # `lower` takes a NUL for the end of the text.
    texts = tf.strings.regex_replace(texts, r"\x00", " ")
    # Of an input, lest a converter work it out on its own host.
    size = tf.strings.as_string(tf.size(texts))
    upper, lower = ("".join(letters) for letters in zip(*_BY_LOCALE, strict=True))
    is_root = tf.equal(tf.strings.lower(size + upper, encoding="utf-8"), size + lower)
    texts = tf.cond(is_root, lambda: texts, lambda: _lower_by_locale(texts))
    return tf.strings.lower(texts, encoding="utf-8")


def _lower_by_locale(texts: tf.Tensor) -> tf.Tensor:
    """Returns [...] string with those letters in lower case that a locale has a case of its own for."""
    texts = tf.strings.lower(texts)  # ASCII.
    for upper, lower in _BY_LOCALE:
        texts = tf.strings.regex_replace(texts, upper, lower)
    return texts


def _normalize(texts: tf.Tensor, form: str) -> tf.Tensor:
    library = tensorflow_text(f"normalize: {form}")
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    if form == "nfkc":
        return library.normalize_utf8(texts, "NFKC")
    return tf.strings.regex_replace(library.normalize_utf8(texts, "NFD"), r"\p{Mn}+", "")


def _words(texts: tf.Tensor) -> tf.RaggedTensor:
    return between_spaces(tf.strings.regex_replace(texts, _BETWEEN_WORDS, " "))


def _words_or_letters(texts: tf.Tensor) -> tf.RaggedTensor:
    """Letters of scripts without spaces, each with the marks on it, are words of their own."""
    return _words(tf.strings.regex_replace(texts, LETTER, r" \0 "))


def _whitespace(texts: tf.Tensor) -> tf.RaggedTensor:
    return between_spaces(tf.strings.regex_replace(texts, _WHITE_SPACE, " "))


def _characters(texts: tf.Tensor) -> tf.RaggedTensor:
    return tf.strings.unicode_split(tf.strings.regex_replace(texts, r"[\r\n]", " "), "UTF-8")


_SPLITS: dict[str, Callable[[tf.Tensor], tf.RaggedTensor]] = {
    "words": _words,
    "words_or_letters": _words_or_letters,
    "whitespace": _whitespace,
    "characters": _characters,
    "subword": _words,  # Words are cut into pieces later, by the learned vocabulary.
}


def _split(texts: tf.Tensor, tokenizer: Tokenizer) -> tf.RaggedTensor:
    if isinstance(tokenizer, RegexTokenizer):
        return _matches(texts, tokenizer.regex)
    return _SPLITS[tokenizer](texts)


def _matches(texts: tf.Tensor, pattern: str) -> tf.RaggedTensor:
    """Returns the matches of `pattern`: each is marked, then what is unmarked is cut away."""
    texts = tf.strings.regex_replace(texts, r"[\r\n\x1e\x1f]", " ")
    marked = tf.strings.regex_replace(texts, f"(?:{pattern})", rf"{_BEGIN}\0{_END}")
    pieces = tf.strings.split(marked, _BEGIN)[:, 1:]
    tokens = pieces.with_flat_values(
        tf.strings.regex_replace(pieces.flat_values, f"(?s){_END}.*", "")
    )
    return tf.ragged.boolean_mask(
        tokens, tokens.with_flat_values(tf.strings.length(tokens.flat_values) > 0)
    )
