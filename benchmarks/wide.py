"""Whole `preprocess` commands by the number of features, beside Keras layers doing the same.

    python -m benchmarks.wide [--quick] [--features 10,50,200,1000] [--rows 200] [--road] [--json FILE]

Half of the features are numbers, scaled to a z-score, half are categories of nine values. Both write
TFRecords. Runs take turns, each a fresh process, imports and all; the table shows medians. With `--road`
the records go on to `train` and `export`. Exits with 1 if a job leaves another number of records than
rows, or a command fails.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import yaml

from benchmarks.preprocessing.checks import count_records
from benchmarks.preprocessing.measure import measure

__all__ = ["main"]

_VALUES = 9


def write_table(features: int, rows: int, path: Path) -> None:
    """Writes a Parquet file: a key, numbers `n0…`, categories `c0…` and a binary label."""
    random = np.random.default_rng(features)
    columns: dict[str, Any] = {"key": [f"r{row}" for row in range(rows)]}
    for place in range(features // 2):
        columns[f"n{place}"] = random.normal(size=rows).round(4)
    for place in range(features - features // 2):
        columns[f"c{place}"] = [f"v{value}" for value in random.integers(0, _VALUES, rows)]
    columns["label"] = random.integers(0, 2, rows)
    pyarrow.parquet.write_table(pa.table(columns), path)


def spec_of(source: Path) -> dict[str, Any]:
    """Returns the declaration of such a table."""
    features: dict[str, Any] = {}
    for name in pyarrow.parquet.read_schema(source).names:
        if name.startswith("n"):
            features[name] = {"type": "numeric", "scale": "z_score"}
        elif name.startswith("c"):
            features[name] = {"type": "categorical"}
    return {
        "name": "wide",
        "key": "key",
        "features": features,
        "label": {"column": "label", "type": "binary"},
    }


def commands(source: Path, folder: Path) -> dict[str, list[str]]:
    """Returns the commands by their name; each writes below `folder`."""
    spec = folder / "spec.yaml"
    spec.write_text(yaml.safe_dump(spec_of(source)), encoding="utf-8")
    arguments = ["--input", str(source), "--output", str(folder / "out")]
    return {
        "skewless": [sys.executable, "-m", "skewless", "preprocess", str(spec), *arguments],
        "Keras layers": [sys.executable, "-m", "benchmarks.wide_keras_layers", *arguments],
    }


def later_commands(folder: Path) -> dict[str, list[str]]:
    """Returns the commands that follow `preprocess`, by their name."""
    ours = [sys.executable, "-m", "skewless"]
    records, run, model = (str(folder / name) for name in ("out", "run", "model"))
    return {
        "train": [*ours, "train", records, "--output", run],
        "export": [*ours, "export", run, "--output", model],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a result is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="10 features, one round")
    parser.add_argument("--features", default="10,50,200,1000", metavar="N,…")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--road", action="store_true", help="train and export as well")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    sizes = [10] if asked.quick else [int(size) for size in asked.features.split(",")]
    found: list[dict[str, Any]] = []
    for features in sizes:
        rounds = 1 if asked.quick else asked.rounds
        found += measured(features, asked.rows, rounds, road=asked.road)
    print(f"{'':<14}{'features':>9}{'wall s':>9}{'CPU s':>9}{'peak GB':>9}  records")
    for entry in found:
        print(
            f"{entry['name']:<14}{entry['features']:>9,}{entry['wall']:>9.1f}{entry['cpu']:>9.1f}"
            f"{entry['peak_gigabytes']:>9.2f}  {'right' if entry['right'] else 'WRONG'}"
        )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(entry["right"] for entry in found) else 1


def measured(features: int, rows: int, rounds: int, *, road: bool) -> list[dict[str, Any]]:
    """Returns what each command took with so many features: medians of its rounds.

    Args:
      features, rows: Of the table.
      rounds: How often each command runs.
      road: Whether to train and export what `preprocess` leaves.
    """
    runs: dict[str, list[Any]] = {}
    right: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as root:
        source = Path(root) / "wide.parquet"
        write_table(features, rows, source)
        for _ in range(rounds):
            for name in ("skewless", "Keras layers"):
                with tempfile.TemporaryDirectory(dir=root) as folder:
                    steps = {name: commands(source, Path(folder))[name]}
                    if road and name == "skewless":
                        steps |= later_commands(Path(folder))
                    for step, command in steps.items():
                        run = measure(command, Path(folder))
                        if run.exit_code:
                            print(run.tail, file=sys.stderr)
                        counted = run.exit_code == 0 and count_records(Path(folder) / "out") == rows
                        runs.setdefault(step, []).append(run)
                        right[step] = right.get(step, True) and counted
    return [
        {
            "name": name,
            "features": features,
            "rows": rows,
            "rounds": len(of_name),
            "wall": round(statistics.median(run.wall for run in of_name), 2),
            "cpu": round(statistics.median(run.cpu for run in of_name), 2),
            "peak_gigabytes": round(max(run.peak_bytes for run in of_name) / 1e9, 2),
            "right": right[name],
        }
        for name, of_name in runs.items()
    ]


if __name__ == "__main__":
    raise SystemExit(main())
