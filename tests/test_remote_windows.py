"""Windows at URIs: left by `stream` and trained on by `train --follow`, in the memory of this process."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest

from skewless.beam_pipelines.stream import prepare, stream
from skewless.beam_pipelines.streaming import local as local_stream
from skewless.beam_pipelines.streaming.panes import commit_pane
from skewless.cli import main
from skewless.model.follow import Exports, follow
from skewless.model.training.records import open_records
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.layout import METRICS
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.storage import published
from skewless.schemas.storage.between import panes
from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.leaving import leaving
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.windows import RemoteWindows, windows_to_read, windows_to_write
from tests.conftest import DataSet
from tests.test_follow import assert_same
from tests.test_stream import MINUTES, Row, batch_records, counts, records_in, rows, write
from tests.written_windows import WindowWriter

__all__ = ["rows"]

STORE = fsspec.filesystem("memory")
FIRST = "window=2026-01-01T00:00:00Z"


pytestmark = pytest.mark.usefixtures("cache")


def streamed(shop: DataSet, folder: Path, uri: str, **options: Any) -> None:
    transform = shop.directory / "transform"
    source = f"dir://{folder}/*.jsonl"
    stream(shop.spec, source, transform, uri, MINUTES, until_idle=0, **options)


def copied(uri: str, to: Path) -> Path:
    """Returns a path with all of the windows at a URI, each as its marker says."""
    shutil.copytree(fetched(uri), to)
    for folder in RemoteWindows(Location.of(uri), to).panes():
        shutil.copytree(fetched(f"{uri}/{folder}"), to / folder, dirs_exist_ok=True)
    return to


def declaring(windows: Path) -> Callable[[Path], None]:
    def declare(path: Path) -> None:
        if not path.exists():
            shutil.copytree(windows, path, ignore=shutil.ignore_patterns("window=*"))

    return declare


def put(windows: Path, uri: str) -> None:
    """Puts what a directory of windows holds at a URI, as `stream` does."""
    with windows_to_write(uri, declaring(windows)) as (remote, _):
        there = remote.panes()
        for folder, _ in finished_panes(windows, there):
            remote.put(windows / folder, folder)


def holds_three_panes(shop: DataSet, files: list[Path], uri: str, tmp_path: Path) -> None:
    """Asserts that a URI holds the rows of two files, the second of which has some of the first window."""
    windows = copied(uri, tmp_path / "windows")
    assert {folder: counts(manifest) for folder, manifest in finished_panes(windows)} == {
        FIRST: (51, 50, 0, 1),
        f"{FIRST}/pane=1": (11, 10, 0, 1),
        "window=2026-01-01T00:01:00Z": (11, 11, 0, 0),
    }
    assert records_in(windows) == batch_records(shop, files, tmp_path / "batch")


@pytest.mark.slow
def test_a_stream_to_a_uri_goes_on_where_nothing_of_it_is_at_hand(
    shop: DataSet, rows: list[Row], tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    files = [write(source / "a.jsonl", [*rows[:50], *rows[60:70], rows[3]])]
    done: list[str] = []

    def ended(job: Any, pane: Any) -> str:
        if done:
            raise KeyboardInterrupt
        done.append(commit_pane(job, pane))
        held = {path.name for path in (Path(job.directory) / done[0]).iterdir()}
        assert held == {"manifest.json", "sources.json"}
        return done[0]

    with monkeypatch.context() as patched:
        patched.setattr(local_stream, "commit_pane", ended)
        with pytest.raises(KeyboardInterrupt):
            streamed(shop, source, uri)
    monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / "another machine"))
    # rows[7] is in the first window already.
    files.append(write(source / "b.jsonl", [*rows[50:60], rows[7], rows[80]]))
    streamed(shop, source, uri)
    holds_three_panes(shop, files, uri, tmp_path)
    assert open_records(fetched(f"{uri}/{FIRST}/pane=1")).rows("train") == 10
    # A third run finds nothing to do.
    streamed(shop, source, uri)
    assert len(RemoteWindows(Location.of(uri), tmp_path).panes()) == 3


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    """A directory as `stream` leaves it, as far as storage is to know."""
    root = tmp_path / "left"
    for folder in ("transform", FIRST, f"{FIRST}/pane=2", f"{FIRST}/pane=10"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "part-0").write_text(folder, "utf-8")
    return root


def remote(uri: str, tmp_path: Path) -> RemoteWindows:
    return RemoteWindows(Location.of(uri), tmp_path / "at hand")


def begun(windows: Path, uri: str) -> None:
    with windows_to_write(uri, declaring(windows)):
        pass


def test_panes_come_in_their_order(windows: Path, uri: str, tmp_path: Path) -> None:
    begun(windows, uri)
    there = remote(uri, tmp_path)
    assert there.panes() == []
    for folder in (f"{FIRST}/pane=10", f"{FIRST}/pane=2"):
        there.put(windows / folder, folder)
    assert there.panes() == [f"{FIRST}/pane=2", f"{FIRST}/pane=10"]
    assert there.panes(holding="raw") == []
    there.bring(f"{FIRST}/pane=2")
    there.free(f"{FIRST}/pane=2")
    assert not list((tmp_path / "at hand").rglob("part-0"))
    with pytest.raises(DataError, match="is gone; put it back"):
        there.bring("window=2026-01-01T00:01:00Z")


def test_a_pane_is_put_once(windows: Path, uri: str, tmp_path: Path) -> None:
    begun(windows, uri)
    there = remote(uri, tmp_path)
    there.put(windows / FIRST, FIRST)
    before = STORE.cat(f"{uri}/{FIRST}/manifest.json")
    with pytest.raises(UsageError, match="another stream has put its rows there; let one") as told:
        there.put(windows / FIRST, FIRST)
    assert "\n" not in str(told.value)
    assert STORE.cat(f"{uri}/{FIRST}/manifest.json") == before
    assert len(STORE.ls(f"{uri}/{FIRST}", detail=False)) == 2
    # One that was killed when it had put its marker leaves what others had begun.
    STORE.pipe_file(f"{uri}/{FIRST}/attempt-killed/part-0", b"")
    there.go_on(["part-0"])
    assert len(STORE.ls(f"{uri}/{FIRST}", detail=False)) == 2
    assert (there.path / FIRST / "part-0").read_text("utf-8") == FIRST


def test_what_is_no_directory_of_windows_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected windows, found no manifest.json; start"):
        windows_to_read(uri, "run").__enter__()
    with leaving(uri) as path:
        path.mkdir(parents=True)
        (path / "manifest.json").write_text("{}", "utf-8")
    for opened in (windows_to_write(uri, lambda path: None), windows_to_read(uri, "run")):
        with pytest.raises(UsageError, match="is no directory of windows; choose another place"):
            opened.__enter__()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source", "dir:///data/*.jsonl"], "files are streamed from a bucket to a bucket: give"),
        (["--source", "kafka://localhost:1/t", "--until-idle", "1"], "--until-idle is for rounds; end"),
        (["--source", "memory://in/*.jsonl", "--histories-from", "pasts"], "built on this machine; leave"),
    ],
)  # fmt: skip
def test_what_no_cluster_streams_is_refused_before_any_work(
    words: list[str], message: str, shop: DataSet, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, transform = str(shop.directory / "spec.yaml"), str(shop.directory / "transform")
    command = ["stream", spec, *words, "--transform", transform, "--output", uri]
    assert main([*command, "--runner=FlinkRunner"]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not STORE.find(uri)


def streamed_apart(shop: DataSet, source: Path, uri: str, panes: int = 99) -> list[str]:
    """Streams as a cluster whose workers share the bucket alone does; ends after so many panes."""
    done: list[str] = []

    def committed(folder: str) -> bool:
        done.append(folder)
        return len(done) < panes

    declared = partial(prepare, shop.spec, shop.directory / "transform", windowing=MINUTES)
    with windows_to_write(uri, declared) as (remote, job):
        job = replace(job, remote=remote, shared=uri)
        local_stream.stream_here(
            job,
            local_stream.FileFeed(job, f"{source}/*.jsonl", ()),
            until_idle=0,
            committed=committed,
        )
        assert not (remote.path / ".pending").exists()
    return done


@pytest.mark.slow
def test_workers_that_share_a_bucket_alone_leave_the_same_panes(
    shop: DataSet, rows: list[Row], tmp_path: Path, uri: str
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    files = [write(source / "a.jsonl", [*rows[:50], *rows[60:70], rows[3]])]
    assert streamed_apart(shop, source, uri, panes=1) == [FIRST]
    # rows[7] is in the first window already.
    files.append(write(source / "b.jsonl", [*rows[50:60], rows[7], rows[80]]))
    streamed_apart(shop, source, uri)
    holds_three_panes(shop, files, uri, tmp_path)
    assert streamed_apart(shop, source, uri) == []
    left = [path.partition(uri.partition("://")[2])[2] for path in STORE.find(uri)]
    assert not [path for path in left if "/.pending" in path]
    assert len({path.split("/attempt-")[0] for path in left if "/attempt-" in path}) == 4
    assert len({path.split("/attempt-")[1][:8] for path in left if "/attempt-" in path}) == 4


def test_a_sealed_pane_is_committed_once(windows: Path, uri: str) -> None:
    pane = f"{uri}/{FIRST}"
    first, second = (panes.seal(pane, id, windows / FIRST) for id in ("a", "b"))
    assert panes.committed(pane) is None
    assert panes.commit(pane, first) and panes.commit(pane, first)
    assert not panes.commit(pane, second)
    found = panes.committed(pane)
    assert found is not None and found.folder == "attempt-a"
    with panes.sealed_files(pane, "a", {"part-0": (len(FIRST), digest(FIRST))}) as folder:
        assert (folder / "part-0").read_text("utf-8") == FIRST
    with (
        pytest.raises(DataError, match="misses part-9; go on into an empty output"),
        panes.sealed_files(pane, "a", {"part-9": (1, digest(""))}),
    ):
        pass


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_an_end_just_after_the_marker_was_put_removes_nothing(
    windows: Path, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(windows, uri)
    plain: Callable[..., bool] = published.put_marker

    def ended(*arguments: Any) -> bool:
        plain(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(published, "put_marker", ended)
    with pytest.raises(KeyboardInterrupt):
        remote(uri, tmp_path).put(windows / FIRST, FIRST)
    remote(uri, tmp_path).bring(FIRST)
    assert (tmp_path / "at hand" / FIRST / "part-0").read_text("utf-8") == FIRST


def test_an_output_that_goes_on_begins_with_what_is_finished(uri: str, cache: Path) -> None:
    for number in range(3):
        with leaving(uri, going_on=True) as path:
            there = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
            assert there == {str(earlier) for earlier in range(number)}
            path.mkdir(exist_ok=True)
            (path / str(number)).write_text("run", "utf-8")
        if number == 1:
            shutil.rmtree(cache)
    # What was stopped on this machine goes on, and is not replaced by what is finished.
    with pytest.raises(KeyboardInterrupt), leaving(uri, going_on=True) as path:
        (path / "stopped").write_text("", "utf-8")
        raise KeyboardInterrupt
    with leaving(uri, going_on=True) as path:
        assert Counter(entry.name for entry in path.iterdir())["stopped"] == 1


@pytest.mark.slow
def test_following_windows_at_a_uri_trains_the_same(
    shop: DataSet, uri: str, tmp_path: Path
) -> None:
    writer = WindowWriter(shop, tmp_path / "windows")
    for hour in range(2):
        writer.pane(hour, 65)
    put(writer.root, uri)
    writer.pane(2, 65)
    follow(writer.root, tmp_path / "local", idle_timeout=0)
    run, served = tmp_path / "run", f"{uri.removesuffix('/windows')}/served"
    follow(uri, run, idle_timeout=0, exports=Exports(served, every=2, records=shop.directory))
    put(writer.root, uri)
    follow(uri, run, idle_timeout=0, resume=True)
    assert_same(tmp_path / "local", run)
    assert json.loads((run / METRICS).read_text("utf-8"))["windows"] == 3
    assert (fetched(f"{served}/1") / "saved_model.pb").is_file()
    read = [path for path in (tmp_path / "cache" / "work").rglob("*") if path.is_file()]
    assert not [path for path in read if path.suffix != ".lock"]
