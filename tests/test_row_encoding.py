"""Graph feed: lists, sparse tensors and tf.Examples hold the same values."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest

from skewless.beam_pipelines.rows.validation import canonical_schema
from skewless.schemas.rows.raw_columns import (
    RowColumns,
    raw_columns,
    raw_feature_spec,
    served_columns,
)
from skewless.schemas.rows.row_encoding import (
    examples,
    list_batch,
    list_schema,
    sparse_arrays,
    sparse_tensors,
)
from skewless.schemas.spec.spec import parse

SPEC = parse(
    {
        "name": "t",
        "key": "k",
        "features": {
            "s": {"type": "text", "length": 4},
            "tags": {"type": "categorical", "length": 3},
            "i": {"type": "categorical", "dtype": "int64"},
            "x": {"type": "numeric"},
            "v": {"type": "numeric", "length": 2},
        },
        "label": {"column": "y", "type": "regression"},
    }
)
ROWS = [
    {"s": "é", "tags": ["a", "b"], "i": 1, "x": 0.5, "v": [1.0, 2.0], "y": 1.0, "k": "k1"},
    {"s": None, "tags": None, "i": None, "x": None, "v": None, "y": 2.0, "k": "k2"},
    {"s": "", "tags": [], "i": 2**40, "x": -1.0, "v": [None, 3.0], "y": 3.0, "k": "k3"},
]
LISTS = {
    "s": [["é".encode()], [], [b""]],
    "tags": [[b"a", b"b"], [], []],
    "i": [[1], [], [2**40]],
    "x": [[0.5], [], [-1.0]],
    "y": [[1.0], [2.0], [3.0]],
}


def canonical() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(ROWS, schema=canonical_schema(RowColumns(SPEC)))


@pytest.mark.parametrize("start", [0, 1])
def test_lists(start: int) -> None:
    lists = list_batch(canonical().slice(start), raw_columns(SPEC))
    assert lists.schema == list_schema(raw_columns(SPEC))
    for name, expected in LISTS.items():
        assert lists.column(name).to_pylist() == expected[start:]
    vectors = lists.column("v").to_pylist()
    np.testing.assert_array_equal(vectors[2 - start], [np.nan, 3.0])
    assert vectors[1 - start] == []


def test_serving_leaves_out_the_label() -> None:
    assert list_batch(canonical(), served_columns(SPEC)).schema.names == [
        "s",
        "tags",
        "i",
        "x",
        "v",
    ]


def test_absent_columns_and_empty_batches_are_missing_values() -> None:
    lists = list_batch(canonical().select(["x"]), raw_columns(SPEC))
    assert lists.column("s").to_pylist() == [[], [], []]
    for indices, values, shape in sparse_arrays(
        canonical().slice(0, 0), raw_columns(SPEC)
    ).values():
        assert (indices.shape, len(values), shape.tolist()) == ((0, 2), 0, [0, 0])


def test_sparse_tensors_and_examples_agree() -> None:
    import tensorflow as tf

    served = served_columns(SPEC)
    tensors = sparse_tensors(canonical(), served)
    parsed = tf.io.parse_example(examples(canonical(), SPEC), raw_feature_spec(served))
    assert tensors.keys() == parsed.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.indices, parsed[name].indices)
        np.testing.assert_array_equal(tensor.values, parsed[name].values)
        np.testing.assert_array_equal(tensor.dense_shape, parsed[name].dense_shape)
        assert tensor.dtype == parsed[name].dtype


def test_rows_are_encoded_alike_where_tfx_bsl_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf

    whole = [canonical().slice(start) for start in (0, 1)] + [canonical().select(["x"])]
    encoded = [examples(rows, SPEC) for rows in whole]
    monkeypatch.setitem(sys.modules, "tfx_bsl.coders.example_coder", None)
    for rows, by_tfx_bsl in zip(whole, encoded, strict=True):
        here, there = (
            [tf.train.Example.FromString(text).features for text in texts]
            for texts in (examples(rows, SPEC), by_tfx_bsl)
        )
        # As text: NaN is not itself.
        assert list(map(str, here)) == list(map(str, there))
