"""Sequences of numbers, of vectors and of time gaps, against plain Python."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.inspect_records import records_in_words
from skewless.beam_pipelines.predict import predict
from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.explain import explain
from skewless.model.exported.served_model import ServedModel
from skewless.model.network.build import build
from skewless.model.network.layers import CountMask
from skewless.model.network.towers import inputs_of, towers_of
from skewless.model.report import write_report
from skewless.model.serve.form import fields_of
from skewless.model.training.records import open_records
from skewless.schemas import SpecError, load, parse
from skewless.schemas.records.layout import SPEC, STATISTICS
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import KEY, steps_name
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.rows.lists.steps import seconds_between
from skewless.schemas.rows.times.parsing import NO_TIME, parse_times
from tests.conftest import DataSet
from tests.test_signatures import exported, records_by_key
from tests.test_stream import BEGIN, batch_records, records_in, streamed, write

LENGTH, SIZE = 4, 3
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
FEATURES: dict[str, Any] = {
    "seen": {"type": "categorical", "length": LENGTH, "truncate": "start", "embedding": 4},
    "prices": {
        "type": "numeric_sequence", "beside": "seen", "length": LENGTH, "truncate": "start",
        "scale": ["log1p", "z_score"], "missing": "mean", "embedding": "none",
    },
    "gaps": {
        "type": "time_gaps", "column": "times", "beside": "seen", "length": LENGTH,
        "truncate": "start", "embedding": "none",
    },
    "pulse": {
        "type": "numeric_sequence", "length": LENGTH, "pad": "start", "clip": [-5, 5],
        "encoder": {"type": "gru", "units": 3}, "embedding": 2,
    },
    "track": {
        "type": "numeric_sequence", "length": LENGTH, "dimensions": SIZE, "scale": "min_max",
        "missing": "median", "encoder": "attention", "embedding": 5,
    },
    "clicks": {
        "type": "time_gaps", "length": LENGTH, "separator": "|", "scale": "none", "encoder": "max",
    },
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "key": "key",
    "missing_values": ["?"],
    "features": FEATURES,
    "label": {"column": "y", "type": "binary"},
    "model": {
        "hidden": [8],
        "groups": {"past": {"features": ["seen", "prices", "gaps"], "encoder": "lstm"}},
        "linear": True,
    },
}


def _rows(count: int = 90) -> list[dict[str, Any]]:
    rng = np.random.default_rng(8)
    rows: list[dict[str, Any]] = []
    for place in range(count):
        seen, pulse, track, clicks = rng.integers(0, 7, 4)
        start = datetime(2025, 1, 1, tzinfo=timezone.utc) + timedelta(days=float(rng.random()))
        times = [start + timedelta(seconds=float(s)) for s in rng.exponential(1e4, seen).cumsum()]
        row: dict[str, Any] = {
            "key": f"k{place}",
            "seen": [str(tag) for tag in rng.choice(["a", "b", "?", "d"], seen)],
            "prices": [round(float(p), 2) if p < 6 else None for p in rng.exponential(3, seen)],
            "times": [time.isoformat() for time in times],
            "pulse": [round(float(p), 3) for p in rng.normal(0, 4, pulse)],
            "track": rng.normal(size=(track, SIZE)).round(3).tolist(),
            "clicks": "|".join(
                str(1_700_000_000 + int(s)) for s in rng.exponential(50, clicks).cumsum()
            ),
            "y": int(rng.integers(2)),
        }
        if place % 10 == 3:
            row |= {"prices": None, "pulse": None, "track": None}
        if place % 10 == 4 and pulse > 1:
            row["pulse"][0] = None
        rows.append(row)
    return rows


def _cut(steps: list[Any], feature: Any, nothing: Any) -> list[Any]:
    kept = steps[-LENGTH:] if feature.truncate == "start" else steps[:LENGTH]
    padding = [nothing] * (LENGTH - len(kept))
    return padding + kept if feature.pad == "start" else kept + padding


def _gaps(times: list[datetime]) -> list[float]:
    passed = [(later - time) / timedelta(seconds=1) for time, later in pairwise(times)]
    return [0.0, *passed][: len(times)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, their records, an untrained run, and its export, whose parity passed."""
    root = tmp_path_factory.mktemp("sequences")
    assert exported(DOCUMENT, _rows(), root).matched == 90
    return root


def _held(row: dict[str, Any], name: str) -> list[Any]:
    """Returns what a list holds for each value of `seen` that is one."""
    values = row[name] if row[name] is not None else [None] * len(row["seen"])
    return [value for value, tag in zip(values, row["seen"], strict=True) if tag != "?"]


def _scaled(values: list[float | None], mean: float, deviation: float) -> list[float]:
    logs = [mean if value is None else math.log1p(value) for value in values]
    return [(log - mean) / deviation for log in logs]


def test_records_hold_the_steps(root: Path) -> None:
    spec, records = parse({"name": "n", **DOCUMENT}), records_by_key(root / "records")
    rows = _rows()
    train = {
        features[KEY].decode()
        for features in open_records(root / "records")
        .in_order("train", batch_size=1, with_key=True)
        .map(lambda features, *_: {KEY: features[KEY][0]})
        .as_numpy_iterator()
    }
    # Of all steps of the training split, those that are cut off too.
    logs = [
        math.log1p(price)
        for row in rows
        if row["key"] in train
        for price in _held(row, "prices")
        if price is not None
    ]
    mean, deviation = float(np.mean(logs)), float(np.std(logs))
    points = np.array([step for row in rows if row["key"] in train for step in row["track"] or ()])
    low, high = points.min(axis=0), points.max(axis=0)
    assert len(records) == len(rows), "no row was rejected"
    for row in rows:
        found = records[row["key"]]
        features = spec.features
        prices = _scaled(_held(row, "prices"), mean, deviation)
        assert found["prices"] == pytest.approx(_cut(prices, features["prices"], 0.0), abs=1e-5)
        times = [datetime.fromisoformat(time) for time in _held(row, "times")]
        gaps = [math.log1p(gap) for gap in _gaps(times)]
        assert found["gaps"] == pytest.approx(_cut(gaps, features["gaps"], 0.0), rel=1e-6)
        assert (found["gaps"][found["seen"] == 0] == 0).all()
        pulse = [0.0 if p is None else min(5, max(-5, p)) for p in row["pulse"] or ()]
        assert found["pulse"] == pytest.approx(_cut(pulse, features["pulse"], 0.0), abs=1e-6)
        track = [list((np.array(step) - low) / (high - low)) for step in row["track"] or ()]
        expected = np.array(_cut(track, features["track"], [0.0] * SIZE))
        np.testing.assert_allclose(found["track"], expected, atol=1e-5)
        clicks = [float(text) for text in row["clicks"].split("|") if text]
        gaps = [0.0, *np.diff(clicks)][: len(clicks)]
        assert found["clicks"] == pytest.approx(_cut(gaps, features["clicks"], 0.0))
        counts = {name: int(found[steps_name(name)]) for name in FEATURES if name != "seen"}
        lengths = {
            "prices": prices,
            "gaps": prices,
            "pulse": pulse,
            "track": track,
            "clicks": clicks,
        }
        assert counts == {name: min(LENGTH, len(lengths[name])) for name in counts}


def test_statistics_are_of_rows_and_of_numbers(root: Path) -> None:
    features = json.loads((root / "records" / STATISTICS).read_text())["features"]
    train = open_records(root / "records").rows("train")
    for name in ("prices", "gaps", "pulse", "track", "clicks"):
        entry = features[name]
        assert entry["rows"] == train and 0 < entry["missing"] < train
        assert entry["values"] > entry["values_missing"] >= 0
        assert entry["truncated_share"] > 0 and sum(entry["lengths"]["counts"]) == train
        assert "histogram" in entry and entry["length_quantiles"]["0.99"] == 6
    assert features["pulse"]["max"] <= 5 and features["gaps"]["max"] > 1_000
    write_report([root / "records"], root / "report.html")
    assert "track" in (root / "report.html").read_text()
    (record,) = records_in_words(root / "records", "train", 1)
    assert len(record["track"]) == LENGTH and steps_name("pulse") in record


def test_parquet_gives_the_same_records(root: Path, tmp_path: Path) -> None:
    rows = _rows()
    columns = {
        name: pa.array([row[name] for row in rows], pa.list_(pa.timestamp("us", "UTC")))
        if name == "times"
        else pa.array([row[name] for row in rows])
        for name in rows[0]
        if name != "times"
    }
    times = [[datetime.fromisoformat(time) for time in row["times"]] for row in rows]
    columns["times"] = pa.array(times, pa.list_(pa.timestamp("us", "UTC")))
    pa.parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    spec = parse({"name": "t", **DOCUMENT, "split": {"train": 0.7, "eval": 0.3}})
    preprocess(spec, [str(tmp_path / "rows.parquet")], tmp_path / "records")
    ours, theirs = records_by_key(root / "records"), records_by_key(tmp_path / "records")
    assert ours.keys() == theirs.keys()
    for key, row in ours.items():
        for name, value in row.items():
            np.testing.assert_array_equal(value, theirs[key][name], err_msg=f"{key} {name}")


def test_predictions_are_those_of_the_server(root: Path, tmp_path: Path) -> None:
    served = ServedModel.open(root / "served")
    rows = _rows(12)
    predict(root / "served", [str(root / "rows.jsonl")], tmp_path / "out")
    tables = [pa.parquet.read_table(path) for path in (tmp_path / "out").glob("*.parquet")]
    found = {row["key"]: row["predictions"] for row in pa.concat_tables(tables).to_pylist()}
    by_row = served.predict(rows)["predictions"][:, 0]
    together = [np.float32(found[row["key"]]).reshape(-1)[0] for row in rows]
    np.testing.assert_allclose(np.array(together), by_row, atol=1e-6)
    # By column, lists of a batch are padded to one length with what is no value.
    given = [rows[0], rows[1]]
    longest = max(len(row["pulse"] or ()) for row in given) + 2
    pulse = [[*(row["pulse"] or ()), *[math.nan] * longest][:longest] for row in given]
    signature = tf.saved_model.load(str(root / "served")).signatures["predict_columns"]
    inputs = signature.structured_input_signature[1]
    empty = {name: tf.zeros([0] * len(spec.shape), spec.dtype) for name, spec in inputs.items()}
    answer = signature(**{**empty, "pulse": tf.constant(pulse, tf.float32)})["predictions"]
    alone = served.predict([{"pulse": row["pulse"]} for row in given])["predictions"]
    np.testing.assert_array_equal(answer.numpy(), alone)


def test_the_page_asks_for_each_list(root: Path) -> None:
    served: Any = SimpleNamespace(model=ServedModel.open(root / "served"))
    fields = {field.column: field for field in fields_of(served)}
    assert list(fields) == ["seen", "prices", "times", "pulse", "track", "clicks"]
    assert fields["clicks"].separator == "|" and fields["pulse"].separator == ","
    assert fields["track"].hint == "numbers, 3 a step, several parted by ','"
    assert len(fields["track"].example.split(",")) == 2 * SIZE
    row = {
        name: field.example.split(field.separator or ",")
        for name, field in fields.items()
        if name not in ("prices", "times")
    }
    assert np.isfinite(served.model.predict([row])["predictions"]).all()


@pytest.mark.slow
def test_a_stream_leaves_the_same_records(root: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = [{**row, "at": BEGIN + place} for place, row in enumerate(_rows())]
    files = [write(tmp_path / "in" / f"{at}.jsonl", rows[at::2]) for at in range(2)]
    shop = DataSet(root / "records", load(root / "records" / SPEC), root / "rows.jsonl")
    streamed(shop, tmp_path / "in", tmp_path / "out")
    assert records_in(tmp_path / "out") == batch_records(shop, files, tmp_path / "batch")
    (manifest, *_) = (manifest for _, manifest in finished_panes(tmp_path / "out"))
    assert {"prices", "gaps", "track"} <= manifest.drift["features"].keys()


def test_a_row_is_told(root: Path) -> None:
    row = {"pulse": [1.0, 2.0, 3.0, 4.0, 9.0], "track": [[1, 2, 3]], "seen": ["a", "b"],
           "times": ["2026-01-01", "2026-01-02"]}  # fmt: skip
    told = {entry.name: entry for entry in explain(root / "served", row).features}
    pulse = told["pulse"]
    assert (pulse.mask, pulse.cut, pulse.missing) == ((True,) * 4, 1, False)
    assert pulse.seen["pulse"] == [1, 2, 3, 4] and pulse.seen[steps_name("pulse")] == 4
    assert told["track"].mask == (True, False, False, False)
    assert told["gaps"].seen["gaps"] == [0, pytest.approx(math.log1p(86_400)), 0, 0]
    assert told["clicks"].missing and told["clicks"].mask == (False,) * LENGTH
    assert told["prices"].missing and told["prices"].change is not None


@pytest.mark.parametrize(
    "encoder", ["mean", "max", "sum", "gru", "lstm", "bidirectional_gru", "cnn", "attention",
                {"type": "transformer", "heads": 2, "dropout": 0.0}],
)  # fmt: skip
def test_padded_steps_change_nothing(encoder: Any) -> None:
    def vectors(length: int, numbers: np.ndarray, pad: str) -> np.ndarray:
        feature = {"type": "numeric_sequence", "length": length, "dimensions": 2, "pad": pad,
                   "embedding": 8, "encoder": encoder}  # fmt: skip
        spec = parse({"name": "n", "features": {"x": feature}})
        entries = {
            "x": FeatureEntry(dtype="float32", shape=(length, 2)),
            steps_name("x"): FeatureEntry(dtype="float32", shape=()),
        }
        keras.utils.set_random_seed(1)
        inputs = inputs_of(entries)
        model = keras.Model(inputs, towers_of(spec, entries, inputs)["x"])
        for layer in model.layers:
            for weight in layer.weights:
                if weight.name == "bias":
                    weight.assign_add(np.full(weight.shape, 0.5, np.float32))
        counts = np.array([3, 0], np.float32)
        return np.asarray(model({"x": numbers, steps_name("x"): counts}))

    true = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    padded = np.concatenate([true, np.full((2, 2, 2), 9, np.float32)], axis=1)
    padded[1] = 0
    short = np.concatenate([true, np.zeros((2, 2, 2), np.float32)], axis=1)
    short[1] = 0
    found = vectors(5, padded, "end")
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[0], vectors(5, short, "end")[0], atol=1e-5)


def test_a_mask_counts_from_either_side() -> None:
    counts = np.array([0, 2, 3], np.float32)
    ends = np.asarray(CountMask(3, "end")(counts)).astype(int).tolist()
    assert ends == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]
    starts = np.asarray(CountMask(3, "start")(counts)).astype(int).tolist()
    assert starts == [[0, 0, 0], [0, 1, 1], [1, 1, 1]]
    with pytest.raises(ValueError, match="pad: expected end or start"):
        CountMask(3, "left")
    with pytest.raises(ValueError, match="length: expected at least 1"):
        CountMask(0, "end")


def test_group_members_stand_side_by_side(root: Path) -> None:
    records = open_records(root / "records")
    model = build(parse({"name": "n", **DOCUMENT}), records.manifest.features)
    (lstm,) = (layer for layer in model.layers if isinstance(layer, keras.layers.LSTM))
    assert lstm.cell.kernel.shape[0] == 4 + 1 + 1


_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(timezone.utc))


@given(st.lists(st.lists(_TIMES, max_size=6), min_size=1, max_size=8))
def test_gaps_are_those_of_datetime(rows: list[list[datetime]]) -> None:
    texts = tf.ragged.constant(
        [[time.isoformat() for time in row] for row in rows], tf.string, ragged_rank=1
    )
    times = texts.with_flat_values(parse_times(texts.flat_values))
    found = seconds_between(times).to_list()
    for row, gaps in zip(rows, found, strict=True):
        expected = [np.float32(gap) for gap in _gaps(row)]
        assert gaps == [float(gap) for gap in expected]


def test_a_gap_to_no_time_is_not_known() -> None:
    times = tf.ragged.constant([[5_000_000, NO_TIME, 7_000_000, 9_500_000], []], tf.int64)
    gaps = seconds_between(times).to_list()
    assert gaps[1] == [] and gaps[0][0] == 0 and gaps[0][3] == 2.5
    assert math.isnan(gaps[0][1]) and math.isnan(gaps[0][2])


def test_lists_that_do_not_fit_reject_their_row(tmp_path: Path) -> None:
    rows = _rows(40)
    rows[1] |= {"seen": ["a", "b"], "times": ["2026-01-01"], "prices": [1.0, 2.0]}
    rows[2] |= {"seen": ["a"], "times": ["2026-01-01"], "prices": [1.0, 2.0]}
    rows[3] |= {"track": [[1, 2], [1, 2, 3]]}
    rows[4] |= {"track": [1, 2, 3, 4]}
    rows[5] |= {"clicks": "1700000000|soon"}
    rows[6] |= {"pulse": [1.0, "x"]}
    rows[7] |= {"seen": ["a"], "times": [None], "prices": [1.0]}
    rows[8] |= {"track": [1, 2, 3, 4, 5, 6]}
    rows[9] |= {"track": [[1, 2, 3], None, [1, 2, 3]]}
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = parse({"name": "n", **DOCUMENT})
    preprocess(spec, [str(tmp_path / "rows.jsonl")], tmp_path / "out", max_rejected=1.0)
    found = {}
    for path in (tmp_path / "out" / "rejected").glob("*.jsonl"):
        for entry in map(json.loads, path.read_text().splitlines()):
            found[entry["row"]] = (entry["column"], entry["reason"])
    beside = "expected as many values as in column 'seen', got "
    assert found == {
        2: ("times", f"{beside}1 for 2"),
        3: ("prices", f"{beside}2 for 1"),
        4: ("track", "expected lists of 3 numbers, got 2"),
        5: ("track", "expected steps of 3 numbers each, got 4 numbers"),
        6: ("clicks", found[6][1]),
        7: ("pulse", "expected a number, got 'x'"),
        8: ("times", "expected a value for each in column 'seen', and one is missing"),
    }
    assert "expected a time" in found[6][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prices": {"beside": "sen"}}, r"features.prices.beside: expected a categorical feature .*did you mean 'seen'"),
        ({"prices": {"beside": "pulse"}}, r"features.prices.beside: expected a categorical feature"),
        ({"prices": {"length": 9}}, r"features.prices.length: expected 4 as of features.seen"),
        ({"prices": {"truncate": "end"}}, r"features.prices.truncate: expected 'start' as of"),
        ({"prices": {"column": "pulse"}}, r"column 'pulse' is read by features.pulse too"),
        ({"prices": {"column": "key"}}, r"column 'key' is named elsewhere in the spec"),
        ({"track": {"encoder": "transformer", "embedding": "none"}}, r"encoder: transformer normalizes"),
        ({"pulse": {"clip": [2, 1]}}, r"clip: expected \[low, high\]"),
        ({"pulse": {"length": 5, "beside": None}, "more": {"type": "timestamp", "column": "times"}}, r"column 'times' is read"),
    ],
)  # fmt: skip
def test_sequences_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    features = {**FEATURES}
    for name, change in changes.items():
        features[name] = {**features.get(name, {}), **change}
    with pytest.raises(SpecError, match=message):
        parse({"name": "n", **DOCUMENT, "features": features})
