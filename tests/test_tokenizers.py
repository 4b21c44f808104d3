"""Tokenizers, against definitions in plain Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skewless.schemas.rows.tokenizers import between_spaces, cuts_at_spaces, tokenize
from skewless.schemas.spec.features import TextFeature

_TEXTS = st.lists(
    st.one_of(
        st.text(alphabet="ab'\u2019 .\n\u0301\u00e9", max_size=12),
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    min_size=1,
    max_size=20,
)


def _python_words(text: str) -> list[str]:
    """Letters, digits and marks; apostrophes only between two of those."""
    apostrophes = "'\u2019"
    words, word = [], ""
    for place, character in enumerate(text):
        inner = (
            character in apostrophes
            and word
            and place + 1 < len(text)
            and _in_word(text[place + 1])
            and word[-1] not in apostrophes
        )
        if _in_word(character) or inner:
            word += character
        elif word:
            words.append(word)
            word = ""
    return [*words, word] if word else words


def _in_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def _tokens(texts: list[str], **declared: object) -> list[list[str]]:
    feature = TextFeature(length=4, lowercase=False, **declared)
    found = tokenize(tf.constant([text.encode() for text in texts]), feature).to_list()
    return [[token.decode() for token in row] for row in found]


@settings(max_examples=300, deadline=None)
@given(_TEXTS)
def test_words_are_letters_digits_and_marks_with_inner_apostrophes(texts):
    # RE2 and Python may know different versions of Unicode; what is unassigned in Python is out.
    texts = ["".join(c for c in text if unicodedata.category(c) != "Cn") for text in texts]
    assert _tokens(texts, tokenizer="words") == [_python_words(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't", ["don't"]),
        ("'tis 'a' 'b'", ["tis", "a", "b"]),
        ("a' 'b", ["a", "b"]),
        ("a''b", ["a", "b"]),
        ("a .'b'. c", ["a", "b", "c"]),
        ("'", []),
        ("a\u00a0b\u3000c\u2028d", ["a", "b", "c", "d"]),
        ("rock\u2019n\u2019roll, na\u00efve", ["rock\u2019n\u2019roll", "na\u00efve"]),
    ],
)
def test_words_at_the_edges(text, words):
    assert _tokens([text], tokenizer="words") == [words]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("我爱iPhone手机, don't!", ["我", "爱", "iPhone", "手", "机", "don't"]),
        ("コーヒー2杯", ["コ", "ー", "ヒ", "ー", "2", "杯"]),
        ("ดีมาก", ["ดี", "ม", "า", "ก"]),
        ("한국어 글", ["한국어", "글"]),
        ("naïve 'tis", ["naïve", "tis"]),
    ],
)
def test_letters_of_scripts_without_spaces_are_tokens(text: str, tokens: list[str]) -> None:
    assert _tokens([text], tokenizer="words_or_letters") == [tokens]


_RAW_TEXTS = st.lists(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["a", "B", "'", "\u2019", " ", "  ", ".", "\u00a0", "\t", "\n", "\u03a3", "\u0130"]
                + ["\u0301", "\u200b", "\u00ad", "5", "-", ":", "\u597d", "\u30b3", "\u0e35"]
            ).map(str.encode),
            st.binary(max_size=3),
            st.characters(exclude_categories=["Cs"]).map(str.encode),
        ),
        max_size=14,
    ).map(b"".join),
    min_size=1,
    max_size=8,
)


@example([b"\x00 a"], "words", True)
@settings(max_examples=200, deadline=None)
@given(
    _RAW_TEXTS,
    st.sampled_from(["words", "words_or_letters", "whitespace", "subword"]),
    st.booleans(),
)
def test_a_text_has_the_tokens_of_what_stands_between_its_spaces(texts, tokenizer, lowercase):
    declared = TextFeature(length=4, tokenizer=tokenizer, lowercase=lowercase)
    assert cuts_at_spaces(declared)
    whole = tokenize(tf.constant(texts), declared)
    pieces = between_spaces(tf.constant(texts))
    tokens = tokenize(pieces.flat_values, declared)
    by_piece = pieces.with_flat_values(tokens).merge_dims(1, 2)
    assert whole.to_list() == by_piece.to_list()


_LOWERED_BY_HOST = """
import json, sys
import tensorflow as tf
from skewless.schemas.rows.tokenizers import tokenize
from skewless.schemas.spec.features import TextFeature

texts = json.load(sys.stdin)
declared = TextFeature(length=4, tokenizer="whitespace")
found = tokenize(tf.constant([text.encode() for text in texts]), declared)
print(json.dumps([[token.decode() for token in row] for row in found.to_list()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["tr_TR.UTF-8", "az", "lt_LT.UTF-8"])
def test_lower_case_does_not_depend_on_the_hosts_locale(locale):
    letters = [chr(code) for code in range(0x21, 0x530) if chr(code).strip()]
    texts = ["TITLE I\u0307 I\u0300 J\u0301 \u012e\u0301", *letters]
    # The dot above and accents after a letter are what the rules of some locales look at.
    texts += [f"{letter}{mark}" for letter in letters for mark in "\u0300\u0301\u0303\u0307"]
    ran = subprocess.run(
        [sys.executable, "-c", _LOWERED_BY_HOST],
        input=json.dumps(texts),
        env={**os.environ, "LC_ALL": locale, "LANG": locale},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert json.loads(ran.stdout) == [text.lower().split() for text in texts]


def test_a_text_goes_on_after_a_nul():
    assert _tokens(["one\0two three"], tokenizer="words") == [["one", "two", "three"]]
    declared = TextFeature(length=4, lowercase=True)
    assert tokenize(tf.constant([b"One\0two"]), declared).to_list() == [[b"one", b"two"]]


@pytest.mark.parametrize(
    "declared",
    [{"tokenizer": "characters"}, {"tokenizer": {"regex": "a b"}}, {"ngrams": 2}],
)
def test_tokens_that_may_hold_a_space_are_told_from_whole_texts(declared):
    assert not cuts_at_spaces(TextFeature(length=4, **declared))
