"""Sinks: shards cut by bytes, named once, with true digests; failed bundles leave nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf

from skewless.beam_pipelines.records.parts import make_sink_folders, place
from skewless.beam_pipelines.records.sinks import RawRowSink, RecordSink, RejectedSink, ShardFormat
from skewless.beam_pipelines.sources import Rejected
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.records.records import KEY

ENDINGS = {"records": ".tfrecord", "raw": ".parquet", "rejected": ".jsonl"}


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    make_sink_folders(tmp_path)
    return tmp_path


def records(path: Path, compression: str = "") -> list[bytes]:
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path), compression)]


def rows(*numbers: int) -> tuple[dict[str, np.ndarray], pa.Array]:
    """Returns entries and keys of rows, a vector of two each."""
    vectors = np.array([[number, number + 0.5] for number in numbers], np.float32)
    outputs = {"id": np.array(numbers, np.int64), "vector": vectors.reshape(-1, 2)}
    return outputs, pa.array([f"key-{number}" for number in numbers], pa.string())


def found_in(record: bytes) -> list[int]:
    """Returns the rows' numbers, after a check that a record's entries tell of the same rows."""
    entries = tf.train.Example.FromString(record).features.feature
    numbers = list(entries["id"].int64_list.value)
    vectors, keys = rows(*numbers)[0]["vector"], rows(*numbers)[1].to_pylist()
    assert list(entries["vector"].float_list.value) == vectors.reshape(-1).tolist()
    assert list(entries[KEY].bytes_list.value) == [key.encode() for key in keys]
    return numbers


@pytest.mark.parametrize(("compression", "read_as"), [("none", ""), ("gzip", "GZIP")])
def test_shards_hold_every_record_once_under_their_digest(
    staging: Path, compression: Literal["none", "gzip"], read_as: str
) -> None:
    sink = RecordSink(str(staging), ShardFormat(1_000, compression))
    for batch in range(10):
        sink.write("train", *rows(*range(10 * batch, 10 * batch + 10)))
    sink.write("eval", *rows(1000))
    placed = dict(place(sink.close(), staging, ENDINGS))
    train = [path for path in placed if path.startswith("train/")]
    assert train == [f"train/part-{n:05d}-of-{len(train):05d}.tfrecord" for n in range(len(train))]
    assert len(train) == 5  # A batch takes some 750 bytes; a shard ends once it has 1,000.
    assert set(placed) - set(train) == {"eval/part-00000-of-00001.tfrecord"}
    found = []
    for path, part in placed.items():
        here = [found_in(record) for record in records(staging / path, read_as)]
        assert len(here) == part.rows
        assert (staging / path).stat().st_size == part.bytes
        assert file_sha256(staging / path) == part.sha256
        found += here if part.split == "train" else []
    assert sorted(found) == [[number] for number in range(100)]


def test_records_of_several_rows_are_full_but_for_a_shards_last(staging: Path) -> None:
    sink = RecordSink(str(staging), ShardFormat(400, rows_per_record=3))
    number = 0
    for count in (1, 1, 2, 7, 0, 3, 4, 1):
        sink.write("train", *rows(*range(number, number + count)))
        number += count
    placed = place(sink.close(), staging, ENDINGS)
    assert len(placed) > 1
    found = []
    for path, part in placed:
        here = [found_in(record) for record in records(staging / path)]
        assert [len(record) for record in here[:-1]] == [3] * (len(here) - 1)
        assert sum(map(len, here)) == part.rows
        found += [row for record in here for row in record]
    assert sorted(found) == list(range(number))


def test_a_bundle_tried_again_leaves_its_first_try_out(staging: Path) -> None:
    failed = RecordSink(str(staging), ShardFormat(1_000))
    failed.write("train", *rows(1))
    again = RecordSink(str(staging), ShardFormat(1_000))
    again.write("train", *rows(1))
    placed = place(again.close(), staging, ENDINGS)
    assert [path for path, _ in placed] == ["train/part-00000-of-00001.tfrecord"]
    assert sorted(path.name for path in staging.rglob("*") if path.is_file()) == [
        "part-00000-of-00001.tfrecord"
    ]


def test_rejected_rows_are_one_json_document_a_line_whatever_is_in_them(staging: Path) -> None:
    sink = RejectedSink(str(staging))
    entries = [
        Rejected("a.csv", 1, None, "text", "not UTF-8", 'caf\\xe9 "x"\nsecond line'),
        Rejected("a.csv", 2, "clé", None, "too many fields", "lone \udce9 surrogate"),
    ]
    sink.write(entries[:1])
    sink.write([])
    sink.write(entries[1:])
    (path, part), *others = place(sink.close(), staging, ENDINGS)
    assert (path, part.rows, others) == ("rejected/part-00000-of-00001.jsonl", 2, [])
    lines = [json.loads(line) for line in (staging / path).read_text("utf-8").splitlines()]
    assert lines[0] == entries[0].to_json()
    assert (lines[1]["row"], lines[1]["key"]) == (2, "clé")
    assert list(lines[0]) == ["file", "row", "key", "column", "reason", "raw"]


def test_without_rejections_the_folder_is_there_and_empty(staging: Path) -> None:
    assert place(RejectedSink(str(staging)).close(), staging, ENDINGS) == []
    assert [path.name for path in staging.iterdir()] == ["rejected"]


def test_raw_rows_come_back_with_key_file_and_row(staging: Path) -> None:
    sink = RawRowSink(str(staging))
    columns = pa.RecordBatch.from_pydict(
        {"age": pa.array([1.5, None], pa.float32()), "tags": pa.array([["a", "b"], None])}
    )
    keys = pa.array(["k1", "k2"])
    sink.write("eval", columns, keys, "a.csv", np.array([7, 9]))
    sink.write("eval", columns.slice(0, 1), keys.slice(0, 1), "b.csv", np.array([1]))
    sink.write("test", columns.slice(0, 0), keys.slice(0, 0), "b.csv", np.array([], np.int64))
    ((path, part),) = place(sink.close(), staging, ENDINGS)
    assert (path, part.rows) == ("raw/eval/part-00000-of-00001.parquet", 3)
    assert pa.parquet.read_table(staging / path).to_pydict() == {
        "__key__": ["k1", "k2", "k1"],
        "__file__": ["a.csv", "a.csv", "b.csv"],
        "__row__": [7, 9, 1],
        "age": [1.5, None, 1.5],
        "tags": [["a", "b"], None, ["a", "b"]],
    }
