"""What is guessed of values as people and spreadsheets write them, and of rows in a fixed order."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from skewless.beam_pipelines.init import guess_spec
from skewless.beam_pipelines.init.delimited.number_format import number_format
from skewless.beam_pipelines.init.kinds.names import is_identifier
from skewless.beam_pipelines.init.proposal import Proposal
from skewless.schemas import parse
from skewless.schemas.errors import DataError
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


@pytest.mark.parametrize(
    ("numbers", "declared"),
    [
        ([0, 1], {"type": "binary"}),
        ([3, 3, 7], {"type": "binary", "positive": [7], "negative": [3]}),
        ([1, 2, 3], {"type": "multiclass", "classes": [1, 2, 3]}),
        ([row * 1.5 for row in range(150)], {"type": "regression", "scale": "z_score"}),
    ],
)
def test_a_header_among_the_rows_is_no_value_of_a_label(
    numbers: list[float], declared: dict[str, Any], tmp_path: Path
) -> None:
    kinds = ["p", "q", "q", "r"]
    rows = [(kinds[row % 4], numbers[row**3 % len(numbers)]) for row in range(300)]
    rows[150:150] = [("kind", "grade")]
    kind, grade = zip(*rows, strict=True)
    proposal = guessed(tmp_path, {"kind": kind, "grade": grade}, "grade")
    assert proposal.document["label"] == {"column": "grade", **declared}
    assert proposal.label is not None
    assert proposal.label.why.endswith("; 1 rows hold 'grade' and will be rejected")
    parse(proposal.document)


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
        "Betrag": "number", "Datum": "time", "Rechner": "category", "Fassung": "category",
    }  # fmt: skip
    assert proposal.document["features"]["Datum"]["dates"] == "day_first"


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


def test_whether_a_column_has_a_value_may_give_the_label_away(tmp_path: Path) -> None:
    """A date of leaving is there for those who left: its values tell nothing, that there is one all."""
    random = np.random.default_rng(11)
    left = random.random(ROWS) < 0.3
    columns = {
        "age": random.integers(20, 60, ROWS).tolist(),
        # Of a few rows, in which it happens to tell the label.
        "rarely": ["a" if gone and row < 60 else "" for row, gone in enumerate(left)],
        "reason": [random.choice(["moved", "cost"]) if gone else "" for gone in left],
        "left_on": [
            f"2024-{1 + row % 12:02d}-{1 + row % 28:02d}" if gone else ""
            for row, gone in enumerate(left)
        ],
        "often_missing": ["" if missing else "x" for missing in random.random(ROWS) < 0.7],
        "churned": left.astype(int).tolist(),
    }
    proposal = guessed(tmp_path, columns, "churned")
    found = {guess.column: guess.why for guess in proposal.omitted if guess.kind == "leak"}
    assert set(found) == {"reason", "left_on"}
    assert found["left_on"].startswith("whether it has a value tells 100% of labels")
    assert {"rarely", "often_missing"} & set(kinds(proposal)) == {"rarely", "often_missing"}


def test_a_few_rows_that_agree_by_chance_give_nothing_away(tmp_path: Path) -> None:
    """One in a hundred rows has a speed, and all of a speed but one have one engine."""
    random = np.random.default_rng(12)
    engine = random.choice(["jet", "fan", "prop"], ROWS)
    speeds = {"jet": 432, "fan": 90, "prop": 107}
    rare = np.arange(ROWS) % 40 == 0
    columns = {
        "seats": random.integers(2, 300, ROWS).tolist(),
        "speed": [speeds[one] if there else "" for one, there in zip(engine, rare, strict=True)],
        "engine": engine.tolist(),
    }
    assert kinds(guessed(tmp_path, columns, "engine"))["speed"] != "leak"


def test_columns_that_all_give_the_label_away_are_kept_and_told(tmp_path: Path) -> None:
    """Else nothing would be left to learn from, where a person may know that it is a law."""
    days = np.arange(ROWS) * 3 + 7
    columns = {"day": days.tolist(), "level": (days * 0.5 + 1).tolist()}
    proposal = guessed(tmp_path, columns, "level")
    assert kinds(proposal) == {"day": "number"}
    assert "CHECK" in proposal.features["day"].why
    assert any(warning.startswith("day: ") for warning in proposal.warnings)


def test_numbers_that_go_together_in_another_order_are_no_repetition(tmp_path: Path) -> None:
    random = np.random.default_rng(13)
    county = random.integers(0, 60, ROWS)
    few = random.integers(0, 5, ROWS)
    share = random.permutation(60) / 60
    columns = {
        "county": (100 + county).tolist(),
        "voters": share[county].tolist(),
        "rank": (-3.5 * county).tolist(),
        "county_name": [f"county {one}" for one in county],
        "level": few.tolist(),
        "level_name": [f"level {one}" for one in few],
        "seen": [f"L{one}" for one in few],
        "votes": random.normal(size=ROWS).tolist(),
    }
    found = kinds(guessed(tmp_path, columns, "votes"))
    # `rank` falls as `county` rises; of few words the words say all that their numbers do.
    assert {name for name, kind in found.items() if kind == "duplicate"} == {
        "rank", "level", "seen",
    }  # fmt: skip
    assert found["county_name"] == "category" and found["voters"] == "number"


def test_names_that_yaml_reads_as_values_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "no,on.,null,y\n" + "".join(f"{i % 7},{i % 5}.5,{i % 3},{i % 2}\n" for i in range(90))
    )
    proposal, text = guess_spec([str(path)], "y")
    assert (
        set(parse(yaml.safe_load(text)).features) == set(proposal.features) == {"no", "on", "null"}
    )


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ((400, 120, 50, 20, 9, 4, 1), "regression"),  # visits to a doctor
        ((60, 190, 150, 100, 60, 25, 10, 3), "regression"),  # goals
        ((164, 55, 36, 35, 13), "multiclass"),  # stages of a disease
        ((60, 60, 60, 60, 60, 60), "multiclass"),  # digits
        ((70, 270, 790, 320, 90), "multiclass"),  # stars
        ((300, 4, 30, 200, 9), "multiclass"),  # codes
    ],
)
def test_whole_numbers_that_get_ever_rarer_are_counts(
    rows: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    label = np.random.default_rng(14).permutation(np.repeat(np.arange(len(rows)), rows))
    columns = {"x": np.random.default_rng(15).normal(size=len(label)).tolist(), "y": label.tolist()}
    proposal = guessed(tmp_path, columns, "y")
    assert proposal.document["label"]["type"] == kind
    assert proposal.label is not None
    told = " ".join(proposal.label.otherwise)
    assert ("multiclass" if kind == "regression" else "regression") in told


def test_classes_numbered_by_how_often_they_occur_are_classes(tmp_path: Path) -> None:
    label = np.random.default_rng(14).permutation(
        np.repeat(np.arange(7), [400, 120, 50, 20, 9, 4, 1])
    )
    columns = {"x": np.random.default_rng(15).normal(size=len(label)).tolist()}
    for name in ("class", "Species_code", "claims_subclass"):
        proposal = guessed(tmp_path, {**columns, name: label.tolist()}, name)
        other = "regression" if name == "claims_subclass" else "multiclass"
        assert proposal.document["label"]["type"] == other


def test_a_row_each_year_is_still_of_its_year(tmp_path: Path) -> None:
    random = np.random.default_rng(16)
    years = np.arange(1700, 1700 + 300)
    columns = {
        "YEAR": years.tolist(),
        "number": (years + 5_000).tolist(),
        "spots": (50 + random.normal(size=300)).tolist(),
    }
    found = kinds(guessed(tmp_path, columns, "spots"))
    assert found == {"YEAR": "number", "number": "near-unique"}


def test_whole_numbers_on_both_sides_of_zero_are_amounts(tmp_path: Path) -> None:
    random = np.random.default_rng(18)
    x = random.normal(size=ROWS).tolist()
    for low, kind in ((-4, "regression"), (-1, "multiclass")):
        y = random.integers(low, -low + 1, ROWS).tolist()
        assert guessed(tmp_path, {"x": x, "y": y}, "y").document["label"]["type"] == kind


def test_a_label_that_a_float32_cannot_tell_is_refused(tmp_path: Path) -> None:
    """Its error would be 0 whatever is predicted: all its values would be one."""
    random = np.random.default_rng(19)
    small = random.normal(size=ROWS)
    columns = {"x": small.tolist(), "y": (1e9 + small).tolist()}
    with pytest.raises(
        DataError, match=r"--label y: numbers from 999999997.* the same as float32.*subtract"
    ):
        guessed(tmp_path, columns, "y")
    assert guessed(tmp_path, {**columns, "y": (1e6 + small).tolist()}, "y").label is not None
