"""The predict job beside the exported model's signature called in a loop over the same rows.

    python -m benchmarks.predict [--quick] [--json FILE] [--model DIR]

Rows are generated reviews (schemas/examples/reviews.yaml) in Parquet and CSV; the model is the
demo's, made anew by the real jobs or taken from `--model`. Three ways, each given the same rows:

- job: `skewless.beam_pipelines.predict` to Parquet, rows checked, rejected and accounted for;
- loop: the signature over tf.Examples that lie encoded in memory, nothing read and nothing written;
- script: the loop with what a script must do as well: read the file, encode, write the predictions.

A job's fixed cost (a run of 1,000 rows) is subtracted, from its seconds and from the CPU seconds
of the process, which a busy machine changes less. Exits with 1 if the job's predictions are
not the loop's, to the last bit where batches are equal, else to 1e-5.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import tensorflow as tf

from benchmarks.serving import exported
from skewless.beam_pipelines.predict import predict
from skewless.schemas.examples.reviews import generate
from skewless.schemas.rows.raw_columns import raw_columns
from skewless.schemas.rows.row_encoding import examples
from skewless.schemas.spec.spec import Spec, load

__all__ = ["main"]

BATCH = 1024
FORMATS = ("parquet", "csv")
_TOLERANCE = 1e-5
_FIXED_ROWS = 1_000


def write_rows(root: Path, rows: int) -> dict[str, Path]:
    """Writes `rows` generated rows in each format: one block of them again and again, new keys."""
    block = generate(min(rows, 4_000), 7).table
    table = pa.concat_tables([block] * -(-rows // block.num_rows)).slice(0, rows)
    keys = pa.array([f"r{row:09d}" for row in range(rows)])
    table = table.set_column(table.schema.get_field_index("review_id"), "review_id", keys)
    paths = {name: root / f"{rows}.{name}" for name in FORMATS}
    pa.parquet.write_table(table, paths["parquet"], row_group_size=50_000)
    pa.csv.write_csv(table, paths["csv"])
    return paths


def loop(signature: Any, encoded: list[list[bytes]]) -> np.ndarray:
    """Calls the signature batch by batch; returns predictions."""
    found = [signature(examples=tf.constant(rows))["predictions"].numpy() for rows in encoded]
    return np.concatenate(found)[:, 0]


def canonical(table: pa.Table, spec: Spec) -> list[pa.RecordBatch]:
    """Returns batches of the columns that the model takes, typed as its requests are."""
    types = {"string": pa.string(), "int64": pa.int64(), "float32": pa.float32()}
    columns = {}
    for name, column in raw_columns(spec).items():
        if column.role != "feature":
            continue
        values = table.column(name)
        if column.multivalued and not pa.types.is_list(values.type):
            values = pa.compute.split_pattern(values.cast(pa.string()), "|")
        elif not column.multivalued:
            values = values.cast(types[column.kind])
        columns[name] = values
    return pa.table(columns).combine_chunks().to_batches(max_chunksize=BATCH)


def script(signature: Any, source: Path, spec: Spec, output: Path) -> None:
    """Reads, encodes, predicts and writes, as plainly as can be."""
    if source.suffix == ".parquet":
        table = pa.parquet.read_table(source)
    else:
        newlines = pa.csv.ParseOptions(newlines_in_values=True)
        table = pa.csv.read_csv(source, parse_options=newlines)
    found = [
        signature(examples=tf.constant(examples(batch, spec)))["predictions"].numpy()[:, 0]
        for batch in canonical(table, spec)
    ]
    keys = table.column("review_id")
    pa.parquet.write_table(pa.table({"key": keys, "predictions": np.concatenate(found)}), output)


class _Clock:
    """Seconds and CPU seconds of calls, by name."""

    def __init__(self) -> None:
        self._taken: dict[str, list[tuple[float, float]]] = {}

    def __call__(self, name: str, call: Callable[[], Any]) -> Any:
        begin, cpu = time.perf_counter(), time.process_time()
        result = call()
        taken = (time.perf_counter() - begin, time.process_time() - cpu)
        self._taken.setdefault(name, []).append(taken)
        return result

    def medians(self) -> dict[str, list[float]]:
        """Returns [seconds, CPU seconds] by name."""
        return {
            name: [statistics.median(unit) for unit in zip(*taken, strict=True)]
            for name, taken in self._taken.items()
        }


def difference(output: Path, expected: np.ndarray) -> float:
    """Returns how far the job's predictions are from the loop's; infinite if rows are lost."""
    table = pa.concat_tables(
        pa.parquet.read_table(path) for path in sorted(output.glob("**/*.parquet"))
    )
    table = table.sort_by("row")
    if table.column("row").to_pylist() != list(range(1, len(expected) + 1)):
        return float("inf")
    return float(np.abs(table.column("predictions").to_numpy() - expected).max())


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows: results count, not times")
    parser.add_argument("--rows", type=int, help="default: 200,000, or 3,000 with --quick")
    parser.add_argument("--model", type=Path, help="what `skewless export` left")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    rows = asked.rows or (3_000 if asked.quick else 200_000)
    rounds = 1 if asked.quick else 3
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = asked.model or exported(root, 2_000 if asked.quick else 10_000)[0]
        spec = load(model / "assets.extra" / "spec.yaml")
        loaded = tf.saved_model.load(str(model))
        signature = loaded.signatures["serving_default"]
        sources, few = write_rows(root, rows), write_rows(root, _FIXED_ROWS)
        table = pa.parquet.read_table(sources["parquet"])
        encoded = [examples(batch, spec) for batch in canonical(table, spec)]
        loop(signature, encoded[:5])
        # The first job of a process imports and warms what the others find ready.
        predict(model, [str(few["parquet"])], root / "few")
        clock = _Clock()
        differs = {}
        for _ in range(rounds):
            expected = clock("loop", lambda: loop(signature, encoded))
            for name in FORMATS:
                given, short = str(sources[name]), str(few[name])
                clock(
                    f"fixed, {name}",
                    lambda short=short: predict(model, [short], root / "few", overwrite=True),
                )
                clock(
                    f"job, {name}",
                    lambda given=given: predict(model, [given], root / "whole", overwrite=True),
                )
                differs[name] = difference(root / "whole", expected)
                clock(
                    f"script, {name}",
                    lambda given=given: script(
                        signature, Path(given), spec, root / "script.parquet"
                    ),
                )
    times = clock.medians()
    for name in FORMATS:
        for unit in (0, 1):
            times[f"job, {name}"][unit] -= times[f"fixed, {name}"][unit]
    result: dict[str, Any] = {"rows": rows, "difference": differs, "ways": {}}
    print(f"{'way':<20}{'seconds':>9}{'CPU s':>8}{'rows/s':>10}{'x loop':>8}{'by CPU':>8}")
    for name, (seconds, cpu) in times.items():
        way: dict[str, float] = {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}
        result["ways"][name] = way
        if name.startswith("fixed"):
            print(f"{name:<20}{seconds:>9.2f}{cpu:>8.2f}   ({_FIXED_ROWS:,} rows)")
            continue
        share = (rows - _FIXED_ROWS if name.startswith("job") else rows) / rows
        way["rows_per_second"] = round(rows * share / max(seconds, 1e-9))
        way["to_loop"] = round(times["loop"][0] * share / max(seconds, 1e-9), 3)
        way["to_loop_by_cpu"] = round(times["loop"][1] * share / max(cpu, 1e-9), 3)
        print(
            f"{name:<20}{seconds:>9.2f}{cpu:>8.2f}{way['rows_per_second']:>10,}"
            f"{way['to_loop']:>8.2f}{way['to_loop_by_cpu']:>8.2f}"
        )
    print("target: the job at 0.7 of the loop")
    print(f"predictions differ by at most {max(differs.values()):g}")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if max(differs.values()) <= _TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
