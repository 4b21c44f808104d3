"""Each example: generated rows -> Beam -> records -> trained -> exported -> served."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf

from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.evaluate import evaluate
from skewless.model.export import export
from skewless.model.train import train
from skewless.schemas import load
from skewless.schemas.examples.generators import EXAMPLES, spec_path, write
from skewless.schemas.rows.row_encoding import examples

# Name -> (rows, format, metric, the value that chance does not reach).
EXPECTED: dict[str, tuple[int, str, str, float]] = {
    "user_product": (4_000, "csv", "auc", 0.80),
    "text_user_average": (3_000, "jsonl", "auc", 0.80),
    "text_user_weighted_average": (3_000, "csv", "auc", 0.80),
    "three_categories": (6_000, "parquet", "auc", 0.75),
    "title_body": (700, "csv", "auc", 0.75),
    "gender_location_age": (4_000, "jsonl", "auc", 0.75),
    "seq2seq": (1_000, "csv", "exact_match", 0.50),
    "two_sequences": (4_000, "parquet", "auc", 0.85),
    "two_sequences_widths": (4_000, "csv", "auc", 0.85),
    "two_sequences_lstm": (4_000, "jsonl", "auc", 0.80),
    "two_vectors_regression": (3_000, "csv", "r2", 0.90),
    "vector_category": (3_000, "parquet", "r2", 0.85),
    "two_vectors_multiply": (4_000, "csv", "auc", 0.80),
    "purchases": (12_000, "csv", "ndcg@10", 0.30),
    "visits": (8_000, "jsonl", "ndcg@10", 0.15),
}
QUICK = ("gender_location_age",)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in EXAMPLES],
)
def test_trains_exports_and_serves(name: str, tmp_path: Path) -> None:
    rows, ending, metric, beyond_chance = EXPECTED[name]
    source = tmp_path / f"rows.{ending}"
    write(name, source, rows)
    spec = load(spec_path(name))
    manifest = preprocess(spec, [str(source)], tmp_path / "records")
    assert manifest.rows.written == rows

    train(tmp_path / "records", tmp_path / "run")
    metrics = evaluate(tmp_path / "run", tmp_path / "records", "test")["metrics"]
    report = export(tmp_path / "run", tmp_path / "served")
    assert report is not None and report.passed and report.mismatches == 0
    _note(name, rows, metrics, metric)
    assert metrics[metric] > beyond_chance

    _serve(tmp_path / "served", tmp_path / "records", spec)


def _serve(model: Path, records: Path, spec: Any) -> None:
    raw = (
        pyarrow.parquet.read_table(records / "raw" / "eval")
        .slice(0, 8)
        .combine_chunks()
        .to_batches()[0]
    )
    loaded = tf.saved_model.load(str(model))
    served = loaded.signatures["serving_default"](examples=tf.constant(examples(raw, spec)))
    predictions = served["predictions"].numpy()
    assert len(predictions) == 8
    assert np.isfinite(predictions).all()
    empty = loaded.signatures["serving_default"](examples=tf.constant([b""]))
    assert np.isfinite(empty["predictions"].numpy()).all()
    if "generate" in loaded.signatures:
        generated = loaded.signatures["generate"](examples=tf.constant(examples(raw, spec)))
        assert generated["greedy_texts"].shape == (8,)
        assert generated["beam_texts"].shape == (8, 3)


def _note(name: str, rows: int, metrics: dict[str, Any], metric: str) -> None:
    """Adds to the table of models, when asked for one."""
    path = os.environ.get("SKEWLESS_MODEL_TABLE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(
                json.dumps({"model": name, "rows": rows, "metric": metric, **metrics}) + "\n"
            )
