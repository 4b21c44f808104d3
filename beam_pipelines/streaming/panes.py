"""Panes: what one writing of a window leaves, first sealed out of sight, then put in its place.

Sealing gathers segments, leaves out rows whose key is there already, and writes a whole folder,
its manifest last, under a name of its own. Committing renames it, or in a bucket puts its marker. Between the two a runner with
checkpoints makes sure that it will not seal those rows again; so a pane that can be seen is final.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf

from skewless.beam_pipelines.records.parts import Part, make_sink_folders, place
from skewless.beam_pipelines.records.sinks import RecordSink, RejectedSink, ShardFormat
from skewless.beam_pipelines.rows.keys import wide_fingerprint
from skewless.beam_pipelines.statistics.drift import drift_of
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics
from skewless.beam_pipelines.streaming.leftovers import (
    SOURCES,
    pending_panes,
    ranges_of,
    remove_leftovers,
)
from skewless.beam_pipelines.streaming.segment_file import (
    SegmentContents,
    read_records,
    read_segment,
)
from skewless.beam_pipelines.streaming.segments import Segment, StreamJob, statistics_of
from skewless.schemas.errors import AccountingError
from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.records.manifest import Rows, Shard
from skewless.schemas.records.records import KEY
from skewless.schemas.records.windows import WindowManifest, pane_folder
from skewless.schemas.storage.between import panes
from skewless.schemas.storage.between.files import forget, inside, made_here

__all__ = [
    "AT_HAND",
    "SealedPane",
    "commit_pane",
    "kept_rows",
    "seal_pane",
    "sealed_folder",
    "started",
]

# What a stream to a URI keeps of finished panes on this machine.
AT_HAND = (MANIFEST, SOURCES)


@dataclass(frozen=True)
class SealedPane:
    """A pane that waits to be put in its place.

    Attributes:
      window: The window's start.
      pane: Which of its panes.
      id: Its own.
      segments: What it was made of.
      sealed: What commits it, where it lies in a bucket.
    """

    window: int
    pane: int
    id: str
    segments: tuple[str, ...]
    sealed: str = ""


def started(window: int) -> datetime:
    """Returns a window's start as a time."""
    return datetime.fromtimestamp(window / 1e6, timezone.utc)


def seal_pane(
    job: StreamJob, window: int, segments: Iterable[Segment], earlier: Sequence[str]
) -> SealedPane:
    """Writes a pane's folder under its pending name.

    Args:
      job: What to do.
      window: The window's start.
      segments: Of this window, none of them in an earlier pane.
      earlier: The ids of this window's earlier panes, in order.

    Raises:
      AccountingError: If a segment is gone, or rows are.
    """
    opened = _opened(segments)
    pane = SealedPane(
        window, len(earlier), uuid.uuid4().hex, tuple(each.segment.path for each in opened)
    )
    if not job.shared:
        _write_pane(job, pane, opened, earlier, _pending(job, window, pane.id))
        return pane
    staging = Path(made_here(job.shared), pane.id)
    try:
        _write_pane(job, pane, opened, earlier, staging)
        return replace(pane, sealed=panes.seal(_uri(job, window, pane.pane), pane.id, staging))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_pane(
    job: StreamJob,
    pane: SealedPane,
    opened: Sequence[_Opened],
    earlier: Sequence[str],
    staging: Path,
) -> None:
    """Writes a pane's folder, its manifest last."""
    staging.mkdir(parents=True)
    # First, so that what an attempt leaves when it is killed can be told from what is under way.
    _write_sources(staging, opened)
    keep = _first_of_each_key(job, [each.contents for each in opened], pane.window, earlier)
    written = _write_rows(job, staging, opened, keep)
    _account(written.rows, started(pane.window), pane.pane)
    placed = place(written.parts, staging, {"records": ".tfrecord", "rejected": ".jsonl"})
    shards = tuple(part.as_shard(path) for path, part in placed if part.kind == "records")
    manifest = _manifest(job, pane, written, shards)
    (staging / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def kept_rows(
    job: StreamJob, window: int, segments: Iterable[Segment], earlier: Sequence[str]
) -> list[tuple[Segment, np.ndarray]]:
    """Returns segments in the order that a pane has them, each with [rows] bool, those that it writes.

    Args and errors are those of `seal_pane`.
    """
    opened = _opened(segments)
    keep = _first_of_each_key(job, [each.contents for each in opened], window, earlier)
    return [(each.segment, kept) for each, kept in zip(opened, keep, strict=True)]


def sealed_folder(job: StreamJob, pane: SealedPane) -> Path:
    """Returns where a sealed pane lies before it is put in its place."""
    return _pending(job, pane.window, pane.id)


def _opened(segments: Iterable[Segment]) -> list[_Opened]:
    opened = [_Opened(segment, _open(segment)) for segment in segments]
    return sorted(opened, key=lambda each: (each.contents.file, int(each.contents.numbers[0])))


@dataclass(frozen=True)
class _Opened:
    segment: Segment
    contents: SegmentContents


@dataclass(frozen=True)
class _Written:
    """What a pane's files hold, before they are in their places."""

    parts: Sequence[Part]
    rows: Rows
    statistics: SplitStatistics


def _write_sources(staging: Path, opened: Sequence[_Opened]) -> None:
    """Writes the ranges of records, by file, that the pane was made of."""
    sources: dict[str, list[np.ndarray]] = {}
    for each in opened:
        if each.contents.file:
            sources.setdefault(each.contents.file, []).append(each.contents.numbers)
    ranges = {file: ranges_of(np.concatenate(rows)) for file, rows in sorted(sources.items())}
    (staging / SOURCES).write_text(json.dumps(ranges, indent=1) + "\n", encoding="utf-8")


def _write_rows(
    job: StreamJob, staging: Path, opened: Sequence[_Opened], keep: Sequence[np.ndarray]
) -> _Written:
    """Writes the rows of [segments] opened segments, of each those of its [rows] bool `keep`."""
    make_sink_folders(staging)
    records = RecordSink(str(staging), ShardFormat(job.shard_bytes, job.compression))
    rejections = RejectedSink(str(staging))
    statistics = SplitStatistics()
    for each, kept in zip(opened, keep, strict=True):
        if kept.any():
            encoded = read_records(each.segment.path)
            records.write_encoded("", [encoded[at] for at in np.flatnonzero(kept)])
            statistics.merge(
                each.contents.statistics
                if kept.all()
                else statistics_of(job, each.contents, encoded, kept)
            )
        rejections.write(each.contents.rejected)
    parts = records.close() + rejections.close()
    rows = Rows(
        read=sum(each.segment.read for each in opened),
        written=sum(part.rows for part in parts if part.kind == "records"),
        rejected=sum(part.rows for part in parts if part.kind == "rejected"),
        duplicate=sum(int(np.count_nonzero(~kept)) for kept in keep),
    )
    return _Written(parts, rows, statistics)


def commit_pane(job: StreamJob, pane: SealedPane) -> str:
    """Puts a sealed pane in its place; one that is there already is left as it is.

    Returns:
      Its folder, relative to the directory of windows.

    Raises:
      AccountingError: If another pane is in its place, or the sealed one is gone.
      UsageError: If the windows lie at a URI, and another stream writes there, or the store refuses.
    """
    folder = pane_folder(started(pane.window), pane.pane)
    if job.shared:
        if not panes.commit(_uri(job, pane.window, pane.pane), pane.sealed):
            raise _taken(_uri(job, pane.window, pane.pane))
        for path in pane.segments:
            forget(path)
        remove_leftovers(job.shared, pane.window)
        return folder
    final = Path(job.directory) / folder
    staging = _pending(job, pane.window, pane.id)
    if not (final / MANIFEST).exists():
        if not staging.exists():
            raise AccountingError(
                f"{staging}: sealed for {folder}, and gone; nothing was written there; "
                "go on from the last checkpoint, or into an empty output"
            )
        if job.remote is not None:
            job.remote.put(staging, folder)
        _move(staging, final)
    else:
        there = WindowManifest.model_validate_json((final / MANIFEST).read_text(encoding="utf-8"))
        if there.id != pane.id:
            raise _taken(final)
    for path in pane.segments:
        Path(path).unlink(missing_ok=True)
    if job.remote is not None:
        for place in range(pane.pane + 1):
            job.remote.free(pane_folder(started(pane.window), place), but=AT_HAND)
    remove_leftovers(job.directory, pane.window)
    return folder


def _taken(final: object) -> AccountingError:
    return AccountingError(
        f"{final}: written by another job, or by this one after the checkpoint it went on from; "
        "go on from its last checkpoint, or into an empty output"
    )


def _move(staging: Path, final: Path) -> None:
    """Puts a sealed folder in its place, if need be around late panes that were there before it."""
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        staging.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        # Until its manifest is there, which goes last, nobody takes the pane for finished.
        for path in sorted(staging.iterdir(), key=lambda path: path.name == MANIFEST):
            if path.is_dir() and (final / path.name).is_dir():
                for inner in path.iterdir():
                    inner.rename(final / path.name / inner.name)
                path.rmdir()
            else:
                path.rename(final / path.name)
        staging.rmdir()


def _open(segment: Segment) -> SegmentContents:
    try:
        return read_segment(segment.path)
    except FileNotFoundError:
        raise AccountingError(
            f"{segment.path}: a segment of window {started(segment.window):%FT%TZ} is gone: the job "
            "went on from a checkpoint older than its last one; start from the last, or into an "
            "empty output"
        ) from None


def _uri(job: StreamJob, window: int, pane: int) -> str:
    return inside(job.shared, pane_folder(started(window), pane))


def _pending(job: StreamJob, window: int, pane: str) -> Path:
    return pending_panes(job.directory) / f"{window}-{pane}"


def _first_of_each_key(
    job: StreamJob, contents: Sequence[SegmentContents], window: int, earlier: Sequence[str]
) -> list[np.ndarray]:
    """Returns [rows] bool for each segment: the earliest of each key that no pane holds yet."""
    if job.spec.key is None:
        return [np.ones(len(found.keys), bool) for found in contents]
    ranking = np.argsort(np.concatenate([found.times for found in contents]), kind="stable")
    gathered = np.concatenate([wide_fingerprint(found.keys) for found in contents])
    there = [_hashes_of(job, window, pane, id) for pane, id in enumerate(earlier)]
    before = sum(map(len, there))
    _, first = np.unique(np.concatenate([*there, gathered[ranking]]), axis=0, return_index=True)
    keep = np.zeros(len(gathered), bool)
    keep[ranking[first[first >= before] - before]] = True
    return np.split(keep, np.cumsum([len(found.keys) for found in contents])[:-1])


def _hashes_of(job: StreamJob, window: int, pane: int, id: str) -> np.ndarray:
    """Returns [rows, 2] uint64, hashes of the keys of a sealed pane, wherever it is by now."""
    if job.shared:
        return _hashes_in_bucket(_uri(job, window, pane), id)
    place_of_it = pane_folder(started(window), pane)
    if job.remote is not None:
        job.remote.bring(place_of_it)
    final = Path(job.directory) / place_of_it
    pending = _pending(job, window, id)
    # Looked for twice: it may be put in its place in between.
    for folder in (pending, final, pending, final):
        try:
            manifest = WindowManifest.model_validate_json(
                (folder / MANIFEST).read_text(encoding="utf-8")
            )
            break
        except FileNotFoundError:
            continue
    else:
        raise AccountingError(
            f"{final}: an earlier pane of this window is gone; put it back, or go on "
            "into an empty output"
        )
    return _hashes_in(folder, manifest)


def _hashes_in_bucket(pane: str, id: str) -> np.ndarray:
    with panes.brought_here(panes.sealed_file(pane, id, MANIFEST)) as path:
        manifest = WindowManifest.model_validate_json(path.read_text(encoding="utf-8"))
    shards = {shard.path: (shard.bytes, shard.sha256) for shard in manifest.shards}
    with panes.sealed_files(pane, id, shards) as folder:
        return _hashes_in(folder, manifest)


def _hashes_in(folder: Path, manifest: WindowManifest) -> np.ndarray:
    paths = [str(folder / shard.path) for shard in manifest.shards]
    compression = "GZIP" if manifest.compression == "gzip" else ""
    feature = {KEY: tf.io.FixedLenFeature((), tf.string)}
    found = [np.empty((0, 2), np.uint64)]
    for batch in tf.data.TFRecordDataset(paths, compression_type=compression).batch(8192):
        keys = tf.io.parse_example(batch, feature)[KEY].numpy()
        found.append(wide_fingerprint(pa.array(keys.tolist(), pa.binary())))
    return np.concatenate(found)


def _account(rows: Rows, start: datetime, pane: int) -> None:
    if rows.read != rows.written + rows.rejected + rows.duplicate:
        raise AccountingError(
            f"window {start:%FT%TZ}, pane {pane}: rows read {rows.read} != written {rows.written} + "
            f"rejected {rows.rejected} + duplicate {rows.duplicate}; nothing was left there. Report this"
        )


def _manifest(
    job: StreamJob, pane: SealedPane, written: _Written, shards: tuple[Shard, ...]
) -> WindowManifest:
    return WindowManifest(
        id=pane.id,
        start=started(pane.window),
        end=started(job.windowing.end(pane.window)),
        pane=pane.pane,
        spec_sha256=job.spec.sha256(),
        transform_sha256=job.transform_sha256,
        rows=written.rows,
        shards=shards,
        features=dict(job.features),
        compression=job.compression,
        statistics=written.statistics.summary(job.spec),
        drift=drift_of(job.spec, written.statistics, job.reference),
    )
