"""The feed: records to batches, beside reading them raw and beside parsing them one by one.

    python -m benchmarks.feed [--quick] [--json FILE]

Rows have the entries of the preprocessing benchmark: IDs by Zipf's law, titles of 16 and bodies of
128 with about 6 and 80 words. Every way reads the same rows in rounds, one way after the other, so
that a busy machine slows all of them; the median of the rounds counts. CPU is of the process, all
threads together. Exits with 1 if a way does not give every row exactly once.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from skewless.model.training.records import Records
from skewless.schemas.records.manifest import FeatureEntry, Manifest, Rows, Shard, SplitEntry
from skewless.schemas.records.records import KEY, LABEL, record_feature_spec

__all__ = ["main", "write_records"]

BATCH = 512
FILES = 4
PACKED = (8, 64)
_IDS = {
    "title": ((16,), 20_000, 6),
    "body": ((128,), 20_000, 80),
    "user_id": ((), 200_000, 0),
    "product_id": ((), 50_000, 0),
    "category": ((), 100, 0),
    "country": ((), 50, 0),
    "price": ((), 20, 0),
}
Way = Callable[[], tf.data.Dataset]


def write_records(root: Path, rows: int, rows_per_record: int = 1, files: int = FILES) -> Records:
    """Writes generated records, the same rows for any `rows_per_record`."""
    columns = _columns(rows)
    encoder = RecordBatchToExamplesEncoder()
    root.mkdir(parents=True)
    shards = []
    for number in range(files):
        begin, end = (rows * part // files for part in (number, number + 1))
        path = root / f"part-{number}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for first in range(begin, end, 64 * rows_per_record):
                last = min(end, first + 64 * rows_per_record)
                batch = {name: values[first:last] for name, values in columns.items()}
                for record in encoder.encode(_lists(batch, rows_per_record)):
                    writer.write(record)
        shards.append(Shard(path=path.name, rows=end - begin, bytes=path.stat().st_size, sha256=""))
    split = SplitEntry(rows=rows, bytes=sum(s.bytes for s in shards), shards=tuple(shards))
    manifest = Manifest(
        spec_sha256="",
        transform_sha256="",
        rows=Rows(read=rows, written=rows, rejected=0, duplicate=0),
        splits={"train": split},
        features={
            **{name: FeatureEntry(dtype="int64", shape=s) for name, (s, _, _) in _IDS.items()},
            "age": FeatureEntry(dtype="float32", shape=()),
            LABEL: FeatureEntry(dtype="float32", shape=()),
            KEY: FeatureEntry(dtype="string", shape=()),
        },
        rows_per_record=rows_per_record,
    )
    return Records(root, manifest)


def _columns(rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    columns: dict[str, np.ndarray] = {}
    for name, (shape, size, words) in _IDS.items():
        cumulative = np.cumsum(1 / (np.arange(size) + 2.7))
        drawn = random.random((rows, *shape)) * cumulative[-1]
        ids = np.searchsorted(cumulative, drawn).astype(np.int64) + 3
        if words:
            length = np.clip(random.poisson(words, rows), 1, *shape)
            ids[np.arange(*shape) >= length[:, None]] = 0
        columns[name] = ids
    columns["age"] = random.normal(size=rows).astype(np.float32)
    columns[LABEL] = random.integers(0, 2, rows).astype(np.float32)
    columns[KEY] = np.array([b"r%011d" % row for row in range(rows)])
    return columns


def _lists(columns: dict[str, np.ndarray], rows_per_record: int) -> pa.RecordBatch:
    """Returns a list a record of the values of its rows, one after the other."""
    arrays = []
    for values in columns.values():
        rows = len(values)
        edges = np.append(np.arange(0, rows, rows_per_record), rows)
        flat = pa.array(values.reshape(-1), pa.large_binary() if values.dtype.kind == "S" else None)
        arrays.append(pa.LargeListArray.from_arrays(edges * (values.size // rows), flat))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _ways(single: Records, packed: dict[int, Records]) -> dict[str, Way]:
    files = [str(single.directory / shard.path) for shard in single.manifest.splits["train"].shards]
    spec = record_feature_spec(single.manifest)
    spec.pop(KEY)

    def raw(count: int = FILES) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(files[:count])

    def parsed(records: tf.data.Dataset) -> tf.data.Dataset:
        batches = records.batch(BATCH)
        return batches.map(lambda s: tf.io.parse_example(s, spec), num_parallel_calls=2).prefetch(2)

    def interleaved(cycle: int, calls: int) -> Way:
        return lambda: parsed(
            tf.data.Dataset.from_tensor_slices(files).interleave(
                tf.data.TFRecordDataset,
                cycle_length=cycle,
                num_parallel_calls=calls,
                block_length=16,
            )
        )

    ways: dict[str, Way] = {
        "raw records, no parse": lambda: raw().batch(BATCH),
        "in order (model.inputs)": lambda: single.in_order("train", batch_size=BATCH),
        "training, shuffled (model.inputs)": lambda: _epoch(single),
        "interleave 1 file, 1 call": interleaved(1, 1),
        "interleave 2 files, 2 calls": interleaved(2, 2),
        "interleave 4 files, 4 calls": interleaved(4, 4),
        "interleave 4 files, AUTOTUNE": interleaved(4, tf.data.AUTOTUNE),
    }
    for count, records in packed.items():
        ways[f"in order, {count} rows a record"] = lambda records=records: records.in_order(  # type: ignore[misc]
            "train", batch_size=BATCH
        )
        ways[f"training, {count} rows a record"] = lambda records=records: _epoch(records)  # type: ignore[misc]
    ways["parse_single_example, then batch"] = lambda: (
        raw(1).map(lambda s: tf.io.parse_single_example(s, spec)).batch(BATCH).prefetch(2)
    )
    return ways


def _epoch(records: Records) -> tf.data.Dataset:
    return records.training(batch_size=BATCH, seed=1, epoch=0)


def _size(element: Any) -> int:
    return int(tf.nest.flatten(element)[0].shape[0])


def _measure(ways: dict[str, Way], rounds: int) -> dict[str, dict[str, float]]:
    """Returns, by way, medians of rows per second and of CPU microseconds a row."""
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            dataset = way()
            cpu, begin = time.process_time(), time.perf_counter()
            rows = sum(_size(batch) for batch in dataset)
            seconds = time.perf_counter() - begin
            found[name].append((rows / seconds, (time.process_time() - cpu) / rows * 1e6, rows))
    return {
        name: {
            "rows_per_second": round(statistics.median(rate for rate, _, _ in runs)),
            "best_rows_per_second": round(max(rate for rate, _, _ in runs)),
            "cpu_microseconds_per_row": round(statistics.median(cpu for _, cpu, _ in runs), 2),
            "rows": runs[0][2],
        }
        for name, runs in found.items()
    }


def _wrong(single: Records, packed: dict[int, Records]) -> list[str]:
    """Returns what does not give the rows that were written, each once."""

    def digest(dataset: tf.data.Dataset) -> tuple[int, list[int]]:
        """Counts rows and sums every entry, whatever the order."""
        rows, sums = 0, []
        for features, labels in dataset.as_numpy_iterator():
            rows += len(labels)
            # A place-weighted hash of a row's body, so that values moved between rows are seen.
            weights = np.arange(1, 129, dtype=np.int64) * 2_654_435_761
            hashed = features["body"] @ weights + features["user_id"] * 40_503
            sums.append(int(((hashed ^ (hashed >> 17)) * (labels[:, 0] > 0)).sum() & 0xFFFFFFFF))
        return rows, [sum(sums) & 0xFFFFFFFF]

    expected = digest(single.in_order("train", batch_size=BATCH))
    checked = {"training, 1 row a record": _epoch(single)}
    for count, records in packed.items():
        checked[f"in order, {count} rows a record"] = records.in_order("train", batch_size=BATCH)
        checked[f"training, {count} rows a record"] = _epoch(records)
    return [name for name, dataset in checked.items() if digest(dataset) != expected]


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a way gives wrong rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows: results count, not times")
    parser.add_argument("--rows", type=int, help="default: 200,000, or 10,000 with --quick")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    rows = asked.rows or (10_000 if asked.quick else 200_000)
    with tempfile.TemporaryDirectory() as folder:
        single = write_records(Path(folder) / "1", rows)
        packed = {count: write_records(Path(folder) / str(count), rows, count) for count in PACKED}
        sizes = {r.manifest.rows_per_record: r.manifest.splits["train"].bytes / rows for r in
                 (single, *packed.values())}  # fmt: skip
        wrong = _wrong(single, packed)
        ways = _measure(_ways(single, packed), 1 if asked.quick else 5)
    raw = ways["raw records, no parse"]["rows_per_second"]
    one_by_one = ways["parse_single_example, then batch"]["rows_per_second"]
    print(f"{'way':<36}{'rows/s':>10}{'best':>12}{'CPU us/row':>12}{'x raw':>8}{'x single':>10}")
    for name, way in ways.items():
        rate = way["rows_per_second"]
        print(
            f"{name:<36}{rate:>10,}{way['best_rows_per_second']:>12,}"
            f"{way['cpu_microseconds_per_row']:>12.2f}{rate / raw:>8.2f}{rate / one_by_one:>10.1f}"
        )
    for count, size in sizes.items():
        print(f"{size:,.0f} bytes a row with {count} row(s) a record")
    ours = ways["in order (model.inputs)"]["rows_per_second"]
    result = {
        "rows": rows,
        "batch": BATCH,
        "ways": ways,
        "bytes_per_row": {str(count): round(size, 1) for count, size in sizes.items()},
        "to_raw": round(ours / raw, 3),
        "to_single": round(ours / one_by_one, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "wrong": wrong,
    }
    print(f"in order: {ours / raw:.2f} x raw (target 0.5), {ours / one_by_one:.1f} x single (8)")
    print(f"wrong rows: {', '.join(wrong) or 'none'}")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
