"""CSV, and the same as TSV: cells, quotes, line ends, widths and headers."""

from __future__ import annotations

import codecs

from tests.nasty.corpus.family import Family, File

__all__ = ["FAMILIES"]

BOM = codecs.BOM_UTF8


def _csv(about: str, outcome: str, reason: str = "", **files: File) -> Family:
    return Family("csv", about, outcome, files, reason)


def _numbers(texts: list[str]) -> bytes:
    return b"a,b\n" + "".join(f'"{text}",x\n' for text in texts).encode()


# Whole numbers about every limit that a reader may have, and texts that some take for numbers.
LIMITS = [
    sign + str(2**power + near)
    for power in (24, 31, 32, 53, 63, 64)
    for near in (-1, 0, 1)
    for sign in ("", "-")
]
WRITTEN = [
    *("7", "+7", "007", "-0", "7.0", "7.", ".5", "1e3", "1E3", "1e+3", "1e-3", "1e999999"),
    *("1e-999999", "0x1F", "0b1", "0o7", "1_000", "1,000", "1 000", "7.5", "--7", "+-7", "7-"),
    *("nan", "NaN", "-nan", "nan(1)", "inf", "-inf", "Infinity", "infinity", "1.#INF", "null"),
    *("3.4028235e38", "3.4028236e38", "-3.5e38", "1e308", "1.8e308", "1e-45", "1e-46", "5e-324"),
    *("9" * 400, "0." + "0" * 400 + "1", "٣", "７", "½", "Ⅷ", "x", "true", "TRUE", "1f", "1d"),
    *(" 7", "7 ", "\u00a07", "7\u3000", "$7", "7%", "€ 7", "(7)", "1/2", "07-01", "12:30"),
]

FAMILIES = [
    _csv(
        "any line ends",
        "ok",
        newline=File(b"a,b\n1,x\n2,y\n", 2),
        carriage_return_and_newline=File(b"a,b\r\n1,x\r\n2,y\r\n", 2),
        carriage_return=File(b"a,b\r1,x\r2,y\r", 2),
        mixed=File(b"a,b\r\n1,x\n2,y\r3,z\r\n", 3),
        none_at_the_end=File(b"a,b\n1,x\n2,y", 2),
        carriage_return_at_the_end=File(b"a,b\n1,x\n2,y\r", 2),
        blank_lines=File(b"\n\na,b\n\n1,x\n\r\n\n2,y\n\n", 2),
        reversed=File(b"a,b\n\r1,x\n\r2,y\n\r", 2),
        separators_of_unicode=File("a,b\n1,x\u2028y\n2,\u0085\n3,\u2029\n".encode(), 3),
        form_feed=File(b"a,b\n1,\x0c\n2,\x0b\n", 2),
    ),
    _csv(
        "a byte order mark",
        "ok",
        before=File(BOM + b"a,b\n1,x\n", 1),
        before_a_quote=File(BOM + b'"a","b"\n1,x\n', 1),
        twice=File(BOM + BOM + b"a,b\n1,x\n", 1),
        in_the_first_cell=File(b"a,b\n" + BOM + b"1,x\n" + BOM + b"2,y\n", 2),
    ),
    _csv(
        "quotes",
        "ok",
        everywhere=File(b'"a","b"\n"1","x"\n"2","y"\n', 2),
        doubled=File(b'a,b\n1,"x ""y"""\n2,""""\n3,""\n', 3),
        delimiters_within=File(b'a,b\n"1,2","x,"\n",",y\n', 2),
        line_ends_within=File(b'a,b\n"1\n2","x\r\ny"\n"\n","\r"\n', 2),
        blank_lines_within=File(b'a,b\n"1\n\n\n2",x\n\n2,y\n', 2),
        amid_a_cell=File(b'a,b\n1,5" pipe\n2,x"y"z\n', 2),
        text_after=File(b'a,b\n"1"2,x\n"1" ,y\n', 2),
        space_before=File(b'a,b\n1, "x"\n2, y\n', 2),
        in_the_header=File(b'"a","b ""c"""\n1,x\n', 1),
        line_end_in_the_header=File(b'a,"b\nc"\n1,x\n', 1),
        only_quotes=File(b'a,b\n"",""\n"""",""""""\n', 2),
        single_quotes=File(b"a,b\n'1',x\n'2\",y\n", 2),
        backslash=File(b'a,b\n1,"x\\"\n2,y\\\n', 2),
    ),
    _csv(
        "a quote that is never closed",
        "rejected",
        "quote",
        last=File(b'a,b\n1,x\n2,"y\n', 2, 1),
        amid=File(b'a,b\n1,x\n"2,y\n3,z\n', 3, 1),
        first=File(b'a,b\n"1,x\n2,y\n3,z\n', 3, 1),
        after_a_doubled_one=File(b'a,b\n1,x\n2,"y"" z\n3,z\n', 3, 1),
        at_the_very_end=File(b'a,b\n1,x\n2,"', 2, 1),
    ),
    _csv(
        "rows of another width",
        "rejected",
        r"expected \d fields as in the header, got \d",
        fewer=File(b"a,b\n1\n2,y\n", 2, 1),
        more=File(b"a,b\n1,x,9\n2,y\n", 2, 1),
        delimiter_at_the_end=File(b"a,b\n1,x,\n2,y,\n3,z\n", 3, 2),
        only_delimiters=File(b"a,b\n,\n,,\n,,,\n1,x\n", 4, 2),
        spaces=File(b"a,b\n  \n1,x\n", 2, 1),
        all=File(b"a,b\n1\n2\n3,4,5\n", 3, 3),
        a_thousand=File(b"a,b\n1,x\n" + b"," * 1000 + b"\n", 2, 1),
        quoted_whole=File(b'a,b\n"1,x"\n2,y\n', 2, 1),
        one_quoted_line_end=File(b'a,b\n"\n"\n2,y\n', 2, 1),
        not_utf8=File(b"a,b\n1,x\n2,\xe9,z\n3,y\n", 3, 1),
        not_utf8_and_quoted=File(b'a,b\n"1\n\xff",x,\n3,y\n', 2, 1),
        a_last_line_cut_off=File(b"a,b\n1,x\n2", 2, 1),
        comment=File(b"a,b\n# from a tool\n1,x\n", 2, 1),
    ),
    _csv(
        "cells that are not UTF-8",
        "rejected",
        "not UTF-8",
        one=File(b"a,b\n1,\xff\n2,y\n", 2, 1),
        continuation=File(b"a,b\n1,\x81\n2,y\n", 2, 1),
        overlong=File(b"a,b\n1,\xc0\xaf\n2,y\n", 2, 1),
        surrogate=File(b"a,b\n1,\xed\xa0\x80\n2,y\n", 2, 1),
        beyond_unicode=File(b"a,b\n1,\xf5\x80\x80\x80\n2,y\n", 2, 1),
        cut_by_a_line_end=File(b"a,b\n1,\xe2\x82\n2,y\n", 2, 1),
        cut_by_a_delimiter=File(b"a,b\n\xe2\x82,x\n2,y\n", 2, 1),
        cut_by_the_end=File(b"a,b\n1,x\n2,\xe2\x82", 2, 1),
        some_rows_of_many=File(
            b"a,b\n" + b"".join(b"%d,%s\n" % (x, b"\xff" if x % 50 == 7 else b"y") for x in range(200)),
            200,
            4,
        ),
    ),
    _csv(
        "characters that are seldom seen",
        "ok",
        nul=File(b"a,b\n1,x\x00y\n2,\x00\n", 2),
        nul_in_the_header=File(b"a,b\x00\n1,x\n", 1),
        controls=File(b"a,b\n1," + bytes({*range(1, 32)} - {9, 10, 13}) + b"\n2,\x7f\n", 2),
        terminal_commands=File(b"a,b\n1,\x1b[31m\x1b]0;x\x07\n", 1),
        directions=File("a,b\n1,\u202ex\u202c\n2,\u200b\u200d\n".encode(), 2),
        no_characters=File("a,b\n1,\ufffe\uffff\U0010ffff\n".encode(), 1),
        beyond_16_bits=File("a,b\n1,👩‍👩‍👧🏽\n2,𝔘\n".encode(), 2),
        combining=File(("a,b\n1,x" + "\u0301" * 500 + "\n").encode(), 1),
        formulas=File(b"a,b\n=1+1,@x\n-1,+y\n", 2),
    ),
    _csv(
        "odd headers",
        "ok",
        alone=File(b"a,b\n", 0),
        alone_without_line_end=File(b"a,b", 0),
        the_same_name_twice=File(b"a,a,b\n1,2,x\n", 1),
        no_name=File(b",b\n1,x\n", 1),
        one_column=File(b"a\n1\n2\n", 2),
        spaces=File(b" a , b\t\n1,x\n", 1),
        long_name=File(b"a," + b"n" * 5000 + b"\n1,x\n", 1),
        two_hundred_columns=File(
            ",".join(f"c{x}" for x in range(200)).encode() + b"\n" + b"1," * 199 + b"1\n", 1
        ),
        names_of_other_things=File(b"__init__,../x,None,{},%s,$(x)\n1,2,3,4,5,6\n", 1),
        beyond_ascii=File("größe,名前,🦆\n1,2,3\n".encode(), 1),
        numbers=File(b"1,2\n3,4\n", 1),
    ),
    _csv(
        "no header",
        "refused",
        "header",
        empty=File(b""),
        line_ends=File(b"\n\r\n\n"),
        byte_order_mark=File(BOM),
        byte_order_mark_and_line_end=File(BOM + b"\n"),
    ),
    _csv(
        "large cells and rows",
        "ok",
        a_megabyte=File(lambda: b"a,b\n1," + b"x" * (1 << 20) + b"\n2,y\n", 2),
        a_quoted_megabyte=File(lambda: b'a,b\n1,"' + b'x""\n' * (1 << 18) + b'"\n2,y\n', 2),
        many_quotes=File(lambda: b"a,b\n1," + b'"' * 100_000 + b"\n2,y\n", 2),
    ),
    _csv(
        "a row beyond the limit",
        "rejected",
        "16 MiB",
        of_plain_text=File(lambda: b"a,b\n1," + b"x" * (17 << 20) + b",tail\n2,y\n", 2, 1),
    ),
    _csv(
        "numbers at each limit, and texts that some take for numbers",
        "ok",
        limits=File(_numbers(LIMITS), len(LIMITS)),
        written=File(_numbers(WRITTEN), len(WRITTEN)),
        mixed=File(_numbers([*LIMITS[:5], *WRITTEN, *LIMITS]), 5 + len(WRITTEN) + len(LIMITS)),
    ),
]  # fmt: skip
