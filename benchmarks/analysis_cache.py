"""The analysis cache: adding a day of reviews, beside analysing all days again.

    python -m benchmarks.analysis_cache [--days 10] [--rows 50000] [--rounds 3] [--json FILE]

Days are Parquet files of generated reviews (benchmarks/preprocessing/data.py). The stages up to the
transform's constants (duplicates found, training rows counted, vocabularies chosen) run in a fresh
process each time: without a cache, with an empty one, and with one that holds all days but the
last. Then whole jobs, which write all records anew either way. CPU is of the process and its children;
the least of the rounds counts. Exits with 1 if the transforms differ.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from benchmarks.preprocessing import data

__all__ = ["main"]

SPEC = Path(__file__).parent / "preprocessing" / "reviews.yaml"
WAYS = ("no cache", "empty cache", "all days but one kept")


def write_days(root: Path, days: int, rows: int) -> None:
    """Writes `days` files of `rows` reviews each, no two of one key."""
    root.mkdir(parents=True)
    table = pa.Table.from_batches(data.generate(days * rows))
    for day in range(days):
        pa.parquet.write_table(table.slice(day * rows, rows), root / f"day-{day:03d}.parquet")


def constants(days: Path, cache: Path | None, output: Path) -> None:
    """Runs the job's stages up to the constants, and leaves the vocabularies."""
    import apache_beam as beam
    from apache_beam.pvalue import AsSingleton

    from skewless.beam_pipelines.analysis.cache import AnalysisCache
    from skewless.beam_pipelines.analysis.duplicates import FindDuplicates
    from skewless.beam_pipelines.analysis.stage import Analyse
    from skewless.beam_pipelines.running.local_runner import pipeline_options
    from skewless.beam_pipelines.sources import plan
    from skewless.schemas.spec.spec import load

    spec = load(SPEC)
    units = plan([f"{days}/*.parquet"], spec)
    kept = AnalysisCache(cache, spec) if cache is not None else None
    options = pipeline_options(["--direct_num_workers=1"])
    with beam.Pipeline(options=options) as pipeline:
        work = pipeline | beam.Create(units) | beam.Reshuffle()
        duplicates = AsSingleton(work | FindDuplicates(spec, str(output / "temporary"), cache=kept))
        _ = work | Analyse(spec, str(output), 1, duplicates, kept)


def job(days: Path, cache: Path | None, output: Path) -> None:
    """Runs the whole job."""
    from skewless.beam_pipelines.preprocess import preprocess
    from skewless.schemas.spec.spec import load

    options = ["--direct_num_workers=1"]
    preprocess(load(SPEC), [f"{days}/*.parquet"], output, cache=cache, options=options)


_TASKS = {"constants": constants, "job": job}


def measure(task: str, days: Path, cache: Path | None, output: Path) -> dict[str, float]:
    """Returns the seconds and CPU seconds of one run in a process of its own."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "benchmarks.analysis_cache", "--run", task]
    subprocess.run([*command, days, cache or "", output], check=True, stderr=subprocess.DEVNULL)
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}


def compare(root: Path, days: int, rows: int, rounds: int) -> dict[str, Any]:
    """Measures every way of every task."""
    write_days(root / "days", days + 1, rows)
    (root / "earlier").mkdir()
    for path in sorted((root / "days").iterdir())[:-1]:
        (root / "earlier" / path.name).symlink_to(path)
    measure("constants", root / "earlier", root / "kept", root / "first")
    results: dict[str, Any] = {"days": days + 1, "rows": (days + 1) * rows}
    entries = [path.stat().st_size for path in (root / "kept").iterdir()]
    results["input_bytes"] = sum(p.stat().st_size for p in (root / "days").iterdir())
    results["cache_bytes"] = sum(entries)
    for task in _TASKS:
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for number in range(rounds):
            for way in WAYS:
                cache = None if way == "no cache" else root / f"cache-{task}-{number}"
                if way == "all days but one kept":
                    shutil.rmtree(cache, ignore_errors=True)
                    shutil.copytree(root / "kept", cache)
                output = root / f"{task}-{number}-{way.replace(' ', '-')}"
                runs[way].append(measure(task, root / "days", cache, output))
                _check(task, root, number)
        results[task] = {
            way: {key: min(run[key] for run in found) for key in found[0]}
            for way, found in runs.items()
        }
    return results


def _check(task: str, root: Path, number: int) -> None:
    """Refuses a way whose vocabularies are not those of the first."""
    found = []
    for way in WAYS:
        output = root / f"{task}-{number}-{way.replace(' ', '-')}"
        folder = output / (
            "vocabularies" if task == "constants" else "transform/transform_fn/assets"
        )
        if folder.is_dir():
            found.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    if any(other != found[0] for other in found):
        raise SystemExit(f"{task}: the vocabularies differ")


def _table(results: dict[str, Any]) -> str:
    lines = [f"{results['days']} days, {results['rows']:,} rows"]
    share = results["cache_bytes"] / results["input_bytes"]
    lines.append(f"cache: {results['cache_bytes'] / 1e6:.0f} MB, {share:.0%} of the input's bytes")
    for task in _TASKS:
        for way, found in results[task].items():
            lines.append(
                f"{task:<10} {way:<22} {found['seconds']:>7.1f} s {found['cpu_seconds']:>7.1f} CPU s"
            )
    return "\n".join(lines)


def main() -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=10, help="days kept before the new one")
    parser.add_argument("--rows", type=int, default=50_000, help="rows a day")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    known = parser.parse_args()
    if known.run:
        task, days, cache, output = known.run
        _TASKS[task](Path(days), Path(cache) if cache else None, Path(output))
        return 0
    with tempfile.TemporaryDirectory() as root:
        results = compare(Path(root), known.days, known.rows, known.rounds)
    print(_table(results))
    if known.json:
        Path(known.json).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
