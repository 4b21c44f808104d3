"""Validation: what is canonical, what is missing, and what is rejected with which reason."""

from __future__ import annotations

import copy
import datetime
import decimal
import json
import math
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.rows.validation import ValidBatch, canonical_schema, validate
from skewless.beam_pipelines.sources import RawBatch, WorkUnit
from skewless.beam_pipelines.sources.formats.tfrecord_reader import decode_examples
from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.raw_columns import RawColumn, RowColumns
from skewless.schemas.rows.reasons import Reason, kind_as_written, kind_of
from skewless.schemas.spec.spec import Spec, parse


def spec_of(features: dict[str, Any], **more: Any) -> Spec:
    return parse({"name": "t", "features": features, **more})


def check(spec: Spec, split: Any = None, serving: bool = False, **columns: Any) -> ValidBatch:
    arrays = {n: v if isinstance(v, pa.Array) else pa.array(v) for n, v in columns.items()}
    table = pa.RecordBatch.from_pydict(arrays)
    unit = WorkUnit("f.csv", "csv", split=split, serving=serving)
    wanted = RowColumns(spec, serving)
    numbers = np.arange(1, table.num_rows + 1)
    valid = validate(RawBatch(unit, table, numbers, [], lambda at: f"raw {at}"), wanted)
    assert valid.columns.schema == canonical_schema(wanted)
    assert sorted([*valid.rows, *(entry.row for entry in valid.rejected)]) == list(numbers)
    for entry in valid.rejected:
        assert isinstance(entry.reason, Reason) == (", got " in entry.reason)
    return valid


NUMBER = spec_of({"x": {"type": "numeric"}}, missing_values=["?"])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"1.5", 1.5),
        (b" 2 ", 2.0),
        (b"+3", 3.0),
        (b"1e3", 1000.0),
        (b"", None),
        (b" ? ", None),
        (b"nan", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("beside", [b"7", b"seven"])
def test_numbers_as_text(text: bytes, number: float | None, beside: bytes) -> None:
    valid = check(NUMBER, x=pa.array([text, beside], pa.binary()))
    assert valid.columns.column("x").to_pylist()[0] == number
    assert len(valid.rejected) == (beside == b"seven")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"abc", "expected a number, got 'abc'"),
        (b"1_000", "expected a number"),
        (b"inf", "expected a finite number"),
        (b"1e39", "expected a finite number"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_unfit_numbers_are_rejected(value: bytes, reason: str) -> None:
    valid = check(NUMBER, x=pa.array([b"1", value, b"3"], pa.binary()))
    assert valid.columns.column("x").to_pylist() == [1.0, 3.0]
    (rejected,) = valid.rejected
    assert (rejected.file, rejected.row, rejected.column, rejected.raw) == (
        "f.csv",
        2,
        "x",
        "raw 1",
    )
    assert reason in rejected.reason


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (pa.array([b"5", b"5.0", b"5.5", b"x", b""], pa.binary()), [5, 5, None]),
        (pa.array([5.0, 5.5, float("nan")]), [5, None]),
        (pa.array([b"9223372036854775807", b"9223372036854775808"], pa.binary()), [2**63 - 1]),
        (pa.array([2**63], pa.uint64()), []),
        (pa.array([1e19]), []),
        (pa.array([decimal.Decimal("7.00")]), [7]),
    ],
)
def test_integers_are_exact(values: pa.Array, kept: list[int | None]) -> None:
    spec = spec_of({"x": {"type": "categorical", "dtype": "int64"}})
    assert check(spec, x=values).columns.column("x").to_pylist() == kept


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([5, None]), ["5", None]),
        (pa.array([5.0, 5.25, float("nan")]), ["5", "5.25", None]),
        (pa.array([0.1], pa.float32()), ["0.1"]),
        (pa.array([5.0, 6.0]), ["5", "6"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([decimal.Decimal("5.00"), decimal.Decimal("0.50")]), ["5", "0.5"]),
        (pa.array([datetime.date(2020, 1, 2)]), ["2020-01-02"]),
        (pa.array(["é", ""], pa.large_string()), ["é", ""]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([b"a", b"\xff", b" b "], pa.binary()), ["a", " b "]),
        (pa.array([["a"], [], None, ["a", "b"]]), ["a", None, None]),
    ],
)
def test_strings_from_native_types(values: pa.Array, texts: list[str | None]) -> None:
    spec = spec_of({"x": {"type": "categorical"}})
    assert check(spec, x=values).columns.column("x").to_pylist() == texts


@pytest.mark.parametrize(
    ("values", "lists"),
    [
        (pa.array([b"a|b", b"", None], pa.binary()), [["a|b"], [""], None]),
        (pa.array([["a", None, "b"], [], None]), [["a", "b"], [], None]),
        (pa.array([[1, 2], [3]]), [["1", "2"], ["3"]]),
        (
            pa.array([["x"], ["a", "b"], ["c"]], pa.large_list(pa.string())).slice(1),
            [["a", "b"], ["c"]],
        ),
        (pa.array([["a", "b"], None], pa.list_(pa.string(), 2)), [["a", "b"], None]),
    ],
)
def test_multivalued_columns_are_lists(values: pa.Array, lists: list[Any]) -> None:
    spec = spec_of({"x": {"type": "categorical", "length": 3, "separator": "|"}})
    assert check(spec, x=values).columns.column("x").to_pylist() == lists


def test_vectors_have_their_width_or_are_missing() -> None:
    spec = spec_of({"x": {"type": "numeric", "length": 2}})
    valid = check(spec, x=pa.array([[1, 2], [1], [], None, [1, None], [1, 2, 3]]))
    assert valid.columns.column("x").to_pylist() == [[1, 2], [], None, [1, None]]
    assert [entry.reason for entry in valid.rejected] == [
        "expected 2 numbers, got 1",
        "expected 2 numbers, got 3",
    ]


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        ({"type": "binary"}, ["1", "Yes", "false"]),
        ({"type": "binary", "positive": [4, 5]}, ["1", "Yes", "false", "4", "maybe"]),
        ({"type": "binary", "positive": [4, 5], "negative": ["1"]}, ["1", "4"]),
    ],
)
def test_binary_labels(label: dict[str, Any], kept: list[str]) -> None:
    spec = spec_of({"x": {"type": "numeric"}}, label={"column": "y", **label})
    texts = ["1.0", "Yes", "FALSE ", "4", "maybe", "", None]
    valid = check(spec, x=[0.0] * 7, y=texts)
    assert valid.columns.column("y").to_pylist() == kept
    assert [entry.reason for entry in valid.rejected][-2:] == ["the label is missing"] * 2
    assert check(spec, serving=True, x=[1.0]).columns.schema.names == ["x"]


def test_a_reason_knows_which_part_of_it_is_the_rows_own() -> None:
    label = {"column": "y", "type": "binary", "positive": ["a, got b"], "negative": ["c"]}
    valid = check(spec_of({"x": {"type": "numeric"}}, label=label), x=[1.0, 2.0], y=["d", "c"])
    (rejected,) = valid.rejected
    assert rejected.reason == "expected a label of a, got b, c, got 'd'"
    assert kind_of(rejected.reason) == "expected a label of a, got b, c"
    for copied in (copy.deepcopy(rejected), pickle.loads(pickle.dumps(rejected))):
        assert (copied, copied.reason.got) == (rejected, "'d'")
    assert json.loads(json.dumps(rejected.to_json()))["reason"] == rejected.reason
    assert kind_as_written("expected a number, got 'x'") == kind_of("expected a number")


def test_weight_key_required_and_split() -> None:
    spec = spec_of(
        {"x": {"type": "categorical", "required": True}},
        key="k",
        label={"column": "y", "type": "regression"},
        weight="w",
        split={"column": "fold"},
        missing_values=["?"],
    )
    columns = {
        "x": ["a", "?", "a", "a", "a", "a", "a"],
        "y": [1.0, 1.0, float("nan"), 1.0, 1.0, 1.0, 1.0],
        "w": [1.0, 1.0, 1.0, -1.0, None, 1.0, 1.0],
        "k": ["k1", "k2", "k3", "k4", "k5", " ", "k7"],
        "fold": ["train", "eval", "eval", "eval", "eval", "eval", "dev"],
    }
    valid = check(spec, **columns)
    assert valid.rows.tolist() == [1]
    assert [(entry.key, entry.column) for entry in valid.rejected] == [
        ("k2", "x"),
        ("k3", "y"),
        ("k4", "w"),
        ("k5", "w"),
        (" ", "k"),
        ("k7", "fold"),
    ]
    assert len(check(spec, split="test", **columns).rejected) == 5


@given(
    st.lists(
        st.one_of(st.none(), st.text(max_size=5), st.floats().map(str), st.integers().map(str)),
        max_size=8,
    )
)
def test_a_value_fares_the_same_whatever_is_beside_it(texts: list[str | None]) -> None:
    together = check(NUMBER, x=pa.array(texts, pa.string()))
    for row, value in zip(together.rows, together.columns.column("x").to_pylist(), strict=True):
        alone = check(NUMBER, x=pa.array([texts[row - 1]], pa.string()))
        assert alone.columns.column("x").to_pylist() == [value]
    for entry in together.rejected:
        alone = check(NUMBER, x=pa.array([texts[entry.row - 1]], pa.string()))
        assert [other.reason for other in alone.rejected] == [entry.reason]


EXAMPLE_VALUES: list[Any] = [
    1, -999, 2**53 + 1, -(2**63), 1.5, -0.0, 1e16, 2.0**60, 1e20, 0.1, math.inf, math.nan,
    b"1.5", b"abc", b"1_0", b"", b"?", b"\xff",
]  # fmt: skip


def example_of(value: Any) -> bytes:
    feature = tf.train.Feature()
    if isinstance(value, bytes):
        feature.bytes_list.value.append(value)
    elif isinstance(value, int):
        feature.int64_list.value.append(value)
    else:
        feature.float_list.value.append(value)
    return tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()


@pytest.mark.parametrize("kind", ["string", "int64", "float32"])
def test_an_examples_value_means_the_same_whatever_stands_in_other_rows(kind: str) -> None:
    unit, column = WorkUnit("f.tfrecord", "tfrecord"), RawColumn("x", kind)

    def read(values: list[Any]) -> list[tuple[Any, str | None]]:
        records = list(map(example_of, values))
        batch = decode_examples(unit, records, [*range(len(values))], [], {"x": column})
        array, bad = canonical(batch.table.column("x"), column, NUMBER)
        # As text, so that -0.0 is not 0.0.
        return [(repr(array[at].as_py()), bad.get(at)) for at in range(len(values))]

    alone = [read([value])[0] for value in EXAMPLE_VALUES]
    assert read(EXAMPLE_VALUES) == alone
    of_one_type = [value for value in EXAMPLE_VALUES if isinstance(value, float)]
    assert read(of_one_type) == [
        outcome
        for value, outcome in zip(EXAMPLE_VALUES, alone, strict=True)
        if isinstance(value, float)
    ]


def test_a_fault_shows_a_number_alike_however_it_is_stored() -> None:
    column = RawColumn("x", "int64")
    for array in (
        pa.array(["1.5"]), pa.array([b"1.5"]), pa.array([1.5]), pa.array([decimal.Decimal("1.5")]),
    ):  # fmt: skip
        assert canonical(array, column, NUMBER)[1] == {0: "expected an integer, got 1.5"}
    assert canonical(pa.array(["1_5"]), column, NUMBER)[1] == {0: "expected an integer, got '1_5'"}
