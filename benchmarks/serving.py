"""The exported model in this process: latency of one row, throughput of 1,024.

    python -m benchmarks.serving [--quick] [--json FILE] [--model DIR --records DIR]

The model is the demo's (schemas/examples/reviews.yaml), preprocessed, trained for one epoch and
exported by the real jobs, or taken from `--model` and `--records`. Rows are those kept beside the
records. Signatures are called as `tf.saved_model.load` gives them, in rounds that alternate.
Exits with 1 if a signature gives other predictions one row at a time than in a batch, or
`predict_columns` others than `serving_default`, by more than 1e-5.
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
import tensorflow as tf

from benchmarks.training import demo_records
from skewless.model.verify import sample_rows
from skewless.schemas.rows.raw_columns import raw_columns, served_columns
from skewless.schemas.rows.row_encoding import examples
from skewless.schemas.spec.spec import Spec, load

__all__ = ["column_arguments", "exported", "main"]

BATCH = 1024
# A batch of another size may round float32 sums another way.
_TOLERANCE = 1e-5
_MISSING: dict[str, Any] = {"string": b"", "int64": tf.int64.min, "float32": float("nan")}


def exported(root: Path, rows: int) -> tuple[Path, Path]:
    """Returns a model and its records, both made anew."""
    from skewless.model.export import export
    from skewless.model.train import train

    records = demo_records(root, rows)
    train(records, root / "run", epochs=1)
    export(root / "run", root / "served", check=False)
    return root / "served", records


def raw_batch(records: Path, spec: Spec, rows: int) -> pa.RecordBatch:
    """Returns `rows` rows of the columns that a request holds, repeated if there are fewer."""
    names = list(served_columns(spec))
    found = [raw.columns.select(names) for raw in sample_rows(records)]
    table = pa.Table.from_batches(found)
    places = np.arange(rows) % table.num_rows
    return table.take(pa.array(places)).combine_chunks().to_batches()[0]


def column_arguments(batch: pa.RecordBatch, spec: Spec, model: Path) -> dict[str, tf.Tensor]:
    """Returns the tensors of `predict_columns` for a batch of raw rows."""
    names = json.loads((model / "assets.extra" / "skewless.json").read_text())["columns"]
    arguments = {}
    for argument, name in names.items():
        column = raw_columns(spec)[name]
        values = [
            _MISSING[column.kind] if value is None else value
            for value in batch.column(name).to_pylist()
        ]
        if column.multivalued:
            width = max((len(value) for value in values if value), default=1) or 1
            missing = _MISSING[column.kind]
            values = [[*(value or []), *[missing] * (width - len(value or []))] for value in values]
        arguments[argument] = tf.constant(values, tf.as_dtype(column.kind))
    return arguments


def _timed(
    calls: dict[str, Callable[[], Any]], rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Returns seconds of every call, made in turns of `repeats`."""
    for call in calls.values():
        for _ in range(5):
            call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            for _ in range(repeats):
                begin = time.perf_counter()
                call()
                found[name].append(time.perf_counter() - begin)
    return found


def _operations(model: Any) -> int:
    """Returns the number of operations of `serving_default`, its inner functions included."""
    graph = model.signatures["serving_default"].graph.as_graph_def()
    return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows: results count, not times")
    parser.add_argument("--model", type=Path, help="what `skewless export` left")
    parser.add_argument("--records", type=Path, help="the records of that model")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        directory, records = asked.model, asked.records
        if directory is None or records is None:
            directory, records = exported(Path(folder), 2_000 if asked.quick else 25_000)
        spec = load(directory / "assets.extra" / "spec.yaml")
        model = tf.saved_model.load(str(directory))
        batch = raw_batch(records, spec, BATCH)
        rows = tf.constant(examples(batch, spec))
        columns = column_arguments(batch, spec, directory)
    serve, named = (model.signatures[name] for name in ("serving_default", "predict_columns"))
    one, one_columns = rows[:1], {name: values[:1] for name, values in columns.items()}
    times = _timed(
        {
            "serving_default, 1 row": lambda: serve(examples=one)["predictions"].numpy(),
            "predict_columns, 1 row": lambda: named(**one_columns)["predictions"].numpy(),
        },
        *((1, 20) if asked.quick else (10, 100)),
    ) | _timed(
        {
            f"serving_default, {BATCH:,} rows": lambda: serve(examples=rows)["predictions"].numpy(),
            f"predict_columns, {BATCH:,} rows": lambda: named(**columns)["predictions"].numpy(),
            f"transform_features, {BATCH:,} rows": lambda: model.signatures["transform_features"](
                examples=rows
            ),
        },
        *((1, 3) if asked.quick else (10, 10)),
    )
    whole = serve(examples=rows)["predictions"].numpy()
    single = np.concatenate(
        [serve(examples=rows[i : i + 1])["predictions"].numpy() for i in range(64)]
    )
    wrong = {
        "one row at a time": float(np.abs(single - whole[:64]).max()),
        "by columns": float(np.abs(named(**columns)["predictions"].numpy() - whole).max()),
    }
    result: dict[str, Any] = {"operations": _operations(model), "difference": wrong, "ways": {}}
    print(f"{'signature':<34}{'median ms':>11}{'p95 ms':>9}{'best ms':>9}{'rows/s':>11}")
    for name, taken in times.items():
        count = BATCH if f"{BATCH:,}" in name else 1
        median, high = statistics.median(taken), float(np.quantile(taken, 0.95))
        way = {
            "median_ms": round(1e3 * median, 3),
            "p95_ms": round(1e3 * high, 3),
            "best_ms": round(1e3 * min(taken), 3),
            "rows_per_second": round(count / median),
        }
        result["ways"][name] = way
        print(
            f"{name:<34}{way['median_ms']:>11}{way['p95_ms']:>9}{way['best_ms']:>9}"
            f"{way['rows_per_second']:>11,}"
        )
    print(f"{result['operations']} operations; targets: 1 row under 1 ms, 75,000 rows/s by 1,024")
    print(f"predictions differ: {', '.join(f'{v:g} {name}' for name, v in wrong.items())}")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if max(wrong.values()) <= _TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
