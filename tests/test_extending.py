"""The worked extensions of docs/extending.md, applied to a copy of the project and run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documented import ROOT, blocks, run_script

PAGE = [block for block in blocks() if block.page == "docs/extending.md"]
SOURCES = ("schemas", "beam_pipelines", "model")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the page's changes."""
    copy = tmp_path_factory.mktemp("extended")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name)
    shutil.copytree(ROOT / "skewless", copy / "skewless", symlinks=True)
    diffs = [block for block in PAGE if block.language == "diff"]
    assert len(diffs) == 4
    for block in diffs:
        done = subprocess.run(
            ["patch", "-p0", "--no-backup-if-mismatch"],
            input=block.text,
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"line {block.line} no longer fits:\n{done.stdout}"
    return copy


def test_the_changes_fit_and_the_spec_loads(extended: Path) -> None:
    (spec,) = (block.text for block in PAGE if block.language == "yaml")
    (extended / "extended.yaml").write_text(spec, encoding="utf-8")
    code = "from skewless.schemas import load; print(load('extended.yaml').features['hour'].period)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=extended,
        env={**os.environ, "PYTHONPATH": str(extended)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "24.0", done.stderr


@pytest.mark.slow
def test_they_train_and_export_with_parity(extended: Path, tmp_path: Path) -> None:
    for block in PAGE:
        first = block.text.splitlines()[0]
        if first in ("# extended.yaml", "# rows.py"):
            (tmp_path / first.removeprefix("# ")).write_text(block.text, encoding="utf-8")
    (commands,) = (block.text for block in PAGE if block.language == "bash")
    # The copy's modules, whatever is installed.
    script = commands.replace("skewless ", "python -m skewless ")
    assert "parity holds" in run_script(script, tmp_path, extended)
