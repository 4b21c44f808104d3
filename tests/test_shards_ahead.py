"""Shards of records at a URI: fetched ahead of their reader, kept within a bound, shared, checked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless.cli import main
from skewless.model.train import train
from skewless.model.training.records import open_records
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.manifest import Shard, file_sha256, load_manifest
from skewless.schemas.storage.ahead import fetching
from skewless.schemas.storage.ahead.bounded import BoundedCache
from skewless.schemas.storage.ahead.fetching import ShardsAhead, shards_ahead
from skewless.schemas.storage.leaving import leaving
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.marker import FileEntry
from tests.conftest import DataSet
from tests.killed_training import KilledError, kill_at

STORE = fsspec.filesystem("memory")


pytestmark = pytest.mark.usefixtures("cache")


def kept(cache: BoundedCache) -> set[str]:
    return {path.name for path in cache.folder.iterdir() if not path.name.startswith(".")}


class Files:
    """Files of ten bytes, and how often each was downloaded."""

    def __init__(self, number: int) -> None:
        contents = [f"{place:010}".encode() for place in range(number)]
        self.entries = [FileEntry(10, hashlib.sha256(content).hexdigest()) for content in contents]
        self.contents = contents
        self.downloads: list[int] = []

    def writing(self, place: int) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            self.downloads.append(place)
            path.write_bytes(self.contents[place])

        return write


def test_the_least_lately_used_goes_when_room_is_needed(tmp_path: Path) -> None:
    files, cache = Files(4), BoundedCache(tmp_path / "kept", 30)

    def use(place: int) -> None:
        held = cache.hold("a", files.entries[place], files.writing(place), lambda: False)
        assert held.path.read_bytes() == files.contents[place]
        os.utime(held.path, (len(files.downloads), time.monotonic()))
        held.release()

    for place in (0, 1, 2, 0, 3, 0):
        use(place)
    assert files.downloads == [0, 1, 2, 3]
    assert kept(cache) == {files.entries[place].sha256 for place in (0, 2, 3)}


def test_what_is_in_use_stays_and_room_is_waited_for_unless_there_is_need(tmp_path: Path) -> None:
    files, cache = Files(3), BoundedCache(tmp_path / "kept", 10)
    held = cache.hold("a", files.entries[0], files.writing(0), lambda: False)
    # Beyond the limit, since a reader waits for it.
    cache.hold("a", files.entries[1], files.writing(1), lambda: True).release()
    assert held.path.read_bytes() == files.contents[0]
    asked = 0

    def needed() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            held.release()
        return False

    cache.hold("a", files.entries[2], files.writing(2), needed).release()
    assert asked == 3
    assert kept(cache) == {files.entries[2].sha256}


def test_readers_at_once_fetch_a_file_once_and_the_rest_of_a_killed_one_goes(
    tmp_path: Path,
) -> None:
    files, cache = Files(2), BoundedCache(tmp_path / "kept", 25)
    cache.folder.mkdir()
    (cache.folder / f"{files.entries[1].sha256}.10.left.part").write_bytes(b"half")

    def read() -> None:
        slow = files.writing(0)
        held = cache.hold(
            "a", files.entries[0], lambda path: (time.sleep(0.2), slow(path)), lambda: True
        )
        held.release()

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert files.downloads == [0]
    assert kept(cache) == {files.entries[0].sha256}


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    files, cache = Files(2), BoundedCache(tmp_path / "kept", 25)
    with pytest.raises(DataError, match=r"^s3://b/part-0: is not as it was left.*leave it again$"):
        cache.hold("s3://b/part-0", files.entries[0], files.writing(1), lambda: True)
    assert (files.downloads, kept(cache)) == ([1, 1, 1], set())


@pytest.fixture
def ahead(uri: str, tmp_path: Path) -> Iterator[ShardsAhead]:
    """Six files of ten bytes at a URI, three of which may be kept."""
    files, place = Files(6), Location.of(uri)
    for number, content in enumerate(files.contents):
        STORE.pipe_file(f"{uri}/{number}", content)
    entries = {str(number): entry for number, entry in enumerate(files.entries)}
    yield ShardsAhead(tmp_path, place, entries, BoundedCache(tmp_path / "kept", 30))


def test_the_next_files_are_fetched_while_one_is_read(ahead: ShardsAhead, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("at hand")
    order = ["4", "2", "here", "0", "1", "3", "5", "4"]
    read = []
    for path in ahead.paths(order):
        read.append(Path(path).read_bytes())
        if len(read) == 1:
            next_two = {ahead.files["4"].sha256, ahead.files["2"].sha256}
            end = time.monotonic() + 10
            # The third may come before the second.
            while not kept(ahead.cache) >= next_two and time.monotonic() < end:
                time.sleep(0.01)
            assert kept(ahead.cache) >= next_two
        assert len(kept(ahead.cache)) <= 3
    assert read == [b"at hand" if name == "here" else f"{int(name):010}".encode() for name in order]


def test_what_ends_a_reading_is_told(ahead: ShardsAhead, uri: str) -> None:
    STORE.rm(f"{uri}/2")
    with pytest.raises(DataError, match=r"/2: is gone: the records were replaced.*run it again"):
        list(ahead.paths(["0", "1", "2"]))
    with pytest.raises(DataError, match="is gone"), ahead.telling():
        raise RuntimeError("what a library says")
    ahead.failures.clear()
    with pytest.raises(RuntimeError), ahead.telling():
        raise RuntimeError("what a library says")


def test_a_reader_that_ends_early_waits_for_nothing(ahead: ShardsAhead) -> None:
    for _ in ahead.paths(["0", "1", "2", "3"]):
        break
    end = time.monotonic() + 10
    while any("fetch" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)
    whole = replace(ahead.cache, limit=1)
    other = FileEntry(1, hashlib.sha256(b"x").hexdigest())
    whole.hold("x", other, lambda path: path.write_bytes(b"x"), lambda: False).release()
    assert kept(whole) == {other.sha256}  # All else was released.


def test_a_size_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "s3://b/records", "--output", "run", "--shard-cache", "much"])
    assert "expected a size such as 500M or 20G, got 'much'" in capsys.readouterr().err


def sharded(directory: Path, to: Path) -> Path:
    """Copies records, those of the training split to six shards."""
    shutil.copytree(directory, to)
    manifest = load_manifest(to)
    (shard,) = manifest.splits["train"].shards
    records = list(tf.data.TFRecordDataset(str(to / shard.path)).as_numpy_iterator())
    (to / shard.path).unlink()
    shards = []
    for place in range(6):
        path, part = to / f"train/part-{place:05}-of-00006.tfrecord", records[place::6]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in part:
                writer.write(record)
        held = Shard(
            path=f"train/{path.name}",
            rows=len(part),
            bytes=path.stat().st_size,
            sha256=file_sha256(path),
        )
        shards.append(held)
    assert manifest.rows_per_record == 1
    entry = manifest.splits["train"].model_copy(update={"shards": tuple(shards)})
    splits = {**manifest.splits, "train": entry}
    (to / "manifest.json").write_text(manifest.model_copy(update={"splits": splits}).to_json())
    assert len(open_records(to).manifest.splits["train"].shards) == 6
    return to


def weights(run: Path) -> list[np.ndarray]:
    return [weight.numpy() for weight in keras.saving.load_model(run / "model.keras").weights]


@pytest.mark.slow
def test_training_from_a_uri_is_the_same_and_resumes_the_same(
    shop: DataSet, uri: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = sharded(shop.directory, tmp_path / "records")
    with leaving(uri) as path:
        shutil.copytree(local, path)
    shutil.rmtree(cache)  # What was left is at hand there.
    train(local, tmp_path / "local")
    limit = max(path.stat().st_size for path in local.glob("train/*")) * 2
    limit += sum(path.stat().st_size for path in local.glob("eval/*"))
    train(uri, tmp_path / "run", shard_cache=limit)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, 1, 1)
        train(uri, tmp_path / "killed", shard_cache=limit, checkpoint_steps=1)
    train(uri, tmp_path / "killed", shard_cache=limit, checkpoint_steps=1, resume=True)
    for run in ("run", "killed"):
        for one, other in zip(weights(tmp_path / "local"), weights(tmp_path / run), strict=True):
            np.testing.assert_array_equal(one, other)
    metrics = [
        {
            split: json.loads((tmp_path / run / "metrics.json").read_text())[split]
            for split in ("eval", "test")
        }
        for run in ("local", "run")
    ]
    assert metrics[0] == metrics[1]
    assert not list((cache / "fetched").rglob("*.tfrecord"))
    assert sum(path.stat().st_size for path in (cache / "shards").iterdir()) <= limit
    copy, ahead = shards_ahead(uri, limit)
    assert ahead is not None and not (copy / "raw").exists()
    monkeypatch.setattr(fetching, "_is_left", lambda path: False)
    assert shards_ahead(uri, limit)[1] is None
    STORE.rm(uri, recursive=True)
    with pytest.raises(UsageError):
        train(uri, tmp_path / "gone")
