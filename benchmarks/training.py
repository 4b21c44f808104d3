"""The training step: what it waits for its input, and which variants of it are faster.

    python -m benchmarks.training [--quick] [--json FILE] [--records DIR]

The model and the rows are the demo's (schemas/examples/reviews.yaml), preprocessed by the real job
into a temporary directory, or taken from `--records`. Measured, in rounds that alternate so that a
busy machine slows all alike:

- feed: an epoch fed from records through `skewless.model.training.records`, the time spent in `next(iterator)` beside
  the time of whole steps, and the same steps on batches kept in memory;
- variants: with an XLA-compiled step and without, on batches in memory, for the demo model and for
  the same model with a masked GRU, LSTM or another encoder over the body. Losses after the same steps
  from the same seed are compared: a variant whose losses differ by more than 1e-3 is wrong.

Exits with 1 for wrong results, whatever the times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skewless.model.training.compiled import choose_compiler, compiled_model
from skewless.model.training.records import Records, open_records
from skewless.schemas.records.layout import SPEC
from skewless.schemas.spec.spec import Spec, load, parse

__all__ = ["demo_records", "main"]

_SPEC = Path(__file__).parents[1] / "schemas" / "examples" / "reviews.yaml"
_TOLERANCE = 1e-3
ENCODERS = ("mean", "gru", "lstm", "bidirectional_lstm", "cnn", "attention", "transformer")


def demo_records(root: Path, rows: int) -> Path:
    """Writes the demo's rows and preprocesses them with the real job."""
    from skewless.beam_pipelines.preprocess import preprocess
    from skewless.schemas.examples.reviews import generate, write_csv

    write_csv(generate(rows, 1).table, root / "reviews.csv")
    preprocess(load(_SPEC), [str(root / "reviews.csv")], root / "records")
    return root / "records"


def with_body_encoder(spec: Spec, encoder: str) -> Spec:
    """Returns the spec with another encoder over the body."""
    declared = spec.model_dump(mode="json")
    declared["features"]["body"]["encoder"] = {"type": encoder}
    return parse(declared)


def fed(model: keras.Model, records: Records, spec: Spec, epochs: int) -> dict[str, float]:
    """Trains on records, and on batches in memory; returns milliseconds a step and of `next`.

    The steps are Keras's `train_on_batch`. In `fit` TensorFlow fetches the next batch inside the
    step's graph, where no time can be taken; what is fetched, and how, is the same. `next` of batches
    that lie ready takes its time too: only what it takes longer from records is waiting.
    """
    size = spec.training.batch_size
    held = records.training(batch_size=size, seed=1, epoch=0).cache()
    step = _step(model)
    for batch in held:
        step(batch)
    whole, waits, memory, ready = [], [], [], []
    for epoch in range(epochs):
        iterator = iter(records.training(batch_size=size, seed=1, epoch=epoch))
        # The first pool fills before the first batch: a cost of an epoch, told apart.
        begin = time.perf_counter()
        step(next(iterator))
        first = time.perf_counter() - begin
        _timed_steps(iterator, step, whole, waits)
        _timed_steps(iter(held), step, memory, ready)
    return {
        "batch": size,
        "steps": len(whole),
        "step_ms": round(1e3 * statistics.mean(whole), 3),
        "step_in_memory_ms": round(1e3 * statistics.mean(memory), 3),
        "next_ms": round(1e3 * statistics.mean(waits), 3),
        "next_in_memory_ms": round(1e3 * statistics.mean(ready), 3),
        "wait_share": round(
            max(0.0, statistics.mean(waits) - statistics.mean(ready)) / statistics.mean(whole), 4
        ),
        "first_batch_seconds": round(first, 3),
        "examples_per_second": round(size * len(whole) / sum(whole)),
        "examples_per_second_in_memory": round(size * len(memory) / sum(memory)),
    }


def _timed_steps(
    batches: Iterator[Any], step: Callable[[Any], None], whole: list[float], waits: list[float]
) -> None:
    """Adds the seconds of each step, the fetching included, and of the fetching alone."""
    while True:
        begin = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        waits.append(time.perf_counter() - begin)
        step(batch)
        whole.append(time.perf_counter() - begin)


def _step(model: keras.Model) -> Any:
    """Returns a function of one batch that trains on it and waits for the end."""

    def step(batch: Any) -> None:
        features, label, *weight = batch
        model.train_on_batch(features, label, sample_weight=weight[0] if weight else None)

    return step


def fitted(records: Records, spec: Spec) -> dict[str, float]:
    """Returns examples per second of `fit`, fed from records and from batches in memory."""
    size = spec.training.batch_size
    model = compiled_model(spec, records)
    rows = records.rows("train")
    held = records.training(batch_size=size, seed=1, epoch=0).cache()
    model.fit(held, epochs=1, shuffle=False, verbose=0)
    seconds: dict[str, list[float]] = {"records": [], "memory": []}
    for epoch in range(1, 4):
        for way, batches in (
            ("records", records.training(batch_size=size, seed=1, epoch=epoch)),
            ("memory", held),
        ):
            begin = time.perf_counter()
            model.fit(batches, epochs=1, shuffle=False, verbose=0)
            seconds[way].append(time.perf_counter() - begin)
    return {way: round(rows / statistics.median(taken)) for way, taken in seconds.items()}


def compared(records: Records, spec: Spec, steps: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Returns, without and with XLA, the cost of a row and of compiling, and the loss reached."""
    size = spec.training.batch_size
    batches = list(records.training(batch_size=size, seed=1, epoch=0).take(steps))
    models = {way: compiled_model(spec, records) for way in ("plain", "xla")}
    for way, model in models.items():
        choose_compiler(model, xla=way == "xla")
    found: dict[str, dict[str, Any]] = {}
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in models}
    for way, model in models.items():
        begin = time.perf_counter(), time.process_time()
        _step(model)(batches[0])
        found[way] = {
            "compile_seconds": round(time.perf_counter() - begin[0], 2),
            "compile_cpu_seconds": round(time.process_time() - begin[1], 2),
        }
    for _ in range(rounds):
        for way, model in models.items():
            step = _step(model)
            begin = time.perf_counter(), time.process_time()
            for batch in batches[1:]:
                step(batch)
            taken[way].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    rows = size * (len(batches) - 1)
    for way, model in models.items():
        seconds, cpu = (statistics.median(unit) for unit in zip(*taken[way], strict=True))
        found[way]["examples_per_second"] = round(rows / seconds)
        found[way]["cpu_microseconds_per_row"] = round(1e6 * cpu / rows, 1)
        found[way]["loss"] = _loss(model, batches)
    return found


def _loss(model: keras.Model, batches: Iterable[Any]) -> float:
    losses = [
        float(tf.reduce_mean(keras.losses.binary_crossentropy(label, model(features))))
        for features, label in batches
    ]
    return float(np.mean(losses))


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a variant trains to other losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows: results count, not times")
    parser.add_argument("--encoders", nargs="*", help="default: all, or two with --quick")
    parser.add_argument("--records", type=Path, help="of reviews.yaml; made anew without it")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        directory = asked.records or demo_records(Path(folder), 2_000 if asked.quick else 25_000)
        records = open_records(directory)
        spec = load(directory / SPEC)
        spec = parse({**spec.model_dump(mode="json"), "model": {**spec.model.model_dump(mode="json"), "dropout": 0.0}})  # fmt: skip
        feed = fed(compiled_model(spec, records), records, spec, 1 if asked.quick else 4)
        fit = None if asked.quick else fitted(records, spec)
        encoders = asked.encoders or (ENCODERS[:2] if asked.quick else ENCODERS)
        variants = {
            encoder: compared(
                records,
                with_body_encoder(spec, encoder),
                3 if asked.quick else 8,
                1 if asked.quick else 2,
            )
            for encoder in encoders
        }
    wrong = [
        encoder
        for encoder, ways in variants.items()
        if not abs(ways["plain"]["loss"] - ways["xla"]["loss"]) < _TOLERANCE
    ]
    print(f"{'demo model, batches of ' + str(feed['batch']):<40}{'step ms':>9}{'rows/s':>10}")
    print(f"{'fed from records':<40}{feed['step_ms']:>9}{feed['examples_per_second']:>10,}")
    print(
        f"{'batches in memory':<40}{feed['step_in_memory_ms']:>9}"
        f"{feed['examples_per_second_in_memory']:>10,}"
    )
    print(
        f"input wait {100 * feed['wait_share']:.1f}% of all step time (target under 5%): next takes "
        f"{feed['next_ms']} ms, of batches in memory {feed['next_in_memory_ms']} ms; "
        f"an epoch's first batch {feed['first_batch_seconds']} s"
    )
    if fit:
        print(f"fit: {fit['records']:,} rows/s from records, {fit['memory']:,} from memory")
    print(
        f"\n{'body encoder':<20}{'':<7}{'rows/s':>8}{'CPU us/row':>12}"
        f"{'compile s':>11}{'CPU s':>7}{'loss':>11}"
    )
    for encoder, ways in variants.items():
        for way, one in ways.items():
            print(
                f"{encoder:<20}{way:<7}{one['examples_per_second']:>8,}"
                f"{one['cpu_microseconds_per_row']:>12}{one['compile_seconds']:>11}"
                f"{one['compile_cpu_seconds']:>7}{one['loss']:>11.6f}"
            )
    print(f"differing losses: {', '.join(wrong) or 'none'}")
    if asked.json:
        result = {"feed": feed, "fit": fit, "variants": variants, "wrong": wrong}
        asked.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
