"""JSON lines: what a line holds, and how values are written."""

from __future__ import annotations

import codecs
import json

from tests.nasty.corpus.delimited import LIMITS, WRITTEN
from tests.nasty.corpus.family import Family, File

__all__ = ["FAMILIES"]

_SOUND = b'{"a": "1", "b": "x"}\n'


def _jsonl(about: str, outcome: str, reason: str = "", **files: File) -> Family:
    return Family("jsonl", about, outcome, files, reason)


def _among(*lines: bytes) -> File:
    """Returns a file of sound lines with bad ones between."""
    content = _SOUND + b"".join(line + b"\n" + _SOUND for line in lines)
    return File(content, 2 * len(lines) + 1, len(lines))


def _valued(*values: str) -> File:
    """Returns a file that has each value, as it is written, in column `a`."""
    return File("".join(f'{{"a": {value}, "b": "x"}}\n' for value in values).encode(), len(values))


FAMILIES = [
    _jsonl(
        "any line ends and white space",
        "ok",
        newline=File(_SOUND * 3, 3),
        carriage_return_and_newline=File(_SOUND.replace(b"\n", b"\r\n") * 3, 3),
        none_at_the_end=File(_SOUND * 2 + _SOUND.rstrip(), 3),
        blank_lines=File(b"\n\r\n" + _SOUND + b"  \n\t\n" + _SOUND, 2),
        spaces_and_tabs=File(b' \t{ "a" :\t"1" , "b":"x" } \t\n', 1),
        byte_order_mark=File(codecs.BOM_UTF8 + _SOUND, 1),
        separators_of_unicode=File('{"a": "\u2028\u2029\u0085"}\n'.encode(), 1),
        empty=File(b"", 0),
        only_blank_lines=File(b"\n\n \n", 0),
        carriage_returns_within=File(b'{"a":\r"1"}\n', 1),
    ),
    _jsonl(
        "lines that are no objects",
        "rejected",
        "expected a JSON object",
        plain=_among(b"7", b'"x"', b"null", b"true", b"[]", b'[{"a": 1}]', b"-0.5e3"),
        list_of_objects=_among(b'[{"a": "1"}, {"a": "2"}]'),
        words_beyond_json=_among(b"NaN", b"Infinity", b"-Infinity"),
    ),
    _jsonl(
        "lines that are no JSON",
        "rejected",
        "not JSON",
        cut_off=_among(b"{", b'{"a"', b'{"a":', b'{"a": ', b'{"a": "1', b'{"a": "1"', b'{"a": 1,'),
        commas=_among(b'{"a": 1,}', b'{,"a": 1}', b'{"a": 1,, "b": 2}', b'{"a": [1,]}', b'{"a" 1}'),
        quotes=_among(b"{'a': 1}", b'{a: 1}', b'{"a": x}', b'{"a": "x"y"}', b'{"a": \'x\'}'),
        comments=_among(b'{"a": 1 /* x */}', b'// x', b'# x', b'{"a": 1} // x'),
        text_after=_among(b'{"a": 1} x', b'{"a": 1}}', b'{"a": 1}{"a": 2}', b'{"a": 1},', b'{}{}'),
        numbers=_among(
            *(b'{"a": %s}' % text for text in (b"01", b"+1", b".5", b"1.", b"1e", b"0x1F", b"1_0")),
            *(b'{"a": %s}' % text for text in (b"--1", b"-", b"1e+", b"nan", b"inf", b"1.e1")),
        ),
        words=_among(b'{"a": True}', b'{"a": None}', b'{"a": nul}', b'{"a": undefined}', b"{nul}"),
        escapes=_among(rb'{"a": "\x41"}', rb'{"a": "\u12"}', rb'{"a": "\ "}', rb'{"a": "\u12g4"}'),
        controls=_among(b'{"a": "x\ty"}', b'{"a": "x\x00y"}', b'{"a": "\x1f"}', b'{"\x01": "1"}'),
        keys=_among(b'{1: "x"}', b'{null: "x"}', b'{["a"]: 1}', b'{"a": "1", 2}', b'{"a"; "1"}'),
        nul_bytes=_among(b"\x00", b'{"a": "1"}\x00', b"\x00" * 1000),
        spread_over_lines=File(b'{\n  "a": "1",\n  "b": "x"\n}\n', 4, 4),
        byte_order_mark_later=_among(codecs.BOM_UTF8 + b'{"a": "1"}'),
        page=_among(b"<!DOCTYPE html>", b"<html><body>404</body></html>"),
    ),
    _jsonl(
        "bytes that are not UTF-8",
        "rejected",
        "not UTF-8",
        in_a_value=_among(b'{"a": "\xff"}', b'{"a": "\xc0\xaf"}', b'{"a": "\xed\xa0\x80"}'),
        in_another_column=_among(b'{"c": "\xff", "a": "1"}'),
        in_a_key=_among(b'{"\xff": "1", "a": "1"}'),
        cut_off=_among(b'{"a": "\xe2\x82"}'),
        of_latin1=_among(b'{"a": "caf\xe9"}'),
    ),
    _jsonl(
        "surrogates without their other half",
        "rejected",
        "surrogate",
        high=_among(rb'{"a": "\ud800"}', rb'{"a": "x\udbffy"}'),
        low=_among(rb'{"a": "\udc00"}'),
        in_the_wrong_order=_among(rb'{"a": "\udc00\ud800"}'),
    ),
    _jsonl(
        "a key given twice",
        "rejected",
        "more than once",
        equal=_among(b'{"a": "1", "a": "1"}'),
        different=_among(b'{"a": "1", "a": "2"}', b'{"a": null, "a": "2"}', b'{"a": [], "a": 1}'),
        by_an_escape=_among(rb'{"a": "1", "\u0061": "2"}'),
    ),
    _jsonl(
        "nested deeper than any value is",
        "rejected",
        "deep|plain value|one value|not JSON",
        lists=_among(*(b'{"a": ' + b"[" * n + b"]" * n + b"}" for n in (2, 99, 100, 101, 5_000))),
        objects=_among(
            *(b'{"a": ' * n + b"1" + b"}" * n for n in (2, 99, 100, 101, 5_000)),
        ),
        never_closed=_among(b'{"a": ' + b"[" * 100_000, b'{"a": ' * 20_000),
        brackets_only=_among(b"[" * 100_000, b"]" * 1000, b"}" * 1000),
    ),
    _jsonl(
        "lists and objects where one value is wanted",
        "rejected",
        "expected (one|a plain) value",
        lists=_among(b'{"a": [1, 2]}', b'{"a": ["x"]}', b'{"a": [null]}', b'{"a": []}'),
        objects=_among(b'{"a": {}}', b'{"a": {"b": 1}}', b'{"a": {"a": {"a": 1}}}'),
    ),
    _jsonl(
        "values of every type, one after the other",
        "ok",
        types=_valued('"x"', "1", "1.5", "true", "false", "null", '""', "-0", "0.0", "1e5"),
        type_changes_late=File(
            b'{"a": 1}\n' * 40 + b'{"a": "x"}\n{"a": 1.5}\n{"a": true}\n{"a": null}\n', 44
        ),
        nulls_then_values=File(b'{"a": null}\n' * 40 + b'{"a": 5}\n{"a": "x"}\n', 42),
        whole_then_fraction=_valued("1", "2", "3.5", "4.0", "5e0", "1e2"),
        numbers_in_texts=_valued('"1"', "1", '"1.0"', "1.0", '"01"', '"true"', "true"),
        words_beyond_json=_valued("NaN", "1", "Infinity", "-Infinity"),
    ),
    _jsonl(
        "numbers at each limit, and texts that some take for numbers",
        "ok",
        whole=_valued(*LIMITS),
        whole_as_fractions=_valued(*(f"{text}.0" for text in LIMITS)),
        long=_valued("9" * 400, "-" + "9" * 4300, "9" * 5000, "1" + "0" * 10_000),
        fractions=_valued(
            *("0.1", "1e308", "-1e308", "1e309", "1e-400", "5e-324", "3.4028236e38", "1E+2"),
            *("0.30000000000000004", "123456789012345678", "1e15", "1e16", "1e22", "1e23"),
        ),
        in_texts=_valued(*map(json.dumps, [*LIMITS, *WRITTEN])),
    ),
    _jsonl(
        "characters that are seldom seen, as they are and as escapes",
        "ok",
        escapes=_valued(r'"\u0000"', r'"\u0001\b\f\n\r\t\/\\\""', r'"\uD83E\uDD86"', r'"\uffff"'),
        plain=_valued('"\u202ex"', '"\ufeff"', '"\uffff"', '"👩‍👩‍👧🏽"', '"\u200b"', '"\x7f"'),
        brackets_in_texts=_valued('"' + "[{" * 500 + '"', r'"\"[[["', r'"\\"', r'"\\\""'),
    ),
    _jsonl(
        "odd keys",
        "ok",
        empty=File(b'{"": "1", "a": "2"}\n', 1),
        nul=File(rb'{"\u0000": "1", "a": "2"}' + b"\n", 1),
        names_of_other_things=File(b'{"__init__": "1", "../x": "2", "%s": "3"}\n', 1),
        dots_and_spaces=File(b'{"a.b": "1", " a": "2", "a\\nb": "3"}\n', 1),
        beyond_ascii=File('{"größe": "1", "名前": "2", "🦆": "3"}\n'.encode(), 1),
        long=File(b'{"' + b"n" * 5000 + b'": "1"}\n', 1),
        escaped=File(rb'{"\u0061": "1"}' + b"\n" + b'{"a": "2"}\n', 2),
        none=File(b"{}\n{ }\n", 2),
        another_in_each_line=File(b"".join(b'{"c%d": 1}\n' % x for x in range(300)), 300),
        in_another_order=File(b'{"a": "1", "b": "2"}\n{"b": "3", "a": "4"}\n', 2),
        missing=File(b'{"a": "1"}\n{"b": "2"}\n{}\n', 3),
    ),
    _jsonl(
        "large values and lines",
        "ok",
        a_megabyte=File(lambda: b'{"a": "' + b"x" * (1 << 20) + b'"}\n{"a": "2"}\n', 2),
        a_megabyte_of_escapes=File(lambda: b'{"a": "' + rb"\u00e9" * 170_000 + b'"}\n', 1),
        a_thousand_keys=File(
            json.dumps({f"k{x}": x for x in range(1000)}).encode() + b"\n", 1
        ),
    ),
    _jsonl(
        "a line beyond the limit",
        "rejected",
        "16 MiB",
        of_plain_text=File(lambda: b'{"a": "' + b"x" * (17 << 20) + b'"}\n{"a": "2"}\n', 2, 1),
    ),
    _jsonl(
        "other encodings",
        "rejected",
        "not (JSON|UTF-8)",
        utf16=File('{"a": "1"}\n'.encode("utf-16"), None, None),
        utf16_big=File('{"a": "1"}\n'.encode("utf-16-be"), None, None),
        utf32=File('{"a": "1"}\n'.encode("utf-32"), None, None),
    ),
]  # fmt: skip
