"""`preprocessing: module:function`: tf.Transform code beside what the spec declares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import tensorflow as tf

from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.export import export
from skewless.model.train import train
from skewless.model.training.records import open_records
from skewless.model.training.warm_start import check_warm_start
from skewless.model.verify import verify
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.spec.spec import Spec, parse

ROWS = 300


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(3)
    table = pa.table(
        {
            "order": [f"o{row}" for row in range(ROWS)],
            "country": random.choice(["de", "fr", "it"], ROWS),
            "device": random.choice(["phone", "desk"], ROWS),
            "price": random.lognormal(2, 1, ROWS).astype(np.float32),
            "pieces": random.integers(1, 9, ROWS).astype(np.float32),
            "bought": random.integers(0, 2, ROWS),
        }
    )
    path = tmp_path_factory.mktemp("orders") / "orders.csv"
    pyarrow.csv.write_csv(table, path)
    return path


@pytest.fixture(scope="module")
def spec() -> Spec:
    return parse(
        {
            "name": "orders",
            "key": "order",
            "preprocessing": "tests.own_preprocessing:preprocessing_fn",
            "features": {
                "country": {"type": "categorical", "embedding": 4},
                "device": {"type": "categorical", "embedding": 4},
                "price": {"type": "numeric", "scale": "z_score"},
                "pieces": {"type": "numeric", "embedding": {"type": "piecewise_linear", "bins": 4}},
            },
            "label": {"column": "bought", "type": "binary"},
            "training": {"epochs": 1},
        }
    )


@pytest.fixture(scope="module")
def records(source: Path, spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("records") / "out"
    manifest = preprocess(spec, [str(source)], output)
    assert manifest.rows.written == ROWS
    return output


def test_its_outputs_are_those_of_tf_transforms_analysers(source: Path, records: Path) -> None:
    rows = {row["order"]: row for row in pyarrow.csv.read_csv(source).to_pylist()}
    opened = open_records(records)
    entries = opened.manifest.features
    assert entries["where"].dtype == "int64" and entries["where"].cardinality == 7
    batches = list(opened.in_order("train", batch_size=ROWS, with_key=True))
    ((features, _),) = batches
    held = [rows[key.decode()] for key in features["__key__"].numpy()]
    worth = np.array([row["price"] * row["pieces"] for row in held])
    expected = (worth - worth.mean()) / worth.std()
    np.testing.assert_allclose(features["worth"].numpy(), expected, rtol=1e-4, atol=1e-5)
    crosses = [f"{row['country']}/{row['device']}" for row in held]
    # One ID a cross, and the more frequent the smaller.
    pairs = sorted(set(zip(features["where"].numpy().tolist(), crosses, strict=True)))
    assert [place for place, _ in pairs] == list(range(6))
    counts = [crosses.count(cross) for _, cross in pairs]
    assert counts == sorted(counts, reverse=True)


def test_what_is_declared_is_as_without_it(
    source: Path, records: Path, spec: Spec, tmp_path: Path
) -> None:
    plain = spec.model_copy(update={"preprocessing": None})
    preprocess(plain, [str(source)], tmp_path / "plain")
    with_own, without = (
        next(iter(open_records(at).in_order("eval", batch_size=ROWS, with_key=True)))[0]
        for at in (records, tmp_path / "plain")
    )
    order = np.argsort(with_own["__key__"].numpy()), np.argsort(without["__key__"].numpy())
    assert set(with_own) - set(without) == {"where", "worth"}
    own, alone = (open_records(at).manifest.features for at in (records, tmp_path / "plain"))
    assert own["pieces"].edges and own["pieces"].edges == alone["pieces"].edges
    for name, values in without.items():
        np.testing.assert_array_equal(values.numpy()[order[1]], with_own[name].numpy()[order[0]])


@pytest.mark.slow
def test_its_outputs_are_inputs_of_the_model_and_are_served(
    source: Path, records: Path, spec: Spec, tmp_path: Path
) -> None:
    train(records, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "model")
    served = tf.saved_model.load(str(tmp_path / "model"))
    outputs = served.signatures["transform_features"].structured_outputs
    assert {"where", "worth"} <= set(outputs)
    report = verify(tmp_path / "model", records)
    assert report.rows and not report.mismatches
    # Fitted to other rows its analysers mean other things, and nobody can tell which.
    pyarrow.csv.write_csv(pyarrow.csv.read_csv(source).slice(99), tmp_path / "later.csv")
    preprocess(spec, [str(tmp_path / "later.csv")], tmp_path / "later")
    with pytest.raises(DatasetMismatchError, match=r"of its own.*preprocess with --transform"):
        check_warm_start(spec, open_records(tmp_path / "later"), tmp_path / "run")
    assert check_warm_start(spec, open_records(records), tmp_path / "run").spec == spec
