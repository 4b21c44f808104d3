"""The batch job: rows in, records, transform graph and manifest out.

    plan -> find duplicates -> analyse -> write rows -> account -> manifest -> commit

Only descriptors of work cross stages; the training split alone is analysed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import apache_beam as beam
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton

from skewless.beam_pipelines import arguments
from skewless.beam_pipelines.analysis.cache import AnalysisCache
from skewless.beam_pipelines.analysis.duplicates import COMPARING_KEYS, FindDuplicates
from skewless.beam_pipelines.analysis.grow import check_growable, tell_growth
from skewless.beam_pipelines.analysis.stage import ANALYSING, Analyse, AnalyseWithTransform
from skewless.beam_pipelines.records.accounting import UnitAccount, account, check_rejected
from skewless.beam_pipelines.records.outcome import CountedUnit, Outcome
from skewless.beam_pipelines.records.sinks import SINK_FOLDERS, Part, place
from skewless.beam_pipelines.records.write_rows import (
    ACCOUNTS,
    PARTS,
    STATISTICS,
    WRITING,
    WriteRows,
)
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.rows.seen_labels import count_labels, most_seen, tell_labels
from skewless.beam_pipelines.rows.split_changes import tell_split_changes
from skewless.beam_pipelines.running.job_progress import Tally, Watch
from skewless.beam_pipelines.running.local_runner import pipeline_options, runner_name
from skewless.beam_pipelines.running.output_directory import OutputDirectory
from skewless.beam_pipelines.sources import WorkUnit, as_seen_from_anywhere, plan, wanted_columns
from skewless.beam_pipelines.statistics.histograms import add_histograms
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics, merge_statistics
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.fitted_transform import check_fitted, write_declaration
from skewless.beam_pipelines.transform.graph import write_transform_graph
from skewless.beam_pipelines.transform.own_function import check_own_assets
from skewless.beam_pipelines.transform.preprocessing_fn import check_declared
from skewless.beam_pipelines.transform.record_entries import record_entries
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.manifest import MANIFEST, TRANSFORM, Manifest, Shard, SplitEntry
from skewless.schemas.records.transform_digest import transform_sha256
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.spec.splits import SPLITS

__all__ = ["execute", "preprocess", "run"]

SHARD_BYTES = 128 * 1024 * 1024
_OUTCOME = "outcome"
_TEMPORARY = "temporary"
_ENDINGS = {"records": ".tfrecord", "raw": ".parquet", "rejected": ".jsonl"}
_LOGGER = logging.getLogger(__name__)


def preprocess(
    spec: Spec,
    inputs: Sequence[str],
    output: str | Path,
    *,
    transform: str | Path | None = None,
    grow_from: str | Path | None = None,
    cache: str | Path | None = None,
    max_rejected: float = 0.01,
    overwrite: bool = False,
    compression: Literal["none", "gzip"] = "none",
    shard_bytes: int = SHARD_BYTES,
    rows_per_record: int = 1,
    options: PipelineOptions | Sequence[str] = (),
) -> Manifest:
    """Turns rows into a records directory (docs/records.md).

    Args:
      spec: The declaration.
      inputs: Globs, each with an optional `train=`, `eval=` or `test=` before it.
      output: The directory to leave.
      transform: A fitted transform to apply instead of analysing the training split.
      grow_from: A fitted transform whose IDs and constants are kept; new entries come after the
        old ones of each vocabulary (beam_pipelines/analysis/grow.py).
      cache: A directory that keeps what was found of each work unit for later jobs
        (beam_pipelines/analysis/cache.py); the result is the same without.
      max_rejected: The largest share of rejected rows that still counts as success.
      overwrite: Replaces a finished output.
      compression: `none` or `gzip`, of the records.
      shard_bytes: About how large a shard gets.
      rows_per_record: How many rows a record holds; more than one are faster to read and parse.
      options: Beam's options; those given as on a command line are completed: the local runner
        by default, with a process for each core where the work deserves it.

    Raises:
      UsageError: If the output is finished already, a glob matches nothing, the cache cannot be
        written, or both `transform` and `grow_from` are given.
      DataError: If the input cannot be used, or too many of its rows; if the transform is of
        another spec, or no vocabulary of it can grow.
      AccountingError: If the runner lost rows; nothing is left at the output.
    """
    begin = time.monotonic()
    check_declared(spec)
    if grow_from is not None:
        if transform is not None:
            raise UsageError("--grow-from: fits anew, and --transform does not; leave out one")
        check_growable(spec, str(grow_from))
        tell_split_changes(spec, Path(grow_from).parent, f"--grow-from {grow_from}")
    if transform is not None:
        tell_split_changes(spec, Path(transform).parent, f"--transform {transform}")
    if overwrite:
        tell_split_changes(spec, Path(output), f"{output}, which is overwritten")
    units = plan(inputs, spec)
    if not isinstance(options, PipelineOptions):
        options = pipeline_options(options, units=len(units))
    if runner_name(options) != "DirectRunner":
        units = as_seen_from_anywhere(units)
    planned = time.monotonic()
    _LOGGER.info("planned: %d work units of %d files", len(units), len({u.file for u in units}))
    with OutputDirectory(output, overwrite=overwrite, marker=MANIFEST) as directory:
        staging = directory.staging
        for folder in SINK_FOLDERS:
            (staging / folder).mkdir(parents=True)
        kept = AnalysisCache(cache, spec) if cache is not None else None
        earlier = None if grow_from is None else str(Path(grow_from).absolute())
        tally = Tally(str(staging / _TEMPORARY / "progress"))
        write = WriteRows(spec, str(staging), shard_bytes, compression, rows_per_record, tally)
        job = _Job(spec, units, staging, write, options, kept, earlier, tally)
        with Watch(tally, units, _stages(spec, transform is None)):
            if transform is not None:
                fitted = Path(transform)
                check_fitted(spec, fitted, "use that one, or leave --transform out")
                shutil.copytree(fitted, staging / TRANSFORM)
                outcome = job.apply()
            elif spec.preprocessing is None:
                outcome = job.fit_and_apply()
            else:
                outcome = job.fit_with_transform_and_apply()
        ran = time.monotonic()
        counted = {unit.order: unit.read for unit in outcome.counted}
        rows = account(units, counted, outcome.accounts, outcome.parts)
        if kept is not None:
            taken = sum(unit.kept for unit in outcome.counted)
            _LOGGER.info("analysis: %d of %d work units from %s", taken, len(counted), cache)
        shards = _shards(place(outcome.parts, staging, _ENDINGS))
        rejected_beside = Path(f"{directory.path}.rejected")
        try:
            check_rejected(rows, outcome.accounts, max_rejected, str(rejected_beside))
        except DataError:
            directory.keep("rejected", rejected_beside)
            raise
        if outcome.constants is not None:
            tell_growth(outcome.constants)
        if transform is None and not shards["train"]:
            raise DataError("no row fell into the training split; check split and --input")
        _tell_labels(spec, outcome)
        _write_description(spec, staging, outcome.statistics)
        _clean(staging)
        manifest = Manifest(
            spec_sha256=spec.sha256(),
            transform_sha256=transform_sha256(staging / TRANSFORM),
            rows=rows,
            splits={split: _split_entry(found) for split, found in shards.items()},
            features=record_entries(spec, str(staging / TRANSFORM)),
            compression=compression,
            rows_per_record=rows_per_record,
            identity="contents",
            seconds={
                "plan": round(planned - begin, 3),
                "pipeline": round(ran - planned, 3),
                "total": round(time.monotonic() - begin, 3),
            },
            runner=runner_name(options),
            versions=_versions(),
        )
        (staging / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        directory.commit()
    return manifest


class _Job:
    """The Beam pipelines of one job, which leave their outcome as a file beside what they write."""

    def __init__(
        self,
        spec: Spec,
        units: Sequence[WorkUnit],
        staging: Path,
        write: WriteRows,
        options: PipelineOptions,
        cache: AnalysisCache | None,
        grow_from: str | None,
        tally: Tally,
    ) -> None:
        self._spec = spec
        self._units = units
        self._staging = staging
        self._cache = cache
        self._grow_from = grow_from
        self._tally = tally
        self._write = write
        self._options = options

    def apply(self) -> Outcome:
        """Writes rows by the transform that lies in the staging directory."""
        with beam.Pipeline(options=self._options) as pipeline:
            work, duplicates = self._work(pipeline)
            fitted = str(self._staging / TRANSFORM / "transform_fn")
            saved_model = pipeline | "FittedTransform" >> beam.Create([fitted])
            self._leave(pipeline, self._written(work, duplicates, saved_model))
        return self._outcome()

    def fit_and_apply(self) -> Outcome:
        """Analyses the training rows, builds the transform and writes rows by it."""
        with beam.Pipeline(options=self._options) as pipeline:
            work, duplicates = self._work(pipeline)
            constants, counted = self._analysed(work, duplicates)
            saved_model = constants | "WriteTransform" >> beam.Map(
                lambda constants, spec, directory: write_transform_graph(
                    spec, constants, directory
                ),
                self._spec,
                str(self._staging / TRANSFORM),
            )
            written = self._written(work, duplicates, saved_model)
            self._leave(pipeline, written, counted=counted, constants=constants)
        return self._outcome()

    def fit_with_transform_and_apply(self) -> Outcome:
        """The same in three pipelines: tf.Transform wants our constants when it is built.

        In one pipeline with its analysis, Beam's local runner waits for the writing stage's side
        input before it has made it.
        """
        with beam.Pipeline(options=self._options) as pipeline:
            work, duplicates = self._work(pipeline)
            constants, counted = self._analysed(work, duplicates)
            self._leave(pipeline, constants=constants, counted=counted)
        analysed = self._outcome()
        found = analysed.constants
        assert found is not None
        with (
            beam.Pipeline(options=self._options) as pipeline,
            tft_beam.Context(temp_dir=str(self._staging / _TEMPORARY)),
        ):
            work, duplicates = self._work(pipeline)
            _ = work | "AnalyseWithTransform" >> AnalyseWithTransform(
                self._spec, found, str(self._staging / TRANSFORM), duplicates
            )
        check_own_assets(self._spec, found.vocabularies, str(self._staging / TRANSFORM))
        return replace(self.apply(), counted=analysed.counted)

    def _work(self, pipeline: beam.Pipeline) -> tuple[beam.PCollection, AsSingleton]:
        # Without the reshuffle all units would be one bundle, on one worker.
        work = pipeline | "WorkUnits" >> beam.Create(self._units) | "Spread" >> beam.Reshuffle()
        duplicates = (
            work | "FindDuplicates" >> FindDuplicates(self._spec, self._cache, self._tally)
            if self._spec.key is not None
            else pipeline | "NoDuplicates" >> beam.Create([{}])
        )
        return work, AsSingleton(duplicates)

    def _analysed(
        self, work: beam.PCollection, duplicates: AsSingleton
    ) -> tuple[beam.PCollection, beam.PCollection]:
        directory = str(self._staging / _TEMPORARY / "vocabularies")
        return work | "AnalyseTrainingRows" >> Analyse(
            self._spec, directory, duplicates, self._cache, self._grow_from, self._tally
        )

    def _written(
        self, work: beam.PCollection, duplicates: AsSingleton, saved_model: beam.PCollection
    ) -> dict[str, beam.PCollection]:
        written = work | "WriteRows" >> beam.ParDo(
            self._write, AsSingleton(saved_model), duplicates
        ).with_outputs(PARTS, ACCOUNTS, STATISTICS)
        return {tag: written[tag] for tag in (PARTS, ACCOUNTS, STATISTICS)}

    def _leave(
        self,
        pipeline: beam.Pipeline,
        written: Mapping[str, beam.PCollection] | None = None,
        **found: beam.PCollection,
    ) -> None:
        gathered = {
            tag: AsSingleton(collection | f"Gather[{tag}]" >> beam.combiners.ToList())
            for tag, collection in {**(written or {}), **found}.items()
        }
        _ = (
            pipeline
            | "Outcome" >> beam.Create([str(self._staging / _OUTCOME)])
            | "WriteOutcome" >> beam.Map(_write_outcome, **gathered)
        )

    def _outcome(self) -> Outcome:
        path = self._staging / _OUTCOME
        outcome = Outcome.read(path)
        path.unlink()
        return outcome


def _stages(spec: Spec, fitting: bool) -> list[str]:
    """Returns what all units go through, in this order."""
    return [
        *([COMPARING_KEYS] if spec.key is not None else []),
        *([ANALYSING] if fitting else []),
        WRITING,
    ]


def _tell_labels(spec: Spec, outcome: Outcome) -> None:
    if "train" not in outcome.statistics:
        return
    seen: Counter[str] = Counter()
    for entry in outcome.accounts:
        seen.update(entry.labels)
    tell_labels(spec.label, outcome.statistics["train"].label_counts, seen, "the training split")


def _write_outcome(
    path: str,
    *,
    parts: Sequence[Part] = (),
    accounts: Sequence[UnitAccount] = (),
    statistics: Sequence[dict[str, SplitStatistics]] = (),
    counted: Sequence[tuple[int, int, bool]] = (),
    constants: Sequence[Constants] = (),
) -> None:
    """Writes what the collections of a pipeline hold, by their tags; of constants there is one."""
    Outcome(
        parts,
        accounts,
        [CountedUnit(*unit) for unit in counted],
        merge_statistics(statistics),
        next(iter(constants), None),
    ).write(path)


def _shards(placed: Sequence[tuple[str, Part]]) -> dict[str, list[Shard]]:
    shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}
    for path, part in placed:
        if part.kind == "records":
            shards[part.split].append(
                Shard(path=path, rows=part.rows, bytes=part.bytes, sha256=part.sha256)
            )
    return shards


def _split_entry(shards: list[Shard]) -> SplitEntry:
    return SplitEntry(
        rows=sum(shard.rows for shard in shards),
        bytes=sum(shard.bytes for shard in shards),
        shards=tuple(shards),
    )


def _write_description(
    spec: Spec, staging: Path, statistics: Mapping[str, SplitStatistics]
) -> None:
    summaries = {split: entry.summary(spec) for split, entry in sorted(statistics.items())}
    add_histograms(summaries, statistics, spec, str(staging / TRANSFORM))
    # A fitted transform may be applied to held-out rows alone.
    first = summaries.get("train") or next(iter(summaries.values()))
    document = {"features": first["features"], "splits": summaries}
    (staging / "statistics.json").write_text(
        json.dumps(document, indent=2) + "\n", encoding="utf-8"
    )
    write_declaration(spec, staging)


def _clean(staging: Path) -> None:
    shutil.rmtree(staging / _TEMPORARY, ignore_errors=True)
    for split in SPLITS:
        (staging / split).mkdir(exist_ok=True)


def _versions() -> dict[str, str]:
    packages = ("tensorflow", "tensorflow-transform", "apache-beam", "pyarrow", "keras")
    return {package: importlib.metadata.version(package) for package in packages}


def execute(known: argparse.Namespace, beam_arguments: Sequence[str]) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    pipeline_options(
        beam_arguments
    )  # Refuses what Beam does not know before any file is looked at.
    if known.dry_run:
        return _dry_run(load(known.spec), known.input)
    manifest = preprocess(
        load(known.spec),
        known.input,
        known.output,
        transform=known.transform,
        grow_from=known.grow_from,
        cache=known.cache,
        max_rejected=known.max_rejected,
        overwrite=known.overwrite,
        compression=known.compression,
        rows_per_record=known.rows_per_record,
        options=beam_arguments,
    )
    print(_result(manifest, known.output) if known.json else _summary(manifest, known.output))
    return 0


def _dry_run(spec: Spec, inputs: Sequence[str]) -> int:
    units = plan(inputs, spec)
    files = {unit.file for unit in units}
    print(f"spec {spec.name}: {len(spec.features)} features, sound")
    print(
        f"input: {len(files)} files in {len(units)} work units; every column the spec names is there"
    )
    for name, column in wanted_columns(spec).items():
        print(f"  {name:<24} {column.kind}{', several a row' if column.multivalued else ''}")
    if units and spec.label is not None:
        _tell_first_labels(spec, units[0])
    print("dry run: nothing was written")
    return 0


def _tell_first_labels(spec: Spec, unit: WorkUnit) -> None:
    """Says which label values the first rows hold, whatever split they fall into."""
    rows = next(rows_of(unit, spec), None)
    if rows is None:
        return
    seen: Counter[str] = Counter()
    count_labels(spec, seen, rows.columns, rows.rejected)
    if seen:
        print(f"label values of the first {rows.read:,} rows: {most_seen(seen)}")


def _result(manifest: Manifest, output: str) -> str:
    seconds = manifest.seconds["total"]
    document = {
        "output": output,
        "rows": manifest.rows.model_dump(),
        "splits": {name: entry.rows for name, entry in manifest.splits.items()},
        "seconds": seconds,
        "rows_per_second": round(manifest.rows.read / seconds, 1),
        "transform_sha256": manifest.transform_sha256,
    }
    return json.dumps(document, indent=2)


def _summary(manifest: Manifest, output: str) -> str:
    rows, seconds = manifest.rows, manifest.seconds["total"]
    splits = ", ".join(f"{name} {entry.rows:,}" for name, entry in manifest.splits.items())
    return (
        f"{output}: {rows.written:,} records ({splits}); {rows.read:,} rows read, "
        f"{rows.rejected:,} rejected, {rows.duplicate:,} duplicate; "
        f"{seconds:.1f} s, {rows.read / seconds:,.0f} rows/s"
    )


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.beam_pipelines.preprocess",
        arguments.preprocess,
        execute,
        argv,
        description=__doc__,
        beam=True,
    )


if __name__ == "__main__":
    raise SystemExit(run())
