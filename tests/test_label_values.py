"""Labels are compared as one text, whatever wrote the row and whatever wrote the spec."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.labels import LearnedLabels, transform_label
from skewless.beam_pipelines.transform.vocabulary_files import VocabularyFiles
from skewless.schemas import Spec, SpecError, load, parse
from skewless.schemas.rows.label_values import label_text, label_texts
from skewless.schemas.spec.label import BinaryLabel
from tests.test_validation import check

RULE: list[tuple[Any, str]] = [
    (5, "5"), (5.0, "5"), ("5", "5"), ("5.0", "5"), ("5.", "5"), (" 5.00\t", "5"), (Decimal("5.00"), "5"),
    ("05", "05"), ("+4", "+4"), ("1e3", "1e3"), ("1_000", "1_000"), ("1,000", "1,000"), (".5", ".5"),
    ("0x1F", "0x1F"), ("٥", "٥"), ("1.10", "1.1"), (0.5, "0.5"), ("0.50", "0.5"), (Decimal("0.50"), "0.5"),
    (1e-05, "0.00001"), ("1e-05", "0.00001"), ("1E+16", "10000000000000000"), (1e16, "10000000000000000"),
    (-0.0, "0"), ("-0", "0"), ("-0.0", "0"), (-5.0, "-5"), (np.float32(0.1), "0.1"),
    (2**53 + 1, "9007199254740993"), ("9007199254740993.0", "9007199254740993"),
    ("123456789012345678901234567890", "123456789012345678901234567890"),
    (True, "true"), ("True", "true"), ("FALSE", "false"), ("yes", "yes"), ("Yes", "Yes"), ("NO", "NO"),
    ("", ""), (" \u3000\r\n", ""), (" New  York ", "New  York"), ("a\r\nb", "a b"), ("nan", "nan"), ("inf", "inf"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), RULE, ids=repr)
def test_the_rule(value: Any, text: str) -> None:
    assert label_text(value) == text
    assert label_text(text) == text


def test_the_rule_is_the_documented_one() -> None:
    page = (Path(__file__).parent.parent / "docs/labels.md").read_text(encoding="utf-8")
    table = page.split("| written | compared as |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) > 10
    for line in table:
        written, compared = (re.findall("`([^`]+)`", cell) for cell in line.strip("|").split("|"))
        assert {label_text(text) for text in written} == set(compared), line


@given(
    st.one_of(
        st.text(st.characters(exclude_characters="\r\n")),
        st.decimals(allow_nan=False).map(str),
        st.from_regex(r"-?\d+\.\d*e?[+-]?\d?", fullmatch=True),
    )
)
def test_what_is_taken_for_a_number_keeps_its_value(text: str) -> None:
    plain = label_text(text)
    assert label_text(plain) == plain
    if plain not in (text.strip(), "true", "false"):
        assert "e" not in plain.lower()
        assert Decimal(plain) == Decimal(text.strip())


NATIVE = st.one_of(
    st.tuples(st.just(pa.int64()), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(pa.uint64()), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(pa.float64()), st.floats(allow_nan=False)),
    st.tuples(st.just(pa.float32()), st.floats(width=32, allow_nan=False).map(np.float32)),
    st.tuples(st.just(pa.bool_()), st.booleans()),
    st.tuples(st.just(pa.decimal128(38, 9)), st.decimals(-(10**20), 10**20, places=9)),
    st.tuples(st.just(pa.string()), st.text()),
    st.tuples(st.just(pa.binary()), st.text()),
)
CLASSES = parse(
    {
        "name": "t",
        "features": {"x": {"type": "numeric"}},
        "label": {"column": "y", "type": "multiclass"},
    }
)


@given(st.data())
def test_columns_of_any_type_follow_the_rule(data: st.DataObject) -> None:
    kind, first = data.draw(NATIVE)
    more = data.draw(st.lists(NATIVE.filter(lambda drawn: drawn[0] == kind), max_size=3))
    values = [first, *(value for _, value in more)]
    native = [v.encode() for v in values] if kind == pa.binary() else values
    valid = check(CLASSES, x=[0.0] * len(values), y=pa.array(native, kind))
    if kind == pa.float32():  # The spec's floats are of 64 bits, which print other digits.
        values = [int(v) if v.is_integer() and abs(v) < 1e15 else str(v) for v in values]
    expected = [text for text in map(label_text, values) if text]
    assert valid.columns.column("y").to_pylist() == expected


@given(
    st.lists(
        st.one_of(st.none(), st.text(), st.sampled_from([v for v, _ in RULE if isinstance(v, str)]))
    )
)
def test_the_arrow_implementation_is_the_scalar_one(texts: list[str | None]) -> None:
    found = label_texts(pa.array(texts, pa.string())).to_pylist()
    assert found == [None if text is None else label_text(text) for text in texts]


def _write(path: Path, kind: str, values: list[Any]) -> str:
    """Writes one column `y` beside a number `x`."""
    if kind == "csv":
        path.write_text("x,y\n" + "".join(f"1,{value}\n" for value in values))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"x": 1, "y": value}) + "\n" for value in values))
    elif kind == "parquet":
        pa.parquet.write_table(pa.table({"x": [1.0] * len(values), "y": values}), path)
    else:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for value in values:
                example = tf.train.Example()
                feature = example.features.feature["y"]
                if isinstance(value, str):
                    feature.bytes_list.value.append(value.encode())
                elif isinstance(value, int):
                    feature.int64_list.value.append(value)
                else:
                    feature.float_list.value.append(value)
                writer.write(example.SerializeToString())
    return str(path)


def _column(spec: Spec, path: str) -> list[Any]:
    batches = [rows for unit in plan([path], spec) for rows in rows_of(unit, spec)]
    assert not [entry for rows in batches for entry in rows.rejected]
    return [value for rows in batches for value in rows.columns.column("y").to_pylist()]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("csv", ["5.0", "4.0", "0.50"]),
        ("csv", ["5", "4.00", "0.5"]),
        ("jsonl", [5, 4, 0.5]),
        ("jsonl", [5.0, "4", "0.5"]),
        ("parquet", [5.0, 4.0, 0.5]),
        ("parquet", [Decimal("5.00"), Decimal("4.00"), Decimal("0.50")]),
        ("tfrecord", [5.0, 4.0, 0.5]),
        ("tfrecord", ["5", "4.0", "0.5"]),
    ],
)
@pytest.mark.parametrize("label", ["binary", "multiclass", "multilabel"])
def test_every_format_gives_the_same_classes(
    label: str, kind: str, values: list[Any], tmp_path: Path
) -> None:
    declared = {"positive": [5]} if label == "binary" else {}
    document = {**CLASSES.model_dump(), "label": {"column": "y", "type": label, **declared}}
    found = _column(parse(document), _write(tmp_path / f"rows.{kind}", kind, values))
    expected: list[Any] = ["5", "4", "0.5"]
    assert found == ([[text] for text in expected] if label == "multilabel" else expected)


COMPARED: list[tuple[str, str, list[Any], list[int]]] = [
    ('positive: ["05"], negative: ["06"]', "csv", ["05", "06"], [1, 0]),
    ("positive: [05], negative: [06]", "csv", ["05", "06"], [1, 0]),
    ("positive: [true]", "csv", ["True", "False", "TRUE"], [1, 0, 1]),
    ('positive: ["True"]', "jsonl", [True, False], [1, 0]),
    ('positive: ["True"]', "parquet", [True, False], [1, 0]),
    ("positive: [yes], negative: [no]", "csv", ["yes", "no"], [1, 0]),
    ("positive: [NO]", "jsonl", ["NO", "SE"], [1, 0]),
    ('positive: ["+4"], negative: [4]', "csv", ["+4", "4"], [1, 0]),
    ("positive: [+4], negative: [-4]", "csv", ["+4", "-4"], [1, 0]),
    ("positive: [1e3], negative: [1000]", "csv", ["1e3", "1000.0"], [1, 0]),
    ("positive: [1_000], negative: [1000]", "csv", ["1_000", "1000"], [1, 0]),
    ("positive: [0.50]", "parquet", [0.5, 1.5], [1, 0]),
    ("positive: [12:30]", "csv", ["12:30", "750"], [1, 0]),
    ("positive: [2024-01-02]", "csv", ["2024-01-02", "x"], [1, 0]),
    ("positive: [9007199254740993]", "parquet", [2**53 + 1, 2**53], [1, 0]),
    ("positive: [a]", "csv", [" a ", "A"], [1, 0]),
    ('positive: ["a\\nb"]', "jsonl", ["a\nb", "a"], [1, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "kind", "values", "expected"), COMPARED)
def test_what_a_spec_file_names_is_found_in_rows(
    declared: str, kind: str, values: list[Any], expected: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "name: t\nfeatures: {x: {type: numeric}}\n"
        f"label: {{column: y, type: binary, {declared}}}\n"
    )
    spec = load(path)
    again = tmp_path / "resolved.yaml"
    again.write_text(spec.to_yaml())
    assert load(again) == spec
    assert isinstance(spec.label, BinaryLabel)
    texts = _column(spec, _write(tmp_path / f"rows.{kind}", kind, values))
    learned = LearnedLabels(VocabularyFiles(spec, Constants()), {})
    outputs = transform_label("__label__", spec.label, tf.constant(texts), learned)
    assert outputs["__label__"].numpy().tolist() == expected


def test_several_classes_are_cut_before_they_are_compared() -> None:
    spec = parse({**CLASSES.model_dump(), "label": {"column": "y", "type": "multilabel"}})
    lists = pa.array([["5.0|True", " b"], ["a"], ["|"], ["1e3|"]])
    assert check(spec, x=[0.0] * 4, y=lists).columns.column("y").to_pylist() == [
        ["5", "true", "b"],
        ["a"],
        [],
        ["1e3"],
    ]
    assert check(spec, x=[0.0], y=["5.0| 4"]).columns.column("y").to_pylist() == [["5", "4"]]


@pytest.mark.parametrize("empty", [None, "no_classes"])
def test_a_row_without_a_class_is_one_of_none_where_the_spec_says_so(empty: str | None) -> None:
    label = {"column": "y", "type": "multilabel", "empty": empty}
    spec = parse({**CLASSES.model_dump(), "label": label, "missing_values": ["?"]})
    texts = check(spec, x=[0.0] * 4, y=["a|b", "", None, "?"])
    lists = check(spec, x=[0.0] * 4, y=pa.array([["a", "b"], [], None, ["?"]]))
    for found in (texts, lists):
        kept = [value or [] for value in found.columns.column("y").to_pylist()]
        assert kept == [["a", "b"]] + ([[]] * 3 if empty else [])
        assert [entry.row for entry in found.rejected] == ([] if empty else [2, 3, 4])


@pytest.mark.parametrize(
    ("label", "more", "message"),
    [
        ({"type": "binary", "positive": [" "]}, {}, "positive: no row can hold ' '"),
        ({"type": "binary", "positive": [float("nan")]}, {}, "positive: no row can hold nan"),
        ({"type": "binary", "positive": [1], "negative": [""]}, {}, "negative: no row can hold ''"),
        (
            {"type": "binary", "positive": [-1.0]},
            {"missing_values": ["-1"]},
            "label.positive: no row can hold -1.0: it is among missing_values",
        ),
        (
            {"type": "multiclass", "classes": ["a", "NA"]},
            {"missing_values": ["NA"]},
            "label.classes: no row can hold 'NA': it is among missing_values",
        ),
        ({"type": "multiclass", "classes": ["5", "5.0"]}, {}, "'5' and '5.0' are one value"),
        (
            {"type": "multilabel", "classes": ["a|b"]},
            {},
            "no row can hold 'a|b', which '|' separates",
        ),
    ],
)
def test_values_that_no_row_can_hold_are_refused(
    label: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=r"no row can hold|one value") as caught:
        parse({**CLASSES.model_dump(), "label": {"column": "y", **label}, **more})
    assert message in str(caught.value)


def test_classes_may_be_written_as_yaml_reads_them() -> None:
    label = {"column": "y", "type": "multiclass", "classes": [100, 1.50, True, "two"]}
    document = {"name": "n", "features": {"x": {"type": "numeric"}}, "label": label}
    written = {**label, "classes": ["100", "1.5", "true", "two"]}
    spec = parse(document)
    assert spec.sha256() == parse({**document, "label": written}).sha256()
    with pytest.raises(SpecError, match=r"got '1' twice"):
        parse({**document, "label": {**label, "classes": [1, 1.0]}})
