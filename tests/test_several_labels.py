"""Several labels of a row: what is declared, what a row may lack, what is learned, measured and served."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import sklearn.metrics as sk
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from skewless.beam_pipelines.inspect_records import meaning, records_in_words
from skewless.beam_pipelines.predict import predict
from skewless.beam_pipelines.preprocess import preprocess
from skewless.from_table import fit
from skewless.model.evaluate import as_table, evaluate
from skewless.model.explain import explain
from skewless.model.export import export
from skewless.model.exported.served_model import ServedModel
from skewless.model.metrics.names import flat_metrics, lower_is_better
from skewless.model.network.build import build, compile_arguments
from skewless.model.report import write_report
from skewless.model.report.sources import open_directories
from skewless.model.train import train
from skewless.model.training.epoch.class_weights import (
    balanced_weights,
    labels_of_classes,
    weighted_rows,
)
from skewless.model.training.epoch.kept import kept_epoch
from skewless.model.training.records import open_records
from skewless.model.training.start import declared_spec
from skewless.schemas import Spec, parse
from skewless.schemas.errors import SpecError, UsageError
from skewless.schemas.records.layout import STATISTICS
from tests.conftest import DataSet

LABELS = {
    "clicked": {"column": "clicked", "type": "binary", "positive": ["yes"]},
    "dwell": {"column": "seconds", "type": "regression", "scale": "z_score", "weight": 0.3},
    "kind": {"column": "kind", "type": "multiclass"},
}
VISITS: dict[str, Any] = {
    "name": "visits",
    "key": "id",
    "features": {
        "x": {"type": "numeric", "scale": "z_score"},
        "page": {"type": "categorical", "embedding": "one_hot"},
    },
    "labels": LABELS,
    "missing_values": ["?"],
    "keep": ["page"],
    "split": {"train": 0.7, "eval": 0.3, "test": 0},
    "model": {"hidden": [16]},
    "training": {"batch_size": 64, "epochs": 4, "learning_rate": 0.02},
}


def _rows(count: int = 600) -> list[dict[str, str]]:
    """Returns rows whose labels follow from x and page; some lack one label, and each 50th all."""
    rng = np.random.default_rng(5)
    rows = []
    for row in range(count):
        x, page = rng.normal(), "abc"[row % 3]
        at = 2 * x + (page == "a") - (page == "c")
        values = {
            "clicked": "yes" if at > 0 else "no",
            "seconds": f"{20 + 5 * at + rng.normal():.3f}",
            "kind": "high" if x > 0.5 else "middle" if x > -0.5 else "low",
        }
        lacking = values if row % 50 == 0 else [[], ["clicked"], ["seconds", "kind"]][row % 7 % 3]
        values |= dict.fromkeys(lacking, "" if row % 2 else "?")
        rows.append({"id": f"r{row}", "x": f"{x:.5f}", "page": page, **values})
    return rows


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Rows of three labels, as the real job wrote them."""
    root = tmp_path_factory.mktemp("visits")
    with (root / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "x", "page", "clicked", "seconds", "kind"])
        writer.writeheader()
        writer.writerows(_rows())
    spec = parse(VISITS)
    preprocess(spec, [str(root / "rows.csv")], root / "records", max_rejected=0.05)
    return DataSet(root / "records", spec, root / "rows.csv")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"label": LABELS["kind"]}, "labels: a spec has `label` or `labels`"),
        ({"labels": {"clicked": LABELS["clicked"]}}, "labels: expected at least two"),
        (
            {"labels": {**LABELS, "more": {"column": "m", "type": "multilabel"}}},
            "labels.more.type: expected binary, multiclass or regression",
        ),
        (
            {"labels": {**LABELS, "more": LABELS["kind"]}},
            "labels.more: column 'kind' is read by labels.kind already",
        ),
        (
            {"labels": {**LABELS, "Kind": {"column": "k", "type": "binary"}}},
            "labels.Kind: differs from kind in case alone",
        ),
        ({"labels": {**LABELS, "a b": {"column": "k", "type": "binary"}}}, "labels.a b: expected"),
        (
            {"labels": {**LABELS, "more": {"column": "k", "type": "binary", "wieght": 2}}},
            "labels.more: unknown key 'wieght'; did you mean 'weight'",
        ),
        (
            {"labels": {**LABELS, "more": {"column": "k", "type": "binary", "weight": 0}}},
            "labels.more.weight: input should be greater than 0",
        ),
        (
            {"labels": {**LABELS, "more": {"column": "k", "type": "binary", "positive": ["?"]}}},
            "labels.more.positive: no row can hold '?'",
        ),
        ({"labels": {**LABELS, "more": {"column": "x", "type": "binary"}}}, "would leak"),
        ({"key": "kind"}, "key: column 'kind' is the label"),
        ({"weight": "seconds"}, "weight: column 'seconds' is the label"),
        ({"model": {"ensemble": 4, "experts": 2, "hidden": [4]}}, "model.experts: do not go with"),
        ({"model": {"experts": 4, "hidden": []}}, "model.experts: are stacks of the hidden layers"),
        (
            {"labels": None, "label": LABELS["kind"], "model": {"experts": 4}},
            "model.experts: goes with several `labels`",
        ),
        ({"training": {"keep_negatives": 0.5}}, "training.keep_negatives: goes with one"),
        (
            {
                "labels": {name: {**LABELS["dwell"], "column": name} for name in ("one", "two")},
                "training": {"class_weights": "balanced"},
            },
            "training.class_weights: goes with a binary or multiclass label, not with labels that",
        ),
        (
            {"training": {"best_by": "auc"}},
            "training.best_by: of several labels expected one of loss",
        ),
        ({"training": {"best_by": "dwell_auc"}}, "dwell_rmse, dwell_mae"),
        (
            {"model": {"type": "two_tower", "query": ["x"], "candidate": ["page"]}},
            "labels: do not go with model.type two_tower",
        ),
        (
            {"labels": None, "label": {**LABELS["kind"], "weight": 2}},
            "label.weight: goes with several `labels`",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as error:
        parse({**VISITS, **changes})
    assert problem in str(error.value)


def test_weights_of_labels_change_no_records(visits: DataSet) -> None:
    heavier = {**LABELS, "kind": {**LABELS["kind"], "weight": 7}}
    other = parse({**VISITS, "labels": heavier})
    assert other.sha256() == visits.spec.sha256()
    assert declared_spec(open_records(visits.directory), other) == other
    scaled = {**LABELS, "dwell": {**LABELS["dwell"], "scale": "none"}}
    assert parse({**VISITS, "labels": scaled}).sha256() != other.sha256()


def test_rows_keep_the_labels_that_they_have(visits: DataSet) -> None:
    rows = {row["id"]: row for row in _rows()}
    names = list(LABELS)
    seen: dict[str, dict[str, Any]] = {}
    for split in ("train", "eval"):
        for record in records_in_words(visits.directory, split, len(rows)):
            seen[record["__key__"]] = record
    lacking = {key for key, row in rows.items() if {row["clicked"], row["kind"]} <= {"", "?"}}
    lacking &= {key for key, row in rows.items() if row["seconds"] in ("", "?")}
    assert len(lacking) == 12
    assert seen.keys() == rows.keys() - lacking
    train = [rows[record["__key__"]] for record in records_in_words(visits.directory, "train", 600)]
    known = np.array([float(row["seconds"]) for row in train if row["seconds"] not in ("", "?")])
    for key, record in seen.items():
        row = rows[key]
        clicked, dwell, kind = (record[f"__label__{name}"] for name in names)
        assert clicked == {"yes": 1.0, "no": 0.0}.get(row["clicked"])
        assert kind == {"": "(missing)", "?": "(missing)"}.get(row["kind"], row["kind"])
        if row["seconds"] in ("", "?"):
            assert dwell is None
        else:
            scaled = (float(row["seconds"]) - known.mean()) / known.std()
            assert dwell == pytest.approx(scaled, abs=1e-5)
    (rejected,) = (visits.directory / "rejected").glob("*.jsonl")
    reasons = [json.loads(line) for line in rejected.read_text(encoding="utf-8").splitlines()]
    assert {(entry["key"], entry["reason"]) for entry in reasons} == {
        (key, "every label is missing") for key in lacking
    }
    counted = json.loads((visits.directory / STATISTICS).read_text(encoding="utf-8"))
    kinds = counted["splits"]["train"]["labels"]["kind"]
    held = [row["kind"] for row in train if row["kind"] not in ("", "?")]
    told = dict(zip(kinds["label_values"], kinds["label_counts"], strict=True))
    assert told == {kind: held.count(kind) for kind in set(held)}
    assert meaning(visits.directory, "labels.kind", 0) == kinds["label_values"][0]


def test_a_label_that_no_training_row_has_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rows.csv").write_text(
        "x,page,clicked,seconds,kind\n" + "1,a,,3,high\n2,b,,4,low\n" * 20, encoding="utf-8"
    )
    spec = parse({**VISITS, "key": None, "split": {"train": 1, "eval": 0, "test": 0}})
    preprocess(spec, [str(tmp_path / "rows.csv")], tmp_path / "records")
    assert "labels.clicked: no row is positive ('yes') in the training split" in caplog.text
    assert "labels.kind" not in caplog.text


@pytest.mark.parametrize(("smoothing", "focal"), [(0.0, None), (0.1, None), (0.0, 2.0)])
def test_the_loss_is_the_weighted_sum_of_means_over_rows_that_have_a_label(
    visits: DataSet, smoothing: float, focal: float | None
) -> None:
    """Compares with numpy, by hand, over a batch in which rows lack labels and one has none."""
    records = open_records(visits.directory)
    choices = {"label_smoothing": smoothing, "focal": focal}
    spec = parse({**VISITS, "training": {**VISITS["training"], **choices}})
    model = build(spec, records.manifest.features)
    model.compile(optimizer="sgd", **compile_arguments(spec))

    def of_classes(given: np.ndarray, own: int) -> float:
        target = np.full(len(given), smoothing / len(given))
        target[own] += 1 - smoothing
        loss = -float(target @ np.log(given))
        return loss if focal is None else (1 - given[own]) ** focal * loss

    features, truth, weights = next(iter(records.in_order("train", batch_size=40)))
    own = np.linspace(0.5, 2, 40).astype("f4")
    weights = {name: held * own for name, held in weights.items()}
    assert all(0 < (held.numpy() == 0).sum() < 40 for held in weights.values())
    predicted = {name: value.numpy() for name, value in model(features).items()}
    expected = 0.0
    for name, scale in (("clicked", 1.0), ("dwell", 0.3), ("kind", 1.0)):
        total, weighed = 0.0, 0.0
        for row in range(40):
            weight, y = float(weights[name][row]), np.ravel(truth[name])[row]
            given = predicted[name][row].astype(float)
            if name == "clicked":
                loss = of_classes(np.array([1 - given[0], given[0]]), int(y))
            elif name == "dwell":
                loss = (given[0] - y) ** 2
            else:
                loss = of_classes(given, int(y))
            total, weighed = total + weight * loss, weighed + weight
        expected += scale * total / weighed
    batch = (features, truth, weights)
    figures = model.test_on_batch(*batch, return_dict=True)
    assert figures["loss"] == pytest.approx(expected, rel=1e-5)
    # A label that no row of a batch has teaches nothing, and is no NaN.
    weights["kind"] = tf.zeros_like(weights["kind"])
    before = keras.ops.convert_to_numpy(model.get_layer("predictions.kind").kernel)
    others = keras.ops.convert_to_numpy(model.get_layer("predictions.dwell").kernel)
    assert np.isfinite(model.train_on_batch(*batch, return_dict=True)["loss"])
    np.testing.assert_array_equal(model.get_layer("predictions.kind").kernel, before)
    assert (np.array(model.get_layer("predictions.dwell").kernel) != others).any()


def test_classes_of_each_label_weigh_by_the_rows_that_have_it(visits: DataSet) -> None:
    records = open_records(visits.directory)
    names = labels_of_classes(visits.spec)
    assert names == ["clicked", "kind"]
    weights = balanced_weights(records, names)
    batches = list(records.in_order("train", batch_size=50))
    for name in names:
        rows = [(truth[name].numpy().ravel(), held[name].numpy()) for _, truth, held in batches]
        values, held = (np.concatenate(each) for each in zip(*rows, strict=True))
        values = values[held > 0].astype(int)
        expected = compute_class_weight("balanced", classes=np.unique(values), y=values)
        np.testing.assert_allclose(weights[name], expected, rtol=1e-6)
    whole = records.in_order("train", batch_size=50)
    _, truth, weighed = next(iter(weighted_rows(whole, weights)))
    held = batches[0][2]
    np.testing.assert_array_equal(weighed["dwell"], held["dwell"])
    own = weights["kind"][truth["kind"].numpy()] * held["kind"].numpy()
    np.testing.assert_array_equal(weighed["kind"], own)


def test_each_label_mixes_experts_by_its_own_gate(visits: DataSet) -> None:
    """Compares with numpy: stacks of hidden layers, a softmax over them, a head."""
    spec = parse({**VISITS, "model": {"hidden": [8, 4], "experts": 3, "dropout": 0.1}})
    model = build(spec, open_records(visits.directory).manifest.features)
    merged = keras.Model(model.inputs, model.get_layer("gate.dwell").input)
    features, *_ = next(iter(open_records(visits.directory).in_order("train", batch_size=20)))
    vector = merged(features).numpy()

    def weights(name: str) -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(one) for one in model.get_layer(name).weights]

    experts = []
    for expert in range(3):
        out = vector
        for number in range(2):
            kernel, bias = weights(f"hidden.{number}.of.{expert}")
            out = np.maximum(out @ kernel + bias, 0)
        experts.append(out)
    predicted = model(features)
    for name in LABELS:
        (gate,) = weights(f"gate.{name}")
        shares = np.exp(vector @ gate)
        shares /= shares.sum(axis=1, keepdims=True)
        mixed = sum(shares[:, [place]] * experts[place] for place in range(3))
        kernel, bias = weights(f"predictions.{name}")
        logits = mixed @ kernel + bias
        if name == "clicked":
            logits = 1 / (1 + np.exp(-logits))
        elif name == "kind":
            logits = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(predicted[name], logits, rtol=1e-4, atol=1e-5)


def test_figures_of_labels_have_names_of_their_own() -> None:
    metrics = {"loss": 1.0, "labels": {"a": {"auc": 0.5, "rows": 3}, "b": {"rmse": 2.0}}}
    assert flat_metrics(metrics) == {"loss": 1.0, "a_auc": 0.5, "a_rows": 3, "b_rmse": 2.0}
    assert lower_is_better("b_rmse") and lower_is_better("loss") and not lower_is_better("a_auc")


@pytest.fixture(scope="module")
def trained(visits: DataSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on them, and its exported model, proved."""
    root = tmp_path_factory.mktemp("trained")
    train(visits.directory, root / "run")
    report = export(root / "run", root / "served")
    assert report is not None and report.passed and report.prediction_difference < 1e-5
    return root / "run", root / "served"


@pytest.mark.slow
def test_each_label_is_measured_where_it_is_there_and_served(
    visits: DataSet, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """Serves raw rows, and compares what scikit-learn makes of it with the metrics."""
    run, served = trained
    rows = {row["id"]: row for row in _rows()}
    held_out = [
        record["__key__"] for record in records_in_words(visits.directory, "eval", len(rows))
    ]
    asked = [{"x": float(rows[key]["x"]), "page": rows[key]["page"]} for key in held_out]
    outputs = ServedModel.open(served).predict(asked)
    assert set(outputs) == {
        "clicked_predictions", "dwell_predictions", "kind_predictions", "kind_class"
    }  # fmt: skip
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["eval"]
    figures = metrics["labels"]

    def there(column: str) -> tuple[np.ndarray, list[str]]:
        places = [at for at, key in enumerate(held_out) if rows[key][column] not in ("", "?")]
        return np.array(places), [rows[held_out[at]][column] for at in places]

    places, clicked = there("clicked")
    scores = outputs["clicked_predictions"][places, 0]
    auc = sk.roc_auc_score([value == "yes" for value in clicked], scores)
    assert figures["clicked"]["rows"] == len(places) < len(held_out)
    assert figures["clicked"]["auc"] == pytest.approx(auc, abs=1e-6) and auc > 0.9
    places, seconds = there("seconds")
    errors = outputs["dwell_predictions"][places, 0] - np.array(seconds, float)
    assert figures["dwell"]["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    assert figures["dwell"]["r2"] > 0.5
    places, kinds = there("kind")
    right = np.array([value.encode() for value in kinds]) == outputs["kind_class"][places]
    assert figures["kind"]["accuracy"] == pytest.approx(right.mean(), abs=1e-6)

    graph = tf.saved_model.load(str(served))
    assert {"classify_clicked", "classify_kind", "regress_dwell"} <= set(graph.signatures)
    assert "classify_dwell" not in graph.signatures
    example = tf.constant([_example(asked[0])])
    both = graph.signatures["classify_clicked"](inputs=example)
    np.testing.assert_allclose(both["scores"][0, 1], outputs["clicked_predictions"][0, 0])
    value = graph.signatures["regress_dwell"](inputs=example)["outputs"]
    np.testing.assert_allclose(value[0], outputs["dwell_predictions"][0, 0])

    predict(served, [str(visits.source)], tmp_path / "predicted")
    (part,) = (tmp_path / "predicted").glob("*.parquet")
    table = pyarrow.parquet.read_table(part).to_pylist()
    assert len(table) == len(rows)
    by_key = {row["key"]: row for row in table}
    assert by_key[held_out[0]]["dwell_predictions"] == pytest.approx(
        outputs["dwell_predictions"][0, 0], rel=1e-5
    )

    told = explain(served, asked[0], label="dwell")
    assert told.score == pytest.approx(float(outputs["dwell_predictions"][0, 0]), rel=1e-5)
    assert explain(served, asked[0]).score_of == "the probability that clicked is positive"
    with pytest.raises(UsageError, match=r"--label dwel: .* did you mean 'dwell'"):
        explain(served, asked[0], label="dwel")


def _example(row: dict[str, Any]) -> bytes:
    feature = {
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[row["x"]])),
        "page": tf.train.Feature(bytes_list=tf.train.BytesList(value=[row["page"].encode()])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return bytes(example.SerializeToString())


@pytest.mark.slow
def test_slices_and_report_are_of_each_label(
    visits: DataSet, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    run, _ = trained
    found = evaluate(run, visits.directory, "eval", ["page"])
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["eval"]
    assert found["loss"] == pytest.approx(metrics["loss"])
    for name, own in found["labels"].items():
        assert own["metrics"]["loss"] == pytest.approx(metrics["labels"][name]["loss"])
        slices = own["slices"]["page"]
        assert sum(entry["rows"] for entry in slices) == own["metrics"]["rows"]
        assert "page = a" in as_table({"split": "eval", **own})
    leaning = evaluate(run, visits.directory, "eval", importance=True)["labels"]
    for name, own in leaning.items():
        found_of = own["importance"]
        worse = {entry["feature"]: entry["worse"] for entry in found_of["features"]}
        assert found_of["rows"] == metrics["labels"][name]["rows"]
        assert found_of["metric"] == {"dwell": "rmse"}.get(name, "auc")
        assert worse["x"] > 0.1
        # What kind follows from is x alone.
        assert abs(worse["page"]) < 0.05 if name == "kind" else worse["page"] > 0.01
    (run / "evaluation-eval.json").write_text(json.dumps(found), encoding="utf-8")
    page = write_report([run], tmp_path / "report.html").read_text(encoding="utf-8")
    for name in LABELS:
        assert f"Run: run, {name}" in page and f"Metrics of {name}" in page
    assert "seconds (label)" in page and "kind (label)" in page
    assert "Mae by epoch, seconds" in page and "side by side" not in page
    # By epoch in its own unit: the epoch that was kept has the error that was evaluated.
    (seconds,) = [
        own for own in open_directories([run])[1][0].by_label if own.error_unit == "seconds"
    ]
    errors = [epoch["val_mae"] for epoch in seconds.history]
    assert any(np.isclose(errors, metrics["labels"][seconds.label]["mae"]))
    shutil.copytree(run, tmp_path / "other")
    page = write_report([run, tmp_path / "other"], tmp_path / "two.html").read_text(
        encoding="utf-8"
    )
    assert all(f"The runs side by side: {name}" in page for name in LABELS)


def test_members_and_a_wide_part_learn_each_label(visits: DataSet) -> None:
    spec = parse({**VISITS, "model": {"hidden": [8], "ensemble": 3, "linear": True}})
    records = open_records(visits.directory)
    model = build(spec, records.manifest.features)
    model.compile(optimizer=keras.optimizers.SGD(0.0), **compile_arguments(spec))
    features, truth, weights = next(iter(records.in_order("train", batch_size=64)))
    told = model.train_on_batch(features, truth, weights, return_dict=True)
    layers = [layer for layer in model.layers if layer.name.startswith("members.")]
    assert {layer.name for layer in layers} == {f"members.{name}" for name in LABELS}
    inside = keras.Model(model.inputs, {layer.name: layer.output for layer in layers})(features)
    loss = 0.0
    for name, label in LABELS.items():
        members, predicted = inside[f"members.{name}"].numpy(), model(features)[name].numpy()
        np.testing.assert_allclose(predicted, members.mean(axis=1), rtol=1e-5)
        held = weights[name].numpy() > 0
        true = truth[name].numpy()[held].reshape(-1, 1)
        of_each = members[held].astype(np.float64)
        if label["type"] == "binary":
            each = -np.log(np.where(true[:, None] > 0.5, of_each, 1 - of_each))
        elif label["type"] == "regression":
            each = (of_each - true[:, None]) ** 2
        else:
            each = -np.log(np.take_along_axis(of_each, true.astype(int)[:, None], axis=2))
        loss += float(label.get("weight", 1.0)) * each.mean()
    assert told["loss"] == pytest.approx(loss, rel=1e-4)
    names = [layer.name for layer in model.layers if layer.name.startswith("wide.")]
    assert len(names) == 2 * len(LABELS)


@pytest.mark.slow
def test_one_command_goes_from_a_table_to_a_model_of_several_labels(
    visits: DataSet, tmp_path: Path
) -> None:
    spec = {
        **VISITS,
        "model": {"hidden": [8], "ensemble": 2, "linear": True},
        "training": {**VISITS["training"], "best_by": "dwell_rmse"},
    }
    rows = [
        row for row in _rows() if any(row[name] not in ("", "?") for name in ("clicked", "kind"))
    ]
    fitted = fit(pd.DataFrame(rows), output=tmp_path / "out", spec=spec)
    told = str(fitted)
    for name, own in fitted.metrics["labels"].items():
        assert name in told.splitlines()
        theirs = {baseline: found["labels"][name] for baseline, found in fitted.baselines.items()}
        assert set(theirs) == {"majority", "linear"}
        assert theirs["linear"]["rows"] == own["rows"]
        assert theirs["linear"]["loss"] < theirs["majority"]["loss"]
        assert own["loss"] < theirs["majority"]["loss"]
        assert fitted.importance["labels"][name]["features"][0]["feature"] == "x"
    history = fitted.run.metrics["history"]
    kept = min(range(len(history)), key=lambda epoch: history[epoch]["val_dwell_rmse"])
    assert kept_epoch(history, "dwell_rmse") == kept
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(f"Run: run, {name}" in page for name in LABELS)


def test_a_spec_as_if_one_of_its_labels_were_the_only_one() -> None:
    spec = parse(VISITS)
    alone = spec.alone("kind")
    assert isinstance(alone, Spec) and alone.labels is None
    assert alone.label == spec.targets["__label__kind"]
