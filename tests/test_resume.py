"""Stopped runs: what continuing them leaves is what no stop would have left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless import model
from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.comparison.arms import with_values
from skewless.model.train import train
from skewless.model.training.callbacks import StopOnNonFinite
from skewless.schemas import parse
from skewless.schemas.errors import TrainingError, UsageError
from tests.conftest import SHOP, DataSet
from tests.killed_training import KilledError, kill_at

ROOT = Path(__file__).parent.parent


def _weights(run: Path) -> list[np.ndarray]:
    return [np.array(weight) for weight in keras.saving.load_model(run / "model.keras").weights]


def _assert_same(whole: Path, other: Path) -> None:
    for expected, got in zip(_weights(whole), _weights(other), strict=True):
        np.testing.assert_array_equal(expected, got)
    ends = [json.loads((run / "metrics.json").read_text()) for run in (whole, other)]
    assert ends[0]["eval"] == ends[1]["eval"]
    assert [e["val_loss"] for e in ends[0]["history"]] == [
        e["val_loss"] for e in ends[1]["history"]
    ]


@pytest.mark.parametrize(
    ("epoch", "step", "cache"),
    [
        (1, 3, None),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(0, 1, None), (1, 3, "memory"), (1, 3, "file")]
        ),
    ],
)
def test_resumes_to_the_same_weights(
    shop: DataSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
    step: int,
    cache: str | None,
) -> None:
    path = str(tmp_path / "cache") if cache == "file" else cache
    values = {"training.schedule": "cosine", "training.weight_decay": 0.01, "training.ema": 0.9}
    values |= {"training.class_weights": "balanced", "training.label_smoothing": 0.1}
    values |= {"training.best_by": "auc", "model.ensemble": 2, "model.residual": True}
    if cache is None and epoch:  # The other cases weigh classes instead.
        del values["training.class_weights"]
        values |= {"training.keep_negatives": 0.6, "training.batch_size": 32}
    spec = with_values(shop.spec, {**values, "model.normalization": "batch", "model.linear": True})
    train(shop.directory, tmp_path / "whole", cache=path, spec=spec)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, epoch, step)
        train(shop.directory, tmp_path / "cut", checkpoint_steps=1, cache=path, spec=spec)
    # A new process has other random state; nothing may depend on it.
    keras.utils.set_random_seed(987)
    train(shop.directory, tmp_path / "cut", resume=True, cache=path)
    _assert_same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "lazy_adam"])
def test_steps_between_checkpoints_are_done_again(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    spec = with_values(shop.spec, {"training.optimizer": optimizer})
    train(shop.directory, tmp_path / "whole", spec=spec)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, 1, 3)
        train(shop.directory, tmp_path / "cut", checkpoint_steps=2, spec=spec)
    state = json.loads((tmp_path / "cut/checkpoints/state.json").read_text())
    assert (state["epoch"], state["step"]) == (1, 2)
    tf.random.set_seed(987)
    train(shop.directory, tmp_path / "cut", resume=True)
    _assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_run_that_had_stopped_early_stays_stopped(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = {"batch_size": 64, "epochs": 6, "learning_rate": 1e-30, "early_stopping": 1}

    def dying(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(model.train, "_finish", dying)
        train(shop.directory, tmp_path / "run", spec=parse({**SHOP, "training": still}))
    assert len(train(shop.directory, tmp_path / "run", resume=True)["history"]) == 2


def test_the_number_of_epochs_is_kept(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, 0, 1)
        train(shop.directory, tmp_path / "run", epochs=1, checkpoint_steps=1)
    assert len(train(shop.directory, tmp_path / "run", resume=True)["history"]) == 1


def test_a_finished_run_has_nothing_to_resume(shop: DataSet, shop_run: Path) -> None:
    before = (shop_run / "model.keras").stat().st_mtime_ns
    again = train(shop.directory, shop_run, resume=True)
    assert again == json.loads((shop_run / "metrics.json").read_text())
    assert (shop_run / "model.keras").stat().st_mtime_ns == before


def test_resuming_nothing_is_refused(shop: DataSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run to resume"):
        train(shop.directory, tmp_path / "none", resume=True)


def test_resuming_differently_is_refused(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, 0, 1)
        train(shop.directory, run, checkpoint_steps=1)
    with pytest.raises(UsageError, match="holds a stopped run; add --resume"):
        train(shop.directory, run)
    with pytest.raises(UsageError, match="started with another spec"):
        train(shop.directory, run, resume=True, spec=parse({**SHOP, "model": {"hidden": [3]}}))
    with pytest.raises(UsageError, match="started without --cache"):
        train(shop.directory, run, resume=True, cache="memory")


def test_spoiled_weights_never_replace_a_checkpoint(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(self: Any, batch: int, logs: Any = None) -> None:
        if batch == 2:
            weight = self.model.get_layer("hidden.0").kernel
            weight.assign(np.full(weight.shape, np.nan, np.float32))

    monkeypatch.setattr(StopOnNonFinite, "on_train_batch_end", spoil)
    with pytest.raises(
        TrainingError,
        match=r"weight .*hidden[.]0/kernel is no longer finite at epoch 1, step 3;.*try",
    ):
        train(shop.directory, tmp_path / "run", checkpoint_steps=1)
    state = json.loads((tmp_path / "run/checkpoints/state.json").read_text())
    assert state["step"] == 2


_TRAIN = """
import sys, time
from skewless.model.training.callbacks import StopOnNonFinite
from skewless.model.train import train
plain = StopOnNonFinite.on_train_batch_end
def slow(self, batch, logs=None):
    plain(self, batch, logs)
    time.sleep(float(sys.argv[3]))
StopOnNonFinite.on_train_batch_end = slow
train(sys.argv[1], sys.argv[2], epochs=3, resume=sys.argv[4] == "resume", checkpoint_steps=1)
"""


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_weights(shop: DataSet, tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch, then a new process."""
    train(shop.directory, tmp_path / "whole", epochs=3)
    run = tmp_path / "killed"
    command = [sys.executable, "-c", _TRAIN, str(shop.directory), str(run)]
    job = subprocess.Popen([*command, "0.3", "start"], cwd=ROOT, stderr=subprocess.DEVNULL)
    state = run / "checkpoints" / "state.json"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and job.poll() is None:
        if state.is_file():
            progress = json.loads(state.read_text())
            if progress["epoch"] >= 1 and progress["step"] >= 2:
                break
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert not (run / "metrics.json").exists()
    assert json.loads(state.read_text())["step"] >= 2
    subprocess.run([*command, "0", "resume"], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    _assert_same(tmp_path / "whole", run)


@pytest.mark.slow
@pytest.mark.parametrize("model", [{"sampled_softmax": 8}, {"cell": "transformer", "heads": 2}])
def test_a_sequence_model_resumes_to_the_same_weights(
    model: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is drawn, tokens of a sample and what dropout leaves out, follows from the step alone."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    pairs = [(words[n % 10], words[n // 10]) for n in range(100)]
    lines = [f"{one} {other} {one},{other} {one}" for one, other in pairs]
    (tmp_path / "pairs.csv").write_text("\n".join(["source,target", *lines]) + "\n")
    spec = parse(
        {
            "name": "pairs",
            "features": {"source": {"type": "text", "length": 4, "embedding": 8}},
            "label": {"column": "target", "type": "sequence", "length": 4, "embedding": 8},
            "model": {"type": "seq2seq", "units": 8, "dropout": 0.2, **model},
            "training": {"batch_size": 16, "epochs": 2},
        }
    )
    preprocess(spec, [str(tmp_path / "pairs.csv")], tmp_path / "records")
    train(tmp_path / "records", tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        kill_at(patch, 1, 3)
        train(tmp_path / "records", tmp_path / "cut", checkpoint_steps=1)
    keras.utils.set_random_seed(987)
    train(tmp_path / "records", tmp_path / "cut", resume=True)
    _assert_same(tmp_path / "whole", tmp_path / "cut")
