"""Two towers: their loss in closed form, and the road from rows to ranks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
from sklearn.metrics import ndcg_score

import skewless as sk
from skewless.cli import main
from skewless.model.baselines import baseline_metrics
from skewless.model.evaluate import as_table, evaluate
from skewless.model.explain import explain
from skewless.model.explained import recommended
from skewless.model.explained.recommended import _without_values
from skewless.model.export import export
from skewless.model.exported.nearest import EXCLUDE
from skewless.model.metrics.listed import by_popularity
from skewless.model.network.in_batch_softmax import InBatchSoftmax, in_batch_accuracy
from skewless.model.network.two_tower import tower_of
from skewless.model.parity.report import Report
from skewless.model.report import write_report
from skewless.model.report.findings import of_run
from skewless.model.report.sources import open_directories
from skewless.model.retrieval.distinct_rows import DistinctRows, digests_of, distinct_rows
from skewless.model.retrieval.fed import fed
from skewless.model.retrieval.found import _Met, _Split, find_in_split, most_popular, vectors_of
from skewless.model.serve.models.servable import Servable
from skewless.model.serve.reading.json_tensors import Input
from skewless.model.serve.status import ServingError
from skewless.model.train import train
from skewless.model.training.compiled import compiled_model
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import load_trained, write_json
from skewless.schemas import SpecError, load, parse
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.examples import purchases
from skewless.schemas.examples.generators import spec_path, write_table
from skewless.schemas.rows.row_encoding import examples
from skewless.schemas.storage.fetched import fetched
from tests.served_process import serving
from tests.test_serve import refused

ROWS = 5_000


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Purchases, their records and a short run on them."""
    from skewless.beam_pipelines.preprocess import preprocess

    root = tmp_path_factory.mktemp("bought")
    table = purchases.generate(ROWS).table
    numbers = pa.array([f"r{row}" for row in range(ROWS)])
    write_table(table.append_column("id", numbers), root / "rows.parquet")
    spec = load(spec_path("purchases"))
    training = spec.training.model_copy(
        update={"epochs": 2, "learning_rate": 0.03, "batch_size": 256}
    )
    preprocess(
        spec.model_copy(update={"training": training}),
        [str(root / "rows.parquet")],
        root / "records",
    )
    train(root / "records", root / "run")
    return root


def _truth(items: np.ndarray, log_share: np.ndarray) -> np.ndarray:
    return np.stack([items % 7, items // 7, log_share], axis=1).astype(np.float32)


def _closed_form(
    vectors: np.ndarray,
    items: np.ndarray,
    share: np.ndarray,
    temperature: float,
    hardest: int | None,
) -> np.ndarray:
    """Returns each row's loss, as the paper writes it, one row and one candidate at a time."""
    losses = []
    for row in range(len(items)):
        score = {
            other: vectors[row, 0] @ vectors[other, 1] / temperature - np.log(share[other])
            for other in range(len(items))
            if other == row or items[other] != items[row]
        }
        others = sorted((score[other] for other in score if other != row), reverse=True)
        kept = [score[row], *others[:hardest]]
        losses.append(-np.log(np.exp(score[row]) / np.exp(kept).sum()))
    return np.array(losses)


@pytest.mark.parametrize("hardest", [None, 2, 50])
def test_the_loss_is_the_corrected_softmax_without_accidental_hits(hardest: int | None) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(9, 2, 4))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    items = np.array([11, 3, 11, 4, 5, 3, 60, 7, 11])
    share = rng.uniform(0.01, 0.5, 61)[items]
    truth = _truth(items, np.log(share))
    loss = InBatchSoftmax(0.2, hardest, reduction=None)
    expected = _closed_form(vectors, items, share, 0.2, hardest)
    np.testing.assert_allclose(loss(truth, vectors), expected, rtol=1e-5)
    again = InBatchSoftmax.from_config(loss.get_config())
    np.testing.assert_allclose(again(truth, vectors), expected, rtol=1e-5)

    nearest = [
        all(
            vectors[row, 0] @ vectors[row, 1] > vectors[row, 0] @ vectors[other, 1]
            for other in range(9)
            if items[other] != items[row]
        )
        for row in range(9)
    ]
    assert np.asarray(in_batch_accuracy(truth, vectors.astype(np.float32))).tolist() == nearest
    with pytest.raises(ValueError, match="temperature: expected a number above 0"):
        InBatchSoftmax(0)
    with pytest.raises(ValueError, match="hard_negatives: expected at least 1"):
        InBatchSoftmax(1, 0)


def test_rows_are_fed_with_how_often_their_candidate_is_drawn(bought: Path) -> None:
    records = open_records(bought / "records")
    spec = load(bought / "run" / "spec.yaml")
    counted: dict[int, int] = {}
    for features in records.in_order("train", batch_size=1_000):
        for item in features[0]["product_id"].numpy():
            counted[int(item)] = counted.get(int(item), 0) + 1
    rows = records.rows("train")
    shares = {item: np.log(count / rows) for item, count in counted.items()}
    for split in ("train", "eval"):
        seen: dict[int, tuple[float, ...]] = {}
        for features, truth in fed(spec, records, bought / "run").in_order(split, batch_size=500):
            assert set(features) == {"user_id", "country", "product_id", "category"}
            for item, row in zip(features["product_id"].numpy(), truth.numpy(), strict=True):
                share = shares.get(int(item), np.log(1 / rows))
                assert row[2] == pytest.approx(share, abs=1e-6)
                assert seen.setdefault(int(item), tuple(row[:2])) == tuple(row[:2])
        assert len(set(seen.values())) == len(seen)


def test_distinct_rows_are_those_of_numpy(bought: Path, tmp_path: Path) -> None:
    records = open_records(bought / "records")
    names = ["product_id", "category"]
    found = distinct_rows(records, "train", names)
    batches = [features for (features,) in records.in_order("train", batch_size=999)]
    rows = np.concatenate([np.stack([part[name] for name in names], axis=1) for part in batches])
    expected, counts = np.unique(rows, axis=0, return_counts=True)
    order = np.lexsort([found.features[name] for name in reversed(names)])
    held = np.stack([found.features[name] for name in names], axis=1)
    np.testing.assert_array_equal(held[order], expected)
    np.testing.assert_array_equal(found.counts[order], counts)
    some = digests_of({name: tf.constant(held[3:5, at]) for at, name in enumerate(names)}, names)
    assert found.places(np.append(some, 1)).tolist() == [3, 4, -1]

    found.save(tmp_path / "file.npz")
    again = DistinctRows.load(tmp_path / "file.npz")
    assert (again.digests == found.digests).all() and again.features.keys() == set(names)
    (tmp_path / "file.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="expected the candidates that `skewless train` counted"):
        DistinctRows.load(tmp_path / "file.npz")


def test_digests_tell_numbers_and_lists_apart() -> None:
    rows: dict[str, Any] = {
        "number": tf.constant([0.5, 0.5, 1.5, 0.5]),
        "words": tf.constant([[1, 2], [2, 1], [1, 2], [1, 2]], tf.int64),
    }
    digests = digests_of(rows, ["words", "number"]).numpy()
    assert len(set(digests.tolist())) == 3 and digests[0] == digests[3]
    assert len(set(digests_of(rows, ["words"]).numpy().tolist())) == 2


def _naive(
    bought: Path, split: str, country: str | None = None, *, repeats: bool = True
) -> dict[str, float]:
    """Ranks with towers of the run over the rows of a split, a user at a time, by sorting."""
    records, run = open_records(bought / "records"), bought / "run"
    spec, entries = load(run / "spec.yaml"), records.manifest.features
    model = load_trained(run / "model.keras")
    ((rows,),) = records.in_order(split, batch_size=ROWS).as_numpy_iterator()
    ((trained,),) = records.in_order("train", batch_size=ROWS).as_numpy_iterator()
    items = np.concatenate([trained["product_id"], rows["product_id"]])
    _, first = np.unique(items, return_index=True)
    categories = np.concatenate([trained["category"], rows["category"]])[first]
    catalogue = {"product_id": items[first], "category": categories}
    scores = (
        vectors_of(tower_of(model, spec, "query", entries), rows)
        @ vectors_of(tower_of(model, spec, "candidate", entries), catalogue).T
    )
    countries = (bought / "records/transform/transform_fn/assets/country").read_text().split()
    values: dict[str, list[float]] = {"ndcg@10": [], "recall@10": [], "hit_rate@10": [], "mrr": []}
    for user in np.unique(rows["user_id"]):
        own = np.flatnonzero(rows["user_id"] == user)
        if country is not None and countries[rows["country"][own[0]] - 3] != country:
            continue
        wanted = np.isin(catalogue["product_id"], rows["product_id"][own])
        row = scores[own[0]].copy()
        if not repeats:
            seen = trained["product_id"][trained["user_id"] == user]
            row[np.isin(catalogue["product_id"], seen) & ~wanted] = -9
        hits = wanted[np.argsort(-row, kind="stable")]
        values["ndcg@10"].append(ndcg_score([wanted.astype(float)], [row], k=10, ignore_ties=True))
        values["recall@10"].append(hits[:10].sum() / wanted.sum())
        values["hit_rate@10"].append(float(hits[:10].any()))
        values["mrr"].append(1 / (1 + hits.argmax()))
    return {name: float(np.mean(each)) for name, each in values.items()} | {
        "queries": len(values["mrr"])
    }


def test_a_run_finds_what_is_bought_and_says_how_well(bought: Path) -> None:
    result = evaluate(bought / "run", bought / "records", "test", ["country"])
    metrics = result["metrics"]
    for name, value in _naive(bought, "test").items():
        assert metrics[name] == pytest.approx(value, abs=1e-6), name
    low, high = result["confidence"]["ndcg@10"]
    assert low < metrics["ndcg@10"] < high
    entry = result["slices"]["country"][0]
    for name, value in _naive(bought, "test", entry["value"]).items():
        assert entry[name] == pytest.approx(value, abs=1e-6), name
    assert sum(each["rows"] for each in result["slices"]["country"]) == metrics["rows"]

    records, spec = open_records(bought / "records"), load(bought / "run" / "spec.yaml")
    once = spec.model_copy(update={"model": spec.model.model_copy(update={"repeats": False})})
    model = load_trained(bought / "run" / "model.keras")
    left = find_in_split(model, once, records, "test", bought / "run").metrics(once)
    for name, value in _naive(bought, "test", repeats=False).items():
        assert left[name] == pytest.approx(value, abs=1e-6), name
    assert left["ndcg@10"] > metrics["ndcg@10"]

    popular = baseline_metrics(spec, records, "test", bought / "run")["popular"]
    assert popular["coverage@10"] == 10 / popular["candidates"]
    assert popular["popularity_bias@10"] > max(1.5, metrics["popularity_bias@10"])
    assert metrics["ndcg@10"] > 1.3 * popular["ndcg@10"]
    assert "  popularity_bias@100" in as_table(result).splitlines()[0]
    with pytest.raises(UsageError, match=r"--importance: expected .* got two_tower"):
        evaluate(bought / "run", bought / "records", "test", importance=True)


def test_a_report_shows_what_is_found(bought: Path, tmp_path: Path) -> None:
    metrics = json.loads((bought / "run" / "metrics.json").read_text("utf-8"))
    curves, test = metrics["curves"]["test"], metrics["test"]
    assert dict(curves["recall"]["model"])[10] == pytest.approx(test["recall@10"])
    popular = baseline_metrics(
        load(bought / "run" / "spec.yaml"), open_records(bought / "records"), "test", bought / "run"
    )["popular"]
    assert curves["popular"]["metrics"] == popular
    for share in ("trained", "met", "listed"):
        assert sum(group[share] for group in curves["popularity"]) == pytest.approx(1)
    listed = sum(group["candidates"] for group in curves["popularity"])
    assert listed == test["candidates"]
    assert curves["popularity"][-1]["trained"] == 0 or len(curves["popularity"]) == 5
    values = [example["ndcg@10"] for example in curves["examples"]]
    assert values == sorted(values) and len(values) == 5
    rows = pyarrow.parquet.read_table(bought / "records" / "raw" / "test").to_pylist()
    for example in curves["examples"]:
        mine = [row for row in rows if row["user_id"] == example["query"]["user_id"]]
        bought_there = {f"{row['product_id']} ({row['category']})" for row in mine}
        if "(out of vocabulary" not in str(example):
            assert {name for name, _ in example["met"]} <= bought_there
            assert len(bought_there) == len(example["met"]) + example["met_more"]
            assert all(met == (name in bought_there) for name, met in example["found"])

    (tmp_path / "index").mkdir()
    write_json(tmp_path / "index" / "index.json", {
        "id": "product_id", "rows": {"read": 9, "written": 8, "rejected": 0, "duplicate": 1},
        "width": 32, "search_width": 64, "measured_on": {"queries": 300},
        "recall": {"100": 0.97, "10": 0.91}, "p50_milliseconds": {"index": 0.2, "brute_force": 3.0},
    })  # fmt: skip
    page = write_report([bought / "run", tmp_path / "index"], tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    for told in ("Found by length of the list", "How popular what is found is", "A few queries",
                 "test: the most popular", "finds 91.0% of what brute force does"):  # fmt: skip
        assert told in text, told
    assert curves["examples"][0]["met"][0][0] in text
    beaten = replace(open_directories([bought / "run"])[1][0], metrics={
        **metrics, "test": {**test, "ndcg@10": 0.001},
    })  # fmt: skip
    assert any("a list of the most popular" in finding.text for finding in of_run(beaten))


@pytest.mark.slow
@pytest.mark.parametrize("hard_negatives", [None, 5])
def test_long_training_is_compiled_to_the_same_losses(
    bought: Path, hard_negatives: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load(bought / "run" / "spec.yaml")
    model = spec.model.model_copy(update={"hard_negatives": hard_negatives})
    spec = spec.model_copy(update={"model": model})
    records = fed(spec, open_records(bought / "records"), bought / "run")
    losses = []
    for rows in (1_000_000, 500):
        monkeypatch.setattr("skewless.model.training.compiled._ROWS_WORTH_COMPILING", rows)
        compiled = compiled_model(spec, records)
        assert compiled.jit_compile is (rows == 500)
        batches = records.training(batch_size=256, seed=1, epoch=0)
        losses.append(compiled.fit(batches, verbose=0, shuffle=False).history["loss"][0])
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def test_one_list_for_all_is_ranked_as_any_other() -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 5, 40)
    of = [DistinctRows({}, np.arange(n), np.zeros(n, np.int64)) for n in (7, 40)]
    of[1] = replace(of[1], counts=counts)
    pairs = np.unique(rng.integers(0, 7 * 40, 60))
    wanted = (pairs // 40, pairs % 40)
    met = _Met(*wanted, None, pairs)
    asked = _Split(*of, met, wanted, np.arange(len(pairs)), None, (3, 10))
    ones, scores = np.ones((7, 1), np.float32), counts[:, None].astype(np.float32)
    once, each = asked.popular(), asked.ranked(ones, scores)
    assert (once.ranks == each.ranks).all() and (once.top == each.top).all()
    groups = by_popularity(each)
    head = np.argsort(-counts, kind="stable")[: groups[0]["candidates"]]
    assert groups[0]["met"] == pytest.approx(np.isin(wanted[1], head).mean())
    assert groups[0]["listed"] == pytest.approx(
        np.isin(each.top[np.unique(wanted[0]), :3], head).mean()
    )
    assert groups[-1] == {"candidates": int((counts == 0).sum()), "trained": 0.0,
                          "met": pytest.approx(np.isin(wanted[1], np.flatnonzero(counts == 0)).mean()),
                          "listed": 0.0}  # fmt: skip


@pytest.fixture(scope="module")
def proved(bought: Path) -> Report:
    """What the export of the run, in `served`, was proved by."""
    report = export(bought / "run", bought / "served")
    assert report is not None
    return report


@pytest.mark.slow
def test_a_catalogue_is_indexed_by_the_served_vectors(
    bought: Path,
    proved: Report,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    uri: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A product of no training row too, each once, and nothing of the query's side is asked for."""
    sold = purchases.generate(ROWS).table.select(["product_id", "category"])
    products = sold.group_by(["product_id", "category"]).aggregate([])
    new = pa.table({"product_id": ["brand-new"], "category": ["k1"]})
    catalogue = pa.concat_tables([products, new, products.slice(0, 3)])
    write_table(catalogue, tmp_path / "products.parquet")
    users = purchases.generate(300, seed=5).table.select(["user_id", "country"])
    write_table(users, tmp_path / "users.parquet")
    words = [
        "index", str(bought / "served"), "--input", str(tmp_path / "products.parquet"),
        "--queries", str(tmp_path / "users.parquet"), "--output", str(tmp_path / "index"), "--json",
    ]  # fmt: skip
    assert main([*words, "--dry-run"]) == 0 and not (tmp_path / "index").exists()
    assert json.loads(capsys.readouterr().out)["features"] == ["product_id", "category"]
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["rows"] == {
        "read": len(catalogue), "written": len(catalogue) - 3, "rejected": 0, "duplicate": 3,
    }  # fmt: skip
    assert summary["measured_on"] == {"queries": 300}
    assert {path.name for path in (tmp_path / "index").iterdir()} == {
        "vectors.parquet", "vectors.usearch", "rejected", "index.json",
    }  # fmt: skip

    model = sk.open_model(bought / "served")
    index = sk.open_index(tmp_path / "index")
    signature = tf.saved_model.load(str(bought / "served")).signatures["candidate"]
    encoded = examples(catalogue.combine_chunks().to_batches()[0], model.spec)
    vectors = signature(examples=tf.constant(encoded))["vectors"].numpy()[:-3]
    assert index.catalogue.vectors.tobytes() == vectors.tobytes()
    assert index.catalogue.ids.to_pylist() == catalogue["product_id"].to_pylist()[:-3]

    # Recall once more, by sorting.
    queries = model.vectors(users)
    found, cosines = index.find(queries, 10)
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    names = np.array(index.catalogue.ids.to_pylist())
    shares = []
    for row, order in enumerate(np.argsort(-scores, axis=1, kind="stable")[:, :10]):
        shares.append(len({*names[order]} & {*found[row]}) / 10)
        at = [index.catalogue.ids.index(name).as_py() for name in found[row]]
        np.testing.assert_allclose(cosines[row], scores[row, at], atol=1e-6)
    assert summary["recall"]["10"] == pytest.approx(np.mean(shares), abs=2e-3)
    assert summary["recall"]["10"] > 0.95

    assert main(words) == 2  # Finished already.
    # By workers that share a bucket alone.
    monkeypatch.setattr("skewless.beam_pipelines.index.may_be_apart", lambda options: True)
    words[words.index("--output") + 1] = uri
    capsys.readouterr()
    assert main(words[:-1]) == 0
    assert capsys.readouterr().out.startswith(f"{uri}: ")
    there = fetched(uri)
    assert sk.open_index(there).catalogue.vectors.tobytes() == vectors.tobytes()
    assert {path.name for path in there.iterdir()} == {
        path.name for path in (tmp_path / "index").iterdir()
    }


@pytest.mark.slow
def test_the_exported_model_recommends_what_the_towers_find(bought: Path, proved: Report) -> None:
    report = proved
    assert report.passed
    assert report.prediction_difference is not None and report.prediction_difference < 1e-5
    # What users met stays at home.
    exported = json.loads((bought / "served/assets.extra/metrics.json").read_text("utf-8"))
    assert "popular" in exported["curves"]["test"] and "examples" not in exported["curves"]["test"]
    assert "test: the most popular" in (bought / "served/assets.extra/model-card.md").read_text()
    servable = Servable(bought / "served", 1)
    assert {"query", "candidate", "recommend", "predict_columns"} <= set(servable.signatures)
    assert set(servable.inputs["recommend"]) == {"user_id", "country", EXCLUDE}

    raw = pyarrow.parquet.read_table(bought / "records" / "raw" / "test").slice(0, 20)
    spec = load(bought / "run" / "spec.yaml")
    rows = {"examples": np.array(examples(raw.combine_chunks().to_batches()[0], spec), object)}
    query = servable.call("query", rows)["vectors"]
    candidate = servable.call("candidate", rows)["vectors"]
    np.testing.assert_allclose(np.linalg.norm(query, axis=1), 1, atol=1e-6)
    whole = servable.call("serving_default", rows)
    predictions = whole["predictions"]
    np.testing.assert_allclose(whole["query_vector"], query, atol=1e-6)
    np.testing.assert_allclose(whole["candidate_vector"], candidate, atol=1e-6)
    np.testing.assert_allclose(predictions[:, 0], (query * candidate).sum(axis=1), atol=1e-6)

    asked = {
        name: np.array([value.encode() for value in raw[name].to_pylist()], object)
        for name in ("user_id", "country")
    }
    found = servable.call("recommend", asked)
    # Each product's vector, once more by the signature that embeds a catalogue.
    table = purchases.generate(ROWS).table.select(["product_id", "category"])
    products = table.group_by(["product_id", "category"]).aggregate([])
    catalogue = products.combine_chunks().to_batches()[0]
    vectors = servable.call("candidate", {"examples": np.array(examples(catalogue, spec), object)})
    known = (bought / "records/transform/transform_fn/assets/product_id").read_text().split()
    names = np.array(products["product_id"].to_pylist())
    offered = np.isin(names, known)
    names, scores = names[offered], query @ vectors["vectors"][offered].T
    for row in range(len(query)):
        order = np.argsort(-scores[row], kind="stable")[:100]
        np.testing.assert_allclose(found["scores"][row], scores[row][order], atol=1e-5)
        assert [name.decode() for name in found["candidates"][row][:3]] == names[order[:3]].tolist()

    row = raw.slice(0, 1).to_pylist()[0]
    assert explain(servable.model, row).score == pytest.approx(predictions[0, 0], abs=1e-6)
    _told_as_found(
        sk.open_model(bought / "served"), row, found, dict(zip(names, scores[0], strict=True))
    )

    exclude = found["candidates"][:, [0, 2]]
    left = servable.call("recommend", {**asked, EXCLUDE: exclude})["candidates"]
    assert left[:, :2].tolist() == found["candidates"][:, [1, 3]].tolist()
    everything = np.tile(np.array([name.encode() for name in known], object), (len(query), 1))
    nothing = servable.call("recommend", {**asked, EXCLUDE: everything})
    assert set(nothing["candidates"].ravel()) == {b""} and set(nothing["scores"].ravel()) == {-1}
    with pytest.raises(ServingError, match="exclude: expected a list for each row, or none"):
        servable.call("recommend", {**asked, EXCLUDE: exclude[:3]})


def _told_as_found(
    model: sk.Model, row: dict[str, str], found: dict[str, Any], cosines: dict[str, float]
) -> None:
    """Checks what is told of a query: candidates of the signature, and cosines without each feature."""
    asked = {name: row[name] for name in ("user_id", "country")}
    first, second = (name.decode() for name in found["candidates"][0][:2])
    told = model.recommend(asked, exclude=[first, "nobody's"], count=3)
    assert [each.name.encode() for each in told.candidates] == found["candidates"][0][1:4].tolist()
    assert told.not_known == ("nobody's",)
    assert [feature.name for feature in told.features] == ["user_id", "country"]
    for each in told.candidates:
        assert each.score == pytest.approx(cosines[each.name], abs=1e-5)
        for name in asked:
            left = model.recommend({k: v for k, v in asked.items() if k != name}, count=100)
            (score,) = (one.score for one in left.candidates if one.name == each.name)
            assert each.without[name] == pytest.approx(score, abs=1e-5)
    assert f"{second}" in str(told).splitlines()[-3]


def test_who_asks_for_no_count_gets_as_many_as_the_model_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(recommended, "recommend", lambda *_, **given: asked.append(given["count"]))
    model = object.__new__(sk.Model)
    model._served = None  # type: ignore[assignment]
    monkeypatch.setattr(sk.Model, "_plain", lambda model, row: row)
    model.recommend({"user_id": "u1"})
    model.recommend({"user_id": "u1"}, count=3)
    assert asked == [None, 3]


def test_of_a_list_each_value_is_left_out() -> None:
    document = _document({"query": ["past", "user"]})
    document["features"]["past"] = {"type": "categorical", "length": 3, "separator": "|"}
    row = {"past": ["a", "b", "a"], "user": ["u"]}
    values, rows = _without_values(parse(document), ["past", "user"], row)
    assert values == {"past": ["a", "b", "a"]}
    assert [(name, left["past"]) for name, left in rows] == [
        ("past", ["b", "a"]), ("past", ["a", "a"]), ("past", ["a", "b"]),
    ]  # fmt: skip
    assert all(left["user"] == ["u"] for _, left in rows)


@pytest.mark.browser
def test_a_person_sees_what_is_found_and_why(
    browser: Any, bought: Path, proved: Report, tmp_path: Path
) -> None:
    model = sk.open_model(bought / "served")
    tab = browser.new_page(viewport={"width": 320, "height": 800})
    said: list[str] = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    with serving(bought / "served", tmp_path, "--no-grpc") as server:
        tab.goto(server.url)
        assert tab.locator("form [name]").count() == 2
        tab.get_by_role("button", name="Example query").click()
        row = {
            name: tab.get_by_label(name, exact=True).input_value()
            for name in ("user_id", "country")
        }
        expected = model.recommend(row, count=2)
        tab.get_by_label("Not to be found").fill(f"{expected.candidates[0].name}\n nobody's \n")
        tab.get_by_label("How many to find").fill("4")
        tab.get_by_role("button", name="Find", exact=True).click()
        tab.locator("#found").wait_for()
        lines = tab.locator("#listed tbody tr").all_inner_texts()
        assert len(lines) == 4 and lines[0].split()[1] == expected.candidates[1].name
        moved = expected.candidates[1].score - expected.candidates[1].without["user_id"]
        assert f"user_id {moved:+.4f}".replace("-", "\u2212") in lines[0]
        assert "no candidate is called so: nobody's" in tab.locator("#not-known").inner_text()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 320
        for count, told in (
            ("many", "count: expected a whole number, got many"),
            ("0", "count: expected 1 to 100"),
        ):
            tab.get_by_label("How many to find").fill(count)
            tab.get_by_role("button", name="Find", exact=True).click()
            tab.get_by_role("alert").filter(has_text=told).wait_for()
            assert not tab.locator("#found").is_visible()
        asked = {"row": row, "exclude": "p1"}
        refused(server.http.post("/explain", json=asked), 400, "exclude: expected a list of names")
        pair = {"row": {**row, "product_id": "p1"}}
        assert server.http.post("/explain", json=pair).json()["score"] is not None
        refused(server.http.post("/explain", json={**pair, "count": 3}), 400, "leave them out")
    tab.close()
    assert said == []


@pytest.mark.parametrize(
    "label",
    [{"column": "liked", "type": "binary"}, pytest.param(None, marks=pytest.mark.slow)],
    ids=["label", "none"],
)
def test_rows_of_a_negative_label_are_not_to_be_found(
    tmp_path: Path, label: dict[str, Any] | None
) -> None:
    """Weights count, too, and a feature of neither side is left alone."""
    from skewless.beam_pipelines.preprocess import preprocess

    table = purchases.generate(600, seed=2).table
    rng = np.random.default_rng(1)
    liked, weight = rng.integers(2, size=600), rng.integers(0, 3, size=600)
    write_table(
        table.append_column("liked", pa.array(liked)).append_column("w", pa.array(weight)),
        tmp_path / "rows.parquet",
    )
    document: dict[str, Any] = {
        "name": "n",
        "features": {
            "user_id": {"type": "categorical"},
            "country": {"type": "categorical"},
            "product_id": {"type": "categorical"},
        },
        "weight": "w",
        "model": {
            "type": "two_tower", "query": ["user_id"], "candidate": ["product_id"], "width": 4,
            "hidden": [8], "dropout": 0.1, "hard_negatives": 3, "cutoffs": [5],
        },
        "training": {"epochs": 1},
    }  # fmt: skip
    spec = parse({**document, **({} if label is None else {"label": label})})
    root = tmp_path / "records"
    preprocess(spec, [str(tmp_path / "rows.parquet")], root)
    records = open_records(root)
    raw = pyarrow.parquet.read_table(root / "raw" / "eval").to_pylist()
    weights = {
        row["__key__"]: row["w"] * (1 if label is None else int(row["liked"])) for row in raw
    }
    ready = fed(spec, records, root)
    keys = [part[0]["__key__"] for part in records.in_order("eval", batch_size=64, with_key=True)]
    given = np.concatenate([part[2] for part in ready.in_order("eval", batch_size=64)])
    assert [weights[key.decode()] for key in np.concatenate(keys)] == given.tolist()
    # Users that no training row has are one query: nothing tells them apart.
    known = (root / "transform/transform_fn/assets/user_id").read_text().split()
    users = {row["user_id"] for row in raw if weights[row["__key__"]]}
    popular = most_popular(spec, records, "eval", root).metrics(spec)
    assert popular["queries"] == len(users & {*known}) + bool(users - {*known})
    assert popular["rows"] == len(raw) and set(popular) >= {"recall@5", "ndcg@5"}
    model = compiled_model(spec, records)
    fitted = model.fit(ready.in_order("train", batch_size=64), verbose=0, shuffle=False)
    assert np.isfinite(fitted.history["loss"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"candidate": ["item", "usre"]},
            r"model.candidate: no feature 'usre'; did you mean 'user'",
        ),
        ({"query": ["user", "user"]}, r"model.query: expected each feature once"),
        ({"candidate": ["item", "user"]}, r"model.candidate: 'user' is in query too"),
        (
            {"candidate": ["again"]},
            r"model.candidate: 'again' reads column 'user', as 'user' in query",
        ),
        ({"temperature": 0}, r"model.temperature: .*greater than 0"),
    ],
)
def test_towers_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(_document(change))


def test_labels_other_than_binary_are_refused() -> None:
    label = {"column": "y", "type": "regression"}
    with pytest.raises(SpecError, match=r"label.type: two_tower takes binary, .* got 'regression'"):
        parse({**_document({}), "label": label})


def _document(change: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "n",
        "features": {
            "user": {"type": "categorical"},
            "again": {"type": "categorical", "column": "user"},
            "item": {"type": "categorical"},
        },
        "model": {"type": "two_tower", "query": ["user"], "candidate": ["item"], **change},
    }


def test_a_missing_query_is_a_row_of_a_column() -> None:
    """Names to exclude may be of no row, so that they cannot stand for one."""
    servable = Servable.__new__(Servable)
    servable.inputs = {
        "recommend": {EXCLUDE: Input("string", True, 2), "past": Input("string", True, 2)}
    }
    (given,) = servable.missing_rows("recommend", 3).items()
    assert given[0] == "past" and given[1].shape == (3, 1)
