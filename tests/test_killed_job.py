"""The real job, killed at each phase it goes through, then run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skewless.beam_pipelines.preprocess import preprocess
from tests.conftest import DataSet
from tests.test_preprocess import records_of

ROOT = Path(__file__).parent.parent
# What is on disk once a phase has begun; all are in the hidden directory beside the output.
PHASES = {
    "staged": "pending",
    "analysed": "transform/transform_fn/saved_model.pb",
    "writing": "pending/records/*",
    "placed": "train/part-*",
}


def job(shop: DataSet, output: Path) -> list[str]:
    job_module = [sys.executable, "-m", "skewless.beam_pipelines.preprocess"]
    spec = str(shop.directory / "spec.yaml")
    return [*job_module, spec, "--input", str(shop.source), "--output", str(output)]


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_killed_in_each_phase_then_rerun_leaves_the_same_records(
    shop: DataSet, tmp_path: Path, phase: str
) -> None:
    output = tmp_path / "out"
    killed = subprocess.Popen(
        job(shop, output), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not list(tmp_path.glob(f".out.*.partial/{PHASES[phase]}")):
        assert killed.poll() is None, f"the job ended before it was seen {phase}"
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not output.exists()
    assert len(list(tmp_path.glob(".out.*.partial"))) == 1
    preprocess(shop.spec, [str(shop.source)], output)
    assert records_of(output) == records_of(shop.directory)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
