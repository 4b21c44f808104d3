"""Records to batches: what is refused, and in which order rows come."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from skewless.beam_pipelines.inspect_records import records_in_words
from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.training.records import Records, open_records
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.id_contract import end_id, start_id
from skewless.schemas.records.manifest import FeatureEntry, Manifest, Rows, Shard, SplitEntry
from skewless.schemas.records.records import KEY
from tests.conftest import DataSet


@pytest.fixture
def copy(shop: DataSet, tmp_path: Path) -> Path:
    shutil.copytree(shop.directory, tmp_path / "copy")
    return tmp_path / "copy"


def test_no_manifest_is_refused(copy: Path) -> None:
    (copy / "manifest.json").unlink()
    with pytest.raises(DatasetMismatchError, match=r"no manifest\.json"):
        open_records(copy)


def test_a_missing_shard_is_refused(copy: Path) -> None:
    next((copy / "eval").iterdir()).unlink()
    with pytest.raises(DatasetMismatchError, match="not on disk"):
        open_records(copy)


def test_a_truncated_shard_is_refused(copy: Path) -> None:
    shard = next((copy / "train").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DatasetMismatchError, match="bytes, got"):
        open_records(copy)


def test_a_changed_shard_is_refused_by_checksum(copy: Path) -> None:
    shard = next((copy / "train").iterdir())
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(bytes(data))
    open_records(copy)
    with pytest.raises(DatasetMismatchError, match="are not the manifest's"):
        open_records(copy, verify_checksums=True)


def test_another_transform_is_refused(copy: Path) -> None:
    vocabulary = copy / "transform/transform_fn/assets/user"
    vocabulary.write_bytes(vocabulary.read_bytes() + b"intruder\n")
    with pytest.raises(
        DatasetMismatchError, match="is not the transform that these records came from"
    ):
        open_records(copy)


def _epoch(directory: Path, **options: int) -> list[np.ndarray]:
    records = open_records(directory)
    batches = records.training(batch_size=32, **{"seed": 1, "epoch": 0, **options})
    return [
        features["v"]
        for features, *_ in batches.map(lambda f, y: ({"v": f["vector"]}, y)).as_numpy_iterator()
    ]


def test_order_is_a_function_of_seed_and_epoch(shop: DataSet) -> None:
    first, again = _epoch(shop.directory), _epoch(shop.directory)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (_epoch(shop.directory, epoch=1), _epoch(shop.directory, seed=2)):
        assert not np.array_equal(first[0], other[0])
        assert np.array_equal(np.sort(np.concatenate(first), 0), np.sort(np.concatenate(other), 0))


def test_order_does_not_depend_on_the_process(shop: DataSet) -> None:
    orders = []
    for seed in (5, 6):
        tf.random.set_seed(seed)
        orders.append(_epoch(shop.directory))
    assert all(np.array_equal(a, b) for a, b in zip(*orders, strict=True))


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_cache_is_read_instead_of_the_shards(copy: Path, tmp_path: Path, kind: str) -> None:
    records = open_records(copy)
    cached = records.cached("memory" if kind == "memory" else str(tmp_path / "cache"))

    def rows(epoch: int) -> np.ndarray:
        batches = records.training(batch_size=32, seed=1, epoch=epoch, cached=cached)
        return np.concatenate([features["vector"].numpy() for features, *_ in batches])

    first = rows(0)
    shutil.rmtree(copy / "train")
    second = rows(1)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first, 0), np.sort(second, 0))


def test_a_cache_file_that_a_kill_left_half_filled_is_filled_again(
    copy: Path, tmp_path: Path
) -> None:
    records = open_records(copy)
    filling = iter(records.cached(str(tmp_path / "probe")))
    next(filling)
    (held,) = tmp_path.glob("probe.*.lockfile")
    (tmp_path / held.name.replace("probe", "cache")).touch()
    assert sum(1 for _ in records.cached(str(tmp_path / "cache"))) == records.rows("train")


def test_skipping_gives_exactly_the_rest(shop: DataSet) -> None:
    whole, rest = _epoch(shop.directory), _epoch(shop.directory, skip=3)
    assert len(rest) == len(whole) - 3
    assert all(np.array_equal(a, b) for a, b in zip(whole[3:], rest, strict=True))


def test_cardinality_is_the_manifests(shop: DataSet) -> None:
    records = open_records(shop.directory)
    batches = records.training(batch_size=32, seed=1, epoch=0)
    assert int(batches.cardinality()) == -(-records.rows("train") // 32) == len(list(batches))


def test_an_empty_split_is_refused(shop: DataSet, copy: Path) -> None:
    import json

    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["splits"]["test"] = {"rows": 0, "bytes": 0, "shards": []}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetMismatchError, match="split 'test' has no rows"):
        open_records(copy).in_order("test", batch_size=8)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_targets_are_shifted_and_their_padding_weighs_nothing(
    tmp_path: Path, compression: str
) -> None:
    start, end = start_id(10), end_id(10)
    rows = [([5, 6, end], 2.0), ([5, end, 0], 0.5), ([end, 0, 0], 1.0)]
    path = tmp_path / "part.tfrecord"
    with tf.io.TFRecordWriter(str(path), "GZIP" if compression == "gzip" else "") as writer:
        for number, (target, weight) in enumerate(rows):
            example = tf.train.Example()
            example.features.feature["source"].int64_list.value.extend([number, 0])
            example.features.feature["__label__"].int64_list.value.extend(target)
            example.features.feature["__weight__"].float_list.value.append(weight)
            example.features.feature["__key__"].bytes_list.value.append(b"k%d" % number)
            writer.write(example.SerializeToString())
    shard = Shard(path="part.tfrecord", rows=3, bytes=path.stat().st_size, sha256="")
    manifest = Manifest(
        spec_sha256="",
        transform_sha256="",
        rows=Rows(read=3, written=3, rejected=0, duplicate=0),
        splits={"train": SplitEntry(rows=3, bytes=shard.bytes, shards=(shard,))},
        features={
            "source": FeatureEntry(dtype="int64", shape=(2,), cardinality=7),
            "__label__": FeatureEntry(dtype="int64", shape=(3,), cardinality=10),
            "__weight__": FeatureEntry(dtype="float32", shape=()),
            "__key__": FeatureEntry(dtype="string", shape=()),
        },
        compression=compression,  # type: ignore[arg-type]
    )
    records = Records(tmp_path, manifest)
    ((features, labels, weights),) = records.in_order("train", batch_size=8)
    assert set(features) == {"source", "__decoder__"}
    np.testing.assert_array_equal(
        features["__decoder__"], [[start, 5, 6], [start, 5, 0], [start, 0, 0]]
    )
    np.testing.assert_array_equal(labels, [target for target, _ in rows])
    np.testing.assert_array_equal(weights, [[2, 2, 2], [0.5, 0.5, 0], [1, 0, 0]])
    ((with_key, *_),) = records.in_order("train", batch_size=8, with_key=True)
    assert with_key["__key__"].numpy().tolist() == [b"k0", b"k1", b"k2"]


def _packed(directory: Path, rows_per_record: int) -> Records:
    """Rewrites each shard with several rows a record, as `rows_per_record` says."""
    records = open_records(directory)
    splits = {}
    for split, entry in records.manifest.splits.items():
        shards = []
        for shard in entry.shards:
            path = directory / shard.path
            rows = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
            with tf.io.TFRecordWriter(str(path)) as writer:
                for first in range(0, len(rows), rows_per_record):
                    record = tf.train.Example()
                    for row in rows[first : first + rows_per_record]:
                        _append(record, tf.train.Example.FromString(row))
                    writer.write(record.SerializeToString())
            shards.append(shard.model_copy(update={"bytes": path.stat().st_size}))
        splits[split] = entry.model_copy(update={"shards": tuple(shards)})
    manifest = records.manifest.model_copy(
        update={"splits": splits, "rows_per_record": rows_per_record}
    )
    (directory / "manifest.json").write_text(manifest.model_dump_json())
    return open_records(directory)


def _append(record: tf.train.Example, row: tf.train.Example) -> None:
    for name, feature in row.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = getattr(record.features.feature[name], kind).value
        values.extend(getattr(feature, kind).value)


def _rows(dataset: tf.data.Dataset, batch_size: int) -> list[dict[str, np.ndarray]]:
    """Returns a dict a row, and checks that all batches but the last are full."""
    batches = list(dataset.as_numpy_iterator())
    sizes = [len(values) for _, values in batches]
    assert set(sizes[:-1]) <= {batch_size} and sizes[-1] <= batch_size
    return [
        {**{name: column[row] for name, column in features.items()}, "label": values[row]}
        for features, values in batches
        for row in range(len(values))
    ]


def _assert_same(rows: list[dict[str, np.ndarray]], expected: list[dict[str, np.ndarray]]) -> None:
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert set(row) == set(other)
        for name, value in row.items():
            assert np.array_equal(value, other[name]) and type(value) is type(other[name]), name


# One divides the batch, one does not, one is larger than a batch.
@pytest.mark.parametrize("rows_per_record", [4, 7, 100])
def test_several_rows_a_record_are_the_same_rows(copy: Path, rows_per_record: int) -> None:
    single = open_records(copy)
    expected = _rows(single.in_order("train", batch_size=32, with_key=True), 32)
    packed = _packed(copy, rows_per_record)
    in_order = packed.in_order("train", batch_size=32, with_key=True)
    assert int(in_order.cardinality()) == single.steps("train", 32)
    _assert_same(_rows(in_order, 32), expected)


@pytest.mark.slow
def test_preprocess_leaves_several_rows_a_record(shop: DataSet, tmp_path: Path) -> None:
    manifest = preprocess(shop.spec, [str(shop.source)], tmp_path / "packed", rows_per_record=7)
    packed, single = open_records(tmp_path / "packed"), open_records(shop.directory)
    assert manifest.rows == single.manifest.rows
    for split in ("train", "eval", "test"):
        found, expected = (
            sorted(
                _rows(records.in_order(split, batch_size=32, with_key=True), 32),
                key=lambda row: bytes(row[KEY]),
            )
            for records in (packed, single)
        )
        _assert_same(found, expected)
        (shard,) = packed.manifest.splits[split].shards
        path = str(packed.directory / shard.path)
        assert sum(1 for _ in tf.data.TFRecordDataset(path)) == -(-shard.rows // 7)
    words = {row[KEY]: row for row in records_in_words(tmp_path / "packed", "train", 1000)}
    assert words == {row[KEY]: row for row in records_in_words(shop.directory, "train", 1000)}
    assert len(words) == packed.rows("train")


@pytest.mark.parametrize("cached", [False, True])
def test_several_rows_a_record_are_shuffled_one_by_one(copy: Path, cached: bool) -> None:
    in_order = _rows(open_records(copy).in_order("train", batch_size=32), 32)
    places = {row["vector"].tobytes(): place for place, row in enumerate(in_order)}
    packed = _packed(copy, 8)
    cache = packed.cached("memory") if cached else None

    def epoch(number: int, skip: int = 0) -> list[int]:
        batches = packed.training(batch_size=32, seed=1, epoch=number, skip=skip, cached=cache)
        assert int(batches.cardinality()) == packed.steps("train", 32) - skip
        return [places[row["vector"].tobytes()] for row in _rows(batches, 32)]

    assert len(places) == len(in_order)
    first, second = epoch(0), epoch(1)
    assert sorted(first) == sorted(second) == list(range(len(in_order)))
    assert first == epoch(0) and first != second
    assert epoch(0, skip=2) == first[64:]
    # By chance, one in as many rows as there are follows its neighbour of the file.
    neighbours = np.abs(np.diff(first)) == 1
    assert neighbours.sum() < 0.05 * len(first)
    # Rows of one record end up as far apart as any two rows: a third of all, on average.
    position = np.argsort(first)
    apart = np.abs(np.diff(position))[np.arange(len(first) - 1) % 8 != 7]
    assert 0.25 < apart.mean() / len(first) < 0.42


def test_entries_that_differ_in_rows_are_refused(copy: Path) -> None:
    packed = _packed(copy, 8)
    (shard, *_) = packed.manifest.splits["train"].shards
    path = copy / shard.path
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
    spoiled = tf.train.Example.FromString(records[0])
    del spoiled.features.feature["__label__"].float_list.value[-1:]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in [spoiled.SerializeToString(), *records[1:]]:
            writer.write(record)
    with pytest.raises(tf.errors.InvalidArgumentError, match="differ in their number of rows"):
        list(packed.in_order("train", batch_size=32))
