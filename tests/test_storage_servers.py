"""The road on servers of object stores, and what becomes of jobs that are killed, meet or are answered badly."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.storage import location
from skewless.schemas.storage.between.files import hand_on, new_file, opened
from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.leaving import leaving, publication_of
from skewless.schemas.storage.location import Location
from tests.conftest import SHOP, DataSet
from tests.killed_stream import KilledStream
from tests.leaving_process import FILES
from tests.object_stores import STORES
from tests.s3_server import s3_server

pytestmark = pytest.mark.slow

KILLS = 8


@pytest.fixture(scope="module", params=list(STORES))
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URI of a bucket of a server that answers well, which this process can reach too."""
    with STORES[request.param]() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        location._system.cache_clear()
        yield f"{request.param}://bucket"
        location._system.cache_clear()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def begun(uri: str, word: str, cache: Path, **variables: str) -> subprocess.Popen[str]:
    """Starts a process that leaves files of a word, and waits until it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.leaving_process", uri, word],
        env={**os.environ, "SKEWLESS_CACHE": str(cache), **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def words(uri: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Returns the words that the files at a URI hold, all of which must be there."""
    monkeypatch.setenv("SKEWLESS_CACHE", str(cache))
    copy = fetched(uri)
    files = [path for path in copy.rglob("*") if path.is_file()]
    assert len(files) == FILES
    return {line.split()[0] for path in files for line in path.read_text("utf-8").splitlines()}


def attempts(uri: str) -> set[str]:
    place = Location.of(uri)
    inside = len(place.path) + 1
    return {path[inside:].partition("/")[0] for path in place.system.find(place.path)} - {
        "manifest.json"
    }


def test_a_killed_job_leaves_the_old_or_the_new(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{store}/killed"
    first = begun(uri, "word0", tmp_path / "first")
    start = time.monotonic()
    first.communicate("go\n")
    took = time.monotonic() - start
    seen = "word0"
    moments = random.Random(1)
    outcomes: Counter[str] = Counter()
    for kill in range(1, KILLS + 1):
        process = begun(uri, f"word{kill}", tmp_path / "killed")
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        # Mostly early: a process that has done all takes a while to end.
        time.sleep(took * moments.random() ** 3)
        process.kill()
        process.communicate()
        (found,) = words(uri, tmp_path / f"reader{kill}", monkeypatch)
        assert found in (seen, f"word{kill}")
        outcomes["old" if found == seen else "new"] += 1
        seen = found
    print(f"{KILLS} kills within {took:.1f} s: {dict(outcomes)}")
    assert outcomes["old"]
    last = begun(uri, "last", tmp_path / "killed")
    last.communicate("go\n")
    assert last.returncode == 0
    assert words(uri, tmp_path / "last", monkeypatch) == {"last"}
    assert len(attempts(uri)) == 1


def test_of_two_jobs_at_once_one_wins(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{store}/two"
    for turn in range(2):  # Where nothing is, and where something is.
        jobs = [begun(uri, f"{turn}{name}", tmp_path / f"{turn}{name}") for name in "ab"]
        for job in jobs:
            assert job.stdin is not None
            job.stdin.write("go\n")
            job.stdin.flush()
        told = [job.communicate()[1] for job in jobs]
        assert sorted(job.returncode for job in jobs) == [0, 2]
        loser = told[0 if jobs[0].returncode else 1]
        assert loser.startswith(f"{uri}: another job left its output there while this one ran")
        winner = f"{turn}{'b' if jobs[0].returncode else 'a'}"
        assert words(uri, tmp_path / f"reader{turn}", monkeypatch) == {winner}
        assert len(attempts(uri)) == 1


def test_what_workers_left_in_the_store_is_copied_there(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{store}/handed on"
    with leaving(uri) as path:
        publication = publication_of(path)
        assert publication is not None
        shared = publication.shared_place()
        (tmp_path / "shard").write_bytes(b"rows" * 1000)
        entry = hand_on(str(tmp_path / "shard"), f"{shared}/records/x")
        with new_file(f"{shared}/temporary") as (written, run):
            Path(written).write_bytes(b"run")
        with opened(run) as file:
            assert file.read() == b"run"
        publication.holds("train/part-0", f"{shared}/records/x", entry)
        (path / "train").mkdir(parents=True)
        (path / "manifest.json").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / "reader"))
    copy = fetched(uri)
    assert (copy / "train" / "part-0").read_bytes() == b"rows" * 1000
    assert len(attempts(uri)) == 1


def test_a_bucket_that_is_not_there_is_told_in_a_line(store: str, tmp_path: Path) -> None:
    job = begun(store.replace("bucket", "nobucket/x"), "word", tmp_path / "cache")
    _, error = job.communicate("go\n")
    assert job.returncode == 2
    assert error.count("\n") == 1
    assert "there is no bucket nobucket" in error


def test_bad_answers_lose_nothing(tmp_path: Path) -> None:
    with s3_server("--faults", "0.1") as variables:
        job = begun("s3://bucket/faults", "word", tmp_path / "cache", **variables)
        _, told = job.communicate("go\n")
        assert job.returncode == 0, told
        script = (
            "import sys; from skewless.schemas.storage.fetched import fetched; "
            "print(*sorted(p.name for p in fetched(sys.argv[1]).rglob('*') if p.is_file()))"
        )
        read = subprocess.run(
            [sys.executable, "-c", script, "s3://bucket/faults"],
            env={**os.environ, **variables, "SKEWLESS_CACHE": str(tmp_path / "reader")},
            capture_output=True,
            text=True,
        )
        assert read.returncode == 0, read.stderr
        assert sorted(map(int, read.stdout.split())) == list(range(FILES))


def test_what_a_store_refuses_is_told_before_any_work(tmp_path: Path) -> None:
    def told(uri: str, **variables: str) -> str:
        job = begun(uri, "word", tmp_path / "cache", **(good | variables))
        _, error = job.communicate("go\n")
        assert job.returncode == 2
        assert error.count("\n") == 1
        return error

    with s3_server() as good:
        nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        nobody |= {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
        nobody |= {"AWS_EC2_METADATA_DISABLED": "true"}
        assert "no credentials were found; set AWS_ACCESS_KEY_ID" in told("s3://bucket/x", **nobody)
    nobody = {"AZURE_STORAGE_CONNECTION_STRING": "", "AZURE_STORAGE_ACCOUNT_NAME": ""}
    assert "set AZURE_STORAGE_CONNECTION_STRING" in told("az://bucket/x", **nobody)
    with s3_server("--read-only") as variables:
        assert "cannot be written: not permitted" in told("s3://bucket/x", **variables)


def records_of(directory: Path) -> dict[str, Counter[tuple[tuple[str, str], ...]]]:
    """Returns the records of each split, whatever their order."""
    import tensorflow as tf

    found = {}
    for split in ("train", "eval", "test"):
        shards = [str(path) for path in directory.glob(f"{split}/*.tfrecord*")]
        serialized = tf.data.TFRecordDataset(shards).as_numpy_iterator()
        # Serialized, the same record may have its entries in another order.
        examples = map(tf.train.Example.FromString, serialized)
        found[split] = Counter(
            tuple(sorted((name, str(entry)) for name, entry in example.features.feature.items()))
            for example in examples
        )
    return found


def test_memory_holds_no_file_that_goes_up_or_comes_down(store: str, tmp_path: Path) -> None:
    file = tmp_path / "big"
    piece = random.Random(1).randbytes(1 << 20)
    file.write_bytes(piece * 200)
    place = Location.of(f"{store}/big")
    tracemalloc.start()
    place.put_file(file)
    place.get_file(tmp_path / "back")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20
    assert file_sha256(tmp_path / "back") == file_sha256(file)
    place.system.rm_file(place.path)


def test_the_road(
    store: str, shop: DataSet, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skewless.cli import main

    def done(*words: str) -> str:
        # Each command on a machine of its own, so to speak.
        monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / words[0]))
        code = main(words)
        said = capfd.readouterr()
        assert code == 0, said.err
        return str(said.out)

    inputs = Location.of(f"{store}/in/shop.csv")
    inputs.system.put_file(str(shop.source), inputs.path)
    spec = Location.of(f"{store}/spec.yaml")
    spec.system.pipe_file(spec.path, yaml.safe_dump(SHOP).encode())
    rows = ("--input", f"{store}/in/*.csv")
    output = ("--output", f"{store}/records", "--cache", f"{store}/analysis")
    assert f"{store}/records: 400 records" in done("preprocess", str(spec), *rows, *output)
    assert records_of(fetched(f"{store}/records")) == records_of(shop.directory)
    assert '"eval"' in done("train", f"{store}/records", "--output", f"{store}/run")
    if store != "s3://bucket":  # What follows asks nothing else of a store.
        return
    done("evaluate", f"{store}/run", "--records", f"{store}/records")
    assert "parity holds" in done("export", f"{store}/run", "--output", f"{store}/served")
    records = ("--records", f"{store}/records")
    assert "parity holds: 400 rows" in done("verify", f"{store}/served", *records, *rows)
    done("predict", f"{store}/served", *rows, "--output", f"{store}/predictions")
    assert list(fetched(f"{store}/predictions").rglob("*.parquet"))
    assert f"{store}/report.html" in done("report", f"{store}/run", "-o", f"{store}/report.html")
    assert main(["preprocess", str(spec), *rows, "--output", f"{store}/records"]) == 2
    assert f"{store}/records: is finished already" in capfd.readouterr().err


def test_a_killed_stream_goes_on(store: str, shop: DataSet, tmp_path: Path) -> None:
    if store == "s3://bucket":  # Thirty kills, by hand (tests/killed_commands.py).
        return
    for ending, made in ((".csv", shop.source), ("-records", shop.directory)):
        (tmp_path / f"shop{ending}").symlink_to(made)
    (tmp_path / "shop.yaml").write_text(shop.spec.to_yaml(), encoding="utf-8")
    stream = KilledStream(f"{store}/windows", tmp_path / "shop", tmp_path / "stream")
    print(stream.run(3, random.Random(1)))
