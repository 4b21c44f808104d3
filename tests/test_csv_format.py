"""Delimited text as it is written elsewhere: encodings, headers, decimal commas, groups and signs.

The oracles are Python's codecs, csv and decimal.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.sources.digest import unit_sha256
from skewless.beam_pipelines.sources.formats.encodings import cut, readable, source_length
from skewless.schemas.errors import DataError, SpecError
from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.spec.spec import Spec, parse

SAME_DIRECTORY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ENCODINGS = (
    "utf-8", "utf-8-sig", "latin-1", "cp1252", "cp1251", "mac_roman", "cp037", "utf-16", "utf-16-le",
    "utf-16-be", "utf-32", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jis_2004",
)  # fmt: skip


def spec_of(written: dict[str, Any], **more: Any) -> Spec:
    features = {"a": {"type": "text", "length": 4}, "b": {"type": "text", "length": 4}}
    return parse({"name": "t", "features": features, "csv": written, **more})


def texts(path: Path, spec: Spec, **cuts: int) -> tuple[list[list[str]], list[tuple[int, str]]]:
    """Returns the rows, each behind its number, and the rejections' numbers and raw texts."""
    rows: list[list[Any]] = []
    rejected: list[tuple[int, str]] = []
    for unit in plan([str(path)], spec, **cuts):
        for batch in read(unit, spec):
            values = [batch.table.column(name).to_pylist() for name in batch.table.schema.names]
            for place, number in enumerate(batch.rows.tolist()):
                rows.append([number, *(column[place].decode() for column in values)])
            rejected += [(entry.row, entry.raw or "") for entry in batch.rejected]
    return rows, rejected


def by_python(path: Path, encoding: str, delimiter: str) -> list[list[Any]]:
    with path.open(encoding=encoding, newline="") as file:
        records = [record for record in csv.reader(file, delimiter=delimiter) if record]
    return [[number, *record] for number, record in enumerate(records[1:], 1)]


@SAME_DIRECTORY
@given(
    encoding=st.sampled_from(ENCODINGS),
    delimiter=st.sampled_from(";,|\t"),
    fields=st.lists(st.tuples(*[st.text(max_size=5)] * 2), max_size=12),
    size=st.integers(1, 200),
    crlf=st.booleans(),
)
@example("utf-16-le", ",", [("ਊ", "Ċ"), ("a\n", '"')], 3, False)
@example("shift_jis", "|", [("ソ", "表"), ("ァ", "x")], 3, False)
def test_text_of_any_encoding_is_read_as_python_reads_it_however_cut(
    tmp_path: Path,
    encoding: str,
    delimiter: str,
    fields: list[tuple[str, str]],
    size: int,
    crlf: bool,
) -> None:
    def known(text: str) -> str:
        # Python's csv ends a row at a NUL; bare carriage returns are tested in test_sources.py.
        kept = text.encode(encoding, "ignore").decode(encoding)
        return kept.replace("\0", "").replace("\r", "").replace("\ufeff", "")

    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=delimiter,
        lineterminator="\r\n" if crlf else "\n",
        quoting=csv.QUOTE_ALL,
    )
    writer.writerows([("a", "b"), *((known(a), known(b)) for a, b in fields)])
    path = tmp_path / "x.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    spec = spec_of({"delimiter": delimiter, "encoding": encoding})
    expected = by_python(path, encoding, delimiter)
    assert texts(path, spec) == (expected, [])
    assert texts(path, spec, unit_bytes=size) == (expected, [])
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(text.getvalue().encode(encoding)))
    assert texts(path, spec) == (expected, [])


@pytest.mark.parametrize("encoding", ["utf-16-le", "cp1252", "gb18030"])
def test_units_of_another_encoding_are_pieces_of_the_file(tmp_path: Path, encoding: str) -> None:
    lines = ["a,b"] + [f"{n},{'é' * (n % 7)}" for n in range(1, 500)]
    path = tmp_path / "x.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    units = plan([str(path)], spec_of({"encoding": encoding}), unit_bytes=300)
    assert len(units) > 20
    content = path.read_bytes()
    pieces = [content[unit.start : unit.end].decode(encoding) for unit in units]
    assert lines[0] + "\n" + "".join(pieces) == "\n".join(lines)
    assert [piece.count("\n") for piece in pieces[:-1]] == [
        after.first_row - unit.first_row for unit, after in itertools.pairwise(units)
    ]


@settings(max_examples=60)
@given(
    encoding=st.sampled_from(["utf-16-le", "utf-32-be", "cp1252", "cp037", "shift_jis", "gb18030"]),
    head=st.text(max_size=9),
    tail=st.text(max_size=9),
)
def test_the_place_of_a_text_in_its_file(encoding: str, head: str, tail: str) -> None:
    head, tail = (text.encode(encoding, "ignore").decode(encoding) for text in (head, tail))
    data = (head + tail).encode(encoding)
    place = source_length(data, encoding, len(head.encode()))
    assert (data[:place].decode(encoding), data[place:].decode(encoding)) == (head, tail)


@given(
    text=st.binary(max_size=60), sizes=st.lists(st.integers(1, 9), max_size=9), at=st.integers(1, 9)
)
def test_cut(text: bytes, sizes: list[int], at: int) -> None:
    chunks = [text[place : place + at] for place in range(0, len(text), at)]
    pieces = list(cut(iter(chunks), [(size, 4) for size in sizes]))
    bounds = np.cumsum([0, *sizes])
    assert pieces == [
        text[begin : begin + min(4, size)] for begin, size in zip(bounds, sizes, strict=False)
    ]


def test_bytes_without_a_character_reject_their_rows_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    # 0x81 is nothing in cp1252; 0xC3 0xA9 would be é, were it UTF-8.
    path.write_bytes(b"a,b,c\n\x81,1,x\nd\xc3\xa9,2,x\n3,\x81\xc3\xa9,x\n4,y,\x81\n5,\x81\n")
    spec = spec_of({"encoding": "cp1252"})
    [unit] = plan([str(path)], spec)
    [rows] = rows_of(unit, spec)
    assert [list(row.values()) for row in rows.columns.to_pylist()] == [["dÃ©", "2"], ["4", "y"]]
    assert [(entry.row, entry.column, entry.raw) for entry in rows.rejected] == [
        (1, "a", r"\x81,1,x"),
        (3, "b", r"3,\x81Ã©,x"),
        (5, None, r"5,\x81"),
    ]
    assert rows.rejected[0].reason.startswith("not cp1252: ")
    assert rows.read == 5


def test_a_half_character_ends_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("a,b\n1,é\n2,x".encode("utf-16-le")[:-1])
    spec = spec_of({"encoding": "utf-16-le"})
    for cuts in ({}, {"unit_bytes": 4}):
        found = [rows for unit in plan([str(path)], spec, **cuts) for rows in rows_of(unit, spec)]
        assert [number for rows in found for number in rows.numbers.tolist()] == [1]
        assert [entry.row for rows in found for entry in rows.rejected] == [2]


@pytest.mark.parametrize(
    ("encoding", "content", "reason"),
    [
        ("utf-8", "a,b\n".encode("utf-16"), r"expected UTF-8, got UTF-16 by its byte order mark"),
        ("latin-1", "a,b\n".encode("utf-8-sig"), r"expected LATIN-1, got UTF-8 by its byte"),
        ("utf-16-be", "a,b\n".encode("utf-16"), r"expected UTF-16-BE, got UTF-16 by its"),
        ("utf-16", "a,b\n".encode("utf-16-le"), r"declare csv.encoding: utf-16-le or utf-16-be"),
        ("utf-8", b"a,b\xe9\n", r"the header is not UTF-8 .* declare the file's encoding"),
    ],
)
def test_what_belies_the_declared_encoding_is_refused(
    tmp_path: Path, encoding: str, content: bytes, reason: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path}: .*{reason}"):
        plan([str(path)], spec_of({"encoding": encoding}))


def test_a_unit_is_another_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,\xe9\n")
    digests = {
        unit_sha256(plan([str(path)], spec_of({"encoding": encoding}))[0])
        for encoding in ("utf-8", "latin-1", "cp1251")
    }
    assert len(digests) == 3


def test_escapes_are_readable() -> None:
    every = bytes(range(256))
    decoded = every.decode("ascii", "skewless-escape").encode("utf-8", "surrogatepass")
    shown = readable(decoded)[128:].decode()
    assert shown == "".join(f"\\x{byte:02x}" for byte in range(128, 256))


# Headers.


def test_files_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + b"\n1,x,2\n3,y,4\n5,z\n")
        spec = spec_of({"header": ["a", "other", "b"]})
        for cuts in ({}, {"unit_bytes": 1}):
            assert texts(path, spec, **cuts) == ([[1, "1", "2"], [2, "3", "4"]], [(3, "5,z")])
    path.write_bytes(b"")
    assert texts(path, spec) == ([], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2\n", "its first line holds the names of csv.header"),
        (b"1,2,3\n4,5,6\n", "expected 2 fields, as csv.header names, got 3 in the first record"),
    ],
)
def test_files_that_belie_the_declared_header_are_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}: {reason}"):
        plan([str(path)], spec_of({"header": ["a", "b"]}))
    with pytest.raises(DataError, match="no column 'b'"):
        plan([str(path)], spec_of({"header": ["a", "c"] + ["d"] * content.startswith(b"1")}))


# Numbers.

FORMATS = [
    CsvFormat(decimal=","),
    CsvFormat(decimal=",", thousands="."),
    CsvFormat(decimal=",", thousands=" "),
    CsvFormat(thousands=","),
    CsvFormat(thousands="'", signs=("CHF",)),
    CsvFormat(decimal=",", thousands=".", signs=("€", "EUR")),
    CsvFormat(thousands=",", signs=("$", "US$")),
    CsvFormat(signs=("%",)),
]
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15)


def read_as(kind: Any, values: list[str], written: CsvFormat) -> tuple[list[Any], dict[int, str]]:
    spec = spec_of({})
    raw = pa.array([value.encode() for value in values], pa.binary())
    array, faults = canonical(raw, RawColumn("x", kind), spec, written)
    return array.to_pylist(), faults


@given(
    written=st.sampled_from(FORMATS),
    number=NUMBERS,
    grouped=st.booleans(),
    sign=st.sampled_from(["", "before", "after", "both minus"]),
    gap=st.sampled_from(["", " ", "\u00a0", "\u202f"]),
)
def test_a_number_written_in_a_format_is_the_number(
    written: CsvFormat, number: Decimal, grouped: bool, sign: str, gap: str
) -> None:
    text = format(number, ",f" if grouped and written.thousands else "f")
    swap = {",": written.thousands or "", ".": written.decimal}
    text = "".join(swap.get(letter, letter) for letter in text)
    for mark in written.signs if sign else ():
        minus, digits = text[: text.startswith("-")], text.lstrip("-")
        shown = {
            "before": f"{mark}{gap}{text}",
            "after": f"{text}{gap}{mark}",
            "both minus": f"{minus}{mark}{gap}{digits}",
        }[sign]
        assert read_as("float32", [shown], written) == ([float(np.float32(float(number)))], {})
    assert read_as("float32", [text], written) == ([float(np.float32(float(number)))], {})
    if number == int(number):
        assert read_as("int64", [text], written) == ([int(number)], {})


@given(
    written=st.sampled_from(FORMATS), text=st.text(st.sampled_from("019.,' -+e€$%CHF"), max_size=9)
)
def test_what_is_read_is_what_its_digits_say(written: CsvFormat, text: str) -> None:
    """Whatever is no fault has its digits in their order, and one decimal sign where it stood."""
    [value], faults = read_as("float32", [text], written)
    if faults or value is None:
        return
    for mark in sorted(written.signs, key=len, reverse=True):
        text = text.replace(mark, "")
    for group in written.thousands or "":
        text = text.replace(group, "")
    text = text.replace(" ", "").replace(written.decimal, ".")
    assert value == float(np.float32(float(Decimal(text))))


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (FORMATS[0], ["1.5", "1,5,5", "1.234,5", ",", "€1", "0x1F", "1_000,0"]),
        (
            FORMATS[1],
            ["1.5", "12.34", "1.2345", "1234.567", "1,234.5", "1.234.56", ".123", "1..234"],
        ),
        (FORMATS[2], ["1  234", "12 34", "1.5"]),
        (FORMATS[3], ["1,5", "12,34", "1,23,45", "1.234,5", ",123"]),
        (FORMATS[5], ["€", "€€5", "-€-5", "5 $", "E5", "5 EURO", "--5", "€ - 5"]),
        (FORMATS[6], ["$$5", "5$US", "US5"]),
    ],
)
def test_what_is_not_written_so_is_rejected(written: CsvFormat, values: list[str]) -> None:
    _, faults = read_as("float32", values, written)
    assert sorted(faults) == list(range(len(values)))
    assert all(f"got {value!r}" in faults[at] for at, value in enumerate(values))


@pytest.mark.parametrize(
    ("written", "value", "number"),
    [
        (CsvFormat(thousands=","), "12,34,567.5", 1234567.5),
        (CsvFormat(thousands="'"), "1\u2019234", 1234.0),
        (CsvFormat(thousands=" ", decimal=","), "1\u202f234,5", 1234.5),
        (CsvFormat(decimal=","), ",5", 0.5),
        (CsvFormat(decimal=","), "5,", 5.0),
        (CsvFormat(decimal=","), "-1,5E-3", -0.0015),
        (CsvFormat(signs=("$",)), "-$5", -5.0),
        (CsvFormat(signs=("$",)), "$-5", -5.0),
        (CsvFormat(signs=("$",)), "- $5", -5.0),
        (CsvFormat(decimal=","), "nan", None),
    ],
)
def test_a_number_as_written(written: CsvFormat, value: str, number: float | None) -> None:
    [read], faults = read_as("float32", [value], written)
    assert not faults
    assert read == (None if number is None else float(np.float32(number)))


def test_only_delimited_text_is_read_so(tmp_path: Path) -> None:
    features = {"n": {"type": "numeric"}, "s": {"type": "categorical"}}
    label = {"column": "y", "type": "multiclass", "classes": ["1.5", "2000"]}
    written = {"delimiter": ";", "decimal": ",", "thousands": "."}
    spec = parse({"name": "t", "features": features, "label": label, "csv": written})
    (tmp_path / "x.csv").write_text("n;s;y\n1.234,5;1.234,5;1,50\n-;x;2.000\n")
    (tmp_path / "x.jsonl").write_text(
        '{"n": "1234.5", "s": "1.234,5", "y": 1.5}\n{"n": "1,5", "s": "x", "y": "2000"}\n'
    )
    found = {}
    for name in ("x.csv", "x.jsonl"):
        [unit] = plan([str(tmp_path / name)], spec)
        [rows] = rows_of(unit, spec)
        found[name] = [list(row.values()) for row in rows.columns.to_pylist()]
        assert [entry.row for entry in rows.rejected] == [2]
    assert found["x.csv"] == found["x.jsonl"] == [[1234.5, "1.234,5", "1.5"]]


# The declaration.


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({"encoding": "latin-17"}, "encoding: expected the name of an encoding"),
        ({"encoding": "utf-7"}, "encoding: expected an encoding in which each character"),
        ({"encoding": "iso2022_jp"}, "encoding: expected an encoding in which each character"),
        ({"encoding": "rot13"}, "encoding: expected an encoding in which each character"),
        ({"delimiter": "§"}, "delimiter: expected one ASCII character"),
        ({"delimiter": '"'}, "delimiter: expected one ASCII character"),
        ({"decimal": "e"}, "decimal: expected a character that is no letter"),
        ({"thousands": "."}, "thousands: '.' is the decimal sign already"),
        ({"signs": ["€ "]}, "signs: expected texts without digits and white space around"),
        ({"signs": ["-"]}, "signs: '-' begins or ends with a sign of numbers themselves"),
        ({"header": ["a", "a"]}, "header: 'a' is there 2 times"),
        ({"header": []}, "header: expected the columns' names, got none"),
    ],
)
def test_unsound_formats_are_refused(written: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=rf"csv.*{reason}"):
        spec_of(written)


def test_later_keys_leave_digests_of_older_specs_alone() -> None:
    # Of the spec above before `csv` had more keys than `delimiter`.
    assert spec_of({}).sha256() == DIGEST
    assert spec_of({"decimal": ","}).sha256() != DIGEST
    assert spec_of({"decimal": ","}).sha256() == parse_again(spec_of({"decimal": ","})).sha256()


def parse_again(spec: Spec) -> Spec:
    from skewless.schemas.spec.yaml_document import read_yaml

    return parse(read_yaml(spec.to_yaml(), "spec"))


DIGEST = "cf846f678af4bede05f47e221d416eb137f5ba57a5500695cc4553ee1638f99d"
