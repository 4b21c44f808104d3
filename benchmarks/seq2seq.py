"""Sequence to sequence: rows a second in training, and how well a task is learned whose best is known.

    python -m benchmarks.seq2seq [--quick] [--json FILE] [--rows N]

- speed: steps of training on batches in memory, of pairs of 8 to 12 words over vocabularies of 6,000 and
  8,000, declared with a `length` of 12, 24 and 64. Ours beside Keras's own training step of the same network
  (`keras.Model` with its sparse cross-entropy, padding weighing nothing), in rounds that alternate. The
  first losses of both are compared: ours must be Keras's mean over the tokens that are asked for.
- quality: pairs of a made-up language, through the real preprocess, train and evaluate: each word has one
  translation, each clause's words come in reverse order, some words are never translated (names). The best is
  a BLEU of 100; beside it stands the copied source's.

Exits with 1 for wrong results, whatever the times.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skewless.model.network.seq2seq import (
    DECODER_INPUT,
    build_seq2seq,
    decoder_input,
    seq2seq_loss,
)
from skewless.schemas.records.id_contract import end_id
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.spec.spec import Spec, parse

__all__ = ["main"]

_SOURCE, _TARGET = 6_003, 8_005
_NETWORKS: dict[str, dict[str, Any]] = {
    "gru": {},
    "gru, sampled 1,000": {"sampled_softmax": 1_000},
    "bidirectional gru, luong": {"bidirectional": True, "attention": "luong"},
    "transformer": {"cell": "transformer"},
    "transformer, sampled 1,000": {"cell": "transformer", "sampled_softmax": 1_000},
}
_TASKS: dict[str, dict[str, Any]] = {
    "gru": {"units": 128},
    "bidirectional gru, luong": {"units": 128, "bidirectional": True, "attention": "luong"},
    "the same, sampled 1,000": {
        "units": 128,
        "bidirectional": True,
        "attention": "luong",
        "sampled_softmax": 1_000,
    },
    "bidirectional gru, bahdanau": {"units": 128, "bidirectional": True, "attention": "bahdanau"},
    "transformer, 2 layers": {"cell": "transformer", "units": 128, "layers": 2, "dropout": 0.1},
}
_TOLERANCE = 1e-4


def _declared(length: int, model: dict[str, Any]) -> Spec:
    text = {"type": "text", "length": length, "embedding": 64}
    label = {"column": "target", "type": "sequence", "length": length, "embedding": 64}
    return parse(
        {
            "name": "speed",
            "features": {"source": text},
            "label": label,
            "model": {"type": "seq2seq", "units": 128, **model},
        }
    )


def _batches(length: int, size: int, count: int) -> list[tuple[Any, Any, Any]]:
    """Returns batches of pairs of 8 to 12 words, frequent ones drawn as Zipf's law has it."""
    rng = np.random.default_rng(1)

    def words(cardinality: int, many: int) -> np.ndarray:
        drawn = np.exp(rng.random(many) * np.log(cardinality - 5)).astype(np.int64) - 1
        return 3 + drawn

    found = []
    for _ in range(count):
        source = np.zeros((size, length), np.int64)
        labels = np.zeros((size, length + 1), np.int64)
        for row, many in enumerate(rng.integers(8, 13, size)):
            source[row, :many] = words(_SOURCE, many)
            labels[row, :many] = words(_TARGET, many)
            labels[row, many] = end_id(_TARGET)
        target = tf.constant(labels)
        features = {"source": tf.constant(source), DECODER_INPUT: decoder_input(target, _TARGET)}
        found.append((features, target, tf.cast(target > 0, tf.float32)))
    return found


def _models(spec: Spec, length: int) -> dict[str, keras.Model]:
    entries = {
        "source": FeatureEntry(dtype="int64", shape=(length,), cardinality=_SOURCE),
        "__label__": FeatureEntry(dtype="int64", shape=(length + 1,), cardinality=_TARGET),
    }
    keras.utils.set_random_seed(1)
    ours = build_seq2seq(spec, entries)
    same = keras.models.clone_model(ours)
    theirs = keras.Model(same.input, same.output)
    theirs.set_weights(ours.get_weights())
    ours.compile(optimizer="adam", **seq2seq_loss(spec))
    theirs.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    return {"ours": ours, "keras": theirs}


def speed(length: int, size: int, network: str, rounds: int) -> dict[str, Any]:
    """Returns rows a second and CPU milliseconds a row of both, and how far first losses differ."""
    spec = _declared(length, _NETWORKS[network])
    models = _models(spec, length)
    batches = _batches(length, size, 4)
    features, labels, weights = batches[0]
    padded = float(tf.size(weights)) / float(tf.reduce_sum(weights))
    losses = {
        "ours": models["ours"].test_on_batch(features, labels, sample_weight=weights)[0],
        # Keras divides by all steps, those that weigh nothing too.
        "keras": padded * models["keras"].test_on_batch(features, labels, sample_weight=weights)[0],
    }
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in models}
    for number in range(rounds + 1):
        for way, model in models.items():
            begin, cpu = time.perf_counter(), time.process_time()
            for given, asked, weigh in batches:
                model.train_on_batch(given, asked, sample_weight=weigh)
            if number:  # The first traces.
                taken[way].append((time.perf_counter() - begin, time.process_time() - cpu))
    rows = size * len(batches)
    return {
        "length": length,
        "batch": size,
        "network": network,
        "loss_difference": abs(float(losses["ours"]) - float(losses["keras"])),
        **{
            f"{way}_rows_per_second": round(rows / statistics.median(wall for wall, _ in each))
            for way, each in taken.items()
        },
        **{
            f"{way}_cpu_ms_a_row": round(1e3 * statistics.median(cpu for _, cpu in each) / rows, 3)
            for way, each in taken.items()
        },
    }


def write_pairs(path: Path, rows: int) -> None:
    """Writes pairs of a made-up language: 400 words, 40 names that stay, clauses in reverse order."""
    rng = np.random.default_rng(7)
    syllables = [first + last for first in "bdfgklmnprstvz" for last in "aeiou"]
    made = rng.permutation([one + two for one in syllables for two in syllables])
    words, meanings, names = made[:400], made[400:800], made[800:840]
    meaning = dict(zip(words, meanings, strict=True))
    shares = 1 / np.arange(1, 401)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", "source", "target"])
        for row in range(rows):
            source: list[str] = []
            target: list[str] = []
            for clause in range(int(rng.integers(1, 4))):
                said = list(rng.choice(words, int(rng.integers(2, 5)), p=shares / shares.sum()))
                if rng.random() < 0.5:
                    said.append(str(rng.choice(names)))
                source += [*(["ka"] if clause else []), *said]
                target += [*(["ki"] if clause else []), *(meaning.get(w, w) for w in said[::-1])]
            out.writerow([row, " ".join(source), " ".join(target)])


def quality(rows: int, epochs: int) -> list[dict[str, Any]]:
    """Returns each network's metrics on test rows, after the same number of epochs."""
    from skewless.beam_pipelines.preprocess import preprocess
    from skewless.model.evaluate import evaluate
    from skewless.model.train import train

    text = {"length": 24, "embedding": 64}
    document = {
        "name": "made_up",
        "key": "id",
        "features": {"source": {"type": "text", **text}},
        "label": {"column": "target", "type": "sequence", **text},
    }
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_pairs(root / "pairs.csv", rows)
        for number, (name, model) in enumerate(_TASKS.items()):
            training = {"batch_size": 64, "epochs": epochs, "learning_rate": 0.002}
            if model.get("cell") == "transformer":
                training |= {"learning_rate": 0.001, "schedule": "cosine"}
            spec = parse({**document, "model": {"type": "seq2seq", **model}, "training": training})
            if not number:
                preprocess(spec, [str(root / "pairs.csv")], root / "records")
            begin = time.perf_counter()
            train(root / "records", root / f"run{number}", spec=spec)
            seconds = time.perf_counter() - begin
            metrics = evaluate(root / f"run{number}", root / "records", "test")["metrics"]
            found.append({"network": name, "seconds": round(seconds, 1), **metrics})
            print(json.dumps(found[-1]), flush=True)
    return found


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 for wrong results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one network, one length, no task")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--rows", type=int, default=20_000, help="pairs of the task")
    parser.add_argument("--epochs", type=int, default=10, help="of the task")
    known = parser.parse_args(argv)
    cases = [(length, "gru") for length in (12, 24, 64)]
    cases += [(24, name) for name in _NETWORKS if name != "gru"]
    found = []
    for length, network in cases[:1] if known.quick else cases:
        found.append(speed(length, 64 if known.quick else 512, network, 1 if known.quick else 3))
        print(json.dumps(found[-1]), flush=True)
    learned = [] if known.quick or not known.rows else quality(known.rows, known.epochs)
    if known.json is not None:
        known.json.write_text(json.dumps({"speed": found, "quality": learned}, indent=2) + "\n")
    wrong = [case for case in found if case["loss_difference"] > _TOLERANCE]
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
