"""In a notebook: its bars, and the tutorial's cells, each in a real kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
BAR = """
import itertools
from skewless.schemas.progress import ProgressLine, Status
line = ProgressLine(clock=itertools.count(0, 11).__next__)
for rows in (1000, 3000):
    line.tell(Status("<writing>", rows, 500.0, rows / 4000, (4000 - rows) / 500))
"""
SILENCED = """
import logging
logging.getLogger("skewless").setLevel("WARNING")
line = ProgressLine(clock=itertools.count(0, 11).__next__)
line.tell(Status("writing", 1000, 500.0))
"""


@pytest.fixture(autouse=True)
def modules_of_this_project(monkeypatch: pytest.MonkeyPatch) -> None:
    # A kernel starts elsewhere; that others set this is not of its making.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def client(notebook: Any, folder: Path) -> Any:
    resources = {"metadata": {"path": os.fspath(folder)}}
    return nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=resources
    )


def test_a_bar_is_one_output_that_is_drawn_over_and_taken_away(tmp_path: Path) -> None:
    sources = (BAR, "line.close()", SILENCED)
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with (running := client(notebook, tmp_path)).setup_kernel():
        running.execute_cell(cells[0], 0)
        (drawn,) = cells[0].outputs
        assert (
            '<progress max="1" value="0.7500" aria-label="&lt;writing&gt;">'
            in drawn.data["text/html"]
        )
        told = "<writing>: 3,000 rows, 500 rows/s, 75%, 2 s left"
        assert drawn.data["text/plain"] == told
        running.execute_cell(cells[1], 1)
        assert set(cells[0].outputs[0].data.values()) == {""}
        running.execute_cell(cells[2], 2)
        assert not cells[1].outputs + cells[2].outputs


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert all(kept[2:]), "docs/notebook.ipynb has lost what its cells showed"
    told = str(nbformat.writes(notebook))
    assert not re.search(r'"(/[a-z]+){2}', told), "a path of the machine it was run on"
    client(notebook, tmp_path).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = {
        cell.source.splitlines()[-1]: [
            text
            for output in cell.outputs
            for text in (output.get("data") or {"text": output.get("text", "")}).values()
        ]
        for cell in code
    }
    assert any("4,000 rows read = 4,000 written" in text for text in shown["records"])
    (run,) = (text for text in shown["run"] if text.startswith("Run("))
    assert float(re.findall(r"eval auc ([\d.]+)", run)[0]) > 0.6
    assert any("AUC is worse by" in text for texts in shown.values() for text in texts)
    (predicted,) = shown['model.predict(frame.head(3))["predictions"]'][-1:]
    assert predicted.startswith("array([[0.")
