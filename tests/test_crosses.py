"""Crosses: keys that tell all combinations apart, from rows to records and through a served model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.inspect_records import meaning
from skewless.beam_pipelines.transform.lookup import combined
from skewless.model.explain import explain
from skewless.model.export import export
from skewless.model.exported.served_model import ServedModel
from skewless.model.training.records import open_records
from skewless.model.tuning.space import space_of
from skewless.schemas import SpecError, parse
from skewless.schemas.records.id_contract import FIRST_ID, MISSING_ID
from skewless.schemas.records.layout import STATISTICS
from skewless.schemas.records.records import KEY
from skewless.schemas.rows.raw_columns import served_columns
from skewless.schemas.spec.kinds import alike
from tests.test_signatures import table, untrained

BUCKETS = 50
FEATURES: dict[str, Any] = {
    # First, since what it combines may stand behind it.
    "place": {"type": "cross", "of": ["colour", "code"], "hash_buckets": BUCKETS, "embedding": 4},
    "colour": {"type": "categorical", "column": "eye colour", "embedding": 4},
    "code": {"type": "categorical", "dtype": "int64", "embedding": 4, "hash_buckets": 3},
    "size": {"type": "numeric", "column": "größe", "buckets": 4, "embedding": 4},
    "three": {
        "type": "cross", "of": ["size", "code", "colour"], "hash_buckets": 9, "embedding": "one_hot",
    },
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "key": "key",
    "missing_values": ["?"],
    "features": FEATURES,
    "label": {"column": "kind", "type": "multiclass"},
}

# Few characters make keys equal that hold no lengths; all others must be told apart as well.
_VALUES = st.text("1:2\0", max_size=4) | st.text(max_size=3)


@given(st.lists(st.tuples(_VALUES, _VALUES, _VALUES), min_size=1, max_size=20))
def test_different_values_never_make_one_key(rows: list[tuple[str, str, str]]) -> None:
    columns = [tf.constant([row[place] for row in rows]) for place in range(3)]
    keys = combined(columns).numpy().tolist()
    for row, key in zip(rows, keys, strict=True):
        parts = [part.encode() for part in row]
        assert key == (
            b"".join(b"%d:%b" % (len(part), part) for part in parts) if all(parts) else b""
        )
    complete = {row: key for row, key in zip(rows, keys, strict=True) if all(row)}
    assert len(set(complete.values())) == len(complete)


def expected(parts: list[str], buckets: int) -> int:
    """Returns the ID of a combination as written down in Python, and hashed alone."""
    if not all(parts):
        return MISSING_ID
    key = "".join(f"{len(part.encode())}:{part}" for part in parts)
    return FIRST_ID + int(tf.strings.to_hash_bucket_fast(key, buckets))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, their records, an untrained run, and its export, whose parity passed."""
    root = tmp_path_factory.mktemp("crosses")
    rows = [json.loads(line) for line in table(root / "rows.jsonl").read_text("utf-8").splitlines()]
    for place, row in enumerate(rows):
        row["key"] = f"k{place}"
        row["eye colour"] = [row["eye colour"], f"  {row['eye colour']} ", "?"][place % 7 // 3]
        row["code"] = None if place % 8 == 0 else row["code"]
        row["größe"] = None if place % 11 == 0 else row["größe"]
    lines = [json.dumps(row) for row in rows]
    (root / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    untrained(DOCUMENT, root / "rows.jsonl", root)
    report = export(root / "run", root / "served")
    assert report is not None and report.passed and report.matched > 0
    return root


def rows_of(root: Path) -> dict[str, dict[str, Any]]:
    lines = (root / "rows.jsonl").read_text("utf-8").splitlines()
    return {row["key"]: row for row in map(json.loads, lines)}


def values_of(row: dict[str, Any]) -> tuple[str, str]:
    """Returns colour and code as texts, empty where missing."""
    colour = (row["eye colour"] or "").strip()
    return "" if colour == "?" else colour, "" if row["code"] is None else str(row["code"])


def test_records_hold_the_hash_of_each_combination(root: Path) -> None:
    rows, seen = rows_of(root), set()
    for split in ("train", "eval"):
        for features, *_ in open_records(root / "records").in_order(
            split, batch_size=64, with_key=True
        ):
            found = {name: values.numpy() for name, values in features.items()}
            for place, key in enumerate(found[KEY].tolist()):
                colour, code = values_of(rows[key.decode()])
                size = int(found["size"][place])
                bucket = "" if size == MISSING_ID else str(size)
                assert found["place"][place] == expected([colour, code], BUCKETS)
                assert found["three"][place] == expected([bucket, code, colour], 9)
                seen.add(int(found["place"][place]))
    assert MISSING_ID in seen and len(seen) > 5
    entry = open_records(root / "records").manifest.features["place"]
    assert (entry.cardinality, entry.vocabulary_size, entry.shape) == (FIRST_ID + BUCKETS, None, ())


def test_the_server_takes_the_values_and_no_column_of_the_cross(root: Path) -> None:
    served = ServedModel.open(root / "served")
    assert list(served_columns(served.spec)) == ["eye colour", "code", "größe"]
    rows = [{"eye colour": " été", "code": 7}, {"eye colour": "?", "code": 7}, {"code": 7}, {}]
    asked = served.features(rows)["place"].tolist()
    assert asked == [expected(["été", "7"], BUCKETS), *[MISSING_ID] * 3]


def test_a_cross_is_told_by_its_values(root: Path) -> None:
    row = {"eye colour": "blue", "code": 3, "größe": 170.0}
    features = {entry.name: entry for entry in explain(root / "served", row).features}
    place = features["place"]
    assert place.raw == {"eye colour": "blue", "code": 3}
    assert place.steps is not None
    (step,) = place.steps
    assert (step.token, step.id) == ("blue & 3", expected(["blue", "3"], BUCKETS))
    assert step.meaning == f"(hash bucket {step.id - FIRST_ID} of {BUCKETS})"
    assert place.together_with == ("colour", "code", "three")
    assert "place" in features["code"].together_with
    three = features["three"].steps
    assert three is not None and three[0].token == "170 & 3 & blue"
    lacking = {entry.name: entry for entry in explain(root / "served", {"code": 3}).features}
    assert lacking["place"].missing and not lacking["code"].missing
    assert lacking["place"].steps is not None and lacking["place"].steps[0].token is None
    assert meaning(root / "records", "place", FIRST_ID + 7) == f"(hash bucket 7 of {BUCKETS})"


def test_a_cross_is_counted_as_hashed_categories_are(root: Path) -> None:
    summary = json.loads((root / "records" / STATISTICS).read_text("utf-8"))["splits"]["train"]
    cross, code = summary["features"]["place"], summary["features"]["code"]
    assert cross.keys() == code.keys()
    assert cross["missing"] > code["missing"]
    assert cross["frequent"][0]["value"].startswith("bucket ")


def test_its_width_is_tuned() -> None:
    knobs = {knob.name for knob in space_of(parse({"name": "n", **DOCUMENT}))}
    assert "features.place.embedding" in knobs


def test_values_that_are_prepared_together_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in wide tables, where parts of a cross lie in one tensor with others."""
    from skewless.beam_pipelines.transform.constants import Constants
    from skewless.beam_pipelines.transform.preprocessing_fn import make_preprocessing_fn

    monkeypatch.setattr(alike, "_LEAST_TOGETHER", 2)
    hashed = {"type": "categorical", "hash_buckets": 5}
    features = dict.fromkeys("abc", hashed) | {
        "x": {"type": "cross", "of": ["c", "a"], "hash_buckets": BUCKETS}
    }
    spec = parse({"name": "n", "features": features})
    assert alike.alike(spec.features) == [("a", "b", "c")]
    raw = {name: tf.sparse.from_dense([[f"{name}1"], [f"{name}2"]]) for name in "abc"}
    found = make_preprocessing_fn(spec, Constants())(raw)["x"].numpy().tolist()
    assert found == [expected(["c1", "a1"], BUCKETS), expected(["c2", "a2"], BUCKETS)]


@pytest.mark.parametrize(
    ("cross", "message"),
    [
        ({"of": ["colour"]}, r"features.x.of: expected two or more features, each once"),
        ({"of": ["code", "code"]}, r"features.x.of: expected two or more features, each once"),
        ({"of": ["code", "color"]}, r"no feature 'color'; did you mean 'colour'\?; declare it"),
        ({"of": ["code", "place"]}, r"'place' is no single value to combine"),
        ({"of": ["code", "tags"]}, r"'tags' is no single value .* without 'length'"),
        ({"of": ["code", "plain"]}, r"'plain' is no single value .* numeric one with 'buckets'"),
        ({"of": ["code", "colour"], "column": "x"}, r"features.x: unknown key 'column'"),
        ({"of": ["code", "colour"], "hash_buckets": 0}, r"features.x.hash_buckets"),
        ({}, r"features.x.of: is required but absent"),
    ],
)
def test_crosses_that_cannot_be_are_refused(cross: dict[str, Any], message: str) -> None:
    others = {"tags": {"type": "categorical", "length": 3}, "plain": {"type": "numeric"}}
    declared = {"type": "cross", "hash_buckets": 5, **cross}
    document = {"name": "n", **DOCUMENT, "features": {**FEATURES, **others, "x": declared}}
    with pytest.raises(SpecError, match=message):
        parse(document)


def test_a_cross_tells_no_tower_what_to_find() -> None:
    features = {name: {"type": "categorical"} for name in ("user", "hour", "item")}
    features["when"] = {"type": "cross", "of": ["user", "hour"], "hash_buckets": 9}  # type: ignore[dict-item]
    model = {"type": "two_tower", "query": ["user", "when"], "candidate": ["item"]}
    parse({"name": "n", "features": features, "model": model})
    model["candidate"] = ["item", "hour"]
    with pytest.raises(SpecError, match="'hour' reads column 'hour', as 'when' in query does"):
        parse({"name": "n", "features": features, "model": model})


def test_what_it_combines_keeps_its_demands() -> None:
    features = {**FEATURES, "colour": {**FEATURES["colour"], "required": True}}
    columns = served_columns(parse({"name": "n", **DOCUMENT, "features": features}))
    assert [name for name, column in columns.items() if column.required] == ["eye colour"]


def test_ids_are_in_the_range_of_the_table(root: Path) -> None:
    for features, *_ in open_records(root / "records").in_order("train", batch_size=64):
        assert np.all((features["three"] >= MISSING_ID) & (features["three"] < FIRST_ID + 9))
