"""`init` on delimited text of other places: what it notices, and that `preprocess` reads it so."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skewless.beam_pipelines.init import guess_spec
from skewless.beam_pipelines.init.delimited.dialect import _has_header, dialect_of
from skewless.beam_pipelines.init.delimited.encoding import encoding_of
from skewless.beam_pipelines.init.delimited.number_format import number_format
from skewless.beam_pipelines.init.proposal import Proposal
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan
from skewless.beam_pipelines.sources.files import whole_files
from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.spec.spec import parse

# Written for this test, in the encodings of their places.
WORDS = {
    "de": ("cp1252", "Köln Straße schön größer Mädchen München Übung Äpfel"),
    "fr": ("cp1252", "élève français où çà forêt garçon hôtel naïve œuvre déjà"),
    "es": ("latin-1", "año niño señor corazón mañana español camión más"),
    "pt": ("latin-1", "São coração não avó ações Brasília açúcar português"),
    "sv": ("latin-1", "Malmö Göteborg Västerås åtta öl Örebro Ängelholm"),
    "pl": ("cp1250", "Łódź Kraków Gdańsk miłość żółty święto ćma Poznań"),
    "pl iso": ("iso8859-2", "Łódź Kraków Gdańsk miłość żółty święto ćma Poznań"),
    "cs": ("cp1250", "Plzeň Ústí Děčín žluťoučký kůň čeština řeka město"),
    "hu": ("cp1250", "Győr Szőlő kőbánya gyűrű tűz hűvös őszi"),
    "tr": ("cp1254", "İstanbul güzel şehir çocuk ışık İzmir ağaç öğretmen"),
    "ru": ("cp1251", "Москва хорошо улица красный Петербург город большой"),
    "ru unix": ("koi8-r", "Москва хорошо улица красный Петербург город большой"),
    "el": ("cp1253", "Αθήνα καλημέρα δρόμος κόκκινο Θεσσαλονίκη σπίτι"),
    "ja": ("shift_jis", "東京 良い通り 赤い色 大阪 家と都市 ありがとう カタカナ ソフト 表示"),
    "ja unix": ("euc_jp", "東京 良い通り 赤い色 大阪 家と都市 ありがとう カタカナ ソフト 表示"),
    "zh": ("gb18030", "北京很好 街道红色 上海房子 城市 非常感谢"),
    "ko": ("cp949", "서울 좋은거리 빨간색 부산 도시 감사합니다"),
    "utf-8": ("utf-8", "Köln Łódź Москва 東京 élève"),
    "no accents": ("ascii", "Lyon Lima"),
    "utf-16": ("utf-16", "Köln Łódź Москва"),
    "utf-16 without a mark": ("utf-16-le", "Köln Lima Oslo"),
    "big-endian": ("utf-16-be", "Köln Lima Oslo"),
}


@pytest.mark.parametrize("place", WORDS)
def test_encodings_are_told_by_words(place: str) -> None:
    encoding, words = WORDS[place]
    text = "city,n\n" + "".join(f"{word},{place}\n" for place, word in enumerate(words.split()))
    data = text.encode(encoding)
    found = encoding_of(data)
    assert data.decode(found) == text
    assert (found == "utf-8") == (encoding in ("utf-8", "ascii"))


def test_a_damaged_line_makes_no_other_encoding() -> None:
    assert encoding_of(b"a,b\n1,\xff\n2,y\n") == "utf-8"
    assert encoding_of(b"a,b\n1,caf\xe9\n2,y\n") == encoding_of(b"a,b\n1,5 \x80\n") == "cp1252"
    assert encoding_of("é\nü\nœuvre\n".encode() + b"\xe9\n") == "utf-8"


def rows(random: np.random.Generator, count: int = 300) -> dict[str, list[Any]]:
    return {
        "Filiale": random.choice(["Köln", "Münster", "Düren", "Weiß & Co"], count).tolist(),
        "Größe": [f"{value:.1f}" for value in random.uniform(0.1, 9, count)],
        "Umsatz": [f"{value:,.2f}" for value in random.uniform(-5_000, 2_000_000, count)],
        "Kunden": [f"{value:,}" for value in random.integers(1, 50_000, count)],
        "gut": random.choice(["ja", "nein"], count).tolist(),
    }


def european(text: str) -> str:
    return text.translate({ord(","): ".", ord("."): ","})


def write(
    path: Path, columns: dict[str, list[str]], delimiter: str, encoding: str, header: bool
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    if header:
        writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    data = text.getvalue().encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def kinds(proposal: Proposal) -> dict[str, str]:
    return {guess.column: guess.kind for guess in proposal.features.values()}


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(
    ("name", "encoding"), [("x.csv", "cp1252"), ("x.csv.gz", "utf-16"), ("x.csv", "utf-8")]
)
def test_a_table_of_another_place_is_noticed_and_read(
    tmp_path: Path, name: str, encoding: str, header: bool
) -> None:
    made = rows(np.random.default_rng(5))
    columns = {
        **made,
        "Größe": [european(text) for text in made["Größe"]],
        "Umsatz": [f"{european(text)} €" for text in made["Umsatz"]],
        "Kunden": [european(text) for text in made["Kunden"]],
    }
    path = tmp_path / name
    write(path, columns, ";", encoding, header)
    names = list(made) if header else ["c1", "c2", "c3", "c4", "c5"]
    proposal, text = guess_spec([str(path)], names[-1])
    expected = {"delimiter": ";", "decimal": ",", "thousands": ".", "signs": ["€"]}
    if encoding != "utf-8":
        expected["encoding"] = encoding
    if not header:
        expected["header"] = names
    assert proposal.document["csv"] == expected
    assert kinds(proposal) == dict(
        zip(names[:4], ["category", "number", "number", "number"], strict=True)
    )
    assert proposal.sample.rejected == 0
    told = " ".join(text.replace("\n#", " ").split())
    assert "numbers are written as" in told.lower()
    assert ("gives words" in told) == (encoding != "utf-8")
    assert ("is a row like the others" in told) == (not header)
    [unit] = plan([str(path)], parse(proposal.document))
    [found] = rows_of(unit, parse(proposal.document))
    assert not found.rejected
    for column, original in zip(names[1:4], ("Größe", "Umsatz", "Kunden"), strict=True):
        numbers = [np.float32(cell.replace(",", "")) for cell in made[original]]
        assert found.columns.column(column).to_pylist() == numbers
    assert found.columns.column(names[0]).to_pylist() == made["Filiale"]


def test_a_table_of_programs_is_left_alone(tmp_path: Path) -> None:
    made = rows(np.random.default_rng(5))
    made["Umsatz"] = [text.replace(",", "") for text in made["Umsatz"]]
    made["Kunden"] = [text.replace(",", "") for text in made["Kunden"]]
    path = tmp_path / "x.csv"
    write(path, made, ",", "utf-8", True)
    proposal, _ = guess_spec([str(path)], "gut")
    assert "csv" not in proposal.document
    assert not proposal.sample.seen


@pytest.mark.parametrize(
    ("columns", "delimiter", "expected"),
    [
        ({"a": ["1,5", "2,25"]}, ";", {"decimal": ","}),
        ({"a": ["1,234.5", "2.25"]}, ",", {"thousands": ","}),
        (
            {"a": ["1.234,5", "2,25"], "b": ["1.234", "5.678"]},
            ";",
            {"decimal": ",", "thousands": "."},
        ),
        ({"a": ["1 234,5", "2,25"]}, ";", {"decimal": ",", "thousands": " "}),
        ({"a": ["1\u202f234,5", "12\u00a0345"]}, ";", {"decimal": ",", "thousands": " "}),
        ({"a": ["1'234.5", "2.25"]}, ";", {"thousands": "'"}),
        ({"a": ["$5", "$1.50"]}, ",", {"signs": ["$"]}),
        ({"a": ["US$ 5", "1.50 EUR"]}, ",", {"signs": ["EUR", "US$"]}),
        ({"a": ["12%", "3.5%"]}, ",", {"signs": ["%"]}),
        ({"a": ["-", "1,5", *["2,5"] * 8]}, ";", {"decimal": ","}),
        # Either, as far as the digits say.
        ({"a": ["1,234", "5,678"]}, ";", {"decimal": ","}),
        ({"a": ["1,234", "5,678"]}, ",", {"thousands": ","}),
        ({"a": ["1,234", "5,678"], "b": ["1.5", "2.5"]}, ";", {"thousands": ","}),
        # Neither numbers nor written otherwise.
        ({"a": ["1.5", "2"]}, ",", {}),
        ({"a": ["1.234", "5.678"]}, ";", {}),
        ({"a": ["01.02.2024", "03.04.2024"]}, ";", {}),
        ({"a": ["1,2,3", "4,5"]}, ";", {}),
        ({"a": ["0151 123 456", "030 456 789"]}, ";", {}),
        ({"a": ["10.0.0.1", "192.168.0.1"]}, ";", {}),
        ({"a": ["some text, and", "1,5"]}, ";", {}),
    ],
)
def test_how_numbers_are_written(
    columns: dict[str, list[str]], delimiter: str, expected: dict[str, Any]
) -> None:
    import pyarrow as pa

    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    found = number_format(arrays, CsvFormat(delimiter=delimiter))
    told = found.written.told()
    del told["delimiter"]
    assert told == expected
    assert bool(found.seen) == bool(expected)


def test_numbers_written_otherwise_than_most_are_said() -> None:
    import pyarrow as pa

    arrays = {
        name: pa.array(values, pa.string())
        for name, values in {
            "a": ["1,5", "2,5"],
            "b": ["3,5", "4"],
            "lat": ["52.5", "48.1"],
        }.items()
    }
    found = number_format(arrays, CsvFormat(delimiter=";"))
    assert found.written.decimal == ","
    assert found.columns["a"].to_pylist() == ["1.5", "2.5"]
    assert list(found.unreadable) == ["lat"]
    assert "its numbers are written as '52.5', unlike '1,5' in a" in found.unreadable["lat"]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,x\n2,y\n", True),
        ("1,x\n2,y\n1,z\n", False),
        (
            "5.1,3.5,setosa\n4.9,3.0,setosa\n6,4,virginica\n4,3,setosa\n5,4,setosa\n6,3,setosa\n",
            False,
        ),
        ("country,2019,2020,2021\nX,1,2,3\nY,4,5,6\n", True),
        ("country,2019\nX,83000\nY,41000\nZ,9000\n", True),
        ("0,1,2\n5,6,7\n9,8,7\n", True),
        (",a,b\n0,1,2\n1,3,4\n", True),
        ("yes,male\nno,female\nyes,male\nno,male\nyes,female\nno,male\n", False),
        ("answer,sex\nno,female\nyes,male\nno,male\nyes,female\nno,male\n", True),
        ("title\nA book\nAnother book\n", True),
        ("a,b\n", True),
    ],
)
def test_whether_the_first_line_names_columns(text: str, header: bool) -> None:
    assert _has_header(list(csv.reader(io.StringIO(text)))) == header


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b\n1,5;2,5\n3,5;4\n", ";"),
        ("1,5;2,5;3\n3,5;4,1;5\n", ";"),
        ("a,b\n1,x;y\n2,z;w\n", ","),
        ("a|b\n1|x, y\n", "|"),
        ("a\tb\n1\t2\n", "\t"),
        ('a,b\n1,"x;y\n;"\n', ","),
        ("only\n1\n", ","),
    ],
)
def test_what_stands_between_fields(tmp_path: Path, text: str, delimiter: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert dialect_of(whole_files([str(path)])).written.delimiter == delimiter


def test_files_of_several_encodings_are_told_apart(tmp_path: Path) -> None:
    text = "city,n\nKöln,1\nMünster,2\n"
    (tmp_path / "a.csv").write_bytes(text.encode())
    (tmp_path / "b.csv").write_bytes(text.encode("cp1252"))
    found = dialect_of(whole_files([f"{tmp_path}/*.csv"]))
    assert found.written.encoding == "cp1252"
    assert any(f"{tmp_path}/a.csv (utf-8)" in line for line in found.seen)


def test_a_large_file_is_judged_by_its_head_and_says_how_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skewless.beam_pipelines.init import pieces

    monkeypatch.setattr(pieces, "_UNPACKED_BYTES", 20_000)
    path = tmp_path / "x.csv"
    lines = [f"{number % 7},{'schön' if number % 2 else 'groß'}" for number in range(9_000)]
    path.write_bytes("\n".join(["n,w", *lines]).encode("latin-1"))
    proposal, _ = guess_spec([str(path)], "w")
    assert proposal.document["csv"] == {"encoding": "cp1252"}
    assert proposal.sample.rows < 4_000
    assert 8_900 < proposal.sample.total < 9_100
    json.dumps(proposal.document)
