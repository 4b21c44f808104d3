"""The stream job: rows as they come in, a folder of records for each window of event time out.

    rows -> segments -> windows -> sealed panes -> panes in their place

On a runner with checkpoints this is one endless pipeline; on this machine, rounds of batch work
(`skewless.beam_pipelines.streaming.local`). Rows are checked, transformed and encoded as by the batch job, with
the transform that it fitted.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from skewless.beam_pipelines import arguments
from skewless.beam_pipelines.histories.left import LeftPasts, open_pasts
from skewless.beam_pipelines.running.beam_internals import Stable
from skewless.beam_pipelines.running.dataflow import check_dataflow, is_on_dataflow
from skewless.beam_pipelines.running.local_runner import (
    LOCAL_RUNNER,
    BeamOptions,
    completed_options,
    is_named,
)
from skewless.beam_pipelines.statistics.drift import load_reference
from skewless.beam_pipelines.streaming.drift_gate import DriftGate
from skewless.beam_pipelines.streaming.event_time import SECOND, Windowing, parse_duration
from skewless.beam_pipelines.streaming.kafka.on_flink import consumer_options
from skewless.beam_pipelines.streaming.kafka.topics import TopicFeed
from skewless.beam_pipelines.streaming.leftovers import remove_leftovers
from skewless.beam_pipelines.streaming.local import FileFeed, stream_here
from skewless.beam_pipelines.streaming.segments import StreamJob
from skewless.beam_pipelines.streaming.source_uri import Source, parse_source
from skewless.beam_pipelines.streaming.steps import (
    CommitPanes,
    Message,
    MessageFormat,
    SealPanes,
    WriteMessages,
)
from skewless.beam_pipelines.streaming.watched import WindowsInBucket, WindowsInDirectory, watch
from skewless.beam_pipelines.transform.fitted_transform import check_fitted, write_declaration
from skewless.beam_pipelines.transform.record_entries import record_entries
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DatasetMismatchError, DriftError, UsageError
from skewless.schemas.records.layout import MANIFEST, SPEC, TRANSFORM
from skewless.schemas.records.manifest import Rows
from skewless.schemas.records.transform_digest import transform_sha256
from skewless.schemas.records.windows import WindowManifest
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.spec import Spec, load
from skewless.schemas.staged import put_in_place, staging_beside
from skewless.schemas.storage.location import as_path, is_uri
from skewless.schemas.storage.windows import windows_to_write

__all__ = ["execute", "prepare", "run", "stream", "stream_pipeline"]

_LOGGER = logging.getLogger(__name__)
Committed = Callable[[str, WindowManifest], bool]


def stream(
    spec: Spec,
    source: str,
    transform: str | Path,
    output: str | Path,
    windowing: Windowing,
    *,
    format: MessageFormat = "json",
    compression: Literal["none", "gzip"] = "none",
    histories_from: str | Path | None = None,
    until_idle: float | None = None,
    expansion_service: str | None = None,
    committed: Committed = lambda folder, manifest: True,
    options: BeamOptions = (),
) -> None:
    """Turns rows into windows of records until they end, or the runner does.

    Args:
      spec: The declaration.
      source: Where rows come from (`skewless.beam_pipelines.streaming.source_uri`).
      transform: The `transform/` folder that `preprocess` left.
      output: The directory of windows, or its URI; one begun by an earlier run is gone on with.
      windowing: How rows fall into windows.
      format: What a message of a queue is.
      compression: Of the records.
      histories_from: The `pasts/` folder of records that the stream's rows come after: their histories go
        on from it; this machine only.
      until_idle: Ends when nothing came for so many seconds; of files, or on this machine.
      expansion_service: Of Kafka's transforms, where it is not to be started here.
      committed: Called with the folder and manifest of each finished pane; False ends the stream.
      options: Beam's.

    Raises:
      UsageError: If source, output and runner do not go together.
      DatasetMismatchError: If the transform is of another spec, or the output of another stream.
      DataError: If a file cannot be read on.
      AccountingError: If rows are lost.
    """
    origin = parse_source(source)
    beam_options = completed_options(options)
    check_dataflow(beam_options)
    local = beam_options.view_as(StandardOptions).runner == LOCAL_RUNNER
    path = as_path(str(output)) if is_uri(output) else Path(output)
    _check(origin, local, until_idle, bucket=path is None)
    declared = partial(prepare, spec, Path(transform), windowing=windowing, compression=compression)
    past = _past(spec, histories_from, local)
    if path is None:
        with windows_to_write(str(output), declared) as (remote, job):
            job = replace(job, remote=remote, past=past)
            if local or origin.kind == "dir":
                shared = "" if local else str(remote.root)
                job = replace(job, shared=shared)
                _stream_here(job, origin, format, until_idle, committed, options)
                return
            _check_begins(str(output), remote.panes(), options)
            job = replace(job, shared=str(remote.root), remote=None)
            beam_options.view_as(StandardOptions).streaming = True
            pipeline = stream_pipeline(job, origin, format, beam_options, expansion_service)
            remove_leftovers(job.shared)
            watch(pipeline, WindowsInBucket(remote), _telling(remote.path, committed))
        return
    if is_on_dataflow(beam_options):
        raise UsageError(
            f"--output {output}: Dataflow's workers see no disk of this machine; give a URI, such as "
            "gs://BUCKET/windows"
        )
    directory = path.absolute()
    if not local:
        _check_begins(str(output), WindowsInDirectory(directory).panes(), options)
    job = declared(directory)
    if local:
        job = replace(job, past=past)
        _stream_here(job, origin, format, until_idle, committed, options)
    else:
        remove_leftovers(directory)
        beam_options.view_as(StandardOptions).streaming = True
        pipeline = stream_pipeline(job, origin, format, beam_options, expansion_service)
        watch(pipeline, WindowsInDirectory(directory), _telling(directory, committed))


def _check_begins(output: str, panes: Collection[str], options: BeamOptions) -> None:
    if panes and not is_named("savepoint_path", options):
        raise UsageError(
            f"{output}: holds finished windows, and this job would begin anew; go on from the last "
            "checkpoint with --savepoint_path=PATH, or choose another output"
        )


def _past(spec: Spec, path: str | Path | None, local: bool) -> LeftPasts | None:
    """Returns what histories begin with.

    Raises:
      UsageError: If there is no such folder, or none is needed.
      DatasetMismatchError: If it is of other histories.
    """
    if path is None:
        return None
    told = f"--histories-from {path}"
    if not local:
        raise UsageError(f"{told}: histories are built on this machine; leave --runner or it out")
    return open_pasts(spec, path, told)


def _stream_here(
    job: StreamJob,
    source: Source,
    format: MessageFormat,
    until_idle: float | None,
    committed: Committed,
    options: BeamOptions,
) -> None:
    if histories_of(job.spec.features) and not job.shared:
        job = replace(job, lists="completed")
    feed = (
        TopicFeed(job, source, format, options)
        if source.kind == "kafka"
        else FileFeed(job, source.place, options)
    )
    tell = _telling(Path(job.directory), committed)
    stream_here(job, feed, until_idle=until_idle, committed=tell, options=options)


def _telling(directory: Path, committed: Committed) -> Callable[[str], bool]:
    """Returns what to call with the folder of each finished pane."""

    def tell(folder: str) -> bool:
        path = directory / folder / MANIFEST
        return committed(folder, WindowManifest.model_validate_json(path.read_text("utf-8")))

    return tell


def prepare(
    spec: Spec,
    transform: Path,
    directory: Path,
    windowing: Windowing,
    compression: Literal["none", "gzip"] = "none",
) -> StreamJob:
    """Puts transform, spec and schema into the directory of windows; returns the job.

    Raises:
      DatasetMismatchError: If the transform is of another spec, or the directory of another stream.
    """
    check_fitted(spec, transform, "use that one")
    digest = transform_sha256(transform)
    copy = directory / TRANSFORM
    if not copy.is_dir():
        with staging_beside(copy) as staging:
            shutil.copytree(transform, staging)
            put_in_place(staging, copy)
        write_declaration(spec, directory)
    elif transform_sha256(copy) != digest or load(directory / SPEC).sha256() != spec.sha256():
        raise DatasetMismatchError(
            f"{directory}: was begun with another spec or transform; choose another output"
        )
    return StreamJob(
        spec,
        str(directory),
        windowing,
        digest,
        record_entries(spec, str(copy)),
        load_reference(transform),
        compression=compression,
    )


def stream_pipeline(
    job: StreamJob,
    source: Source,
    format: MessageFormat,
    options: PipelineOptions,
    expansion_service: str | None = None,
) -> beam.Pipeline:
    """Returns the endless pipeline of a queue."""
    pipeline = beam.Pipeline(options=options)
    messages = (
        _from_kafka(pipeline, source, expansion_service)
        if source.kind == "kafka"
        else _from_pubsub(pipeline, source)
    )
    _ = (
        messages
        | "WriteMessages" >> beam.ParDo(WriteMessages(job, format))
        | "ByWindow"
        >> beam.Map(lambda segment: (segment.window, segment)).with_output_types(tuple[int, Any])
        | "SealPanes" >> beam.ParDo(SealPanes(job)).with_output_types(tuple[int, Any])
        # Stable input is asked for by whole fused stages; this one is to hold sealed panes alone.
        | "Unfuse" >> beam.Reshuffle()
        | "CommitPanes" >> Stable(CommitPanes(job))
    )
    return pipeline


def _from_kafka(
    pipeline: beam.Pipeline, source: Source, expansion_service: str | None
) -> beam.PCollection:
    from apache_beam.io.kafka import ReadFromKafka

    return (
        pipeline
        | "ReadKafka"
        >> ReadFromKafka(
            consumer_options(source),
            [source.topic],
            timestamp_policy=ReadFromKafka.create_time_policy,
            with_metadata=True,
            expansion_service=expansion_service,
        )
        | "Numbered"
        >> beam.Map(
            lambda record, name: Message(record.value, f"{name}/{record.partition}", record.offset),
            source.name,
        )
    )


def _from_pubsub(pipeline: beam.Pipeline, source: Source) -> beam.PCollection:
    topic = f"projects/{source.place}/topics/{source.topic}"
    return (
        pipeline
        | "ReadPubSub" >> beam.io.ReadFromPubSub(topic=topic)
        | "Unnumbered" >> beam.Map(lambda value, name: Message(value, name), source.name)
    )


def _check(source: Source, local: bool, until_idle: float | None, *, bucket: bool) -> None:
    if local and source.kind == "pubsub":
        raise UsageError(
            f"--source {source.name}: reading Pub/Sub takes a runner with checkpoints (see "
            "docs/streaming.md); on this machine alone stream files or kafka://"
        )
    files = source.kind == "dir"
    if not local and files and not (bucket and is_uri(source.place)):
        raise UsageError(
            f"--source {source.name}: on a cluster, files are streamed from a bucket to a bucket: give "
            "--source and --output as URIs; or leave --runner out"
        )
    if not local and not files and until_idle is not None:
        raise UsageError(
            "--until-idle is for rounds; end a cluster's job with a savepoint that drains it"
        )


def execute(known: argparse.Namespace, beam_arguments: Sequence[str]) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    size = parse_duration(known.window, "--window")
    if size <= 0 or size % SECOND:
        raise UsageError(f"--window: expected whole seconds, at least one, got {known.window!r}")
    lateness = known.allowed_lateness
    windowing = Windowing(
        size=size,
        delay=parse_duration(known.delay, "--delay"),
        lateness=None if lateness is None else parse_duration(lateness, "--allowed-lateness"),
        column=known.timestamp_column,
    )
    gate = DriftGate(known.drift_limit, known.fail_on_drift, known.drift_webhook)
    if (gate.fail or gate.webhook) and not load_reference(Path(known.transform)):
        raise UsageError(
            f"--transform {known.transform}: no statistics.json beside it, so no drift can be seen; "
            "use the transform/ folder where `preprocess` left it"
        )
    totals = _Totals(gate)
    stream(
        load(known.spec),
        known.source,
        known.transform,
        known.output,
        windowing,
        format=known.format,
        compression=known.compression,
        histories_from=known.histories_from,
        until_idle=known.until_idle,
        expansion_service=known.expansion_service,
        committed=totals.add,
        options=beam_arguments,
    )
    print(totals)
    if gate.failed:
        raise DriftError(gate.failed)
    return 0


class _Totals:
    """Says what each pane holds as it appears, and all of them at the end."""

    def __init__(self, gate: DriftGate) -> None:
        self._gate = gate
        self._rows: list[Rows] = []

    def add(self, folder: str, manifest: WindowManifest) -> bool:
        """Counts one pane; whether the stream is to go on."""
        self._rows.append(manifest.rows)
        _LOGGER.info("%s: %s", folder, _counts([manifest.rows]))
        return self._gate.passes(folder, manifest)

    def __str__(self) -> str:
        return f"{len(self._rows):,} panes finished: {_counts(self._rows)}"


def _counts(rows: Sequence[Rows]) -> str:
    return (
        f"{sum(entry.written for entry in rows):,} records; "
        f"{sum(entry.read for entry in rows):,} rows read, "
        f"{sum(entry.rejected for entry in rows):,} rejected, "
        f"{sum(entry.duplicate for entry in rows):,} duplicate"
    )


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.beam_pipelines.stream",
        arguments.stream,
        execute,
        argv,
        description=__doc__,
        beam=True,
    )


if __name__ == "__main__":
    raise SystemExit(run())
