"""What a records directory says of itself: statistics, spec, schema, and the manifest at the end."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from skewless.beam_pipelines.batch.accounted import Accounted, splits_of, tell_found
from skewless.beam_pipelines.batch.pipelines import TEMPORARY, StagedJob
from skewless.beam_pipelines.records.outcome import Outcome
from skewless.beam_pipelines.running.laps import Laps
from skewless.beam_pipelines.statistics.histograms import add_histograms
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics
from skewless.beam_pipelines.transform.fitted_transform import write_declaration
from skewless.beam_pipelines.transform.record_entries import record_entries
from skewless.schemas.records.layout import MANIFEST, PASTS, STATISTICS
from skewless.schemas.records.manifest import Manifest
from skewless.schemas.records.transform_digest import transform_sha256
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.splits import SPLITS
from skewless.schemas.storage.known_as import as_known
from skewless.schemas.storage.location import is_uri

__all__ = ["described", "write_manifest"]


def described(job: StagedJob, outcome: Outcome, accounted: Accounted, clock: Laps) -> Manifest:
    """Writes statistics, spec and schema into the staging directory; returns the manifest.

    Raises:
      DataError: If a transform was to be fitted, and no row is there to train on.
      DatasetMismatchError: If the transform does not take the spec's columns.
    """
    spec, staging = job.planned.spec, job.staging
    splits = splits_of(accounted.files)
    tell_found(job, outcome, splits)
    _write_statistics(job, outcome.statistics)
    write_declaration(spec, staging)
    shutil.rmtree(staging / TEMPORARY, ignore_errors=True)
    for split in SPLITS:
        (staging / split).mkdir(exist_ok=True)
    if histories_of(spec.features):  # Of no row, it is empty.
        (staging / PASTS).mkdir(exist_ok=True)
    return Manifest(
        spec_sha256=spec.sha256(),
        transform_sha256=transform_sha256(job.transform),
        rows=accounted.rows,
        splits=splits,
        features=record_entries(spec, str(job.transform)),
        compression=job.shards.compression,
        rows_per_record=job.shards.rows_per_record,
        identity="contents",
        seconds=clock.seconds(),
        runner=job.planned.runner,
        sources=_sources(job),
        versions=_versions(),
    )


def write_manifest(job: StagedJob, manifest: Manifest) -> None:
    """Writes the manifest, after all that it names."""
    (job.staging / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def _write_statistics(job: StagedJob, statistics: Mapping[str, SplitStatistics]) -> None:
    spec = job.planned.spec
    summaries = {split: entry.summary(spec) for split, entry in sorted(statistics.items())}
    add_histograms(summaries, statistics, spec, str(job.transform))
    # A fitted transform may be applied to held-out rows alone.
    first = summaries.get("train") or next(iter(summaries.values()))
    document = {"features": first["features"], "splits": summaries}
    (job.staging / STATISTICS).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _sources(job: StagedJob) -> tuple[str, ...]:
    """Returns the files of the input, and tables with their snapshots.

    Of those on this machine the name alone: records travel.
    """
    known = (
        as_known(unit.file) if unit.table is None else unit.table.snapshot
        for unit in job.planned.units
    )
    return tuple(dict.fromkeys(file if is_uri(file) else Path(file).name for file in known))


def _versions() -> dict[str, str]:
    packages = ("tensorflow", "tensorflow-transform", "apache-beam", "pyarrow", "keras")
    return {package: importlib.metadata.version(package) for package in packages}
