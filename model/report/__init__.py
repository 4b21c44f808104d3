"""A report: one HTML file on records and runs that needs no network and no script.

    files on disk (`sources`) → figures (`divergence`, `findings`) → charts (`data_charts`,
    `run_charts`, drawn by `drawing`) → `page`

It reads the JSON that `preprocess`, `train` and `evaluate` leave, never a record or a weight.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from skewless.model import arguments
from skewless.model.report.found.index import parted
from skewless.model.report.page import render
from skewless.model.report.sources import open_directories
from skewless.schemas.ending import run_module
from skewless.schemas.staged import write_whole
from skewless.schemas.storage.known_as import as_known

__all__ = ["execute", "run", "write_report"]


def write_report(directories: Sequence[str | Path], output: str | Path) -> Path:
    """Writes the page.

    Args:
      directories: Records directories, runs and indexes of candidates, in any order.
      output: The HTML file; one that is there is replaced.

    Raises:
      UsageError: If a directory is none, or what the report needs is not installed.
      DatasetMismatchError: If one of its files is damaged.
    """
    output = Path(output)
    indexes, others = parted(directories)
    records, runs = open_directories(others)
    text = render(records, runs, indexes)
    write_whole(output, text)
    return output


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    output = write_report(known.directories, known.output)
    print(f"{as_known(output)}: {output.stat().st_size / 1e6:.1f} MB")
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module("skewless.model.report", arguments.report, execute, argv, description=__doc__)
