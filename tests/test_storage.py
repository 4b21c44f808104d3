"""Directories at URIs: in the memory of this process, and what fails before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from skewless.model.training.stopped_run import to_resume
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.storage.arguments import at_hand
from skewless.schemas.storage.fetched import cache_directory, fetched, fetched_file
from skewless.schemas.storage.known_as import as_known
from skewless.schemas.storage.leaving import leaving, leaving_file, stand_in
from skewless.schemas.storage.location import Location, refused
from skewless.schemas.storage.marker import read_marker
from skewless.schemas.storage.mirrored import mirrored
from skewless.schemas.storage.published import Publication

STORE = fsspec.filesystem("memory")


pytestmark = pytest.mark.usefixtures("cache")


def written(directory: Path, files: dict[str, str]) -> Path:
    """Writes files by their paths."""
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")
    return directory


def held(directory: Path) -> dict[str, str]:
    """Returns all files of a directory, hidden ones too."""
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return {path.relative_to(directory).as_posix(): path.read_text("utf-8") for path in paths}


def stored(uri: str) -> list[str]:
    """Returns what the store holds, by paths inside the URI."""
    inside = len(uri.removeprefix("memory:/")) + 1
    return sorted(path[inside:] for path in STORE.find(uri))


def attempts(uri: str) -> set[str]:
    return {path.partition("/")[0] for path in stored(uri)} - {"manifest.json"}


OLD = {"manifest.json": "old", "train/part-0": "a", "transform/graph": "g"}
NEW = {"manifest.json": "new", "train/part-0": "b", "train/part-1": "c"}


def test_copies_of_what_lies_in_a_bucket_are_for_this_user_alone(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_directory() == cache
    assert cache.stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    monkeypatch.setenv("SKEWLESS_CACHE", str(shared))
    cache_directory()
    assert shared.stat().st_mode & 0o777 == 0o755


def leave(uri: str, files: dict[str, str], **options: bool) -> None:
    with leaving(uri, **options) as path:
        written(path, files)


def test_a_directory_comes_back_as_it_was_left(uri: str, cache: Path) -> None:
    with leaving(uri) as path:
        written(path, {**OLD, ".hidden": "no"})
        (path / "rejected").mkdir()
    fetched(uri).rename(cache / "aside")  # Else it would be the very files that were written.
    copy = fetched(uri)
    assert copy.name == "records"
    assert held(copy) == OLD
    assert (copy / "rejected").is_dir()
    assert as_known(f"{copy}/train is short") == f"{uri}/train is short"


def test_a_copy_is_not_fetched_again(uri: str) -> None:
    leave(uri, OLD)
    folder = attempts(uri).pop()
    copy = fetched(uri)
    STORE.rm(f"{uri}/{folder}/train/part-0")
    assert held(fetched(uri)) == held(copy) == OLD


def test_a_folder_inside_is_fetched_with_the_files_around_it(uri: str) -> None:
    publication = Publication.begin(uri, overwrite=False)
    local = written(stand_in(uri), {**OLD, "transform/deep/x": "y", "eval/part-0": "z"})
    publication.put(local)
    copy = fetched(f"{uri}/transform")
    assert held(copy) == {"graph": "g", "deep/x": "y"}
    assert set(held(copy.parent)) == {"manifest.json", "transform/graph", "transform/deep/x"}
    with pytest.raises(UsageError, match="holds no folder of that name"):
        fetched(f"{uri}/transfrom")


def test_an_output_is_replaced_only_when_asked(uri: str) -> None:
    leave(uri, OLD)
    with pytest.raises(UsageError, match=r"is finished already; add --overwrite"):
        leave(uri, NEW)
    assert held(fetched(uri)) == OLD
    before = attempts(uri)
    leave(uri, NEW, overwrite=True)
    assert held(fetched(uri)) == NEW
    assert len(attempts(uri)) == 1 and attempts(uri) != before


def test_what_is_not_ours_is_not_replaced(uri: str) -> None:
    STORE.pipe_file(f"{uri}/notes.txt", b"mine")
    with pytest.raises(UsageError, match="not ours to replace"):
        leave(uri, NEW, overwrite=True)
    assert stored(uri) == ["notes.txt"]


def test_of_two_jobs_one_wins_and_the_other_says_so(uri: str, tmp_path: Path) -> None:
    old, new = written(tmp_path / "old", OLD), written(tmp_path / "new", NEW)
    for overwrite in (False, True):
        first = Publication.begin(uri, overwrite=overwrite)
        second = Publication.begin(uri, overwrite=overwrite)
        second.put(new)
        with pytest.raises(UsageError, match="another job left its output there"):
            first.put(old)
        assert held(fetched(uri)) == NEW
        assert len(attempts(uri)) == 1


def test_two_processes_of_a_machine_do_not_make_one_output(uri: str) -> None:
    with leaving(uri), pytest.raises(UsageError, match="another process of this machine"):
        leave(uri, NEW)


def test_a_failed_job_leaves_nothing_but_what_it_keeps_beside(uri: str) -> None:
    def fail() -> None:
        with leaving(uri) as path:
            written(path.with_name("records.rejected"), {"part-0.jsonl": "{}"})
            written(path, OLD)
            raise DataError("too many")

    with pytest.raises(DataError, match="too many"):
        fail()
    assert stored(uri) == []
    assert held(fetched(f"{uri}.rejected")) == {"part-0.jsonl": "{}"}


def test_what_a_stopped_job_left_is_there_for_one_that_goes_on(uri: str) -> None:
    def stop() -> None:
        with leaving(uri, resumable=True) as path:
            written(path, OLD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    (stand_in(uri) / "spec.yaml").write_text("name: shop\n", encoding="utf-8")
    assert to_resume(uri).startswith(f"{uri} holds a run that has no checkpoint yet")
    (stand_in(uri) / "spec.yaml").unlink()
    with leaving(uri, resumable=True) as path:
        assert held(path) == OLD
    assert held(fetched(uri)) == OLD
    with leaving(uri, overwrite=True) as path:
        assert not path.exists()


def test_attempts_of_killed_jobs_go_and_live_ones_stay(uri: str) -> None:
    Publication.begin(uri, overwrite=False)  # Killed, says this test.
    leave(uri, OLD)
    assert len(attempts(uri)) == 1
    live = Publication.begin(uri, overwrite=True)
    Publication.begin(uri, overwrite=True)
    assert len(attempts(uri)) == 3
    STORE.rm(f"{live.root}/{live._folder.name}/.begun")  # As one whose removal was cut short.
    Publication.begin(uri, overwrite=True)
    assert live._folder.name not in attempts(uri)
    assert len(attempts(uri)) == 3


def test_a_reader_of_a_replaced_directory_gets_the_new_one(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(uri, OLD)
    monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / "another"))
    system = Location.of(uri).system  # fsspec has one for each thread that asked first.
    get_file = system.get_file

    def replaced_meanwhile(*arguments: Any) -> None:
        monkeypatch.setattr(system, "get_file", get_file)
        Publication.begin(uri, overwrite=True).put(written(tmp_path / "new", NEW))
        get_file(*arguments)

    monkeypatch.setattr(system, "get_file", replaced_meanwhile)
    assert held(fetched(uri)) == NEW


def test_a_file_of_other_bytes_is_refused(uri: str, cache: Path) -> None:
    Publication.begin(uri, overwrite=False).put(written(stand_in(uri), OLD))
    folder = attempts(uri).pop()
    STORE.pipe_file(f"{uri}/{folder}/train/part-0", b"x")
    with pytest.raises(DataError, match="train/part-0: is not as it was left"):
        fetched(uri)
    STORE.rm(f"{uri}/{folder}/train/part-0")
    with pytest.raises(DataError, match=r"misses a file .*train/part-0"):
        fetched(uri)


@pytest.mark.parametrize(
    "change",
    [
        lambda marker: marker | {"skewless": 2},
        lambda marker: marker | {"folder": ".."},
        lambda marker: marker | {"files": {"../x": {"bytes": 1, "sha256": ""}}},
        lambda marker: marker | {"files": {"/x": {"bytes": 1, "sha256": ""}}},
        lambda marker: {"splits": {}},
        lambda marker: [],
    ],
)
def test_a_marker_of_others_is_refused(uri: str, change: Callable[[Any], Any]) -> None:
    leave(uri, OLD)
    place = f"{uri}/manifest.json"
    STORE.pipe_file(place, json.dumps(change(json.loads(STORE.cat_file(place)))).encode())
    with pytest.raises(DataError, match=r"expected what a command left|expected paths inside"):
        fetched(uri)


def test_nothing_there_is_told(uri: str) -> None:
    with pytest.raises(UsageError, match=r"found no manifest\.json"):
        fetched(uri)
    with pytest.raises(UsageError, match="nothing under that name"):
        fetched_file(uri)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("s4://bucket/x", "did you mean 's3://'"),
        ("https://host/x", "expected a path, or a URI of file://, s3://, gs://, az://"),
        ("s3://", "expected a bucket"),
        ("file://host/x", "expected file:/// and an absolute path"),
    ],
)
def test_a_uri_that_cannot_be_is_refused(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fetched(given)
    with pytest.raises(UsageError, match=message):
        leave(given, NEW)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(UsageError, match=r"pip install 'skewless\[s3\]'"):
        Location.of("s3://bucket/x")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (401, r"gs://bucket/x: cannot be read: no credentials that are valid \(Anonymous caller.*set GOOGLE_"),
        (403, r"gs://bucket/x: cannot be read: not permitted \(Forbidden: .*check the credentials"),
        (404, r"gs://bucket/x: cannot be read: there is no bucket bucket"),
    ],
)  # fmt: skip
def test_what_google_refuses_is_told_in_a_line(code: int, message: str) -> None:
    from gcsfs.retry import validate_response

    content = json.dumps({"error": {"code": code, "message": "Anonymous caller\nmay not"}})
    with pytest.raises(UsageError, match=message) as told, refused(Location.of("gs://bucket/x"), "read"):  # fmt: skip
        validate_response(code, content, "bucket/x")
    assert "\n" not in str(told.value)


def test_paths_and_file_uris_are_paths(tmp_path: Path) -> None:
    written(tmp_path / "a b", OLD)
    assert fetched(tmp_path) == tmp_path and fetched("records") == Path("records")
    assert fetched(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    with leaving(f"file://{tmp_path}/new") as path:
        assert path == tmp_path / "new"


def test_a_file_is_left_at_a_uri(uri: str) -> None:
    with leaving_file(f"{uri}/report.html") as path:
        path.write_text("page", encoding="utf-8")
    assert stored(uri) == ["report.html"]
    assert fetched_file(f"{uri}/report.html").read_text("utf-8") == "page"


def test_a_mirror_holds_what_all_added(uri: str, tmp_path: Path, monkeypatch: Any) -> None:
    # What others added is fetched by whoever looks for it.
    for machine, entries in (("a", []), ("b", []), ("a", ["counts-a"])):
        monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / machine))
        with mirrored(uri) as folder:
            assert sorted(path.name for path in folder.glob("[!.]*")) == entries
            written(folder, {f"counts-{machine}": machine, ".x.partial": ""})
    assert stored(uri) == [".writable", "counts-a", "counts-b"]


def test_arguments_take_uris(uri: str) -> None:
    import argparse

    leave(f"{uri}/a", OLD)
    given = argparse.Namespace(
        records=f"{uri}/a",
        output=f"{uri}/b",
        overwrite=False,
        resume=False,
        cache=None,
        input=["s3://x"],
    )
    with at_hand("export", given) as here:
        assert held(Path(here.records)) == OLD
        written(Path(here.output), NEW)
        assert here.input == ["s3://x"]
    assert given.records == f"{uri}/a"
    assert held(fetched(f"{uri}/b")) == NEW
    given = argparse.Namespace(output=f"{uri}/c", overwrite=False, dry_run=True, cache=None)
    with at_hand("preprocess", given) as here:
        assert not Path(here.output).exists()
    assert [path for path in stored(uri) if path.startswith("c/")] == []
    for command, name in (("tune", "output"), ("demo", "output"), ("serve", "token_file")):
        with (
            pytest.raises(UsageError, match=f"--{name.replace('_', '-')} memory://.*not taken yet"),
            at_hand(command, argparse.Namespace(**{name: uri})),
        ):
            pass


def test_the_marker_names_every_file_with_size_and_hash(uri: str) -> None:
    leave(uri, OLD)
    found = read_marker(Location.of(uri))
    assert found is not None
    assert {path: entry.bytes for path, entry in found.marker.files.items()} == {
        "manifest.json": 3,
        "train/part-0": 1,
        "transform/graph": 1,
    }
    assert found.marker.files["train/part-0"].sha256.startswith("ca978112ca1bbdca")
