"""What many features get together, from counting to IDs, is what each alone would get, bit for bit."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis.chosen import chosen_constants, offered
from skewless.beam_pipelines.analysis.counts import AnalysisTotals
from skewless.beam_pipelines.analysis.graph import AnalysisGraph
from skewless.beam_pipelines.analysis.spilled.values import ValueRuns
from skewless.beam_pipelines.transform.graph import TransformGraph, write_transform_graph
from skewless.schemas import Spec, parse
from skewless.schemas.records.vocabulary_file import NO_ENTRIES
from skewless.schemas.rows.json_rows import canonical_rows
from skewless.schemas.rows.raw_tensors import (
    dense_numbers,
    dense_strings,
    stacked_numbers,
    stacked_strings,
)
from skewless.schemas.spec.kinds import alike

NUMBERS = st.floats(width=32)
TEXTS = st.sampled_from(["", " a ", "NA", "\u00a0b\r\n", "\u00e9", "a"])

VALUES: dict[str, list[Any]] = {
    "categorical": ["a", "b", "1:b", "", "NA", " c\r\nd", "\x1f(no entries)\x1f"],
    "text": ["a b", "", "b NA"],
    "numeric": [None, 0.0, -2.5, 1.0, 3.0, 1e-3],
}


def sparse(rows: list[list[Any]], dtype: tf.DType) -> tf.SparseTensor:
    indices = [[row, place] for row, values in enumerate(rows) for place in range(len(values))]
    return tf.SparseTensor(
        tf.constant(indices, tf.int64, shape=[len(indices), 2]),
        tf.constant([value for values in rows for value in values], dtype),
        tf.constant([len(rows), max(map(len, rows), default=0)], tf.int64),
    )


def columns(values: st.SearchStrategy[Any], count: int) -> st.SearchStrategy[list[Any]]:
    row = st.lists(values, max_size=2)
    return st.integers(0, 3).flatmap(
        lambda rows: st.lists(
            st.lists(row, min_size=rows, max_size=rows), min_size=count, max_size=count
        )
    )


@settings(max_examples=15)
@given(columns(NUMBERS, 3))
def test_stacked_numbers_are_each_columns(rows: list[list[list[float]]]) -> None:
    raws = [sparse(column, tf.float32) for column in rows]
    alone = np.stack([dense_numbers(raw, 1).numpy()[:, 0] for raw in raws])
    np.testing.assert_array_equal(stacked_numbers(raws).numpy(), alone)


@settings(max_examples=15)
@given(columns(TEXTS, 2), columns(st.integers(-5, 5), 1))
def test_stacked_strings_are_each_columns(
    texts: list[list[list[str]]], whole: list[list[list[int]]]
) -> None:
    count = min(len(texts[0]), len(whole[0]))
    raws = [
        *(sparse(column[:count], tf.string) for column in texts),
        sparse(whole[0][:count], tf.int64),
    ]
    alone = np.stack([dense_strings(raw).numpy() for raw in raws])
    np.testing.assert_array_equal(stacked_strings(raws).numpy(), alone)


@pytest.mark.slow
def test_many_features_fare_as_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_file = tmp_path / "given.txt"
    given_file.write_text("b\n1:b\r\n")
    kinds: dict[str, dict[str, Any]] = {
        "c": {"type": "categorical"},
        "o": {"type": "categorical", "oov_buckets": 3, "vocabulary": {"max_size": 2}},
        "w": {"type": "categorical", "dtype": "int64"},
        "h": {"type": "categorical", "hash_buckets": 5},
        "z": {"type": "numeric", "scale": "z_score", "missing": "mean", "indicator": True},
        "m": {"type": "numeric", "scale": "min_max", "missing": "median", "clip": [-1, 1]},
        "l": {"type": "numeric", "scale": "log1p", "missing": 0.5},
        "b": {"type": "numeric", "buckets": 4, "embedding": 4},
        "p": {"type": "numeric", "embedding": {"type": "piecewise_linear", "bins": 3}},
    }
    features = {f"{kind}{place}": dict(kinds[kind]) for place in range(2) for kind in kinds}
    features |= {f"c{place}": dict(kinds["c"]) for place in range(2, 6)}
    features["c1"]["vocabulary"] = {"file": str(given_file)}
    features["c2"]["vocabulary"] = {"shared_with": "c3"}
    features["c4"]["vocabulary"] = {"min_count": 1_000}
    features["t"] = {"type": "text", "length": 3}
    features["c5"]["vocabulary"] = {"shared_with": "t"}
    features["v"] = {"type": "numeric", "columns": ["z1", "l0", "z0"]}
    spec = parse({"name": "wide", "key": "id", "missing_values": ["NA"], "features": features})
    random = Random(3)
    rows = [
        {
            name: random.choice(VALUES[features[name]["type"]])
            if name[0] != "w"
            else random.randrange(4)
            for name in features
            if name != "v" and random.random() < 0.8
        }
        for _ in range(60)
    ]
    monkeypatch.setattr(alike, "_LEAST_TOGETHER", 2)
    monkeypatch.setattr(alike, "_MOST_TOGETHER", 4)
    together = fitted(spec, rows, tmp_path / "together")
    assert sorted(map(len, alike.alike(spec.features))) == [1, 1, 2, 2, 2, 2, 2, 2, 2, 4, 4]
    monkeypatch.setattr(alike, "_LEAST_TOGETHER", 1_000)
    assert max(map(len, alike.alike(spec.features))) == 1
    alone = fitted(spec, rows, tmp_path / "alone")
    assert together.keys() == alone.keys()
    for name, values in alone.items():
        np.testing.assert_array_equal(together[name], values, err_msg=name)
        assert together[name].dtype == values.dtype
    for folder in ("vocabularies", "transform/transform_fn/assets"):
        files = [
            {path.name: path.read_bytes() for path in (tmp_path / way / folder).iterdir()}
            for way in ("together", "alone")
        ]
        assert files[0] == files[1]
    assert files[0]["c4"].strip() == NO_ENTRIES


def fitted(spec: Spec, rows: list[dict[str, Any]], directory: Path) -> dict[str, np.ndarray]:
    """Counts rows, the second half by what was known of the first, and transforms all of them."""
    return fitted_to(spec, canonical_rows(rows, spec), directory)


def fitted_to(spec: Spec, columns: pa.RecordBatch, directory: Path) -> dict[str, np.ndarray]:
    """Does the same with canonical columns."""
    half = columns.num_rows // 2
    batches = [columns[:half], columns[half:]]
    totals = AnalysisTotals(spec)
    totals.add(batches[0], AnalysisGraph(spec, {})(batches[0]))
    known = totals.know(20)
    totals.add(batches[1], AnalysisGraph(spec, known)(batches[1]))
    runs = ValueRuns(str(directory / "runs"), 1)
    written = [run for _, run in (*runs.add(totals.take()), *runs.flush())]
    offers = list(offered(written, spec, str(directory / "runs")))
    constants = chosen_constants(totals.numbers, offers, spec, str(directory))
    saved = write_transform_graph(spec, constants, str(directory / "transform"))
    return TransformGraph(spec, saved)(columns)
