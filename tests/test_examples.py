"""The generators of the examples: repeatable, fit for their specs, and worth learning from.

A ridge regression on one-hot values stands in for a model: what it finds in held-out rows is
signal that the declared models can find too, without TensorFlow in the way.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from skewless.schemas import Spec, load
from skewless.schemas.examples import purchases, reviews, visits
from skewless.schemas.examples.generators import EXAMPLES, generate, spec_path, write
from skewless.schemas.rows.raw_columns import RowColumns, raw_columns
from skewless.schemas.spec.features import CategoricalFeature, NumericFeature, TextFeature
from skewless.schemas.spec.kinds.history import histories_of

ROWS = 2_000
# Name -> the held-out AUC (binary) or R squared (regression) that a linear model passes.
LINEAR = {
    "user_product": 0.80,
    "text_user_average": 0.80,
    "text_user_weighted_average": 0.80,
    "three_categories": 0.75,
    "title_body": 0.85,
    "two_sequences": 0.85,
    "two_sequences_widths": 0.85,
    "two_sequences_lstm": 0.85,
    "two_vectors_regression": 0.95,
    "vector_category": 0.95,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_same_seed_gives_the_same_rows(name: str) -> None:
    assert generate(name, 50, seed=3).equals(generate(name, 50, seed=3))
    assert not generate(name, 50, seed=3).equals(generate(name, 50, seed=4))


@pytest.mark.parametrize("name", EXAMPLES)
def test_columns_are_those_the_spec_reads(name: str) -> None:
    spec = load(spec_path(name))
    wanted = RowColumns(spec).wanted
    assert set(generate(name, 20).column_names) == {*wanted} - {*histories_of(spec.features)}


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_model_finds_the_signal(name: str) -> None:
    spec, table = load(spec_path(name)), generate(name, ROWS)
    assert spec.label is not None
    target = np.array(table.column(spec.label.column).to_pylist(), np.float64)
    assert _held_out(_design(table, spec), target, spec.label.type) > LINEAR[name]


def test_only_products_of_the_two_vectors_tell() -> None:
    spec, table = load(spec_path("two_vectors_multiply")), generate("two_vectors_multiply", ROWS)
    target = np.array(table.column("match").to_pylist(), np.float64)
    both = _design(table, spec)
    products = np.hstack([both[:, [at]] * both[:, 10:] for at in range(10)])
    assert _held_out(both, target, "binary") < 0.60
    assert _held_out(products, target, "binary") > 0.80


def test_classes_follow_from_the_features() -> None:
    spec, table = load(spec_path("gender_location_age")), generate("gender_location_age", ROWS)
    bought = np.array(table.column("bought").to_pylist())
    design = _design(table, spec)
    for name in np.unique(bought):
        assert _held_out(design, (bought == name).astype(np.float64), "binary") > 0.70


def test_targets_are_translations_from_words_of_their_own() -> None:
    table = generate("seq2seq", ROWS)
    words: dict[str, str] = {}
    for row in table.to_pylist():
        pairs = zip(row["source"].split(), reversed(row["target"].split()), strict=True)
        assert all(words.setdefault(english, french) == french for english, french in pairs)
    assert len(words) == len(set(words.values())) == 10
    assert set(words) != set(words.values())


def test_true_lengths_differ_within_a_row() -> None:
    table = generate("two_sequences_lstm", ROWS)
    interests, history = (
        np.array([len(items) for items in table.column(name).to_pylist()])
        for name in ("interests", "history")
    )
    assert (interests != history).mean() > 0.5
    assert ((interests == 0) & (history > 0)).any(), "a row with one sequence all padding"


@pytest.mark.parametrize("name", ["gender_location_age", "two_sequences_lstm", "seq2seq"])
def test_files_hold_what_was_generated(name: str, tmp_path: Path) -> None:
    rows = generate(name, 40, seed=2).to_pylist()
    for ending in ("parquet", "jsonl", "csv"):
        write(name, tmp_path / f"rows.{ending}", 40, seed=2)
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    assert [
        json.loads(line) for line in (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    ] == rows
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    for row, cells in zip(rows, written, strict=True):
        for column, value in row.items():
            if isinstance(value, list):
                assert cells[column] == "|".join(value)
            elif isinstance(value, str):
                assert cells[column] == value
            else:
                assert (float(cells[column]) if cells[column] else None) == value


def test_reviews_repeat_fit_their_spec_and_look_real() -> None:
    generated, again = reviews.generate(ROWS, seed=5), reviews.generate(ROWS, seed=5)
    assert generated.table.equals(again.table)
    assert np.array_equal(generated.probability, again.probability)
    assert not generated.table.equals(reviews.generate(ROWS, seed=6).table)
    spec = load(spec_path("reviews"))
    assert set(generated.table.column_names) == {*raw_columns(spec), spec.key}
    text = "".join(generated.table.column("body").to_pylist())
    for sign in ("'", '"', "\n", "é", "\N{SMILING FACE WITH SMILING EYES}", "!", "I"):
        assert sign in text
    assert 0.01 < generated.table.column("age").null_count / ROWS < 0.06


def test_stated_probabilities_are_the_labels() -> None:
    generated = reviews.generate(20_000)
    positive = np.array(generated.table.column("rating").to_pylist()) >= 4
    for low in np.arange(0.0, 1.0, 0.2):
        inside = (generated.probability >= low) & (generated.probability < low + 0.2)
        assert positive[inside].mean() == pytest.approx(
            generated.probability[inside].mean(), abs=0.04
        )
    assert 0.75 < reviews.best_auc(positive, generated.probability) < 0.95


def test_best_ndcg_is_that_of_products_by_their_probability() -> None:
    made = purchases.Purchases(
        {}, np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 1, 0]), np.array([[0.5, 0.3, 0.2]] * 2)
    )
    second, both = 1 / np.log2(3), 1 + 1 / np.log2(3)
    assert made.best_ndcg(np.arange(5), 2) == pytest.approx((1 / both + 1) / 2)
    assert made.best_ndcg(np.array([2, 3]), 2) == pytest.approx(second)
    drawn = purchases.generate(20_000)
    best = drawn.best_ndcg(np.arange(18_000, 20_000))
    popular = np.tile(drawn.probability.mean(axis=0), (len(drawn.probability), 1))
    assert (
        dataclasses.replace(drawn, probability=popular).best_ndcg(np.arange(18_000, 20_000))
        < best / 2
    )
    shares = np.bincount(drawn.products[drawn.users == 7], minlength=200)
    assert np.corrcoef(shares, drawn.probability[7])[0, 1] > 0.7


def test_what_comes_next_follows_from_what_was_last() -> None:
    drawn = visits.generate(6_000)
    newest = np.arange(5_000, 6_000)
    table, best = drawn.table, drawn.best_ndcg(newest)
    assert table.column("created").to_pylist() == sorted(table.column("created").to_pylist())
    shares = np.bincount(drawn.articles, minlength=200) / 6_000
    assert visits.ndcg(np.tile(shares, (1_000, 1)), drawn.articles[newest]) < best / 2
    likely = drawn.probability[np.arange(6_000), drawn.articles]
    expected = np.square(drawn.probability).sum(axis=1)
    assert likely.mean() == pytest.approx(expected.mean(), rel=0.1)
    # The users of the newest rows are new.
    users = np.array(table.column("user_id").to_pylist())
    assert np.isin(users[newest], users[:4_500]).mean() < 0.1
    assert visits.ndcg(np.array([[3.0, 2.0, 1.0]] * 2), np.array([0, 1]), 1) == 0.5


def test_best_auc_of_hand_made_ranks() -> None:
    positive = np.array([False, False, True, True])
    assert reviews.best_auc(positive, np.array([0.1, 0.2, 0.3, 0.4])) == 1.0
    assert reviews.best_auc(positive, np.array([0.1, 0.3, 0.2, 0.4])) == 0.75
    assert reviews.best_auc(positive, np.array([0.4, 0.3, 0.2, 0.1])) == 0.0


def test_as_many_rows_are_broken_as_asked(tmp_path: Path) -> None:
    table = reviews.generate(300).table
    for asked in (0, 12):
        path = tmp_path / f"{asked}.csv"
        reviews.write_csv(table, path, bad_rows=asked, seed=2)
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file))
        broken = [
            (row["age"] == "forty", not row["rating"], "\udce9" in row["body"]) for row in rows
        ]
        assert len(rows) == 300
        assert sum(map(any, broken)) == asked
        if asked:
            assert all(any(kind) for kind in zip(*broken, strict=True)), "each kind at least once"


def _design(table: pa.Table, spec: Spec) -> np.ndarray:
    """Returns [rows, width] float64: numbers standardised, everything else as counts of values."""
    blocks = []
    for name, feature in spec.features.items():
        if isinstance(feature, NumericFeature):
            for column in feature.columns or (feature.column or name,):
                values = np.array(table.column(column).to_pylist(), np.float64)
                values = np.where(np.isnan(values), np.nanmean(values), values)
                blocks.append(((values - values.mean()) / values.std())[:, None])
        else:
            blocks.append(_counts(table.column(feature.column or name).to_pylist(), feature))
    return np.hstack(blocks)


def _counts(values: list[Any], feature: TextFeature | CategoricalFeature) -> np.ndarray:
    if isinstance(feature, TextFeature):
        values = [value.lower().strip(".").split() for value in values]
    elif not feature.multivalued:
        values = [[value] for value in values]
    known = {value: at for at, value in enumerate(sorted({v for row in values for v in row}))}
    counts = np.zeros((len(values), len(known)))
    for row, members in enumerate(values):
        for member in members:
            counts[row, known[member]] += 1
    return counts


def _held_out(design: np.ndarray, target: np.ndarray, kind: str) -> float:
    """Fits a ridge regression on three quarters of the rows; returns AUC or R squared on the rest."""
    design = np.hstack([design, np.ones((len(design), 1))])
    train = np.arange(len(target)) % 4 > 0
    known = design[train]
    # The dual form: there are more users than rows in one of the examples.
    weights = np.linalg.solve(known @ known.T + np.eye(len(known)), target[train])
    predicted = design[~train] @ (known.T @ weights)
    if kind == "binary":
        return reviews.best_auc(target[~train] == 1, predicted)
    residual = np.square(target[~train] - predicted).sum()
    return float(1 - residual / np.square(target[~train] - target[~train].mean()).sum())
