"""Sources: no record is lost or renumbered, however a file is cut."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.sources import WorkUnit, as_seen_from_anywhere, plan, read
from skewless.beam_pipelines.sources.files import whole_files
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.rows.raw_columns import RowColumns
from skewless.schemas.spec.spec import Spec, parse

SPEC = parse(
    {
        "name": "t",
        "features": {
            "a": {"type": "text", "length": 4},
            "b": {"type": "text", "length": 4},
        },
    }
)
NUMBERS = parse(
    {
        "name": "t",
        "features": {
            "n": {"type": "numeric"},
            "tags": {"type": "categorical", "length": 4, "separator": "|"},
            "s": {"type": "categorical"},
        },
    }
)


def rows_of(path: Path, spec: Spec = SPEC, **options: int) -> tuple[list[tuple], list[tuple]]:
    """Returns (row number, values) of all rows, and (row number, reason) of all rejections."""
    rows, rejected = [], []
    for unit in plan([str(path)], spec, **options):
        for batch in read(unit, spec):
            values = batch.table.to_pylist()
            assert len(values) == len(batch.rows)
            rows += [(int(n), *v.values()) for n, v in zip(batch.rows, values, strict=True)]
            rejected += [(entry.row, entry.reason) for entry in batch.rejected]
    return rows, rejected


FIELDS = st.text(st.sampled_from('ab"\n\r, é'), max_size=6)
LINES = st.one_of(
    st.lists(FIELDS, min_size=1, max_size=3),
    st.just([]),
    st.text(st.sampled_from('a",\n\r'), max_size=8),
)
SAME_DIRECTORY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SAME_DIRECTORY
@given(lines=st.lists(LINES, max_size=12), size=st.integers(1, 60), crlf=st.booleans())
def test_csv_cut_anywhere_gives_the_same_rows(
    tmp_path: Path, lines: list[list[str] | str], size: int, crlf: bool
) -> None:
    text = io.StringIO(newline="")
    end = "\r\n" if crlf else "\n"
    writer = csv.writer(text, lineterminator=end)
    for line in lines:
        if isinstance(line, str):
            text.write(line + end)
        else:
            writer.writerow(line)
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n" + text.getvalue().encode())
    whole = rows_of(path)
    assert rows_of(path, unit_bytes=size) == whole
    numbers = sorted(row[0] for part in whole for row in part)
    assert numbers == list(range(1, len(numbers) + 1))
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert rows_of(packed) == whole


@SAME_DIRECTORY
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), max_size=12))
def test_csv_agrees_with_python(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "x.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("a", "b"), *rows])
    got, rejected = rows_of(path)
    assert not rejected
    assert [(a.decode(), b.decode()) for _, a, b in got] == rows


JSON_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=2),
)
JSON_LINES = st.one_of(
    st.dictionaries(st.sampled_from(["n", "tags", "s", "z"]), JSON_VALUES).map(json.dumps),
    st.sampled_from(
        [
            "",
            "  ",
            "[1]",
            "{",
            '{"s": 1, "s": 2}',
            '{"s": "\\ud800"}',
            '{"n": 1e999}',
            '{"n":1}{"n":2}',
        ]
    ),
)


@SAME_DIRECTORY
@given(lines=st.lists(JSON_LINES, max_size=10), size=st.integers(1, 60))
def test_jsonl_cut_anywhere_gives_the_same_rows(
    tmp_path: Path, lines: list[str], size: int
) -> None:
    from skewless.beam_pipelines.rows.validation import validate

    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")

    def canonical(**options: int) -> tuple[list, list]:
        rows, rejected = [], []
        for unit in plan([str(path)], NUMBERS, **options):
            for batch in read(unit, NUMBERS):
                valid = validate(batch, RowColumns(NUMBERS))
                rows += zip(valid.rows.tolist(), map(str, valid.columns.to_pylist()), strict=True)
                rejected += valid.rejected
        return rows, rejected

    whole = canonical()
    assert canonical(unit_bytes=size) == whole
    numbers = sorted([row for row, _ in whole[0]] + [entry.row for entry in whole[1]])
    assert numbers == list(range(1, 1 + sum(bool(line.strip()) for line in lines)))


def test_csv_bad_rows_are_rejected_and_neighbours_survive(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\r\n1,x\r\n2\r\n\r\n3,y,z\r\n4,\xff\r\n5,w")
    rows, rejected = rows_of(path)
    assert rows == [(1, b"1", b"x"), (4, b"4", b"\xff"), (5, b"5", b"w")]
    assert rejected == [
        (2, "expected 2 fields as in the header, got 1"),
        (3, "expected 2 fields as in the header, got 3"),
    ]


def test_unclosed_quote_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\n1,x\n2,"y\n3,z\n4,w\n')
    rows, rejected = rows_of(path)
    assert [row[0] for row in rows] == [1, 3, 4]
    assert rejected[0][0] == 2
    assert "a quote is opened and not closed" in rejected[0][1]


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.zst", ".jsonl.gz", ".jsonl.zst"])
def test_damaged_compressed_tail_is_rejected(tmp_path: Path, ending: str) -> None:
    import zstandard

    random = np.random.default_rng(0).bytes(400_000).hex()
    pieces = [random[i : i + 40] for i in range(0, len(random), 40)]
    if "csv" in ending:
        text = "a,b\n" + "".join(f"{i},{piece}\n" for i, piece in enumerate(pieces))
    else:
        text = "".join(
            json.dumps({"a": str(i), "b": piece}) + "\n" for i, piece in enumerate(pieces)
        )
    pack = gzip.compress if ending.endswith("gz") else zstandard.ZstdCompressor().compress
    packed = pack(text.encode())
    path = tmp_path / f"x{ending}"
    path.write_bytes(packed)
    rows, rejected = rows_of(path)
    assert len(rows) == len(pieces)
    assert not rejected
    path.write_bytes(packed[: len(packed) // 2])
    rows, rejected = rows_of(path)
    assert 0 < len(rows) < len(pieces)
    assert "cannot be decompressed" in rejected[-1][1]


def test_parquet_units_are_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"a": [str(i) for i in range(100)], "b": ["x"] * 100}), path, row_group_size=10
    )
    units = plan([str(path)], SPEC, unit_rows=25)
    assert [(unit.start, unit.end, unit.first_row) for unit in units] == [
        (0, 2, 1),
        (2, 4, 21),
        (4, 6, 41),
        (6, 8, 61),
        (8, 10, 81),
    ]
    assert rows_of(path, unit_rows=25) == rows_of(path)
    assert [row[0] for row in rows_of(path)[0]] == list(range(1, 101))


def test_tfrecord_rejects_what_is_damaged(tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "x.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for text in (b"one", b"two", b"three"):
            value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
            writer.write(
                tf.train.Example(
                    features=tf.train.Features(feature={"a": value})
                ).SerializeToString()
            )
        writer.write(b"\xff\xff not an example")
    rows, rejected = rows_of(path)
    assert [(row[0], row[1]) for row in rows] == [(1, [b"one"]), (2, [b"two"]), (3, [b"three"])]
    assert [entry[0] for entry in rejected] == [4]
    data = bytearray(path.read_bytes())
    data[data.index(b"two")] ^= 1
    path.write_bytes(bytes(data[:-3]))
    rows, rejected = rows_of(path)
    assert [row[0] for row in rows] == [1, 3]
    cut = "the file ends inside a record: the rest of the file cannot be read"
    assert rejected == [(2, "the record fails its checksum"), (4, cut)]


def test_order_is_by_input_then_path(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "t.csv"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    units = plan([f"test={tmp_path}/t.csv", f"{tmp_path}/[ab].csv"], SPEC)
    assert [(Path(unit.file).name, unit.split, unit.order) for unit in units] == [
        ("t.csv", "test", 0),
        ("a.csv", None, 1),
        ("b.csv", None, 2),
    ]


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("x.csv", b"a,bb\n", DataError, "no column 'b'; did you mean 'bb'?"),
        ("x.csv", b"a,b,b\n", DataError, "column 'b' is there 2 times"),
        ("x.csv", b"", DataError, "expected a header line"),
        ("x.csv", "a,b\n".encode("utf-16"), DataError, "got UTF-16"),
        ("x.csv", b"\xe9,b\n", DataError, "the header is not UTF-8"),
        ("x.parquet", b"PAR1", DataError, "expected a Parquet file"),
        ("x.txt", b"", UsageError, "expected an ending of .csv"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, content: bytes, error: type[Exception], words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=words.replace("?", r"\?")):
        plan([str(tmp_path / name)], SPEC)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["_b.csv", "a.csv"]),
        ("*.csv", ["_b.csv", "a.csv"]),
        (".*.csv", ["._a.csv"]),
        ("._a.csv", ["._a.csv"]),
        ("*/*.csv", ["c/d.csv"]),
        (".c/*.csv", [".c/d.csv"]),
    ],
)
def test_wildcards_match_no_hidden_files_nor_marks(
    pattern: str, expected: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / ".hidden" / "rows"
    for name in ("a.csv", "_b.csv", "._a.csv", ".a.csv.crc", "_SUCCESS", ".c/d.csv", "c/d.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x\n1\n")
    for place in (str(folder), f"file://{folder}"):
        files = whole_files([f"{place}/{pattern}"])
        assert [unit.file.removeprefix("file://") for unit in files] == [
            str(folder / name) for name in expected
        ]


def test_inputs_that_match_nothing_or_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n")
    with pytest.raises(UsageError, match="no file matches"):
        plan([f"{tmp_path}/none*.csv"], SPEC)
    with pytest.raises(UsageError, match="already matched"):
        plan([f"{tmp_path}/x.csv", f"{tmp_path}/*.csv"], SPEC)
    with pytest.raises(UsageError, match="did you mean 'train'"):
        plan([f"trian={tmp_path}/x.csv"], SPEC)


def test_serving_excuses_the_label_only(tmp_path: Path) -> None:
    spec = parse(
        {**SPEC.model_dump(exclude_none=True), "label": {"column": "y", "type": "regression"}}
    )
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'y'"):
        plan([f"{tmp_path}/x.csv"], spec)
    assert len(plan([f"{tmp_path}/x.csv"], spec, serving=True)) == 1


def test_units_for_workers_elsewhere_have_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text("id\n1\n")
    monkeypatch.chdir(tmp_path)
    local = WorkUnit("rows.csv", "csv")
    remote = WorkUnit("gs://bucket/rows.csv", "csv")
    files = [unit.file for unit in map(as_seen_from_anywhere, [local, remote])]
    assert files == [str(tmp_path / "rows.csv"), "gs://bucket/rows.csv"]
