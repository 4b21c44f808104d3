"""Jobs whose workers and command share a bucket alone: the same records, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skewless.beam_pipelines.analysis.spilled.merged import merged
from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run, read_blocks, write_runs
from skewless.beam_pipelines.histories.left import open_pasts
from skewless.beam_pipelines.predict import predict
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.running import left_behind
from skewless.schemas import parse
from skewless.schemas.errors import DataError, TooManyRejectedError, UsageError
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.entries import bytes_at, put_whole
from skewless.schemas.storage.between.files import (
    file_at_hand,
    folder_at_hand,
    forget,
    hand_on_folder,
    leave_folder,
    new_file,
    opened,
    seen_by_all,
)
from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.leaving import leaving
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.mirrored import mirrored
from tests.conftest import SHOP, DataSet
from tests.test_histories import WALKS, walks
from tests.test_own_preprocessing import records, source, spec
from tests.test_preprocess import records_of

__all__ = ["records", "source", "spec"]
pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the local runner taken for one whose workers are on other machines."""
    for command in ("preprocess", "predict"):
        name = f"skewless.beam_pipelines.{command}.may_be_apart"
        monkeypatch.setattr(name, lambda options: True)


@pytest.fixture
def no_shared_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Gives the paths and URIs of all runs that the job read."""
    read: list[str] = []

    def noting(file: str) -> Any:
        read.append(file)
        return opened(file)

    monkeypatch.setattr("skewless.beam_pipelines.analysis.spilled.runs.opened", noting)
    yield read


def stored(uri: str) -> list[str]:
    place = Location.of(uri)
    inside = len(place.path) + 1
    return sorted(path.strip("/")[inside:] for path in place.system.find(place.path))


def is_the_shops(directory: Path, shop: DataSet) -> None:
    assert records_of(directory) == records_of(shop.directory)
    assets = shop.directory / "transform" / "transform_fn" / "assets"
    for file in assets.iterdir():
        other = directory / "transform" / "transform_fn" / "assets" / file.name
        assert other.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("place", ["path", "uri"])
def test_files_and_folders_are_handed_on(place: str, uri: str, tmp_path: Path) -> None:
    where = str(tmp_path / "shared") if place == "path" else uri
    with new_file(where) as (path, name):
        Path(path).write_bytes(b"some bytes")
    assert name.startswith(where)
    assert Path(path).exists() == (place == "path")
    with opened(name) as file:
        file.seek(5)
        assert file.read(5) == b"bytes"
    forget(name)
    with pytest.raises((FileNotFoundError, UsageError)):
        opened(name).read()

    def write(folder: str) -> None:
        Path(folder).mkdir()
        Path(folder, "a").write_text("A", "utf-8")

    folder = leave_folder(where, "letters", write)
    assert Path(folder_at_hand(folder)).name == "letters"
    assert Path(file_at_hand(f"{folder}/a")).read_text("utf-8") == "A"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "b").write_text("B", "utf-8")
    handed = hand_on_folder(tmp_path / "own", where)
    assert handed.startswith(uri) == (place == "uri")
    assert Path(folder_at_hand(handed), "b").read_text("utf-8") == "B"
    assert bytes_at(f"{where}/entry") is None
    put_whole(f"{where}/entry", b"1")
    assert bytes_at(f"{where}/entry") == b"1"


def test_a_file_is_not_handed_on_half(uri: str, tmp_path: Path) -> None:
    with pytest.raises(KeyError), new_file(uri) as (path, _):
        Path(path).write_bytes(b"half")
        raise KeyError
    assert stored(uri) == [] and not Path(path).exists()


def test_what_was_to_be_handed_on_goes_with_its_process(uri: str, cache: Path) -> None:
    made = f"""
from skewless.schemas.storage.between.files import made_here
print(made_here({uri!r}), flush=True)
"""
    ended = subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(str(cache)) and list(cache.iterdir()) == []
    killed = f"{made}\nimport os; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", killed], capture_output=True)
    assert len(list(cache.iterdir())) == 1
    subprocess.run([sys.executable, "-c", made], capture_output=True, check=True)
    assert list(cache.iterdir()) == []


def test_a_copy_of_a_uri_is_seen_by_all_at_the_uri(uri: str, tmp_path: Path) -> None:
    with mirrored(uri) as folder:
        assert seen_by_all(folder, apart=True) == uri
        assert seen_by_all(folder, apart=False) == str(folder)
        assert seen_by_all(tmp_path, apart=True) == str(tmp_path)


def test_runs_in_a_bucket_merge_as_those_at_a_path(uri: str, tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(0, 1 << 40, (140, 500), dtype=np.uint64)
    for where in (uri, str(tmp_path)):
        runs: list[Run] = []
        for some in keys:
            table = pa.table({KEY: some})
            runs += [run for _, run in write_runs(table, np.zeros(len(some), np.int64), where)]
        assert len(next(read_blocks(runs[0]))) == 500
        found = np.concatenate([table[KEY].to_numpy() for table in merged(runs)])
        assert (found == np.sort(keys, axis=None)).all()
    assert len(stored(uri)) == 140  # Those that were made of many are gone.


def test_what_was_not_left_is_told(uri: str) -> None:
    with pytest.raises(DataError, match=r"left no outcome; its workers must see .* or a URI"):
        left_behind.take(f"{uri}/outcome")


def test_the_records_are_those_of_one_machine(
    shop: DataSet, uri: str, apart: None, no_shared_path: list[str]
) -> None:
    for overwrite in (False, True):
        with (
            leaving(uri, overwrite=overwrite) as path,
            mirrored(f"{uri}-analysis") as cache,
        ):
            preprocess(shop.spec, [str(shop.source)], path, cache=cache)
        is_the_shops(fetched(uri), shop)
        assert list(cache.iterdir()) == []  # Workers fetch and put entries by themselves.
        # No attempt but the marker's, and nothing that workers left for one another.
        assert len({path.partition("/")[0] for path in stored(uri)}) == 2
        assert any(path.endswith("/train/part-00000-of-00001.tfrecord") for path in stored(uri))
    assert no_shared_path and all(path.startswith("memory://") for path in no_shared_path)
    assert {path.partition("-")[0] for path in stored(f"{uri}-analysis")} >= {"counts", "keys"}


def test_transforms_and_declared_vocabularies_reach_workers(
    shop: DataSet, grown_shop: DataSet, uri: str, tmp_path: Path, apart: None
) -> None:
    with leaving(f"{uri}/again") as path:
        preprocess(shop.spec, [str(shop.source)], path, transform=shop.directory / "transform")
    is_the_shops(fetched(f"{uri}/again"), shop)
    inputs = [str(shop.source), str(grown_shop.source)]
    with leaving(f"{uri}/grown") as path:
        preprocess(shop.spec, inputs, path, grow_from=shop.directory / "transform")
    is_the_shops(fetched(f"{uri}/grown"), grown_shop)
    (tmp_path / "users.txt").write_text("u1\nu2\n", encoding="utf-8")
    vocabulary = {"vocabulary": {"file": str(tmp_path / "users.txt")}}
    features = {**SHOP["features"], "user": {**SHOP["features"]["user"], **vocabulary}}  # type: ignore[dict-item]
    spec = parse({**SHOP, "features": features})
    preprocess(spec, [str(shop.source)], tmp_path / "declared")
    with leaving(f"{uri}/declared") as path:
        preprocess(spec, [str(shop.source)], path)
    assert records_of(fetched(f"{uri}/declared")) == records_of(tmp_path / "declared")


def test_rejected_rows_lie_beside_the_uri(
    shop: DataSet, uri: str, tmp_path: Path, apart: None
) -> None:
    text = shop.source.read_text(encoding="utf-8").replace("\nr1,", "\n,").replace(",FR", "")
    (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
    with pytest.raises(TooManyRejectedError), leaving(uri) as path:
        preprocess(shop.spec, [str(tmp_path / "bad.csv")], path)
    assert [path for path in stored(uri) if "attempt" in path] == []
    lines = [
        line
        for file in fetched(f"{uri}.rejected").iterdir()
        for line in file.read_text("utf-8").splitlines()
    ]
    assert len(lines) > 100


def test_own_analysers_find_what_they_find_on_one_machine(
    source: Path, spec: Spec, records: Path, uri: str, apart: None
) -> None:
    with leaving(uri) as path:
        preprocess(spec, [str(source)], path)
    assert records_of(fetched(uri)) == records_of(records)
    found, local = (load_manifest(at) for at in (fetched(uri), records))
    assert found.features == local.features and "where" in found.features
    assert found.transform_sha256 == local.transform_sha256
    assert len({path.partition("/")[0] for path in stored(uri)}) == 2


def test_predictions_are_those_of_one_machine(
    shop: DataSet, shop_model: Path, uri: str, tmp_path: Path, apart: None
) -> None:
    predict(shop_model, [str(shop.source)], tmp_path / "local")
    with leaving(uri) as path:
        predict(shop_model, [str(shop.source)], path)
    found = [
        Counter(
            str(row)
            for file in directory.glob("*.parquet")
            for row in pa.parquet.read_table(file).to_pylist()
        )
        for directory in (tmp_path / "local", fetched(uri))
    ]
    assert found[0] == found[1] and found[0].total() == 400


def test_histories_and_what_is_left_of_them_are_those_of_one_machine(
    uri: str, tmp_path: Path, apart: None
) -> None:
    spec = parse(WALKS)
    lines = "".join(json.dumps(row) + "\n" for row in walks(users=8))
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    with leaving(uri, overwrite=False) as path:
        preprocess(spec, [f"{tmp_path}/rows.jsonl"], path)
    preprocess(spec, [f"{tmp_path}/rows.jsonl"], tmp_path / "records")
    assert records_of(fetched(uri)) == records_of(tmp_path / "records")
    # Of a folder inside, what is around it comes along, so that its place can be told.
    found, local = (
        open_pasts(spec, folder, "--histories-from")
        for folder in (fetched(f"{uri}/pasts"), tmp_path / "records" / "pasts")
    )
    assert found.files() == local.files() == ["part-00000-of-00001.pasts"]
    events = [[table for _, table in past.events(past.files()[0])] for past in (found, local)]
    assert events[0] == events[1] and sum(map(len, events[0])) == 8 * 4
