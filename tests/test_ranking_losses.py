"""Losses that order rows in groups: in closed form, how rows are fed, and what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from skewless.model.comparison.metric import usual_metric
from skewless.model.exported.signatures import ServingFunctions
from skewless.model.exported.transform import Transform
from skewless.model.metrics.grouped import grouped
from skewless.model.metrics.predicted_split import Predictions, predict_split
from skewless.model.network.body.ranking_losses import ListwiseSoftmax, PairwiseRanking
from skewless.model.report.card.limits import meant_by_predictions
from skewless.model.retrieval.fed import fed
from skewless.model.training.compiled import compiled_model
from skewless.model.training.records import open_records
from skewless.model.training.run_directory import RunDirectory, load_trained
from skewless.schemas import Spec, SpecError, parse
from skewless.schemas.records.layout import TRANSFORM
from tests.conftest import SHOP, DataSet


def _batch(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels, groups and logits of 12 rows, and truth as the losses take it."""
    random = np.random.default_rng(seed)
    groups = np.array([4, 4, 4, 4, 9, 9, 9, 5, 5, 2, 4, 9])
    labels = np.array([1, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0])
    truth = np.stack([labels, groups % 3, groups // 3], axis=1).astype(np.float32)
    return labels, groups, random.normal(size=12) * 2, truth


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def test_pairwise_is_bpr_over_the_negative_rows_of_a_group() -> None:
    labels, groups, logits, truth = _batch()
    expected = np.zeros(12)
    for row in np.flatnonzero(labels):
        others = np.flatnonzero((groups == groups[row]) & (labels == 0))
        terms = [-np.log(_sigmoid(logits[row] - logits[other])) for other in others]
        expected[row] = np.mean(terms) if terms else 0.0
    assert expected[7] == expected[8] == 0 and (expected > 0).sum() == 3
    found = PairwiseRanking(reduction=None)(truth, _sigmoid(logits)[:, None].astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_listwise_is_a_softmax_over_a_group() -> None:
    labels, groups, logits, truth = _batch(2)
    expected = np.zeros(12)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        share = np.exp(logits[rows]) / np.exp(logits[rows]).sum()
        wanted = labels[rows] / max(1, labels[rows].sum())
        expected[rows] = -wanted * np.log(share)
    found = ListwiseSoftmax(reduction=None)(truth, _sigmoid(logits)[:, None].astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_metrics_of_groups_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(3)
    groups = random.integers(-1, 25, 400)
    truth, scores = random.integers(0, 2, (400, 1)), random.normal(size=(400, 1))
    weights = random.integers(0, 3, 400).astype(float)
    ndcg, mrr, auc, of = [], [], [], []
    for group in range(25):
        own = (groups == group) & (weights > 0)
        labels, found = truth[own, 0], scores[own, 0]
        if 0 < labels.sum() < len(labels):
            ndcg.append(ndcg_score([labels], [found], k=10))
            mrr.append(1 / (1 + labels[np.argsort(-found)].argmax()))
            auc.append(roc_auc_score(labels, found.round()))
            of.append(weights[own].mean())
    found_in = grouped(groups, truth, scores, weights)
    result = found_in.metrics()
    assert result["groups"] == len(of) > 20
    assert result["ndcg@10"] == pytest.approx(np.average(ndcg, weights=of))
    assert result["mrr"] == pytest.approx(np.average(mrr, weights=of))
    assert grouped(groups, truth, scores.round(), weights).metrics()["gauc"] == pytest.approx(
        np.average(auc, weights=of)
    )
    alike = grouped(groups, truth, scores, None)
    values = alike.values["ndcg@10"]
    reach = 1.959964 * values.std(ddof=1) / np.sqrt(len(values))
    low, high = alike.confidence()["ndcg@10"]
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(reach, rel=0.05)
    # Ties tell against a model.
    tied = grouped(np.zeros(3, int), np.array([1, 0, 0]), np.ones(3), None).metrics()
    assert tied == {
        "groups": 1, "ndcg@10": pytest.approx(0.5), "mrr": pytest.approx(1 / 3), "gauc": 0.5,
    }  # fmt: skip
    nothing = grouped(np.zeros(2, int), np.ones(2), np.ones(2), None)
    assert nothing.metrics() == {"groups": 0} and nothing.confidence() == {}


def _ranking(loss: str, **training: Any) -> Spec:
    given = {**SHOP["training"], "loss": loss, "group": "user", **training}  # type: ignore[dict-item]
    return parse({**SHOP, "training": given})


def test_rows_of_a_group_are_fed_together(shop: DataSet) -> None:
    batch_size = 16
    records = open_records(shop.directory)
    ready = fed(_ranking("pairwise"), records, shop.directory)

    def epoch(number: int, skip: int = 0) -> list[Any]:
        batches = ready.training(batch_size=batch_size, seed=3, epoch=number, skip=skip)
        return list(batches.as_numpy_iterator())

    def users(batches: list[Any]) -> np.ndarray:
        return np.concatenate([features["user"] for features, _, _ in batches])

    first = epoch(0)
    ids = users(first)
    runs = 1 + np.count_nonzero(np.diff(ids))
    assert runs == len(np.unique(ids)) and len(ids) == records.rows("train")
    for _, truth, _ in first:
        assert truth.shape[1] == 3
    truth = np.concatenate([part[1] for part in first])
    # As many groups as users, told apart by both parts.
    assert len(np.unique(np.column_stack([ids, truth[:, 1:]]), axis=0)) == len(np.unique(ids))
    weights = np.concatenate([part[2] for part in first])
    # 0, 1 and the two IDs of unknown users.
    np.testing.assert_array_equal(weights, (ids >= 4).astype(np.float32))
    again, other = users(epoch(0)), users(epoch(1))
    np.testing.assert_array_equal(ids, again)
    assert sorted(other) == sorted(ids) and other.tolist() != ids.tolist()
    np.testing.assert_array_equal(users(epoch(0, skip=2)), ids[2 * batch_size :])
    held = list(ready.in_order("eval", batch_size=batch_size).as_numpy_iterator())
    ids = users(held)
    assert 1 + np.count_nonzero(np.diff(ids)) == len(np.unique(ids))
    assert len(ids) == records.rows("eval") and len(held) == ready.steps("eval", batch_size)


@pytest.mark.parametrize("loss", ["listwise", pytest.param("pairwise", marks=pytest.mark.slow)])
def test_the_order_in_groups_is_learned(shop: DataSet, loss: str, tmp_path: Path) -> None:
    spec = _ranking(loss, learning_rate=0.02)
    records = open_records(shop.directory)
    model = compiled_model(spec, records)

    def order() -> Predictions:
        found = predict_split(model, spec, records, "train", shop.directory)
        assert isinstance(found, Predictions)
        return found

    before = order().metrics(spec)
    ready = fed(spec, records, shop.directory)
    losses = []
    for epoch in range(3):
        batches = ready.training(batch_size=64, seed=1, epoch=epoch)
        losses += model.fit(batches, verbose=0, shuffle=False).history["loss"]
    found = order()
    after = found.metrics(spec)
    assert losses[-1] < 0.9 * losses[0]
    model.save(tmp_path / "model.keras")
    assert load_trained(tmp_path / "model.keras").loss.name == model.loss.name
    assert after["groups"] == before["groups"] > 5
    assert after["ndcg@10"] > before["ndcg@10"] + 0.05 and after["mrr"] > before["mrr"]
    # Scores are no probabilities, so nothing is said that takes them for any.
    assert set(after) == {
        "rows", "auc", "pr_auc", "positive_share", "groups", "ndcg@10", "mrr", "gauc",
    }  # fmt: skip
    intervals = found.confidence(spec)
    assert set(intervals) == {"auc", "ndcg@10", "mrr", "gauc"}
    for name, (low, high) in intervals.items():
        assert low <= after[name] <= high
    assert set(found.curves(spec)) == {"scores", "roc", "precision_recall"}
    as_label = spec.model_copy(update={"training": parse(SHOP).training})
    assert {"accuracy", "ece"} <= set(found.metrics(as_label))
    assert usual_metric(spec) == "ndcg@10"
    (about,) = [f for f in meant_by_predictions(spec.training) if f.subject == "predictions"]
    assert "order the rows of one user: they are no probabilities" in about.text


def test_scores_are_served_but_not_as_those_of_classes(shop: DataSet, shop_run: Path) -> None:
    run = RunDirectory.open(shop_run)
    transform = Transform(shop.spec, run.path / TRANSFORM)

    def signatures(spec: Spec) -> set[str]:
        model = compiled_model(spec, open_records(shop.directory))
        return set(ServingFunctions(spec, run.manifest, transform, model, {}).endpoints())

    of_label = signatures(shop.spec)
    assert {"classify", "regress"} <= of_label
    assert signatures(_ranking("pairwise")) == of_label - {"classify"}


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"loss": "pairwise"}, r"training.group: pairwise orders the rows of a group; name a feat"),
        ({"group": "user"}, r"training.group: goes with training.loss: pairwise or listwise"),
        (
            {"loss": "listwise", "group": "usr"},
            r"training.group: expected a categorical .* \(user\), got 'usr'; did you mean 'user'",
        ),
        (
            {"loss": "listwise", "group": "user", "focal": 2.0},
            r"training.focal: does not go with training.loss listwise",
        ),
        ({"loss": "listwise", "group": "tags"}, r"training.group: .* got 'tags'"),
    ],
)
def test_groups_that_cannot_be_are_refused(training: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse({**SHOP, "training": training})


def test_ranking_takes_a_binary_label() -> None:
    label = {"column": "rating", "type": "multiclass"}
    training = {"loss": "pairwise", "group": "user"}
    with pytest.raises(SpecError, match=r"training.loss: pairwise orders rows of a binary label"):
        parse({**SHOP, "label": label, "training": training})
    with pytest.raises(SpecError, match=r"training.loss: pairwise goes with no ensemble"):
        parse({**SHOP, "training": training, "model": {"ensemble": 4}})
