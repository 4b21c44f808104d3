"""Input files: globs, names, and names that first bytes belie."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.streaming.local import FilePoll
from skewless.schemas.errors import DataError, SkewlessError, UsageError
from skewless.schemas.spec.spec import parse

SPEC = parse({"name": "t", "features": {"a": {"type": "categorical"}}})
ROWS = b"a,b\n1,x\n2,y\n"
# Without the time in it: tests are named by their parameters, the same for each worker.
gzipped = functools.partial(gzip.compress, mtime=0)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", ["one.csv", "two[1].csv"]),
        ("./*.csv", ["./one.csv", "./two[1].csv"]),
        ("?ne.csv", ["one.csv"]),
        ("*/*.csv", ["in/three.csv"]),
        ("**/three.csv", ["in/three.csv"]),
        ("in/*.csv", ["in/three.csv"]),
        ("one.csv", ["one.csv"]),
        ("two[1].csv", ["two[1].csv"]),
        ("train=*.csv", ["one.csv", "two[1].csv"]),
    ],
)
def test_relative_globs_match(
    pattern: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("one.csv", "two[1].csv", "in/three.csv"):
        (tmp_path / name).write_bytes(ROWS)
    monkeypatch.chdir(tmp_path)
    assert [unit.file for unit in plan([pattern], SPEC)] == expected
    assert take_sample([pattern]).rows == 2 * len(expected)
    assert FilePoll(pattern.removeprefix("train=")).new(9, settle=0) == expected


@pytest.mark.parametrize(
    "name",
    [
        "data_tfrecord-00000-of-00002.gz",
        "Split-train/data_tfrecord-00001-of-00002.gz",
        "examples.tfrecords-00000-of-00001.gz",
    ],
)
def test_shards_of_tfx_are_read(name: str, tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"]))
    example = tf.train.Example(features=tf.train.Features(feature={"a": value}))
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        writer.write(example.SerializeToString())
    (unit,) = plan([str(path)], SPEC)
    assert (unit.format, unit.compression) == ("tfrecord", "gz")
    assert [batch.table.to_pylist() for batch in read(unit, SPEC)] == [[{"a": [b"x"]}]]
    path.rename(tmp_path / "model_output-00000-of-00001")
    with pytest.raises(UsageError, match=r"it is TFRecord, which would be named \.tfrecord\.gz"):
        plan([str(tmp_path / "model_output-00000-of-00001")], SPEC)


def _parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": ["1"]}), sink)
    return bytes(sink.getvalue())


MISNAMED = [
    ("x.csv.gz", ROWS, DataError, "expected gzip, as its ending says, .* it is none"),
    ("x.csv.zst", gzipped(ROWS), DataError, "expected Zstandard, .* it is gzip"),
    ("x.csv", gzipped(ROWS), DataError, "expected delimited text, .* it is gzip"),
    ("x.csv.gz", gzipped(gzipped(ROWS)), DataError, "it is gzip inside"),
    ("x.csv.gz", gzipped(ROWS)[:11], DataError, "cannot be decompressed: it ends in the"),
    ("x.jsonl.gz", gzipped(ROWS)[:11], DataError, "cannot be decompressed: it ends in the"),
    ("x.jsonl", _parquet(), DataError, "expected JSON lines, .* it is Parquet"),
    ("x.csv", b"PK\x03\x04rest", DataError, "a zip archive, as Excel's .xlsx is"),
    ("x.parquet", ROWS, DataError, "expected a Parquet file"),
    ("x.tfrecord", ROWS * 3, DataError, "expected TFRecords, as its name says"),
    ("x.dat", _parquet(), UsageError, r"by its first bytes it is Parquet, .* named \.parquet"),
    ("x.bin-00000-of-00002", ROWS, UsageError, r"or a shard such as .* got \.bin-00000"),
]


@pytest.mark.parametrize(("name", "content", "error", "words"), MISNAMED)
def test_what_a_name_belies_is_refused(
    name: str, content: bytes, error: type[SkewlessError], words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    for look in (lambda given: plan(given, SPEC), take_sample):
        with pytest.raises(error, match=words) as refused:
            look([str(tmp_path / name)])
        assert str(tmp_path / name) in str(refused.value)


@pytest.mark.parametrize(
    ("packed", "rows", "rejected"),
    [
        (gzipped(ROWS[:8]) + gzipped(ROWS[8:]), 2, 0),
        (gzipped(ROWS) + b"\0" * 300_000 + gzipped(b"3,z\n"), 3, 0),
        (gzipped(ROWS) + b"garbage", 2, 1),
        (gzipped(ROWS)[:-4], 2, 1),
    ],
)
def test_members_and_their_tails(packed: bytes, rows: int, rejected: int, tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(packed)
    (unit,) = plan([str(path)], SPEC)
    batches = list(read(unit, SPEC))
    assert sum(len(batch.rows) for batch in batches) == rows
    assert sum(len(batch.rejected) for batch in batches) == rejected
    assert take_sample([str(path)]).rows == rows
