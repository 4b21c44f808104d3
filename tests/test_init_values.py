"""What is guessed of values as people and spreadsheets write them, and of rows in a fixed order."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skewless.beam_pipelines.init import guess_spec
from skewless.beam_pipelines.init.delimited.number_format import number_format
from skewless.beam_pipelines.init.kinds.names import is_identifier
from skewless.beam_pipelines.init.proposal import Proposal
from skewless.schemas import parse
from skewless.schemas.rows.csv_format import CsvFormat

ROWS = 600


def guessed(
    folder: Path, columns: Mapping[str, Sequence[object]], label: str, delimiter: str = ","
) -> Proposal:
    """Returns what is guessed of a delimited file of these columns, which must be a spec."""
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=delimiter)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))
    proposal, _ = guess_spec([str(path)], label)
    parse(proposal.document)
    return proposal


def kinds(proposal: Proposal) -> dict[str, str]:
    """Returns the kind of each column that is not the label."""
    return {guess.column: guess.kind for guess in [*proposal.features.values(), *proposal.omitted]}


@pytest.mark.parametrize("shops", [50, 7])
def test_shops_in_the_same_order_every_day_are_no_new_values(shops: int, tmp_path: Path) -> None:
    rows = [row % shops for row in range(shops * 40)]
    noise = np.random.default_rng(1).normal(size=len(rows)).round(3)
    # Shops take turns in opening late, so that every other row is one of other shops.
    late = ["late" if shop % 4 > 1 else "early" for shop in rows]
    columns = {"shop": [f"shop {shop}" for shop in rows], "noise": noise.tolist(), "opens": late}
    assert kinds(guessed(tmp_path, columns, "noise"))["shop"] == "category"
    # Which shop it is gives away when it opens.
    assert kinds(guessed(tmp_path, columns, "opens"))["shop"] == "leak"


def test_digits_that_name_things_are_no_numbers(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    proposal = guessed(
        tmp_path,
        {
            "place": [f"{code:05d}" for code in random.choice([2139, 501, 10001, 94110], ROWS)],
            "account": (4 * 10**9 + random.integers(0, 40, ROWS)).tolist(),
            "message": [10**19 + int(number) for number in random.integers(0, 40, ROWS)],
            "seconds": (1_640_995_200 + 3_600 * random.integers(0, 40, ROWS)).tolist(),
            "amount": random.normal(size=ROWS).tolist(),
            "area": [f"{code:03d}" for code in random.integers(0, 40, ROWS)],
        },
        "area",
    )
    assert kinds(proposal) == {
        "place": "category",
        "account": "category",
        "message": "category",
        "seconds": "number",
        "amount": "number",
    }
    assert proposal.document["label"] == {"column": "area", "type": "multiclass"}


def test_what_spreadsheets_write_for_no_value_is_missing(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    some = random.random(ROWS) < 0.1

    def with_gaps(text: str) -> list[str]:
        return [
            text if gap else f"{value:.3f}"
            for gap, value in zip(some, random.normal(size=ROWS), strict=True)
        ]

    texts = ["#N/A", "NaN", "#VALUE!", "..", "\u2014"]
    columns: dict[str, Sequence[object]] = {
        f"n{place}x": with_gaps(text) for place, text in enumerate(texts)
    }
    columns["day"] = [
        "NA" if gap else f"2026-01-{1 + row % 28:02d}" for row, gap in enumerate(some)
    ]
    columns["word"] = random.choice(["na", "-", "nil", "x"], ROWS).tolist()
    columns["y"] = with_gaps("n.a.")
    proposal = guessed(tmp_path, columns, "y")
    found = kinds(proposal)
    assert {found[name] for name in found if name.startswith("n")} == {"number"}
    assert (found["day"], found["word"]) == ("time", "category")
    assert proposal.document["label"]["type"] == "regression"
    assert set(proposal.document["missing_values"]) == {*texts, "NA", "n.a."}


def test_a_label_of_words_keeps_its_words(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    columns = {
        "x": random.normal(size=ROWS).tolist(),
        "continent": random.choice(["NA", "EU", "?"], ROWS).tolist(),
    }
    proposal = guessed(tmp_path, columns, "continent")
    assert "missing_values" not in proposal.document
    assert proposal.label is not None and proposal.label.why.startswith("3 classes")


def test_names_are_as_near_to_the_columns_as_a_spec_allows(tmp_path: Path) -> None:
    numbers = np.random.default_rng(4).normal(size=(6, ROWS)).tolist()
    names = ["área (m²)", "Straße", "shou ru", "shou-ru", "—", "label"]
    proposal = guessed(tmp_path, dict(zip(names, numbers, strict=True)), "label")
    assert list(proposal.features) == ["area_m2", "Strasse", "shou_ru", "shou_ru_2", "feature"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Order ID", True), ("zip.code", True), ("customer-id", True), ("postcode", True),
        ("ProductCode", True), ("user_id", True), ("orderId", True), ("PLZ", True),
        ("paid", False), ("Monkey", False), ("decode", False), ("humid", False), ("unzip", False),
    ],
)  # fmt: skip
def test_names_of_identifiers(name: str, expected: bool) -> None:
    assert is_identifier(name) is expected


def test_dates_and_addresses_do_not_keep_numbers_from_being_read(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    columns = {
        "Betrag": [f"{row % 9},{row % 97:02d}" for row in range(ROWS)],
        "Datum": [f"{1 + row % 28:02d}.{1 + row % 12:02d}.2024" for row in range(ROWS)],
        "Rechner": [f"192.168.0.{row % 5}" for row in range(ROWS)],
        "Fassung": [f"1.{row % 3}.{row % 4}" for row in range(ROWS)],
        "label": random.integers(0, 2, ROWS).tolist(),
    }
    proposal = guessed(tmp_path, columns, "label", ";")
    assert proposal.document["csv"] == {"delimiter": ";", "decimal": ","}
    assert kinds(proposal) == {
        "Betrag": "number", "Datum": "date", "Rechner": "category", "Fassung": "category",
    }  # fmt: skip


def test_thousands_far_down_in_a_sorted_file_are_seen(tmp_path: Path) -> None:
    columns = {
        "price": [f"{number / 4:,.2f}" for number in range(12_000)],
        "label": [number % 2 for number in range(12_000)],
    }
    proposal = guessed(tmp_path, columns, "label")
    assert proposal.document["csv"] == {"thousands": ","}
    assert kinds(proposal) == {"price": "number"}


def test_numbers_that_are_left_as_texts_are_said() -> None:
    texts = {"a": ["1,5", "2,25"], "b": ["1.5", "2.5"], "c": ["0.5", "0.25"]}
    arrays = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    found = number_format(arrays, CsvFormat())
    assert found.written == CsvFormat()
    assert found.seen == (
        "a may be numbers written as '2,25', but b is written as '1.5' and one spec has one kind: a is "
        "taken for text; write the file with one kind of numbers",
    )
