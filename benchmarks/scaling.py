"""What `preprocess` costs on a cluster, by rows; from that, what many more rows would take.

    python -m benchmarks.scaling [--rows 100000 1000000 10000000] [--s3] [--quick] [--json FILE]

Generated reviews of about 600 bytes (benchmarks/preprocessing/data.py), the files of fewer rows
being the first of those of more, go through the job of reviews.yaml on the Flink of scripts/, which
must be down: each size has a cluster of its own, so that it pays for its start. Told of each size:

- CPU seconds of JobManager, TaskManagers, Python workers and command (/proc), which hold on a
  machine that does other things as well; wall seconds, which do not; the greatest memory;
- shuffle: `write-bytes` of all tasks in Flink's REST API, which is all that tasks hand to tasks,
  whether over the network or within a TaskManager;
- bytes of records, of everything left, and of the manifest;
- of each kind of process the most that one of them held, and the CPU seconds of all.

With `--s3` rows and records are in a bucket of versitygw on loopback, which Go builds, and workers share nothing
else; what they leave there for one another counts too. The server's own time and memory do not.

A line, fixed + per row, is fitted to each by least squares of relative errors. Exits with 1 if rows
are lost, or if vocabularies, of up to a million rows, are not those of the local runner.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.preprocessing import data
from benchmarks.preprocessing.checks import read_vocabularies
from benchmarks.preprocessing.measure import MEMORY, Measured, measure
from benchmarks.scaling_bucket import Bucket, between, bucket_on_loopback
from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.records.manifest import load_manifest

__all__ = ["fitted_line", "main"]

ROOT = Path(__file__).parent.parent
SPEC = Path(__file__).parent / "preprocessing" / "reviews.yaml"
RESULTS = Path(__file__).parent / "results"
REST = "http://localhost:8081"
_GROWING = ("cpu_seconds", "wall_seconds", "shuffle_bytes", "records_bytes", "left_bytes")
_FAR = 10**10
_COMPARED_ROWS = 1_000_000


@dataclass
class Kind:
    """Processes of one kind: the most that one held, and what all of them computed."""

    peak_bytes: int = 0
    cpu_seconds: float = 0.0


@dataclass
class Size:
    """What a job over so many rows took; `shuffle_bytes_by_task` names the largest five.

    `between_bytes` is what workers left for one another in the bucket, but for records.
    """

    rows: int
    files: int
    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    shuffle_bytes: int
    shuffle_records: int
    shuffle_bytes_by_task: dict[str, int]
    records_bytes: int
    left_bytes: int
    manifest_bytes: int
    rows_kept: bool
    kinds: dict[str, Kind]
    between_bytes: int = 0


def flink(*arguments: str) -> str:
    """Runs scripts/flink; returns what it printed."""
    command = [sys.executable, str(ROOT / "scripts" / "flink"), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _is_up() -> bool:
    command = [sys.executable, str(ROOT / "scripts" / "flink"), "status"]
    return "process" in subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout


def on_flink(files: Sequence[Path], rows: int, output: Path, bucket: Bucket | None) -> Size:
    """Runs the job on a cluster that is started for it; leaves its output at a path in any case."""
    inputs = [str(file) for file in files]
    left = str(output)
    try:
        if bucket is not None:
            inputs, left = bucket.put(files), bucket.uri(output.name)
            bucket.use("workers")
        flink("up")
        if bucket is not None:
            bucket.use("command")
        servers = _servers()
        with between(bucket, output.name) as seen:
            options = flink("options").split()
            measured = _preprocess(inputs, left, options, servers=list(servers.values()))
        shuffled = _shuffled()
    finally:
        flink("down")
    elsewhere = 0 if bucket is None else bucket.fetch_but_records(left, output)
    manifest = load_manifest(output)
    by_size = sorted(shuffled.items(), key=lambda task: -task[1][0])
    return Size(
        rows=rows,
        files=len(files),
        cpu_seconds=round(measured.cpu, 1),
        wall_seconds=round(measured.wall, 1),
        peak_bytes=measured.peak_bytes,
        shuffle_bytes=sum(size for size, _ in shuffled.values()),
        shuffle_records=sum(count for _, count in shuffled.values()),
        shuffle_bytes_by_task={name: size for name, (size, _) in by_size[:5]},
        records_bytes=sum(split.bytes for split in manifest.splits.values()),
        left_bytes=elsewhere
        + sum(path.stat().st_size for path in output.rglob("*") if path.is_file()),
        manifest_bytes=(output / MANIFEST).stat().st_size,
        rows_kept=(manifest.rows.read, manifest.rows.written) == (rows, rows),
        kinds=_kinds(measured, servers),
        between_bytes=max(seen, default=0),
    )


def _preprocess(
    inputs: Sequence[str], output: str, options: Sequence[str], servers: Sequence[int] = ()
) -> Measured:
    given = [argument for file in inputs for argument in ("--input", file)]
    command = [sys.executable, "-m", "skewless", "preprocess", str(SPEC), *given]
    with tempfile.TemporaryDirectory() as folder:
        measured = measure([*command, "--output", output, *options], Path(folder), servers=servers)
    if measured.exit_code:
        sys.exit(f"the job failed:\n{measured.tail}")
    return measured


def _servers() -> dict[str, int]:
    folder = Path(os.environ.get("SKEWLESS_SERVERS", ROOT / ".servers")) / "flink"
    names = ("jobmanager", "taskmanager-1", "taskmanager-2", "workers")
    return {name: int((folder / f"{name}.pid").read_text().split()[0]) for name in names}


def _kinds(measured: Measured, servers: Mapping[str, int]) -> dict[str, Kind]:
    named = {pid: name.partition("-")[0] for name, pid in servers.items()}
    kinds: dict[str, Kind] = {}
    command = measured.processes[0].pid
    for process in measured.processes:
        name = named.get(process.root, "job server of Beam's")
        if process.pid == command:
            name = "command"
        kind = kinds.setdefault(name, Kind())
        kind.peak_bytes = max(kind.peak_bytes, process.peak_bytes)
        kind.cpu_seconds = round(kind.cpu_seconds + process.cpu, 1)
    return kinds


def _shuffled() -> dict[str, tuple[int, int]]:
    """Returns bytes and elements that each task of the only job handed on, by name."""
    [job] = _rest("/jobs")["jobs"]
    found: dict[str, tuple[int, int]] = {}
    for vertex in _rest(f"/jobs/{job['id']}")["vertices"]:
        size, count = found.get(vertex["name"], (0, 0))
        metrics = vertex["metrics"]
        found[vertex["name"]] = (size + metrics["write-bytes"], count + metrics["write-records"])
    return found


def _rest(path: str) -> Any:
    with urllib.request.urlopen(f"{REST}{path}", timeout=30) as answer:
        return json.load(answer)


def fitted_line(rows: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """Returns (fixed, per row) of the line whose relative errors have the least squares."""
    n, y = np.array(rows, float), np.array(values, float)
    (fixed, per_row), *_ = np.linalg.lstsq(
        np.stack([1 / y, n / y], axis=1), np.ones(len(n)), rcond=None
    )
    return float(fixed), float(per_row)


def _lines(sizes: Sequence[Size]) -> dict[str, dict[str, float]]:
    lines = {}
    rows = [size.rows for size in sizes]
    for name in _GROWING:
        values = [getattr(size, name) for size in sizes]
        fixed, per_row = fitted_line(rows, values)
        errors = [abs(fixed + per_row * n - y) / y for n, y in zip(rows, values, strict=True)]
        lines[name] = {
            "fixed": fixed,
            "per_row": per_row,
            "largest_relative_error": max(errors),
            f"at_{_FAR}": fixed + per_row * _FAR,
        }
    return lines


def _table(sizes: Sequence[Size], lines: dict[str, dict[str, float]]) -> str:
    head = f"{'rows':>12}{'CPU s':>9}{'wall s':>9}{'CPU us/row':>12}{f'peak {MEMORY} GB':>13}"
    text = [f"{head}{'shuffle MB':>12}{'B/row':>8}{'records MB':>12}{'B/row':>8}"]
    for size in sizes:
        text.append(
            f"{size.rows:>12,}{size.cpu_seconds:>9,.0f}{size.wall_seconds:>9,.0f}"
            f"{1e6 * size.cpu_seconds / size.rows:>12.1f}{size.peak_bytes / 1e9:>13.2f}"
            f"{size.shuffle_bytes / 1e6:>12,.1f}{size.shuffle_bytes / size.rows:>8.1f}"
            f"{size.records_bytes / 1e6:>12,.1f}{size.records_bytes / size.rows:>8.1f}"
        )
    for size in sizes:
        for name, kind in size.kinds.items():
            text.append(
                f"{size.rows:>12,} rows: {name}: {kind.cpu_seconds:,.0f} CPU s, at most "
                f"{kind.peak_bytes / 1e9:.2f} GB in one"
            )
        if size.between_bytes:
            text.append(
                f"{size.rows:>12,} rows: {size.between_bytes / 1e6:,.1f} MB between workers"
            )
    for name, line in lines.items():
        text.append(
            f"{name} = {line['fixed']:,.1f} + {line['per_row']:.3g} a row, "
            f"within {line['largest_relative_error']:.0%}; {_FAR:,} rows: {line[f'at_{_FAR}']:,.0f}"
        )
    return "\n".join(text)


def main() -> int:
    """Runs the benchmark; returns 1 if a result is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--s3", action="store_true", help="rows and records in a bucket")
    parser.add_argument("--quick", action="store_true", help="little data: results, not times")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keeps rows (default: nowhere)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="(default: in results/)")
    asked = parser.parse_args()
    if asked.json is None and not asked.quick:
        asked.json = RESULTS / ("scaling_s3.json" if asked.s3 else "scaling.json")
    rows = sorted([50_000, 100_000] if asked.quick else asked.rows)
    if len(set(rows)) < 2:
        parser.error("--rows: a line needs two sizes")
    if _is_up():
        sys.exit("Flink is up; each size is to have a cluster of its own: make flink-down")
    sizes: list[Size] = []
    compared: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder = asked.data or root / "rows"
        for count in rows:
            output = root / str(count)
            files = data.write_parts(count, folder)
            with bucket_on_loopback(root / "s3") if asked.s3 else nullcontext() as bucket:
                sizes.append(on_flink(files, count, output, bucket))
            print(json.dumps(asdict(sizes[-1])), flush=True)
            if count <= _COMPARED_ROWS:
                inputs = [str(file) for file in files]
                local = _preprocess(inputs, str(root / "local"), ["--overwrite"])
                same = read_vocabularies(output) == read_vocabularies(root / "local")
                compared = {
                    "rows": count,
                    "vocabularies_are_the_same": same,
                    "cpu_seconds": round(local.cpu, 1),
                    "wall_seconds": round(local.wall, 1),
                    "peak_bytes": local.peak_bytes,
                }
            shutil.rmtree(output)
    lines = _lines(sizes)
    print(_table(sizes, lines))
    result = {
        "memory": MEMORY,
        "sizes": [asdict(size) for size in sizes],
        "lines": lines,
        "local_runner": compared,
    }
    if asked.json is not None:
        asked.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    right = all(size.rows_kept for size in sizes)
    return 0 if right and compared.get("vocabularies_are_the_same", True) else 1


if __name__ == "__main__":
    raise SystemExit(main())
