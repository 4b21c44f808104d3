"""Disks that are full or may only be read: one line that says so, nothing left, a rerun that works.

The disks are real, mounted for a test; where that is not allowed the tests are skipped.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from skewless import cli
from skewless.model.training.checkpoints import Checkpoints, Progress
from tests.conftest import SHOP, DataSet


class Disk:
    """A file system of a few megabytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def leave(self, size: int) -> None:
        """Fills the disk but for about `size` bytes."""
        self._filler.unlink(missing_ok=True)
        with self._filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        with self._filler.open("r+b") as file:
            file.truncate(self._filler.stat().st_size - size)

    def free(self) -> None:
        """Makes room."""
        self._filler.unlink()

    def read_only(self) -> None:
        """Refuses writing from now on."""
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)

    def names(self) -> list[str]:
        """Returns what is on it."""
        return sorted(path.name for path in self.path.iterdir() if path != self._filler)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 16 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("mounting is not allowed")
    yield Disk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)


class Refused:
    """What a command that fails says."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, arguments: list[object]) -> str:
        """Runs the command; returns its line."""
        self._capsys.readouterr()
        assert cli.main([*map(str, arguments), "--quiet"]) == 1
        lines = self._capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, "\n".join(lines)
        return lines[0]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that fails."""
    return Refused(capsys)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The shop's spec as a file."""
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(SHOP))
    return path


def _fails_then_works(disk: Disk, refused: Refused, left: int, arguments: list[object]) -> None:
    disk.leave(left)
    line = refused(arguments)
    assert f": {disk.path}/out" in line
    assert "the disk is full; free some space" in line
    assert ".partial" not in line
    assert disk.names() == []
    disk.free()
    assert cli.main([*map(str, arguments), "--quiet"]) == 0
    assert disk.names() == ["out"]


def test_init(disk: Disk, refused: Refused, shop: DataSet) -> None:
    arguments = ["init", shop.source, "--label", "rating", "-o", disk.path / "out"]
    _fails_then_works(disk, refused, 0, arguments)


def test_report(disk: Disk, refused: Refused, shop: DataSet) -> None:
    _fails_then_works(disk, refused, 8192, ["report", shop.directory, "-o", disk.path / "out"])


# Full at the first file, in the transform graph, and in the records.
@pytest.mark.parametrize(
    "left", [0, pytest.param(30_000, marks=pytest.mark.slow), pytest.param(150_000, marks=pytest.mark.slow)]
)  # fmt: skip
def test_preprocess(disk: Disk, refused: Refused, shop: DataSet, spec: Path, left: int) -> None:
    arguments = ["preprocess", spec, "--input", shop.source, "--output", disk.path / "out"]
    _fails_then_works(disk, refused, left, arguments)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["multi_threading", "multi_processing"])
def test_preprocess_by_two_workers(
    disk: Disk, refused: Refused, shop: DataSet, spec: Path, mode: str
) -> None:
    arguments = ["preprocess", spec, "--input", shop.source, "--output", disk.path / "out"]
    workers = ["--direct_num_workers=2", f"--direct_running_mode={mode}"]
    _fails_then_works(disk, refused, 150_000, [*arguments, *workers])


@pytest.mark.slow
@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_predict(
    disk: Disk, refused: Refused, shop: DataSet, shop_model: Path, format: str
) -> None:
    arguments = ["predict", shop_model, "--input", shop.source, "--output", disk.path / "out"]
    _fails_then_works(disk, refused, 4096, [*arguments, "--format", format])


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 100_000])
def test_export(disk: Disk, refused: Refused, shop_run: Path, left: int) -> None:
    arguments: list[object] = ["export", shop_run, "--output", disk.path / "out"]
    _fails_then_works(disk, refused, left, arguments)


@pytest.mark.slow
def test_train_before_its_run_is_made(disk: Disk, refused: Refused, shop: DataSet) -> None:
    arguments: list[object] = ["train", shop.directory, "--output", disk.path / "out"]
    _fails_then_works(disk, refused, 8192, arguments)


@pytest.mark.slow
def test_train_in_its_run(disk: Disk, refused: Refused, shop: DataSet) -> None:
    disk.leave(400_000)
    run = disk.path / "out"
    arguments: list[object] = ["train", shop.directory, "--output", run]
    line = refused(arguments)
    assert f": {run}" in line
    assert "the disk is full" in line
    assert line.endswith("--resume")
    assert not (run / "metrics.json").exists()
    assert "partial" not in str(list(run.rglob("*")))
    disk.free()
    assert cli.main([*map(str, arguments), "--resume", "--quiet"]) == 0
    assert len(json.loads((run / "metrics.json").read_text())["history"]) == 2


def test_no_end_of_a_disk_ends_the_process(disk: Disk) -> None:
    """HDF5, which Keras saves weights in, ended it where the last kilobytes did not fit."""
    kept = Checkpoints(disk.path / "run", Progress)
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1000), keras.layers.Dense(9)])
    size = sum(weights.nbytes for weights in model.get_weights())
    for left in range(size - 80_000, size, 8192):
        disk.leave(left)
        with pytest.raises(OSError, match="No space left"):
            kept.save_best(model)
        assert list((disk.path / "run").iterdir()) == []
        disk.free()
    kept.save_best(model)
    other = keras.models.clone_model(model)
    kept.load_best(other)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_stream(disk: Disk, refused: Refused, shop: DataSet, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.csv").write_bytes(shop.source.read_bytes())
    out = disk.path / "out"
    arguments: list[object] = [
        "stream", shop.directory / "spec.yaml", "--source", f"dir://{source}/*.csv", "--transform", shop.directory / "transform",
        "--output", out, "--window", "1h", "--until-idle", "1",
    ]  # fmt: skip
    disk.leave(60_000)
    line = refused(arguments)
    assert f": {out}" in line
    assert "the disk is full" in line
    assert not list(out.glob("window=*/**/manifest.json"))
    disk.free()
    assert cli.main([*map(str, arguments), "--quiet"]) == 0
    manifests = out.glob("window=*/**/manifest.json")
    assert sum(json.loads(path.read_text())["rows"]["read"] for path in manifests) == 400


def test_a_disk_that_may_only_be_read(
    disk: Disk, refused: Refused, shop: DataSet, spec: Path
) -> None:
    disk.read_only()
    out = disk.path / "out"
    for arguments in (
        ["init", shop.source, "--label", "rating", "-o", out],
        ["report", shop.directory, "-o", out],
        ["preprocess", spec, "--input", shop.source, "--output", out],
        ["train", shop.directory, "--output", out],
    ):
        line = refused(arguments)
        assert f": {out}: the file system is read-only; choose a place" in line
