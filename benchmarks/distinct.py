"""Peak memory of whole `preprocess` commands by the number of distinct values that are counted.

    python -m benchmarks.distinct [--quick] [--values 2000000,6000000,20000000] [--key] [--json FILE]

One categorical column, most values of which occur once; `max_size` keeps a million of them. With
`--key` rows have distinct keys too, among which duplicates are looked for. Exits with 1 if a job
fails, loses a row, or chooses other values than those that the table was made to have.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import yaml

from benchmarks.preprocessing.checks import count_records
from benchmarks.preprocessing.measure import measure

__all__ = ["main"]

_CHUNK = 500_000
# Odd, so that places and the values made of them are one to one.
_SCRAMBLE = np.uint64(0x9E3779B97F4A7C15)
_VALUE_BITS = np.uint64(24)


def values_at(places: np.ndarray) -> pa.Array:
    """Returns [count] string, the value at each place: equal where the places are, in no order."""
    return pa.array((places.astype(np.uint64) * _SCRAMBLE) >> _VALUE_BITS).cast(pa.string())


def occurrences(values: int) -> Iterator[np.ndarray]:
    """Yields the places of each row's value: each once, a tenth twice, a hundredth three times."""
    for size in (values, values // 10, values // 100):
        for begin in range(0, size, _CHUNK):
            yield np.arange(begin, min(begin + _CHUNK, size))


def write_table(values: int, path: Path) -> int:
    """Writes a Parquet file of `values` distinct values; returns its rows."""
    rows = 0
    schema = pa.schema([("row", pa.string()), ("user", pa.string()), ("label", pa.int8())])
    with pyarrow.parquet.ParquetWriter(path, schema) as file:
        for places in occurrences(values):
            numbers = np.arange(rows, rows + len(places))
            columns = [
                pa.array(numbers).cast(pa.string()),
                values_at(places),
                pa.array((numbers % 2).astype(np.int8)),
            ]
            file.write_table(pa.table(columns, schema=schema), row_group_size=100_000)
            rows += len(places)
    return rows


def expected_vocabulary(values: int, most: int) -> pa.Array:
    """Returns the `most` frequent values by descending count, ties by descending bytes."""
    chosen: list[pa.Array] = []
    ends = [0, values // 100, values // 10, values]
    for begin, end in itertools.pairwise(ends):
        # Those of one count.
        tied = values_at(np.arange(begin, end)).cast(pa.binary())
        chosen.append(tied.take(pc.sort_indices(tied, sort_keys=[("", "descending")])[:most]))
        most -= len(chosen[-1])
    return pa.concat_arrays(chosen)


def spec_of(most: int, *, key: bool) -> dict[str, Any]:
    """Returns the declaration of such a table."""
    user = {"type": "categorical", "vocabulary": {"max_size": most}, "embedding": 8}
    return {
        "name": "distinct",
        "key": "row" if key else None,
        "features": {"user": user},
        "label": {"column": "label", "type": "binary"},
    }


def measured(values: int, most: int, folder: Path, *, key: bool) -> dict[str, Any]:
    """Returns what a command took that counts so many distinct values."""
    source, spec, output = folder / "table.parquet", folder / "spec.yaml", folder / "out"
    rows = write_table(values, source)
    spec.write_text(yaml.safe_dump(spec_of(most, key=key)), encoding="utf-8")
    words = ["preprocess", str(spec), "--input", f"train={source}", "--output", str(output)]
    run = measure([sys.executable, "-m", "skewless", *words], folder)
    right = run.exit_code == 0 and count_records(output) == rows
    if right:
        found = (output / "transform" / "transform_fn" / "assets" / "user").read_bytes()
        right = found == b"".join(
            token + b"\n" for token in expected_vocabulary(values, most).to_pylist()
        )
    else:
        print(run.tail, file=sys.stderr)
    return {
        "values": values,
        "rows": rows,
        "key": key,
        "wall": round(run.wall, 1),
        "cpu": round(run.cpu, 1),
        "peak_gigabytes": round(run.peak_bytes / 1e9, 2),
        "right": right,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a result is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="20,000 values, 1,000 of them kept")
    parser.add_argument("--values", default="2000000,6000000,20000000", metavar="N,…")
    parser.add_argument("--max-size", type=int, default=1_000_000)
    parser.add_argument("--key", action="store_true", help="look for duplicates too")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    sizes = [20_000] if asked.quick else [int(size) for size in asked.values.split(",")]
    most = 1_000 if asked.quick else asked.max_size
    found: list[dict[str, Any]] = []
    print(f"{'values':>12}{'rows':>12}{'wall s':>9}{'CPU s':>9}{'peak GB':>9}  result")
    for size in sizes:
        folder = Path(tempfile.mkdtemp(prefix="skewless-distinct-"))
        try:
            entry = measured(size, most, folder, key=asked.key)
        finally:
            shutil.rmtree(folder)
        found.append(entry)
        print(
            f"{entry['values']:>12,}{entry['rows']:>12,}{entry['wall']:>9.1f}{entry['cpu']:>9.1f}"
            f"{entry['peak_gigabytes']:>9.2f}  {'right' if entry['right'] else 'WRONG'}",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(entry["right"] for entry in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
