"""How well two towers find what is bought, and how fast.

`python -m benchmarks.recommend` trains the example `purchases` with several seeds and puts its NDCG
beside that of the most popular products, of alternating least squares (Hu, Koren and Volinsky 2008, by
`implicit`, its settings chosen by the eval split) and the best that any model can reach, which the
generator knows. `--candidates N` instead times one query among N random candidates: as `recommend`
finds them, by brute force, and by an index of them, with its recall on other random vectors. `--items N`
trains towers on rows of N items and gives examples a second, CPU a row and the most memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from skewless.beam_pipelines.nearest import approximate
from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.exported.largest import largest
from skewless.model.retrieval.fed import candidates_of_run, fed
from skewless.model.retrieval.found import most_popular
from skewless.model.train import train
from skewless.model.training.compiled import compiled_model
from skewless.model.training.records import open_records
from skewless.schemas import parse
from skewless.schemas.examples import purchases
from skewless.schemas.examples.generators import spec_path, write_table
from skewless.schemas.spec.spec import Spec, load

__all__ = ["found_and_best", "run", "seconds_to_recommend", "steps_on", "training_on_items"]

_QUERIES = 500
_WARM_STEPS = 5
# A process begins with the most memory of the one that it is forked off, so one of few lies between.
_IN_A_SMALL_PROCESS = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"


def found_and_best(rows: int, seeds: int, epochs: int | None = None) -> dict[str, Any]:
    """Returns the test split's NDCG@10: of each seed's run, of what is most popular, and the best."""
    generated = purchases.generate(rows)
    spec = load(spec_path("purchases"))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        keys = pa.array([str(row) for row in range(rows)])
        write_table(generated.table.append_column("id", keys), root / "rows.parquet")
        preprocess(spec, [str(root / "rows.parquet")], root / "records")
        found, seconds, rate = [], [], []
        for seed in range(1, seeds + 1):
            run = root / f"run{seed}"
            metrics = train(root / "records", run, spec=_seeded(spec, seed), epochs=epochs)
            found.append(metrics["test"]["ndcg@10"])
            seconds.append(metrics["seconds"])
            rate.append(metrics["examples_per_second"])
        records = open_records(root / "records")
        popular = most_popular(spec, records, "test", root / "run1").metrics(spec)["ndcg@10"]
        split = {name: _places(root / "records", name) for name in ("eval", "test")}
    best = generated.best_ndcg(split["test"])
    als = [least_squares(generated, split, seed) for seed in range(1, seeds + 1)]
    return {
        "rows": rows,
        "ndcg@10": [round(value, 4) for value in found],
        "most_popular": round(popular, 4),
        "least_squares": [round(value, 4) for value in als],
        "best": round(best, 4),
        "share_of_best": round(float(np.mean(found)) / best, 4),
        "train_seconds": seconds,
        "examples_per_second": rate,
    }


def least_squares(
    generated: purchases.Purchases, split: Mapping[str, np.ndarray], seed: int
) -> float:
    """Returns the test split's NDCG@10 of alternating least squares on how often each user bought what."""
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    trained = np.ones(len(generated.users), bool)
    trained[np.concatenate(list(split.values()))] = False
    met = (generated.users[trained], generated.products[trained])
    counts = csr_matrix((np.ones(trained.sum(), np.float32), met), generated.probability.shape)
    tried = []
    for factors, regularization, alpha in itertools.product(
        (8, 16, 32), (0.01, 1.0, 10.0), (1.0, 10.0)
    ):
        model = AlternatingLeastSquares(
            factors, regularization, alpha, iterations=20, random_state=seed, num_threads=1
        )
        model.fit(counts, show_progress=False)
        scores = model.user_factors @ model.item_factors.T
        tried.append([generated.ndcg(scores, split[name]) for name in ("eval", "test")])
    return float(max(tried)[1])


def _places(records: Path, split: str) -> np.ndarray:
    held = pyarrow.parquet.read_table(records / "raw" / split, columns=["__key__"])
    return np.array([int(key) for key in held["__key__"].to_pylist()])


def seconds_to_recommend(candidates: int, width: int, calls: int = 50) -> dict[str, Any]:
    """Returns the time of one query's 100 nearest of random unit vectors, as `recommend` finds them."""
    import tensorflow as tf

    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(candidates, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    held = tf.Variable(vectors, trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None, width])])
    def nearest(query: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return largest(tf.matmul(query, held, transpose_b=True), tf.constant(100))

    taken = []
    for _ in range(calls + 5):
        query = tf.constant(rng.normal(size=(1, width)), tf.float32)
        begun = time.perf_counter()
        nearest(query)[1].numpy()
        taken.append(1000 * (time.perf_counter() - begun))
    p50, p99 = np.quantile(taken[5:], [0.5, 0.99]).round(2).tolist()
    brute_force = {"p50_ms": p50, "p99_ms": p99}
    begun = time.perf_counter()
    index = approximate.built(vectors)
    built = round(time.perf_counter() - begun, 1)
    queries = rng.normal(size=(_QUERIES, width)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    found = approximate.measured(index, vectors, queries, (10,))
    indexed = {
        "built_seconds": built,
        "search_width": found["search_width"],
        "recall_at_10": round(found["recall"]["10"], 4),
        "p50_ms": found["p50_milliseconds"]["index"],
    }
    return {
        "candidates": candidates,
        "width": width,
        "brute_force": brute_force,
        "index": indexed,
    }


def training_on_items(items: int, steps: int, training: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what steps of training take on rows of so many items, whose tower has a row for each.

    Every item is in a row, and half as many rows more are of popular ones; a tenth as many users as
    items. `training` is put into the spec's section. Steps are those of a process of its own, which
    opens the records and counts the candidates first.
    """
    rng = np.random.default_rng(1)
    drawn = (rng.pareto(1.0, items // 2) * items / 100).astype(np.int64) % items
    item = rng.permutation(np.concatenate([np.arange(items), drawn]))
    user = rng.integers(max(1, items // 10), size=len(item))
    spec = load(spec_path("purchases")).model_dump(mode="json")
    spec["split"] = {"train": 0.998, "eval": 0.001, "test": 0.001}
    spec["training"] |= training
    table = pa.table(
        {
            "id": np.arange(len(item)),
            "user_id": [f"u{number}" for number in user],
            "country": [f"k{number % 50}" for number in user],
            "product_id": [f"p{number}" for number in item],
            "category": [f"c{number % 1000}" for number in item],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_table(table, root / "rows.parquet")
        preprocess(parse(spec), [str(root / "rows.parquet")], root / "records")
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _IN_A_SMALL_PROCESS,
                sys.executable,
                "-m",
                "benchmarks.recommend",
            ]
            + ["--steps", str(steps), "--records", str(root / "records")],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return {"items": items, "rows": len(item), "training": training} | json.loads(done.stdout)


def steps_on(directory: Path, steps: int) -> dict[str, Any]:
    """Returns what so many steps on a records directory take, after a few that compile and warm up."""
    spec, records = load(directory / "spec.yaml"), open_records(directory)
    ready = fed(spec, records, directory)
    model = compiled_model(spec, ready)
    batches = ready.training(batch_size=spec.training.batch_size, seed=1, epoch=0).repeat()
    model.fit(batches.take(_WARM_STEPS), verbose=0)
    begun, used = time.perf_counter(), time.process_time()
    model.fit(batches.take(steps), verbose=0)
    rows = steps * spec.training.batch_size
    return {
        "candidates": len(candidates_of_run(spec, records, directory)),
        "compiled": model.jit_compile,
        "examples_per_second": round(rows / (time.perf_counter() - begun)),
        "cpu_microseconds_a_row": round(1e6 * (time.process_time() - used) / rows, 1),
        "most_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _seeded(spec: Spec, seed: int) -> Spec:
    return spec.model_copy(update={"training": spec.training.model_copy(update={"seed": seed})})


def run(argv: Sequence[str] | None = None) -> None:
    """Prints figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recommend", description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="(default: the example's)")
    parser.add_argument("--candidates", type=int, metavar="N")
    parser.add_argument("--items", type=int, metavar="N")
    parser.add_argument(
        "--batch-size", type=int, default=512, help="with --items (default: %(default)s)"
    )
    parser.add_argument("--optimizer", default="adam", help="with --items (default: %(default)s)")
    parser.add_argument(
        "--steps", type=int, default=200, help="with --items (default: %(default)s)"
    )
    parser.add_argument("--records", type=Path, metavar="DIR", help="steps on these records alone")
    parser.add_argument("--width", type=int, default=32, help="of vectors (default: %(default)s)")
    known = parser.parse_args(argv)
    if known.records is not None:
        print(json.dumps(steps_on(known.records, known.steps)))
    elif known.items is not None:
        training = {"batch_size": known.batch_size, "optimizer": known.optimizer}
        print(json.dumps(training_on_items(known.items, known.steps, training)))
    elif known.candidates is not None:
        print(json.dumps(seconds_to_recommend(known.candidates, known.width)))
    else:
        print(json.dumps(found_and_best(known.rows, known.seeds, known.epochs)))


if __name__ == "__main__":
    run()
