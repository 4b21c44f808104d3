"""Rows of input files for the proof: files are read by beam_pipelines, compared by model."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skewless.model.verify import RawRows

__all__ = ["execute", "rows_of_input"]


def execute(known: argparse.Namespace) -> int:
    """Does what `skewless verify` asks for; returns the exit code."""
    from skewless.model import verify
    from skewless.schemas.errors import UsageError

    if known.histories_from is not None and not known.input:
        raise UsageError(
            f"--histories-from {known.histories_from}: the rows kept beside the records hold their histories; "
            "leave it out, or give --input"
        )
    rows = rows_of_input(known.records, known.input, known.histories_from) if known.input else None
    return verify.execute(known, rows)


def rows_of_input(
    records: str | os.PathLike[str],
    inputs: Sequence[str],
    histories_from: str | os.PathLike[str] | None = None,
) -> Callable[[], Iterator[RawRows]]:
    """Returns what yields the rows of files, batch by batch, each time that it is called.

    Args:
      records: Whose rows they are.
      inputs: Globs.
      histories_from: The `pasts/` folder that the records' histories go on from.
    """
    from skewless.beam_pipelines.batch.work import units_with_past
    from skewless.beam_pipelines.histories.left import open_pasts
    from skewless.beam_pipelines.rows.read_rows import rows_of
    from skewless.beam_pipelines.running.local_runner import completed_options
    from skewless.beam_pipelines.sources import plan
    from skewless.model.verify import RawRows
    from skewless.schemas.records.layout import SPEC
    from skewless.schemas.spec.kinds.history import histories_of
    from skewless.schemas.spec.spec import load

    spec = load(os.path.join(records, SPEC))
    earlier = None
    if histories_from is not None:
        earlier = open_pasts(spec, os.fspath(histories_from), f"--histories-from {histories_from}")
    units = plan(inputs, spec)
    directory = None
    if histories_of(spec.features):
        # Gone with what yields the rows.
        directory = tempfile.TemporaryDirectory(prefix="skewless-histories-")
        options = completed_options((), units=len(units))
        units = units_with_past(spec, units, options, directory.name, earlier)

    def rows(_: tempfile.TemporaryDirectory[str] | None = directory) -> Iterator[RawRows]:
        for unit in units:
            for batch in rows_of(unit, spec):
                yield RawRows(batch.keys, batch.columns)

    return rows
