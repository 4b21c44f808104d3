"""Indexing: a catalogue's candidates through the candidate tower, on Beam, and an index over them.

towers -> embedded -> accounted -> catalogue -> built -> measured -> committed

    OUT/  vectors.parquet  vectors.usearch  rejected/  index.json, put last
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skewless.beam_pipelines import arguments
from skewless.beam_pipelines.batch.accounted import accounted
from skewless.beam_pipelines.batch.cut import cut
from skewless.beam_pipelines.batch.plan import Opened, opened_input
from skewless.beam_pipelines.batch.predictor import predicted
from skewless.beam_pipelines.nearest.approximate import (
    INDEX,
    built,
    check_installed,
    measured,
)
from skewless.beam_pipelines.nearest.catalogue import VECTORS, Catalogue, vectors_in
from skewless.beam_pipelines.nearest.side import id_column, side_of, towers_in
from skewless.beam_pipelines.records.parts import bring
from skewless.beam_pipelines.running.dataflow import is_on_dataflow
from skewless.beam_pipelines.running.local_runner import (
    BeamOptions,
    completed_options,
    may_be_apart,
    pipeline_options,
)
from skewless.beam_pipelines.running.output_directory import OutputDirectory
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DataError
from skewless.schemas.records.exported_files import check_exported
from skewless.schemas.records.layout import INDEX_SUMMARY
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.storage.between.files import inside
from skewless.schemas.storage.known_as import as_known
from skewless.schemas.storage.location import is_uri

__all__ = ["Inputs", "execute", "index", "opened_inputs", "run"]

# So many queries tell recall to about a hundredth.
_MEASURED = 1_000
Inputs = dict[Literal["candidate", "query"], Opened]


def index(
    model: str | Path,
    inputs: Sequence[str],
    output: str | Path,
    *,
    id: str | None = None,
    queries: Sequence[str] = (),
    search_width: int | None = None,
    max_rejected: float = 0.01,
    overwrite: bool = False,
    options: BeamOptions = (),
) -> dict[str, Any]:
    """Embeds every candidate of the input files and leaves an index over their vectors.

    Args:
      model: What `skewless export` left, of two towers.
      inputs: Globs of candidates, in any format that `preprocess` reads; only columns of the
        candidate's side are read.
      output: The directory to leave.
      id: The column of IDs; by default that of the feature that names candidates.
      queries: Globs of queries that recall is measured on, up to a thousand of them; without any,
        candidates stand for queries.
      search_width: How many candidates a search keeps in sight; by default the least of 64 to 1,024 that
        finds 95% of what brute force does.
      max_rejected: The largest share of rejected rows that still counts as success.
      overwrite: Replaces a finished output.
      options: Beam's options.

    Returns:
      What `index.json` holds.

    Raises:
      UsageError: If the model has no two towers, no column of IDs is known, usearch is not installed, or
        the output is finished already.
      DataError: If candidates of one ID differ, a vector is not finite, an input cannot be used, or
        too many rows are rejected.
      AccountingError: If the runner lost rows.
    """
    begin = time.monotonic()
    opened = opened_inputs(model, inputs, queries, id, options)
    endings = {"records": ".parquet", "rejected": ".jsonl"}
    with OutputDirectory(output, overwrite=overwrite, marker=INDEX_SUMMARY) as directory:
        staging = directory.staging
        options = opened["candidate"].options
        shared = directory.shared(apart=may_be_apart(options), paths=not is_on_dataflow(options))
        job = cut(opened["candidate"], shared)
        outcome = predicted(job, Path(model).absolute(), shared, "parquet", "candidate")
        rows = accounted(job.units, outcome, directory, endings, max_rejected, passing=("records",))
        parts = [staging / path for path, part in rows.files if part.kind == "records"]
        if not parts:
            raise DataError("every row was rejected, so there is no candidate; see --max-rejected")
        catalogue = Catalogue.gathered(parts)
        for part in parts:
            part.unlink()
        catalogue.write(staging)
        approximate = built(catalogue.vectors)
        approximate.save(str(staging / INDEX))
        asked = _asked(opened, Path(model).absolute(), staging, shared, catalogue)
        spec = opened["candidate"].spec
        assert isinstance(spec.model, TwoTowerSpec)
        written = {"written": len(catalogue.ids), "duplicate": catalogue.repeated}
        summary = {
            "model": str(model),
            "id": spec.key,
            "rows": rows.rows.model_copy(update=written).model_dump(),
            "width": catalogue.vectors.shape[1],
            "files": {name: file_sha256(staging / name) for name in (VECTORS, INDEX)},
            **measured(approximate, catalogue.vectors, asked, spec.model.cutoffs, search_width),
            "measured_on": {"queries" if queries else "candidates": len(asked)},
            "runner": job.runner,
            "seconds": round(time.monotonic() - begin, 3),
        }
        (staging / INDEX_SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        directory.commit()
    return summary


def opened_inputs(
    model: str | Path,
    inputs: Sequence[str],
    queries: Sequence[str],
    id: str | None,
    options: BeamOptions,
) -> Inputs:
    """Checks the model and opens the files: candidates, and queries where there are any.

    Raises:
      UsageError, DataError: As `index`.
    """
    check_installed()
    check_exported(model)
    spec = towers_in(model)
    completed = completed_options(options)
    candidates = side_of(spec, "candidate", id_column(spec, id))
    opened: Inputs = {"candidate": opened_input(candidates, inputs, completed, serving=True)}
    if queries:
        side = side_of(spec, "query")
        opened["query"] = opened_input(side, queries, completed, serving=True)
    return opened


def _asked(
    opened: Inputs, model: Path, staging: Path, shared: str, catalogue: Catalogue
) -> np.ndarray:
    """Returns [queries, width] float32 vectors to measure recall on, drawn from all there are."""
    vectors = catalogue.vectors
    if "query" in opened:
        beside = staging / "queries"
        beside.mkdir()
        place = inside(shared, "queries")
        outcome = predicted(cut(opened["query"], place), model, place, "parquet", "query")
        parts = [part for part in outcome.parts if part.kind == "records"]
        if not parts:
            raise DataError("--queries: expected files with queries to measure recall on, got none")
        bring([(Path(part.path).name, part) for part in parts], beside)
        here = [beside / Path(part.path).name if is_uri(part.path) else part.path for part in parts]
        vectors = vectors_in([Path(path) for path in here])
        shutil.rmtree(beside)
    count = min(_MEASURED, len(vectors))
    return vectors[np.sort(np.random.default_rng(1).permutation(len(vectors))[:count])]


def _told(summary: dict[str, Any], output: str) -> str:
    """Returns what came of it, in words."""
    rows, (measured_on, count) = summary["rows"], next(iter(summary["measured_on"].items()))
    recall = ", ".join(f"{share:.3f} of {cutoff}" for cutoff, share in summary["recall"].items())
    p50 = summary["p50_milliseconds"]
    width = f"search width {summary['search_width']}"
    return (
        f"{output}: {rows['written']:,} candidates by {summary['id']}; {rows['read']:,} rows read, "
        f"{rows['rejected']:,} rejected, {rows['duplicate']:,} repeated; {summary['seconds']:.1f} s\n"
        f"recall on {count:,} {measured_on}, {width}: {recall}; p50 {p50['index']:.3f} ms a query, "
        f"{p50['brute_force']:.3f} ms by brute force"
    )


def _tell_dry_run(opened: Inputs, *, as_json: bool) -> None:
    """Prints what would be done."""
    files = {side: sorted({file.whole.file for file in job.files}) for side, job in opened.items()}
    spec = opened["candidate"].spec
    if as_json:
        document = {"id": spec.key, "features": list(spec.features), "files": files}
        print(json.dumps({**document, "written": False}, indent=2, ensure_ascii=False))
        return
    print(f"candidates: {', '.join(spec.features)}, by {spec.key}")
    for side, paths in files.items():
        print(f"{side}: {len(paths)} files; every column that the model reads is there")
    print("dry run: nothing was written")


def execute(known: argparse.Namespace, beam_arguments: Sequence[str]) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    options = pipeline_options(beam_arguments)
    if known.dry_run:
        opened = opened_inputs(known.model, known.input, known.queries, known.id, options)
        _tell_dry_run(opened, as_json=known.json)
        return 0
    summary = index(
        known.model,
        known.input,
        known.output,
        id=known.id,
        queries=known.queries,
        search_width=known.search_width,
        max_rejected=known.max_rejected,
        overwrite=known.overwrite,
        options=options,
    )
    print(json.dumps(summary) if known.json else _told(summary, as_known(known.output)))
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.beam_pipelines.index",
        arguments.index,
        execute,
        argv,
        description=__doc__,
        beam=True,
    )


if __name__ == "__main__":
    raise SystemExit(run())
