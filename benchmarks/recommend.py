"""How well two towers find what is bought, and how fast.

`python -m benchmarks.recommend` trains the example `purchases` with several seeds and puts its NDCG
beside that of the most popular products, of alternating least squares (Hu, Koren and Volinsky 2008, by
`implicit`, its settings chosen by the eval split) and the best that any model can reach, which the
generator knows. `--candidates N` instead times one query among N random candidates: as `recommend`
finds them, by brute force, and by an index of them, with its recall on other random vectors.
"""

from __future__ import annotations

import argparse
import itertools
import json
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
from skewless.model.retrieval.found import most_popular
from skewless.model.train import train
from skewless.model.training.records import open_records
from skewless.schemas.examples import purchases
from skewless.schemas.examples.generators import spec_path, write_table
from skewless.schemas.spec.spec import Spec, load

__all__ = ["found_and_best", "run", "seconds_to_recommend"]

_QUERIES = 500


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


def _seeded(spec: Spec, seed: int) -> Spec:
    return spec.model_copy(update={"training": spec.training.model_copy(update={"seed": seed})})


def run(argv: Sequence[str] | None = None) -> None:
    """Prints figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recommend", description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="(default: the example's)")
    parser.add_argument("--candidates", type=int, metavar="N")
    parser.add_argument("--width", type=int, default=32, help="of vectors (default: %(default)s)")
    known = parser.parse_args(argv)
    if known.candidates is not None:
        print(json.dumps(seconds_to_recommend(known.candidates, known.width)))
    else:
        print(json.dumps(found_and_best(known.rows, known.seeds, known.epochs)))


if __name__ == "__main__":
    run()
