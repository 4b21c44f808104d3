"""The preprocessing benchmark: this project's job beside five other ways to do the same.

    python -m benchmarks.preprocessing.compare --data DIR --rows 200000,1000000
    python -m benchmarks.preprocessing.compare --quick

Every run is a fresh process; runs of one round take turns, so that what else the machine does is
shared. What each leaves is checked: rows counted in its files, vocabularies, and with `--quick`
each record. The exit code is 1 only for wrong results, never for time.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet

from benchmarks.preprocessing import data
from benchmarks.preprocessing.checks import (
    Reference,
    count_records,
    read_vocabularies,
    train_keys,
)
from benchmarks.preprocessing.measure import MEMORY, Measured, measure
from benchmarks.preprocessing.report import chart, table

__all__ = ["main"]

_SPEC = Path(__file__).with_name("reviews.yaml")
_RESULTS = Path(__file__).parents[1] / "results"
_FIXED_ROWS = 1_000
_ROWS = "1000,20000,200000,1000000,5000000"
_QUICK_ROWS = 5_000
# The first is what peers are compared with: as a person types it.
_OURS = (
    "skewless=",
    "skewless, 1 worker=--direct_num_workers=1",
)
# Above this many rows the reference in plain Python takes too long.
_REFERENCE_ROWS = 200_000
_PACKAGES = ("tensorflow", "tensorflow-transform", "apache-beam", "pyarrow", "keras", "pyspark")


@dataclass(frozen=True)
class _Runner:
    """One way to do the job.

    Attributes:
      slow: Runs on `--slow-rows` at most.
      once: Is far enough behind for one run to tell.
      own_split: Holds out other rows than the others do.
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    ours: bool = False
    slow: bool = False
    once: bool = False
    own_split: bool = False
    needs: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Returns what it needs and this machine does not have, or None."""
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                return module
        return None if not self.own_split or shutil.which("java") else "java"


def _peer(module: str, name: str, **about: Any) -> _Runner:
    def command(source: Path, output: Path) -> list[str]:
        place = f"benchmarks.preprocessing.peers.{module}"
        return [sys.executable, "-m", place, "--input", str(source), "--output", str(output)]

    return _Runner(name, command, **about)


def _ours(name: str, arguments: Sequence[str]) -> _Runner:
    def command(source: Path, output: Path) -> list[str]:
        job = ["preprocess", str(_SPEC), "--input", str(source), "--output", str(output)]
        return [sys.executable, "-m", "skewless", *job, "--overwrite", *arguments]

    return _Runner(name, command, ours=True)


_PEERS = {
    "stock_dicts": _peer("stock_dicts", "tf.Transform, dicts", slow=True, once=True),
    "stock_batches": _peer("stock_batches", "tf.Transform, record batches", slow=True, once=True),
    "keras_layers": _peer("keras_layers", "Keras layers, tf.data"),
    "spark": _peer("spark", "PySpark local[2]", once=True, own_split=True, needs=("pyspark",)),
    "handwritten": _peer("handwritten", "hand-written pyarrow"),
}


@dataclass
class _Run:
    """One measured run and what was found in what it left."""

    name: str
    ours: bool
    format: str
    rows: int
    measured: Measured
    records: int | None = None
    reported: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 1 when a result is wrong."""
    asked = _parsed(arguments)
    runners = [_ours(*_named(text)) for text in asked.ours]
    for peer in filter(None, asked.peers.split(",")):
        lacking = _PEERS[peer].missing()
        if lacking is None:
            runners.append(_PEERS[peer])
        else:
            print(f"{peer}: skipped, {lacking} is not installed", flush=True)
    bench = _Bench(asked)
    for kind in asked.formats.split(","):
        for number in range(asked.repeat):
            for rows in bench.sizes:
                for runner in runners:
                    if rows in bench.sizes_of(runner) and not (number and runner.once):
                        bench.run(runner, kind, rows)
        bench.compare_vocabularies(kind)
    summaries = _with_ratios(bench.summaries())
    print("\n" + table(summaries, MEMORY))
    problems = [
        f"{run.name}, {run.format}, {run.rows:,} rows: {problem}"
        for run in bench.runs
        for problem in run.problems
    ]
    for problem in problems:
        print(f"WRONG: {problem}")
    _leave(asked, bench, summaries, problems)
    return 1 if problems else 0


class _Bench:
    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked = asked
        self.runs: list[_Run] = []
        wanted = sorted({int(rows) for rows in asked.rows.split(",")})
        slow = sorted({min(rows, asked.slow_rows) for rows in wanted})
        fixed = [] if asked.quick else [_FIXED_ROWS]
        self._slow, self._wanted = {*slow, *fixed}, {*wanted, *slow, *fixed}
        self.sizes = sorted(self._wanted)

    def sizes_of(self, runner: _Runner) -> set[int]:
        """Returns the row counts that a runner runs on."""
        return self._slow if runner.slow else self._wanted

    def source(self, kind: str, rows: int) -> Path:
        return data.write(rows, self._asked.data / f"reviews-{rows}.{kind}")

    def run(self, runner: _Runner, kind: str, rows: int) -> None:
        """Measures one run, and checks what it left."""
        source = self.source(kind, rows)
        with tempfile.TemporaryDirectory(dir=self._asked.data) as folder:
            output = Path(folder) / "out"
            measured = measure(runner.command(source, output), Path(folder))
            run = _Run(runner.name, runner.ours, kind, rows, measured)
            run.reported = measured.last_line
            if measured.exit_code and not (measured.last_line and not runner.ours):
                run.problems.append(f"exit code {measured.exit_code}: {measured.tail[-600:]}")
            else:
                try:
                    self._check(runner, run, source, output)
                except (OSError, ValueError, KeyError) as error:
                    run.problems.append(f"cannot be read: {error}")
            vocabularies = self._asked.data / f".vocabularies-{kind}-{rows}" / runner.name
            self._keep_vocabularies(output, vocabularies)
        self.runs.append(run)
        print(
            f"{runner.name:<30} {kind:<8} {rows:>10,} rows {measured.wall:8.1f} s "
            f"{measured.cpu:8.1f} CPU s {measured.peak_bytes / 1e9:6.2f} GB"
            f"  {'; '.join(run.problems) or 'right'}",
            flush=True,
        )

    def _check(self, runner: _Runner, run: _Run, source: Path, output: Path) -> None:
        run.records = count_records(output)
        if run.records != run.rows:
            run.problems.append(f"{run.rows:,} rows became {run.records:,} records")
        counted = {"rows_in", "rows_out"} & set(run.reported)
        run.problems += [
            f"reports {name} {run.reported[name]:,}"
            for name in sorted(counted)
            if run.reported[name] != run.rows
        ]
        small = run.rows <= _QUICK_ROWS
        if run.rows == _FIXED_ROWS or run.rows > _REFERENCE_ROWS:
            return
        if runner.own_split:
            if not small:
                return
            reference = Reference(source, train_keys(output), keep=True)
        else:
            reference = _reference(source, small)
        found = read_vocabularies(output)
        run.problems += reference.vocabulary_problems(found)
        if small:
            run.problems += reference.record_problems(output, found)

    def _keep_vocabularies(self, output: Path, kept: Path) -> None:
        shutil.rmtree(kept, ignore_errors=True)
        for folder in (output / "transform" / "transform_fn" / "assets", output / "vocabularies"):
            if folder.is_dir():
                shutil.copytree(folder, kept / "vocabularies")

    def compare_vocabularies(self, kind: str) -> None:
        """Compares ours with each peer's of the same split, byte for byte."""
        alike = [r.name for r in _PEERS.values() if not r.own_split]
        for rows in self.sizes:
            folder = self._asked.data / f".vocabularies-{kind}-{rows}"
            runs = {run.name: run for run in self.runs if (run.format, run.rows) == (kind, rows)}
            found = {
                name: read_vocabularies(folder / name)
                for name, run in runs.items()
                if (run.ours or name in alike) and (folder / name).is_dir()
            }
            for name, run in runs.items():
                for peer in alike:
                    if run.ours and name in found and peer in found and found[name] != found[peer]:
                        run.problems.append(f"vocabularies differ from those of {peer}")
            shutil.rmtree(folder, ignore_errors=True)

    def summaries(self) -> list[dict[str, Any]]:
        """Returns one summary of each runner, format and size: medians of its repeats."""
        groups: dict[tuple[str, int, str], list[_Run]] = {}
        for run in self.runs:
            groups.setdefault((run.format, run.rows, run.name), []).append(run)
        return [
            _summary(runs, groups.get((kind, _FIXED_ROWS, name), []), self._decoded_bytes(rows))
            for (kind, rows, name), runs in sorted(groups.items(), key=lambda item: item[0][:2])
        ]

    def _decoded_bytes(self, rows: int) -> int:
        return _decoded_bytes(self.source("parquet", rows))


@cache
def _reference(source: Path, keep: bool) -> Reference:
    return Reference(source, keep=keep)


@cache
def _decoded_bytes(source: Path) -> int:
    parquet = pyarrow.parquet.ParquetFile(source)
    return sum(batch.nbytes for batch in parquet.iter_batches())


def _summary(runs: list[_Run], small: list[_Run], decoded: int) -> dict[str, Any]:
    """Returns the medians of `runs`; `small` are the same over `_FIXED_ROWS` rows."""
    first = runs[0]
    sound = [run.measured for run in runs if run.records]
    started = [run.measured for run in small if run.records]
    wall, cpu = _median([m.wall for m in sound]), _median([m.cpu for m in sound])
    fixed, fixed_cpu = _median([m.wall for m in started]), _median([m.cpu for m in started])
    flowing = flowing_cpu = None
    more = first.rows - _FIXED_ROWS
    if wall is not None and cpu is not None and fixed is not None and fixed_cpu is not None:
        flowing = more / (wall - fixed) if more > 0 and wall > fixed else None
        flowing_cpu = (cpu - fixed_cpu) * 1e6 / more if more > 0 and cpu > fixed_cpu else None
    seconds = [m.first_record for m in sound if m.first_record is not None]
    return {
        "name": first.name,
        "ours": first.ours,
        "format": first.format,
        "rows": first.rows,
        "repeats": len(runs),
        "wall": wall,
        "fixed": fixed,
        "first_record": _median(seconds),
        "rows_per_second": first.rows / wall if wall else None,
        "rows_per_second_flowing": flowing,
        "megabytes_per_second": decoded / 1e6 / wall if wall else None,
        "cpu_seconds": cpu,
        "cpu_per_million_flowing": flowing_cpu,
        "peak_gigabytes": _median([measured.peak_bytes / 1e9 for measured in sound]),
        "rows_kept": all(run.records == run.rows for run in runs),
        "right": not any(run.problems for run in runs),
    }


def _with_ratios(summaries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds the first of ours over each: whole seconds at its size, flowing speed at the nearest."""
    speed = "rows_per_second_flowing"
    ours = [entry for entry in summaries if entry["ours"]]
    first = [entry for entry in ours if entry["name"] == ours[0]["name"]]
    for summary in summaries:
        near = [entry for entry in first if entry["format"] == summary["format"] and entry[speed]]
        summary["ratio"] = summary["whole_ratio"] = None
        for entry in first:
            same = (entry["format"], entry["rows"]) == (summary["format"], summary["rows"])
            if same and entry["wall"] and summary["wall"]:
                summary["whole_ratio"] = entry["wall"] / summary["wall"]
        if near and summary[speed]:
            nearest = min(near, key=lambda entry: abs(entry["rows"] - summary["rows"]))
            summary["ratio"] = nearest[speed] / summary[speed]
    return summaries


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _leave(
    asked: argparse.Namespace,
    bench: _Bench,
    summaries: list[dict[str, Any]],
    problems: list[str],
) -> None:
    document = {
        "machine": {
            "cores": os.cpu_count(),
            "memory_gigabytes": round(psutil.virtual_memory().total / 1e9, 1),
            "processor": platform.processor() or platform.machine(),
            "load_average_at_end": os.getloadavg()[0],
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in _PACKAGES},
        },
        "memory_measure": MEMORY,
        "summaries": summaries,
        "problems": problems,
        "runs": [{**asdict(run), "measured": _figures(run.measured)} for run in bench.runs],
    }
    asked.results.mkdir(parents=True, exist_ok=True)
    path = asked.results / "preprocessing.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"\n{path}")
    try:
        chart(summaries, path.with_suffix(".png"))
    except ImportError:
        print("no chart: matplotlib is not installed")


def _figures(measured: Measured) -> dict[str, Any]:
    return {
        key: round(value, 3) if isinstance(value, float) else value
        for key, value in asdict(measured).items()
        if key not in ("tail", "last_line")
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _named(text: str) -> tuple[str, list[str]]:
    name, _, arguments = text.partition("=")
    return name, shlex.split(arguments)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", help=f"comma-separated (default: {_ROWS})")
    parser.add_argument("--formats", help="comma-separated: parquet, csv (default: both)")
    parser.add_argument(
        "--repeat",
        type=int,
        help="runs of each, whose medians count; tf.Transform's and Spark's are one (default: 3)",
    )
    parser.add_argument("--peers", default=",".join(_PEERS), help="comma-separated (default: all)")
    parser.add_argument(
        "--ours",
        action="append",
        metavar="NAME=ARGUMENTS",
        help="our job with arguments of its own; repeat to compare (default: as it chooses, and 1 worker)",
    )
    parser.add_argument(
        "--slow-rows",
        type=int,
        default=200_000,
        help="the most rows that stock tf.Transform runs on (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(tempfile.gettempdir()) / "skewless-benchmark",
        help="where generated files and outputs go (default: %(default)s)",
    )
    parser.add_argument("--results", type=Path, help="(default: benchmarks/results)")
    parser.add_argument(
        "--quick", action="store_true", help=f"{_QUICK_ROWS:,} rows once, every record checked"
    )
    asked = parser.parse_args(arguments)
    unknown = set(filter(None, asked.peers.split(","))) - set(_PEERS)
    if unknown:
        parser.error(f"--peers: {', '.join(sorted(unknown))}; expected some of {', '.join(_PEERS)}")
    asked.rows = asked.rows or (str(_QUICK_ROWS) if asked.quick else _ROWS)
    asked.formats = asked.formats or ("parquet" if asked.quick else "parquet,csv")
    asked.ours = asked.ours or (_OURS[:1] if asked.quick else _OURS)
    asked.repeat = asked.repeat or (1 if asked.quick else 3)
    # Figures of a quick run are no results.
    asked.results = asked.results or (asked.data / "results" if asked.quick else _RESULTS)
    asked.data = asked.data.absolute()
    asked.data.mkdir(parents=True, exist_ok=True)
    return asked


if __name__ == "__main__":
    raise SystemExit(main())
