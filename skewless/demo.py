"""The demo: every command, one after the other, on generated reviews with a known signal."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skewless.schemas.errors import ParityError, UsageError

__all__ = ["execute", "options"]

_SPEC = Path(__file__).parent / "schemas" / "examples" / "reviews.yaml"
# Broken rows, as real files have them: fewer than preprocess takes by default.
_BAD_SHARE = 0.0012


def options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `skewless demo`."""
    parser.add_argument("--output", default="demo", metavar="DIR", help="where to leave everything")
    parser.add_argument(
        "--rows", type=int, default=25_000, help="reviews to generate (default: 25000)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo")


def execute(known: argparse.Namespace) -> int:
    """Runs the demo; returns the exit code."""
    root = Path(known.output)
    if root.exists():
        if not known.overwrite:
            raise UsageError(
                f"{root}: is there already; add --overwrite, or choose another --output"
            )
        shutil.rmtree(root)
    root.mkdir(parents=True)
    from skewless.commands.loading import silent_standard_error

    with silent_standard_error(known.verbose):
        import skewless.model.export  # noqa: F401 - both load what talks while it loads
    steps = _Steps()
    begin = time.monotonic()

    truth = steps.run("generate", f"{known.rows:,} product reviews", lambda: _generate(known, root))
    manifest = steps.run("preprocess", "rows to TFRecords", lambda: _preprocess(root))
    print(
        f"  {manifest.rows.read:,} rows read = {manifest.rows.written:,} written + "
        f"{manifest.rows.rejected} rejected; {manifest.rows.read / manifest.seconds['total']:,.0f} rows/s"
    )
    for line in _rejected(root)[:3]:
        print(f"  rejected: row {line['row']}, {line['column']}: {line['reason']}")
    metrics = steps.run("train", "the declared Keras model from the records", lambda: _train(root))
    print(f"  {metrics['examples_per_second']:,.0f} examples/s")
    evaluation = steps.run("evaluate", "on the test split, by category", lambda: _evaluate(root))
    reachable = _reachable(root, truth)
    auc = evaluation["metrics"]["auc"]
    print(
        f"  test AUC {auc:.4f}; best reachable on these rows {reachable:.4f} (gap {reachable - auc:.4f})"
    )
    report = steps.run("export", "a SavedModel with the transform inside", lambda: _export(root))
    print(f"  {report}")
    proof = steps.run("verify", "the whole CSV through the exported model", lambda: _verify(root))
    print(f"  {proof}")
    summary = steps.run("predict", "a batch job over raw rows", lambda: _predict(root))
    print(f"  {summary['rows']['written']:,} predictions, {summary['rows_per_second']:,.0f} rows/s")
    steps.run("inspect", "one record in words", lambda: _inspect(root))

    steps.table(time.monotonic() - begin)
    _write_summary(root, auc, reachable, time.monotonic() - begin, proof)
    _next(root)
    if not proof.passed:
        raise ParityError("the exported model does not reproduce the records")
    return 0


class _Steps:
    """Runs steps under headings and remembers what each took."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def run(self, name: str, what: str, step: Callable[[], Any]) -> Any:
        """Runs one step."""
        print(f"\n== {name}: {what}", flush=True)
        begin = time.monotonic()
        result = step()
        self._seconds[name] = time.monotonic() - begin
        return result

    def table(self, total: float) -> None:
        """Prints what each step took."""
        print("\nstep          seconds")
        for name, seconds in self._seconds.items():
            print(f"{name:<12}{seconds:>9.1f}")
        print(f"{'all':<12}{total:>9.1f}")


def _generate(known: argparse.Namespace, root: Path) -> dict[str, tuple[bool, float]]:
    """Returns, by key, whether a row is positive and its true probability."""
    from skewless.schemas.examples.reviews import generate, write_csv

    reviews = generate(known.rows, known.seed)
    bad_rows = max(1, round(_BAD_SHARE * known.rows))
    write_csv(reviews.table, root / "reviews.csv", bad_rows=bad_rows, seed=known.seed)
    shutil.copy2(_SPEC, root / "reviews.yaml")
    keys = reviews.table.column("review_id").to_pylist()
    positive = [rating >= 4 for rating in reviews.table.column("rating").to_pylist()]
    return dict(zip(keys, zip(positive, reviews.probability.tolist(), strict=True), strict=True))


def _preprocess(root: Path) -> Any:
    from skewless.beam_pipelines.preprocess import preprocess
    from skewless.schemas.spec.spec import load

    return preprocess(load(root / "reviews.yaml"), [str(root / "reviews.csv")], root / "records")


def _rejected(root: Path) -> list[dict[str, Any]]:
    files = sorted((root / "records" / "rejected").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()]


def _train(root: Path) -> dict[str, Any]:
    from skewless.model.train import train

    return train(root / "records", root / "run")


def _evaluate(root: Path) -> dict[str, Any]:
    from skewless.model.evaluate import as_table, evaluate, leave_evaluation

    result = evaluate(root / "run", root / "records", "test", ["category"], importance=True)
    leave_evaluation(root / "run", result)
    print(as_table(result))
    return result


def _reachable(root: Path, truth: dict[str, tuple[bool, float]]) -> float:
    """Returns the AUC of the true probabilities on the test split's rows."""
    import numpy as np
    import pyarrow.parquet as parquet

    from skewless.schemas.examples.reviews import best_auc
    from skewless.schemas.records.records import KEY

    keys = (
        parquet.read_table(root / "records" / "raw" / "test", columns=[KEY]).column(0).to_pylist()
    )
    positive, probability = zip(*(truth[key] for key in keys), strict=True)
    return best_auc(np.array(positive), np.array(probability))


def _export(root: Path) -> Any:
    from skewless.model.export import export

    return export(root / "run", root / "served")


def _verify(root: Path) -> Any:
    from skewless.commands.input_rows import rows_of_input
    from skewless.model.verify import verify

    return verify(
        root / "served",
        root / "records",
        rows_of_input(root / "records", [str(root / "reviews.csv")]),
    )


def _predict(root: Path) -> dict[str, Any]:
    from skewless.beam_pipelines.predict import predict

    return predict(root / "served", [str(root / "reviews.csv")], root / "predictions")


def _inspect(root: Path) -> None:
    from skewless.beam_pipelines.inspect_records import meaning, records_in_words

    for record in records_in_words(root / "records", "test", 1):
        for name, value in record.items():
            print(
                f"  {name:<14} {' | '.join(map(str, value)) if isinstance(value, list) else value}"
            )
    print(f"  what is ID 7 of product_id? {meaning(root / 'records', 'product_id', 7)}")


def _write_summary(root: Path, auc: float, reachable: float, seconds: float, proof: Any) -> None:
    summary = {
        "auc": auc,
        "best_reachable_auc": reachable,
        "seconds": round(seconds, 1),
        "parity": {"rows": proof.rows, "values": proof.values, "mismatches": proof.mismatches},
    }
    (root / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _next(root: Path) -> None:
    print(f"""
Everything is under {root}/:
  reviews.csv, reviews.yaml   the rows and the spec
  records/                    TFRecords, transform, statistics, rejected rows, manifest
  run/                        the trained model, metrics.json, TensorBoard logs
  served/                     the SavedModel
  predictions/                Parquet with key and prediction

Try next:
  skewless report {root}/records {root}/run -o {root}/report.html
  skewless inspect {root}/records --feature body --id 12
  skewless evaluate {root}/run --records {root}/records --split test --slice country --slice age
  skewless train {root}/records --output {root}/longer --epochs 12
  saved_model_cli show --dir {root}/served --all
  edit {root}/reviews.yaml, then
  skewless preprocess {root}/reviews.yaml --input {root}/reviews.csv --output {root}/records2""")
