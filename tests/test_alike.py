"""What is prepared for many features together is what each alone would get, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.schemas import parse
from skewless.schemas.rows import prepare as preparing
from skewless.schemas.rows.raw_tensors import (
    dense_numbers,
    dense_strings,
    stacked_numbers,
    stacked_strings,
)

NUMBERS = st.floats(width=32)
TEXTS = st.sampled_from(["", " a ", "NA", "\u00a0b\r\n", "\u00e9", "a"])


def sparse(rows: list[list[Any]], dtype: tf.DType) -> tf.SparseTensor:
    indices = [[row, place] for row, values in enumerate(rows) for place in range(len(values))]
    return tf.SparseTensor(
        tf.constant(indices, tf.int64, shape=[len(indices), 2]),
        tf.constant([value for values in rows for value in values], dtype),
        tf.constant([len(rows), max(map(len, rows), default=0)], tf.int64),
    )


def columns(values: st.SearchStrategy[Any], count: int) -> st.SearchStrategy[list[Any]]:
    row = st.lists(values, max_size=2)
    return st.integers(0, 3).flatmap(
        lambda rows: st.lists(
            st.lists(row, min_size=rows, max_size=rows), min_size=count, max_size=count
        )
    )


@settings(max_examples=15)
@given(columns(NUMBERS, 3))
def test_stacked_numbers_are_each_columns(rows: list[list[list[float]]]) -> None:
    raws = [sparse(column, tf.float32) for column in rows]
    alone = np.stack([dense_numbers(raw, 1).numpy()[:, 0] for raw in raws])
    np.testing.assert_array_equal(stacked_numbers(raws).numpy(), alone)


@settings(max_examples=15)
@given(columns(TEXTS, 2), columns(st.integers(-5, 5), 1))
def test_stacked_strings_are_each_columns(
    texts: list[list[list[str]]], whole: list[list[list[int]]]
) -> None:
    count = min(len(texts[0]), len(whole[0]))
    raws = [
        *(sparse(column[:count], tf.string) for column in texts),
        sparse(whole[0][:count], tf.int64),
    ]
    alone = np.stack([dense_strings(raw).numpy() for raw in raws])
    np.testing.assert_array_equal(stacked_strings(raws).numpy(), alone)


@settings(max_examples=5)
@given(columns(NUMBERS, 10), columns(TEXTS, 10))
def test_many_features_are_prepared_as_few_are(
    numbers: list[list[list[float]]], texts: list[list[list[str]]]
) -> None:
    count = min(len(numbers[0]), len(texts[0]))
    inputs, features = {}, {}
    for place in range(10):
        inputs[f"n{place}"] = sparse(numbers[place][:count], tf.float32)
        inputs[f"c{place}"] = sparse(texts[place][:count], tf.string)
        clip = {"clip": [-1.0, 1.0]} if place == 7 else {}
        features[f"n{place}"] = {"type": "numeric", **clip}
        features[f"c{place}"] = {"type": "categorical"}
    wide = parse({"name": "wide", "missing_values": ["NA"], "features": features})
    together = preparing.prepare(wide, inputs)
    assert len(preparing._alike(wide, inputs)) == 19  # All but the clipped one.
    for name in features:
        narrow = parse(
            {"name": "narrow", "missing_values": ["NA"], "features": {name: features[name]}}
        )
        alone = preparing.prepare(narrow, inputs)[name]
        assert together[name].dtype == alone.dtype
        np.testing.assert_array_equal(together[name].numpy(), alone.numpy(), err_msg=name)
