"""Following windows: each pane is trained on once, in order, however often the run is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless import model
from skewless.cli import main
from skewless.model.follow import WINDOWS, Exports, Followed, follow
from skewless.model.train import train
from skewless.model.training.checkpoints import Checkpoints
from skewless.model.training.records import open_records
from skewless.model.training.warm_start import initial_model
from skewless.model.verify import verify
from skewless.schemas.errors import DataError, DatasetMismatchError, UsageError
from skewless.schemas.records.windows import finished_panes
from tests.conftest import DataSet
from tests.killed_training import KilledError, kill_at
from tests.written_windows import WindowWriter

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def windows(shop: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four hours of 65 records, two batches each."""
    writer = WindowWriter(shop, tmp_path_factory.mktemp("stream") / "windows")
    for hour in range(4):
        writer.pane(hour, 65)
    return writer.root


@pytest.fixture(scope="module")
def whole(windows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over all four windows, never stopped."""
    run = tmp_path_factory.mktemp("whole") / "run"
    follow(windows, run, idle_timeout=0)
    return run


def lines(run: Path) -> list[dict[str, Any]]:
    """Returns the lines of `windows.jsonl`, without their times."""
    found = [json.loads(line) for line in (run / WINDOWS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def assert_same(first: Path, second: Path, *, training: bool = True) -> None:
    one, other = (keras.saving.load_model(run / "model.keras") for run in (first, second))
    for expected, got in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(expected.numpy(), got.numpy())
    keys = ("pane", "rows", "before") + (("training",) if training else ())
    cut = [[{key: line[key] for key in keys} for line in lines(run)] for run in (first, second)]
    assert cut[0] == cut[1]


def test_every_pane_is_evaluated_and_trained_on_in_order(
    shop: DataSet, windows: Path, whole: Path
) -> None:
    folders = [folder for folder, _ in finished_panes(windows)]
    assert [line["pane"] for line in lines(whole)] == folders
    assert [line["rows"] for line in lines(whole)] == [65] * 4
    metrics = json.loads((whole / "metrics.json").read_text())
    assert (metrics["windows"], metrics["rows"]) == (4, 260)
    records = open_records(windows / folders[0])
    untrained = initial_model(shop.spec, records, None)
    first = untrained.evaluate(
        records.in_order("train", batch_size=64), return_dict=True, verbose=0
    )
    assert lines(whole)[0]["before"] == pytest.approx(first, rel=1e-6)
    # It learns: rows of later windows are predicted better before they are trained on.
    assert lines(whole)[-1]["before"]["loss"] < lines(whole)[0]["before"]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pane", "step", "checkpoint_steps"), [(0, 1, 500), (1, 1, 1), (2, 2, 1), (3, 2, 500)]
)
def test_a_killed_run_goes_on_to_the_same_weights(
    windows: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pane: int,
    step: int,
    checkpoint_steps: int,
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, pane, step)
        follow(windows, run, idle_timeout=0, checkpoint_steps=checkpoint_steps)
    assert not (run / "metrics.json").exists()
    keras.utils.set_random_seed(987)
    follow(windows, run, idle_timeout=0, resume=True)
    # Training metrics of the pane that was cut cover what came after the checkpoint.
    assert_same(whole, run, training=checkpoint_steps == 500)
    restored = Checkpoints(run / "checkpoints", Followed).load()
    assert restored is not None
    assert restored[1].consumed == [folder for folder, _ in finished_panes(windows)]


_FOLLOW = """
import sys, time
from skewless.model.training.callbacks import StopOnNonFinite
from skewless.model.follow import follow
plain = StopOnNonFinite.on_train_batch_end
def slow(self, batch, logs=None):
    plain(self, batch, logs)
    time.sleep(float(sys.argv[3]))
StopOnNonFinite.on_train_batch_end = slow
follow(sys.argv[1], sys.argv[2], resume=sys.argv[4] == "resume", checkpoint_steps=1, idle_timeout=0)
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_weights(
    windows: Path, whole: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle of the third pane, then a new process."""
    run = tmp_path / "run"
    command = [sys.executable, "-c", _FOLLOW, str(windows), str(run)]
    job = subprocess.Popen([*command, "0.5", "start"], cwd=ROOT, stderr=subprocess.DEVNULL)
    state = run / "checkpoints" / "state.json"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and job.poll() is None:
        if state.is_file():
            progress = json.loads(state.read_text())
            if len(progress["consumed"]) == 2 and progress["step"] == 1:
                break
        time.sleep(0.02)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert not (run / "metrics.json").exists()
    assert len(json.loads(state.read_text())["consumed"]) == 2
    subprocess.run([*command, "0", "resume"], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    assert_same(whole, run, training=False)


@pytest.mark.slow
def test_an_ended_run_takes_up_what_finished_later(
    shop: DataSet, whole: Path, tmp_path: Path
) -> None:
    writer = WindowWriter(shop, tmp_path / "windows")
    run = tmp_path / "run"
    for hour in range(3):
        writer.pane(hour, 65)
    assert follow(writer.root, run, max_windows=2)["windows"] == 2
    assert follow(writer.root, run, resume=True, max_windows=2)["windows"] == 2
    writer.pane(3, 65)
    follow(writer.root, run, resume=True, idle_timeout=0)
    assert_same(whole, run)
    late = writer.pane(1, 5, pane=1)
    metrics = follow(writer.root, run, resume=True, idle_timeout=0)
    assert metrics["history"][-1]["pane"] == late
    assert (metrics["windows"], metrics["rows"]) == (5, 265)


def test_waits_for_a_window_to_finish(shop: DataSet, tmp_path: Path) -> None:
    writer = WindowWriter(shop, tmp_path / "windows")
    with pytest.raises(DataError, match="no window has finished in time; start"):
        follow(writer.root, tmp_path / "run", idle_timeout=0)
    unfinished = writer.root / "window=2026-01-01T00:00:00Z"
    unfinished.mkdir()
    later = threading.Timer(0.5, writer.pane, args=(1, 65))
    later.start()
    try:
        metrics = follow(writer.root, tmp_path / "run", poll=0.05, max_windows=1)
    finally:
        later.join()
    assert [entry["pane"] for entry in metrics["history"]] == ["window=2026-01-01T01:00:00Z"]


@pytest.mark.slow
def test_a_window_of_another_transform_stops_the_run_before_it(
    shop: DataSet, tmp_path: Path
) -> None:
    writer = WindowWriter(shop, tmp_path / "windows")
    run = tmp_path / "run"
    writer.pane(0, 65)
    follow(writer.root, run, idle_timeout=0)
    foreign = writer.pane(1, 65, transform="0" * 64)
    writer.pane(2, 65)
    with pytest.raises(DatasetMismatchError, match="is not the transform that these records"):
        follow(writer.root, run, resume=True, idle_timeout=0)
    shutil.rmtree(writer.root / foreign)
    damaged = writer.pane(3, 0)
    manifest = writer.root / damaged / "manifest.json"
    text = manifest.read_text()
    manifest.write_text("{}")
    with pytest.raises(DatasetMismatchError, match="not a window's manifest of this version"):
        follow(writer.root, run, resume=True, idle_timeout=0)
    manifest.write_text(text)
    metrics = follow(writer.root, run, resume=True, idle_timeout=0)
    assert [entry["rows"] for entry in metrics["history"]] == [65, 65, 0]


@pytest.mark.slow
def test_a_stream_that_went_on_with_another_transform_is_refused(
    shop: DataSet, grown_shop: DataSet, shop_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    writer = WindowWriter(shop, tmp_path / "windows")
    writer.pane(0, 65)
    follow(writer.root, run, idle_timeout=0)
    grown = WindowWriter(grown_shop, tmp_path / "grown")
    grown.pane(1, 65, raw=False)
    with pytest.raises(DatasetMismatchError, match="came from another transform than the run"):
        follow(grown.root, run, resume=True, idle_timeout=0)
    begun = follow(grown.root, tmp_path / "begun", warm_start=shop_run, idle_timeout=0)
    cold = follow(grown.root, tmp_path / "cold", idle_timeout=0)
    warm_loss, cold_loss = (found["history"][0]["before"]["loss"] for found in (begun, cold))
    assert warm_loss < cold_loss


@pytest.mark.slow
def test_versions_are_proved_numbered_and_change_nothing(
    windows: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, served = tmp_path / "run", tmp_path / "served"
    (served / "3").mkdir(parents=True)
    exports = Exports(served, every=2)
    plain = model.follow.export_model

    def dying(*arguments: Any) -> Any:
        plain(*arguments)
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(model.follow, "export_model", dying)
        follow(windows, run, idle_timeout=0, exports=exports)
    assert sorted(path.name for path in served.iterdir()) == ["3", "4"]
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        # This time before anything is exported.
        patch.setattr(model.follow, "export_model", lambda *_: (_ for _ in ()).throw(KilledError))
        follow(windows, run, idle_timeout=0, resume=True, exports=exports)
    assert sorted(path.name for path in served.iterdir()) == ["3", "4"]
    follow(windows, run, idle_timeout=0, resume=True, exports=exports)
    assert sorted(path.name for path in served.iterdir()) == ["3", "4", "5"]
    assert_same(whole, run)
    last = finished_panes(windows)[-1][0]
    report = verify(served / "5", windows / last)
    assert report.passed
    assert report.rows == 65
    trained = keras.saving.load_model(run / "model.keras")
    features = next(iter(open_records(windows / last).in_order("train", batch_size=65)))[0]
    raw = [example.SerializeToString() for example in _examples(windows / last)]
    outputs = tf.saved_model.load(str(served / "5")).signatures["serving_default"](
        examples=tf.constant(raw)
    )
    np.testing.assert_allclose(
        np.sort(outputs["predictions"].numpy().reshape(-1)),
        np.sort(trained(features, training=False).numpy().reshape(-1)),
        atol=1e-6,
    )


def _examples(pane: Path) -> list[tf.train.Example]:
    from skewless.model.verify import sample_rows
    from skewless.schemas.rows.row_encoding import examples
    from skewless.schemas.spec.spec import load

    spec = load(pane.parent / "spec.yaml")
    return [
        tf.train.Example.FromString(row)
        for batch in sample_rows(pane)
        for row in examples(batch.columns, spec)
    ]


@pytest.mark.slow
def test_without_raw_rows_versions_need_records_to_be_proved_on(
    shop: DataSet, tmp_path: Path
) -> None:
    writer = WindowWriter(shop, tmp_path / "windows")
    writer.pane(0, 65, raw=False)
    run, served = tmp_path / "run", tmp_path / "served"
    with pytest.raises(UsageError, match="--prove-on, or --no-verify"):
        follow(writer.root, run, idle_timeout=0, exports=Exports(served))
    assert not served.exists()
    follow(
        writer.root,
        run,
        idle_timeout=0,
        resume=True,
        exports=Exports(served, records=shop.directory),
    )
    assert [path.name for path in served.iterdir()] == ["1"]
    writer.pane(1, 65, raw=False)
    follow(writer.root, run, idle_timeout=0, resume=True, exports=Exports(served, check=False))
    assert sorted(path.name for path in served.iterdir()) == ["1", "2"]


def test_a_run_goes_on_in_the_way_it_was_started(
    shop: DataSet, shop_run: Path, windows: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="was not trained in this way"):
        follow(windows, shop_run, resume=True, idle_timeout=0)
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "metrics.json").unlink()
    with pytest.raises(UsageError, match="was not trained in this way"):
        train(shop.directory, run, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-windows", "0"], "--max-windows: expected at least 1"),
        (["--poll", "0"], "--poll: expected more than 0"),
        (["--export-every", "2"], "--export-every: expected --export-to DIR as well"),
        (["--export-to", "x", "--export-every", "0"], "--export-every: expected at least 1"),
        (["--cache", "memory"], "--cache: has no meaning with --follow"),
    ],
)
def test_wrong_use_is_refused(
    windows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    command = ["train", "--follow", str(windows), "--output", str(tmp_path / "run")]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err


def test_options_of_following_need_it(
    shop: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(tmp_path / "run")]
    assert main(["train", str(shop.directory), *output, "--max-windows", "1"]) == 2
    assert "--max-windows: goes with --follow DIR" in capsys.readouterr().err
    assert main(["train", *output]) == 2
    assert "expected a records directory, or --follow" in capsys.readouterr().err


def test_the_command_follows(
    windows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--follow", str(windows), "--output", str(tmp_path / "run")]
    assert main([*command, "--max-windows", "1"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"windows": 1, "rows": 65}
