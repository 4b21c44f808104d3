"""`init` on names and files that are not fit: a line with file and remedy, and output that can be read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from skewless.beam_pipelines.init import as_json, as_table, guess_spec
from skewless.beam_pipelines.sources import plan
from skewless.schemas.errors import DataError, SkewlessError, SpecError, UsageError
from skewless.schemas.spec.spec import parse
from skewless.schemas.spec.yaml_document import read_yaml

BODY = "".join(f"{row % 7},{'ab'[row % 2]}\n" for row in range(60))
ROWS = ("a,b\n" + BODY).encode()


def parquet(*names: str) -> bytes:
    sink = pa.BufferOutputStream()
    columns = [[row % 7 for row in range(60)], ["ab"[row % 2] for row in range(60)]]
    pq.write_table(pa.table(columns, names=list(names)), sink)
    return bytes(sink.getvalue())


def objects(key: str) -> bytes:
    rows = ({"key": row % 7, "b": "ab"[row % 2]} for row in range(60))
    return "".join(json.dumps(row).replace('"key"', key) + "\n" for row in rows).encode()


UNFIT = [
    ("x.jsonl", objects(r'"a\ud800"'), r"a\ud800", "lone surrogate"),
    ("x.jsonl", objects(r'"a\u0000z"'), "a\0z", "holds NUL"),
    ("x.csv", b"a\0z,b\n" + BODY.encode(), "a\0z", "holds NUL"),
    ("x.parquet", parquet("a\0z", "b"), "a\0z", "holds NUL"),
]


@pytest.mark.parametrize(("name", "content", "column", "why"), UNFIT)
def test_a_name_that_no_spec_can_hold_is_left_out(
    name: str, content: bytes, column: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    proposal, text = guess_spec([str(path)])
    assert {guess.column: guess.why for guess in proposal.omitted}[column].count(why) == 1
    assert list(proposal.features) == ["b"]
    for printed in (text, as_table(proposal), as_json(proposal)):
        printed.encode()
        assert "\0" not in printed


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_names_that_differ_in_case_only_are_two_columns(name: str, tmp_path: Path) -> None:
    rows = {"csv": ROWS.replace(b"a,b", b"A,a", 1), "parquet": parquet("A", "a")}
    path = tmp_path / name
    path.write_bytes(rows.get(name[2:]) or objects('"B"'))
    spec = parse(guess_spec([str(path)])[0].document)
    assert len(spec.features) == 2
    assert len({column.lower() for column in spec.features}) == 1
    assert len(plan([str(path)], spec)) == 1


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_values_that_no_terminal_should_see(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    values = [f"x\0\x1b[31m\u2028{row % 3}" for row in range(60)]
    if ending == "csv":
        path.write_text("a,b\n" + "".join(f"{v},{r % 2}\n" for r, v in enumerate(values)))
    else:
        path.write_text(
            "".join(json.dumps({"a": v, "b": r % 2}) + "\n" for r, v in enumerate(values))
        )
    proposal, text = guess_spec([str(path)])
    assert parse(read_yaml(text, "t")) == parse(proposal.document)
    for printed in (text, as_table(proposal)):
        assert not {"\0", "\x1b", "\u2028"} & set(printed)


def test_a_lone_surrogate_in_a_spec_is_refused() -> None:
    with pytest.raises(SpecError, match="lone surrogate"):
        parse({"name": "t", "features": {"a": {"type": "numeric", "column": "a\ud800"}}})


packed, zipped = gzip.compress(ROWS * 20, mtime=0), zstandard.compress(ROWS * 20)
whole = parquet("a", "b")
DAMAGED: list[tuple[str, bytes, type[SkewlessError], str]] = [
    ("x.csv.gz", packed[:12], DataError, "cannot be decompressed: .* write the file again"),
    ("x.csv.zst", zipped[: len(zipped) // 2], DataError, "cannot be decompressed"),
    ("x.jsonl.zst", zipped[: len(zipped) // 2], DataError, "cannot be decompressed"),
    ("x.csv.gz", zipped, DataError, "it is Zstandard; rename"),
    ("x.csv.gz", gzip.compress(b"", mtime=0), DataError, "expected a header line"),
    ("x.csv", b"", DataError, "expected a header line .* add one"),
    ("x.csv", b"a,b\n", DataError, "expected at least one row"),
    ("x.jsonl", b"", DataError, "expected at least one row"),
    ("x.parquet", b"", DataError, "expected a Parquet file, got .* write the file again"),
    ("x.parquet", whole[: len(whole) // 2], DataError, "expected a Parquet file"),
    ("x.parquet", whole[:-20], DataError, "expected a Parquet file"),
    ("x.parquet", whole[:-8] + b"\xff\xff\xff\x7fPAR1", DataError, "expected a Parquet file"),
    ("x.parquet", whole.replace(b"\x01a", b"\x01\xff"), DataError, "column is not UTF-8 .* rename"),
]


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    DAMAGED,
    ids=[f"{at}-{d[0]}" for at, d in enumerate(DAMAGED)],
)
def test_a_damaged_file_is_refused_in_a_line(
    name: str, content: bytes, error: type[SkewlessError], words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error, match=words) as refused:
        guess_spec([str(path)])
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_damaged_column_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(whole[:4] + b"\xff" * 8 + whole[12:])
    proposal, _ = guess_spec([str(path)])
    assert list(proposal.features) == ["b"]
    assert "cannot be decoded" in {guess.column: guess.why for guess in proposal.omitted}["a"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").mkdir()
    words = r"got a folder, .*x\.parquet; write a glob such as '.*x\.parquet/\*\.parquet'"
    for look in (guess_spec, lambda given: plan(given, parse(SPEC))):
        with pytest.raises(UsageError, match=words):
            look([str(tmp_path / "x.parquet")])


SPEC = {"name": "t", "features": {"a": {"type": "categorical"}}}
