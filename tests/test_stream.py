"""Streams of files on this machine, and the steps of a pipeline that a cluster runs without end."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import apache_beam as beam
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream as EventStream
from apache_beam.transforms.window import TimestampedValue

from skewless import cli
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.running.beam_internals import Stable
from skewless.beam_pipelines.stream import prepare, stream
from skewless.beam_pipelines.streaming import leftovers, segments
from skewless.beam_pipelines.streaming import local as local_stream
from skewless.beam_pipelines.streaming.event_time import (
    SECOND,
    Windowing,
    event_times,
    parse_duration,
)
from skewless.beam_pipelines.streaming.leftovers import SOURCES, remove_leftovers
from skewless.beam_pipelines.streaming.local import FilePoll
from skewless.beam_pipelines.streaming.panes import SealedPane, commit_pane, seal_pane, started
from skewless.beam_pipelines.streaming.segment_file import read_records, read_segment
from skewless.beam_pipelines.streaming.segments import (
    Arrivals,
    Segment,
    StreamJob,
    statistics_of,
    write_segments,
)
from skewless.beam_pipelines.streaming.source_uri import Source, parse_source
from skewless.beam_pipelines.streaming.steps import (
    CommitPanes,
    Message,
    SealPanes,
    WriteMessages,
    parse_messages,
)
from skewless.schemas import parse
from skewless.schemas.errors import AccountingError, DatasetMismatchError, UsageError
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.records.transform_digest import transform_sha256
from skewless.schemas.records.windows import WindowManifest, finished_panes
from tests.conftest import SHOP, DataSet
from tests.test_preprocess import records_of

Row = dict[str, Any]
# 2026-01-01T00:00:00Z
BEGIN = 1_767_225_600
MINUTES = Windowing(size=60 * SECOND, column="at")


@pytest.fixture(scope="module")
def rows(shop: DataSet) -> list[Row]:
    """The shop's rows, one each second."""
    table = pyarrow.csv.read_csv(
        shop.source, convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True)
    )
    return [{**row, "at": BEGIN + second} for second, row in enumerate(table.to_pylist())]


def write(path: Path, rows: Iterable[Row]) -> Path:
    """Puts a file of rows in its place at once, as a stream of files wants it."""
    partial = path.with_name(f".{path.name}")
    partial.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return partial.rename(path)


def streamed(
    shop: DataSet,
    folder: Path,
    output: Path,
    windowing: Windowing = MINUTES,
    committed: Callable[[str, WindowManifest], bool] = lambda folder, manifest: True,
    **more: Any,
) -> dict[str, WindowManifest]:
    """Streams all files there are, and returns the panes that are finished afterwards."""
    stream(
        shop.spec,
        f"dir://{folder}/*.jsonl",
        shop.directory / "transform",
        output,
        windowing,
        until_idle=0,
        committed=committed,
        **more,
    )
    return dict(finished_panes(output))


def records_in(output: Path) -> Counter[bytes]:
    """Returns the multiset of records of all finished panes, their entries put in order."""
    return Counter(
        tf.train.Example.FromString(record.numpy()).SerializeToString(deterministic=True)
        for folder, manifest in finished_panes(output)
        for shard in manifest.shards
        for record in tf.data.TFRecordDataset(
            str(output / folder / shard.path), "GZIP" if manifest.compression == "gzip" else ""
        )
    )


def batch_records(shop: DataSet, inputs: Sequence[Path], output: Path) -> Counter[bytes]:
    """Returns the multiset of records that the batch job makes of the same rows."""
    transform = shop.directory / "transform"
    preprocess(shop.spec, [*map(str, inputs)], output, transform=transform, max_rejected=1)
    total: Counter[bytes] = Counter()
    for records in records_of(output).values():
        total.update(records)
    return total


def counts(manifest: WindowManifest) -> tuple[int, int, int, int]:
    rows = manifest.rows
    return rows.read, rows.written, rows.rejected, rows.duplicate


def test_windows_hold_the_records_that_the_batch_job_makes(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    unfit = {**rows[30], "id": "unfit", "age": "old"}
    files = [
        write(source / "a.jsonl", [*rows[:90], unfit, rows[3]]),
        write(source / "b.jsonl", rows[90:150]),
    ]
    panes = streamed(shop, source, tmp_path / "out")
    assert {folder: counts(manifest) for folder, manifest in panes.items()} == {
        "window=2026-01-01T00:00:00Z": (62, 60, 1, 1),
        "window=2026-01-01T00:01:00Z": (60, 60, 0, 0),
        "window=2026-01-01T00:02:00Z": (30, 30, 0, 0),
    }
    assert records_in(tmp_path / "out") == batch_records(shop, files, tmp_path / "batch")


def test_a_pane_says_what_is_in_it(shop: DataSet, rows: list[Row], tmp_path: Path) -> None:
    output = tmp_path / "out"
    file = write(tmp_path / "a.jsonl", [*rows[:5], {**rows[5], "age": "old"}])
    [(folder, manifest)] = streamed(shop, tmp_path, output, compression="gzip").items()
    [shard] = manifest.shards
    assert manifest.end.isoformat() == "2026-01-01T00:01:00+00:00"
    assert (shard.path, shard.rows) == ("part-00000-of-00001.tfrecord", 5)
    assert file_sha256(output / folder / shard.path) == shard.sha256
    assert (output / folder / shard.path).stat().st_size == shard.bytes
    assert manifest.features["age"].dtype == "float32"
    assert manifest.statistics["features"]["user"]["rows"] == 5
    assert json.loads((output / folder / SOURCES).read_text()) == {str(file): [[1, 6]]}
    rejected = json.loads((output / folder / "rejected/part-00000-of-00001.jsonl").read_text())
    assert (rejected["row"], rejected["key"], rejected["column"]) == (6, "r5", "age")
    assert manifest.transform_sha256 == transform_sha256(output / "transform")
    assert manifest.spec_sha256 == shop.spec.sha256()
    assert {path.name for path in output.iterdir()} == {
        "schema.pbtxt",
        "spec.yaml",
        "transform",
        folder,
    }


def test_late_rows_come_in_a_later_pane_of_their_window(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    first = write(source / "a.jsonl", [*rows[:50], *rows[60:70]])
    second = source / "b.jsonl"
    seen: list[str] = []

    def then_late_rows(folder: str, manifest: WindowManifest) -> bool:
        seen.append(folder)
        if len(seen) == 1:
            # rows[7] is in the window's first pane already.
            write(second, [*rows[50:60], rows[7], *rows[130:140]])
        return True

    panes = streamed(shop, source, tmp_path / "out", committed=then_late_rows)
    assert seen[0] == "window=2026-01-01T00:00:00Z"
    assert {folder: counts(manifest) for folder, manifest in panes.items()} == {
        "window=2026-01-01T00:00:00Z": (50, 50, 0, 0),
        "window=2026-01-01T00:00:00Z/pane=1": (11, 10, 0, 1),
        "window=2026-01-01T00:01:00Z": (10, 10, 0, 0),
        "window=2026-01-01T00:02:00Z": (10, 10, 0, 0),
    }
    assert panes["window=2026-01-01T00:00:00Z/pane=1"].pane == 1
    expected = batch_records(shop, [first, second], tmp_path / "batch")
    assert records_in(tmp_path / "out") == expected


def test_rows_later_than_allowed_are_rejected(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write(source / "a.jsonl", [*rows[:50], *rows[200:210]])

    def then_late_rows(folder: str, manifest: WindowManifest) -> bool:
        if folder == "window=2026-01-01T00:00:00Z":
            write(source / "b.jsonl", [rows[55], rows[150]])
        return True

    windowing = replace(MINUTES, lateness=60 * SECOND)
    panes = streamed(shop, source, tmp_path / "out", windowing, committed=then_late_rows)
    assert counts(panes["window=2026-01-01T00:00:00Z/pane=1"]) == (1, 0, 1, 0)
    assert counts(panes["window=2026-01-01T00:02:00Z"]) == (1, 1, 0, 0)
    path = tmp_path / "out/window=2026-01-01T00:00:00Z/pane=1/rejected/part-00000-of-00001.jsonl"
    assert json.loads(path.read_text())["reason"] == (
        "came 149 s after its window ended, more than --allowed-lateness of 60 s"
    )


def test_rows_without_a_time_are_rejected_in_the_window_of_the_row_before(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    timeless = {name: value for name, value in rows[1].items() if name != "at"}
    lines = [rows[0], timeless, {**rows[2], "at": "soon"}, rows[65], {**rows[66], "at": None}]
    write(tmp_path / "a.jsonl", lines)
    panes = streamed(shop, tmp_path, tmp_path / "out")
    assert {folder: counts(manifest) for folder, manifest in panes.items()} == {
        "window=2026-01-01T00:00:00Z": (3, 1, 2, 0),
        "window=2026-01-01T00:01:00Z": (2, 1, 1, 0),
    }
    path = tmp_path / "out/window=2026-01-01T00:00:00Z/rejected/part-00000-of-00001.jsonl"
    reasons = [json.loads(line)["reason"] for line in path.read_text().splitlines()]
    assert reasons == [
        "the timestamp is missing",
        "expected a time from 1970 to 9999 as ISO 8601 or as a number since 1970, got 'soon'",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("panes", [0, 1, 2])
def test_a_run_that_was_ended_is_gone_on_with(
    panes: int, shop: DataSet, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before the pane after `panes` others was put in its place: sealed, but not seen."""
    source = tmp_path / "in"
    source.mkdir()
    files = [
        write(source / "a.jsonl", [*rows[:100], rows[2]]),
        write(source / "b.jsonl", [*rows[50:150], {**rows[5], "age": "old"}]),
    ]
    done = 0

    def ended(job: Any, pane: Any) -> str:
        nonlocal done
        if done == panes:
            raise KeyboardInterrupt
        done += 1
        return commit_pane(job, pane)

    with monkeypatch.context() as patched:
        patched.setattr(local_stream, "commit_pane", ended)
        with pytest.raises(KeyboardInterrupt):
            streamed(shop, source, tmp_path / "out")
    before = dict(finished_panes(tmp_path / "out"))
    assert len(before) == panes
    write(source / "c.jsonl", rows[150:200])
    after = streamed(shop, source, tmp_path / "out")
    assert {folder: after[folder] for folder in before} == before
    assert sum(manifest.rows.read for manifest in after.values()) == 252
    expected = batch_records(shop, [*files, source / "c.jsonl"], tmp_path / "batch")
    assert records_in(tmp_path / "out") == expected


@pytest.mark.slow
def test_without_a_key_equal_rows_are_all_kept_over_a_restart(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    spec = parse({**SHOP, "key": None})
    preprocess(spec, [str(shop.source)], tmp_path / "records")
    keyless = replace(shop, directory=tmp_path / "records", spec=spec)
    source = tmp_path / "in"
    source.mkdir()
    write(source / "a.jsonl", [*rows[:70], *rows[:70]])
    streamed(keyless, source, tmp_path / "out", committed=lambda folder, manifest: False)
    streamed(keyless, source, tmp_path / "out")
    written = records_in(tmp_path / "out")
    assert (written.total(), set(written.values())) == (140, {2})


@pytest.mark.slow
def test_a_row_needs_no_split_column(shop: DataSet, rows: list[Row], tmp_path: Path) -> None:
    spec = parse({**SHOP, "split": {"column": "fold"}})
    header, *lines = shop.source.read_text(encoding="utf-8").splitlines()
    folds = [["train", "eval", "test"][place % 3] for place in range(len(lines))]
    table = [f"{header},fold", *(f"{row},{fold}" for row, fold in zip(lines, folds, strict=True))]
    (tmp_path / "shop.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    preprocess(spec, [str(tmp_path / "shop.csv")], tmp_path / "records")
    write(tmp_path / "a.jsonl", rows[:10])
    folded = replace(shop, directory=tmp_path / "records", spec=spec)
    [manifest] = streamed(folded, tmp_path, tmp_path / "out").values()
    assert counts(manifest) == (10, 10, 0, 0)


def test_files_are_taken_once_each_and_only_when_they_have_settled(tmp_path: Path) -> None:
    poll = FilePoll(f"{tmp_path}/*.jsonl")
    first = write(tmp_path / "a.jsonl", [{}])
    (tmp_path / ".b.jsonl").write_text("{}")
    assert (poll.new(9, settle=3600), poll.waiting) == ([], True)
    first.write_text("{}\n{}\n")
    assert (poll.new(9, settle=3600), poll.waiting) == ([], True)
    assert (poll.new(9, settle=3600), poll.waiting) == ([str(first)], False)
    assert poll.new(9, settle=0) == []
    write(tmp_path / "c.jsonl", [{}])
    write(tmp_path / "d.jsonl", [{}])
    assert poll.new(1, settle=0) == [str(tmp_path / "c.jsonl")]
    assert poll.new(1, settle=0) == [str(tmp_path / "d.jsonl")]
    gone = write(tmp_path / "e.jsonl", [{}])
    assert (poll.new(9, settle=3600), poll.waiting) == ([], True)
    gone.unlink()
    assert (poll.new(9, settle=3600), poll.waiting) == ([], False)


def test_steps_of_the_endless_pipeline_write_panes_by_the_watermark(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    """On Beam's own test of time: messages, and a watermark that is moved by hand."""
    output = tmp_path / "out"
    job = prepare(
        shop.spec, shop.directory / "transform", output, replace(MINUTES, delay=5 * SECOND)
    )

    def arriving(some: Sequence[Row], after: float = 0.0) -> list[TimestampedValue]:
        return [
            TimestampedValue(
                Message(json.dumps(row).encode(), "queue/0", row["at"]), row["at"] + after
            )
            for row in some
        ]

    events = (
        EventStream()
        .advance_watermark_to(BEGIN)
        .add_elements(arriving(rows[:50]))
        .advance_watermark_to(BEGIN + 64)
        .add_elements(arriving(rows[50:70]))
        .advance_watermark_to(BEGIN + 66)
        .add_elements([*arriving(rows[40:60], after=60), *arriving(rows[100:110])])
        .add_elements([TimestampedValue(Message(None, "queue/0", BEGIN + 110), BEGIN + 110)])
        .advance_watermark_to_infinity()
    )
    options = PipelineOptions(["--runner=BundleBasedDirectRunner", "--streaming"])
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | events
            | beam.ParDo(WriteMessages(job, "json"))
            | beam.Map(lambda segment: (segment.window, segment)).with_output_types(tuple[int, Any])
            | beam.ParDo(SealPanes(job)).with_output_types(tuple[int, Any])
            | Stable(CommitPanes(job))
        )
    panes = dict(finished_panes(output))
    assert {folder: counts(manifest) for folder, manifest in panes.items()} == {
        "window=2026-01-01T00:00:00Z": (60, 60, 0, 0),
        "window=2026-01-01T00:00:00Z/pane=1": (20, 0, 0, 20),
        "window=2026-01-01T00:01:00Z": (21, 20, 1, 0),
    }
    file = write(tmp_path / "rows.jsonl", [*rows[:70], *rows[100:110]])
    assert records_in(output) == batch_records(shop, [file], tmp_path / "batch")


@pytest.mark.parametrize("arrivals", [2.0, 100.0])
def test_messages_of_serialized_examples(
    arrivals: float, shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    job = prepare(shop.spec, shop.directory / "transform", tmp_path / "out", Windowing(60 * SECOND))
    messages = []
    for row in rows[:20]:
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[str(value).encode()]))
            for name, value in row.items()
            if value is not None
        }
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        messages.append(Message(example.SerializeToString(), "queue"))
    messages.append(Message(b"no example", "queue"))
    with beam.Pipeline(options=PipelineOptions(["--runner=BundleBasedDirectRunner"])) as pipeline:
        _ = (
            pipeline
            | beam.Create([TimestampedValue(message, arrivals) for message in messages])
            | beam.Map(lambda message: message)
            | beam.ParDo(WriteMessages(job, "example"))
            | beam.Map(lambda segment: (segment.window, segment)).with_output_types(tuple[int, Any])
            | beam.ParDo(SealPanes(job)).with_output_types(tuple[int, Any])
            | beam.ParDo(CommitPanes(job))
        )
    [(_, manifest)] = finished_panes(tmp_path / "out")
    assert counts(manifest) == (21, 20, 1, 0)


def test_a_pane_is_never_replaced(shop: DataSet, rows: list[Row], tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", rows[:10])
    [(folder, manifest)] = streamed(shop, tmp_path, tmp_path / "out").items()
    job = prepare(shop.spec, shop.directory / "transform", tmp_path / "out", MINUTES)
    same = SealedPane(BEGIN * SECOND, 0, manifest.id, ())
    assert commit_pane(job, same) == folder
    with pytest.raises(AccountingError, match="written by another job"):
        commit_pane(job, replace(same, id="another"))
    with pytest.raises(AccountingError, match="and gone; nothing was written"):
        commit_pane(job, replace(same, pane=1))
    assert dict(finished_panes(tmp_path / "out")) == {folder: manifest}


def segment_of(job: StreamJob, some: Sequence[Row], number: int) -> Segment:
    """Writes rows of one window, of which the first has this number in its queue."""
    messages = [
        Message(json.dumps(row).encode(), "queue", place) for place, row in enumerate(some, number)
    ]
    numbers = np.arange(number, number + len(some))
    arrivals = Arrivals(numbers, np.full(len(some), BEGIN * SECOND), own=True)
    [segment] = write_segments(job, parse_messages(messages, job, "json"), arrivals)
    return segment


def pending(output: Path, kind: str) -> set[str]:
    return {path.name.partition("-")[2] for path in (output / ".pending" / kind).iterdir()}


def test_what_failed_attempts_left_is_removed_and_nothing_that_is_under_way(
    shop: DataSet, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, start = tmp_path / "out", BEGIN * SECOND
    job = prepare(shop.spec, shop.directory / "transform", output, MINUTES)
    names: dict[str, str] = {}

    def segment(name: str, first: int, end: int) -> Segment:
        written = segment_of(job, rows[first:end], first)
        names[name] = Path(written.path).name.partition("-")[2]
        return written

    seal_pane(job, start, [segment("failed", 0, 10)], [])
    first = seal_pane(job, start, [segment("first", 0, 10)], [])
    late_rows = segment("late", 10, 15)
    segment("failed, of rows in the first and in the late pane", 8, 12)
    segment("of the next window", 60, 65)
    late = seal_pane(job, start, [late_rows], [first.id])
    cut = output / ".pending" / "segments" / f"{start}-cut"
    cut.write_bytes(Path(late_rows.path).read_bytes()[:100])
    begun = output / ".pending" / "panes" / f"{start}-begun"
    begun.mkdir()
    commit_pane(job, first)
    del names["failed"], names["first"]
    assert pending(output, "segments") == {*names.values(), "cut"}
    assert pending(output, "panes") == {late.id, "begun"}
    commit_pane(job, late)
    assert pending(output, "segments") == {names["of the next window"], "cut"}
    monkeypatch.setattr(leftovers, "_ABANDONED_SECONDS", -1.0)
    remove_leftovers(output)
    assert pending(output, "segments") == {names["of the next window"]}
    assert pending(output, "panes") == set()
    assert sum(manifest.rows.written for _, manifest in finished_panes(output)) == 15


def test_statistics_are_of_the_rows_that_are_written(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.jsonl", rows[:20])
    write(tmp_path / "once" / "b.jsonl", rows[20:50])
    write(tmp_path / "twice" / "b.jsonl", [*rows[20:35], *rows[10:30], *rows[35:50]])
    write(tmp_path / "twice" / "c.jsonl", rows[:20])
    [once] = streamed(shop, tmp_path / "once", tmp_path / "once-out").values()
    [twice] = streamed(shop, tmp_path / "twice", tmp_path / "twice-out").values()
    assert (counts(once), counts(twice)) == ((50, 50, 0, 0), (90, 50, 0, 40))
    assert twice.statistics == once.statistics
    assert twice.drift == once.drift


@pytest.mark.slow
def test_rows_of_a_segment_are_counted_anew_as_they_were(shop: DataSet, tmp_path: Path) -> None:
    """A regression label, whose statistics are of the raw column, and lengths before truncation."""
    features = {name: about for name, about in SHOP["features"].items() if name != "price"}
    label = {"column": "price", "type": "regression", "scale": "z_score"}
    spec = parse({**SHOP, "features": features, "label": label})
    preprocess(spec, [str(shop.source)], tmp_path / "records")
    job = prepare(spec, tmp_path / "records" / "transform", tmp_path / "out", Windowing(SECOND))
    table = pyarrow.csv.read_csv(shop.source).slice(0, 60)
    written = segment_of(job, table.to_pylist(), 0)
    contents = read_segment(written.path)
    again = statistics_of(job, contents, read_records(written.path), np.ones(60, bool))
    assert again.summary(spec) == contents.statistics.summary(spec)
    assert again.summary(spec)["features"]["__label__"]["max"] == pytest.approx(
        max(table["price"].to_pylist())
    )
    assert again.summary(spec)["features"]["text"]["truncated_share"] >= 0


@pytest.mark.slow
@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_a_late_pane_may_come_before_its_window(
    moved: int, shop: DataSet, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from two workers after a restart; the one that comes second ended once on its way."""
    job = prepare(shop.spec, shop.directory / "transform", tmp_path / "out", MINUTES)
    some = [*rows[:10], {**rows[10], "age": "old"}]
    first = seal_pane(job, BEGIN * SECOND, [segment_of(job, some, 0)], [])
    late = seal_pane(job, BEGIN * SECOND, [segment_of(job, some, 11)], [first.id])
    assert commit_pane(job, late) == "window=2026-01-01T00:00:00Z/pane=1"
    rename = Path.rename
    left = moved

    def ends(path: Path, target: Path) -> Path:
        nonlocal left
        # The first try is of the whole folder, and fails.
        if not path.name.endswith(first.id):
            if not left:
                raise KeyboardInterrupt
            left -= 1
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", ends)
        with pytest.raises(KeyboardInterrupt):
            commit_pane(job, first)
        patched.setattr(leftovers, "_ABANDONED_SECONDS", -1.0)
        remove_leftovers(job.directory)
    assert [folder for folder, _ in finished_panes(tmp_path / "out")] == [
        "window=2026-01-01T00:00:00Z/pane=1"
    ]
    folder = commit_pane(job, first)
    assert commit_pane(job, first) == folder
    panes = dict(finished_panes(tmp_path / "out"))
    assert {folder: counts(manifest) for folder, manifest in panes.items()} == {
        "window=2026-01-01T00:00:00Z": (11, 10, 1, 0),
        "window=2026-01-01T00:00:00Z/pane=1": (11, 0, 1, 10),
    }
    assert len(records_in(tmp_path / "out")) == 10
    assert len(list((tmp_path / "out" / folder / "rejected").iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1767225600", BEGIN * SECOND),
        ("1767225600.25", BEGIN * SECOND + 250_000),
        ("1767225600123", BEGIN * SECOND + 123_000),
        ("1767225600123456", BEGIN * SECOND + 123_456),
        ("1767225600123456789", BEGIN * SECOND + 123_456),
        ("2026-01-01T00:00:00Z", BEGIN * SECOND),
        ("2026-01-01 00:00:00", BEGIN * SECOND),
        ("2026-01-01T01:00:00.5+01:00", BEGIN * SECOND + 500_000),
        ("2026-01-01T00:00:00.123456789Z", BEGIN * SECOND + 123_456),
        ("2026-01-01", BEGIN * SECOND),
        ("-1", None),
        ("1e300", None),
        ("9" * 400, None),
        ("0x1F", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("1969-12-31T23:59:59Z", None),
    ],
)
def test_times_are_read_alike_alone_and_in_a_column(text: str, expected: int | None) -> None:
    for column in ([text], [text, "2026-01-01"], [text, "5"]):
        times, faults = event_times(pa.array(column, pa.string()))
        assert (0 in faults) == (expected is None)
        assert times[0] == (expected or 0)
        assert 1 not in faults


def test_a_process_that_streams_into_a_directory_anew_takes_the_transform_that_lies_there(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []

    def open_one(spec: Any, path: str) -> int:
        opened.append(path)
        return len(opened)

    monkeypatch.setattr(segments, "TransformGraph", open_one)
    jobs = [StreamJob(shop.spec, str(tmp_path), MINUTES, digest, {}) for digest in ("a", "b")]
    assert [job.graph() for job in (*jobs, *jobs)] == [1, 2, 1, 2]


def test_a_missing_time_is_a_fault() -> None:
    assert event_times(pa.array([None, "5"], pa.string()))[1] == {0: "the timestamp is missing"}


@pytest.mark.parametrize(
    ("arrival", "deadline"),
    [(0, 65), (59, 65), (64, 65), (65, 125), (119, 125), (120, 185), (1000, 1025)],
)
def test_late_rows_wait_for_the_window_they_came_in(arrival: int, deadline: int) -> None:
    windowing = Windowing(60, delay=5)
    assert windowing.deadline(0, arrival) == deadline


def test_durations() -> None:
    given = ("60s", "5m", "1h", "1d", "500ms", "2", "1.5s")
    seconds = [60, 300, 3600, 86400, 0.5, 2, 1.5]
    assert [parse_duration(text, "--window") / SECOND for text in given] == seconds
    with pytest.raises(UsageError, match=r"--window: expected a duration such as 60s.*'soon'"):
        parse_duration("soon", "--window")

    for text in ("9" * 400, "9999999d"):
        with pytest.raises(UsageError, match=r"--window: expected .* at most 2932896d, got '9+"):
            parse_duration(text, "--window")


def test_the_last_window_ends_where_times_do() -> None:
    [last], _ = event_times(pa.array(["9999-12-31T23:59:59Z"]))
    windowing = Windowing(60 * SECOND)
    start = int(windowing.starts(np.array([last]))[0])
    assert started(windowing.end(start)) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    assert started(windowing.end(0)) == datetime(1970, 1, 1, 0, 1, tzinfo=timezone.utc)


def test_sources() -> None:
    assert parse_source("dir:///data/*.jsonl") == Source("dir", "/data/*.jsonl")
    assert parse_source("s3://bucket/in/*.jsonl") == Source("dir", "s3://bucket/in/*.jsonl")
    assert parse_source("kafka://host:9092/topic") == Source("kafka", "host:9092", "topic")
    assert parse_source("pubsub://project/topic") == Source("pubsub", "project", "topic")
    for given in (
        "kafak://host/topic", "/data/*.jsonl", "kafka://host", "kafka://h/a/b", "dir://", "kafka://h/t?x=1",
    ):  # fmt: skip
        with pytest.raises(UsageError, match="--source"):
            parse_source(given)
    with pytest.raises(UsageError, match="got a login; give it as options of Kafka") as told:
        parse_source("kafka://me:hunter2@host:9092/topic")
    assert "hunter2" not in str(told.value)
    with pytest.raises(UsageError, match="did you mean 'kafka'"):
        parse_source("kafak://host/topic")


FLINK = ["--runner=FlinkRunner"]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("pubsub://project/topic", [], "takes a runner with checkpoints"),
        ("dir:///data/*.jsonl", FLINK, "files are streamed from a bucket to a bucket"),
        ("kafka://localhost/topic", FLINK, "--until-idle is for rounds"),
    ],
)
def test_source_and_runner_must_go_together(
    source: str, options: list[str], message: str, shop: DataSet, tmp_path: Path
) -> None:
    transform = shop.directory / "transform"
    with pytest.raises(UsageError, match=message):
        stream(
            shop.spec, source, transform, tmp_path / "out", MINUTES, until_idle=1, options=options
        )
    assert not (tmp_path / "out").exists()


def test_a_cluster_does_not_begin_anew_where_windows_are(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    write(tmp_path / "a.jsonl", rows[:10])
    streamed(shop, tmp_path, tmp_path / "out")
    transform = shop.directory / "transform"
    with pytest.raises(UsageError, match="--savepoint_path"):
        stream(shop.spec, "kafka://h/t", transform, tmp_path / "out", MINUTES, options=FLINK)


@pytest.mark.slow
def test_an_output_keeps_to_one_spec_and_transform(
    shop: DataSet, rows: list[Row], tmp_path: Path
) -> None:
    write(tmp_path / "a.jsonl", rows[:10])
    streamed(shop, tmp_path, tmp_path / "out")
    other = parse({**SHOP, "keep": []})
    preprocess(other, [str(shop.source)], tmp_path / "records")
    with pytest.raises(DatasetMismatchError, match="begun with another spec or transform"):
        streamed(
            replace(shop, spec=other, directory=tmp_path / "records"), tmp_path, tmp_path / "out"
        )
    with pytest.raises(DatasetMismatchError, match="fitted to another spec"):
        streamed(replace(shop, spec=other), tmp_path, tmp_path / "new")
    with pytest.raises(DatasetMismatchError, match="expected the transform/ folder"):
        prepare(shop.spec, tmp_path, tmp_path / "new", MINUTES)


def test_command(
    shop: DataSet, rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.jsonl", rows[:100])
    command = ["stream", str(shop.directory / "spec.yaml")]
    common = [f"--transform={shop.directory}/transform", f"--output={tmp_path}/out"]
    more = ["--timestamp-column=at", "--window=30s", "--until-idle=0"]
    assert cli.main([*command, f"--source=dir://{tmp_path}/*.jsonl", *common, *more]) == 0
    assert capsys.readouterr().out == (
        "4 panes finished: 100 records; 100 rows read, 0 rejected, 0 duplicate\n"
    )
    assert cli.main([*command, "--source=here", *common, "--window=0.5s"]) == 2
    assert "--window: expected whole seconds" in capsys.readouterr().err


def test_drift_against_the_training_rows(
    shop: DataSet, rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows like the training rows do not drift; of rows that do, the feature is named."""
    source = tmp_path / "in"
    source.mkdir()
    write(source / "a.jsonl", [{**row, "at": BEGIN} for row in rows])
    drifted = [{**row, "id": f"d{row['id']}", "user": "new"} for row in rows[:200]]
    write(source / "b.jsonl", [{**row, "at": BEGIN + 60} for row in drifted])
    write(source / "c.jsonl", [{**row, "at": BEGIN + 120} for row in rows])
    messages: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = ["stream", str(shop.directory / "spec.yaml"), "--timestamp-column=at"]
        common = [f"--transform={shop.directory}/transform", f"--output={tmp_path}/out"]
        more = ["--until-idle=0", "--fail-on-drift"]
        hook = f"--drift-webhook=http://127.0.0.1:{server.server_port}/"
        given = [*command, f"--source=dir://{source}/*.jsonl", *common, *more, hook]
        assert cli.main(given) == 1
        server.shutdown()
    captured = capsys.readouterr()
    assert "2 panes finished: 600 records" in captured.out
    assert "window=2026-01-01T00:01:00Z: user has drifted: " in captured.err
    panes = dict(finished_panes(tmp_path / "out"))
    same = panes["window=2026-01-01T00:00:00Z"].drift
    # The training split is 70 % of these very rows.
    assert same["worst"]["value"] < 0.05
    other = panes["window=2026-01-01T00:01:00Z"].drift
    assert other["features"]["user"]["oov_share"]["window"] == 1.0
    assert other["features"]["age"]["jensen_shannon"] < 0.05
    assert other["worst"]["feature"] == "user"
    [message] = messages
    assert message["folder"] == "window=2026-01-01T00:01:00Z"
    assert message["drift"] == other


def test_objects_of_a_bucket_are_files(shop: DataSet, rows: list[Row], tmp_path: Path) -> None:
    bucket = f"memory://{uuid.uuid4().hex}/in"
    for name, some in (("a", rows[:70]), ("b", rows[70:100])):
        with fsspec.open(f"{bucket}/{name}.jsonl", "wt") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in some)
    stream(
        shop.spec,
        f"{bucket}/*.jsonl",
        shop.directory / "transform",
        tmp_path / "out",
        MINUTES,
        until_idle=0,
    )
    files = [write(tmp_path / "a.jsonl", rows[:100])]
    assert records_in(tmp_path / "out") == batch_records(shop, files, tmp_path / "batch")
    sources = [
        json.loads((tmp_path / "out" / folder / SOURCES).read_text(encoding="utf-8"))
        for folder, _ in finished_panes(tmp_path / "out")
    ]
    assert {name for held in sources for name in held} == {
        f"{bucket}/a.jsonl",
        f"{bucket}/b.jsonl",
    }
