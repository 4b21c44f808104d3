"""Requests from JSON to tensors and back: at once, one by one, and in another process, always the same."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import time
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from skewless.model.serve.reading import json_tensors
from skewless.model.serve.reading.json_examples import example
from skewless.model.serve.reading.json_outputs import columns_as_json, rows_as_json
from skewless.model.serve.reading.json_tensors import Input, of_columns, of_rows
from skewless.model.serve.reading.packed_texts import PackedTexts
from skewless.model.serve.reading.reader import Reader
from skewless.model.serve.reading.requests import read, unpacked
from skewless.model.serve.status import ServingError

INPUTS = {
    "text": Input("string", True, 1),
    "tags": Input("string", True, 2),
    "age": Input("float32", True, 1),
    "count": Input("int64", True, 1),
    "flag": Input("bool", True, 1),
}
SIGNATURES = {"predict_columns": INPUTS, "serving_default": {"examples": Input("string", False, 1)}}
PLAIN = st.one_of(
    st.integers(), st.floats(), st.text(max_size=3), st.booleans(), st.none(), st.just("\ud800"),
    st.sampled_from([{"b64": "AA=="}, {"b64": "%"}, 3.5e38, 2**24 + 1, 2**63, 10**400]),
)  # fmt: skip
LIKE = st.sampled_from([st.integers(), st.floats(), st.text(max_size=3), st.booleans(), PLAIN])
COLUMNS = LIKE.flatmap(lambda kind: st.lists(kind | st.lists(kind, max_size=2), max_size=4))


def outcome(call: Any, *given_: Any) -> Any:
    try:
        return call(*given_)
    except ServingError as error:
        return str(error)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tolist().__repr__() == other[name].tolist().__repr__()
        for name in one
    )


@given(st.sampled_from(sorted(INPUTS)), COLUMNS)
def test_at_once_is_what_one_by_one_is(name: str, values: list[Any]) -> None:
    rows = [{name: value} for value in values]
    fast = outcome(of_columns, {name: values}, INPUTS), outcome(of_rows, rows, INPUTS)
    at_once = json_tensors._at_once
    json_tensors._at_once = lambda *_: None
    try:
        slow = outcome(of_columns, {name: values}, INPUTS), outcome(of_rows, rows, INPUTS)
    finally:
        json_tensors._at_once = at_once
    assert equal(fast[0], slow[0]), (fast, slow)
    assert equal(*(one if isinstance(one, str) else one[0] for one in (fast[1], slow[1])))


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.one_of(
            st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
            st.lists(st.floats(width=32), max_size=3),
            st.lists(st.text(max_size=200), max_size=3),
        ),
        max_size=4,
    )
)
def test_examples_are_tensorflows(row: dict[str, Any]) -> None:
    expected = tf.train.Example()
    for name, values in row.items():
        feature = expected.features.feature[name]
        for value in values:
            if isinstance(value, str):
                feature.bytes_list.value.append(value.encode())
            elif isinstance(value, float):
                feature.float_list.value.append(value)
            else:
                feature.int64_list.value.append(value)
    found = tf.train.Example.FromString(example(row))
    found_features, expected_features = (
        message.features.SerializeToString(deterministic=True) for message in (found, expected)
    )
    assert found_features == expected_features


def test_answers_are_whole_in_any_number_of_parts() -> None:
    many = 40_000
    outputs = {
        "ids": np.arange(3 * many).reshape(many, 3),
        "score": np.linspace(0, 1, many, dtype=np.float32),
        "text": np.array([b"a", b"\xff"] * (many // 2), object),
        "raw_bytes": np.array([b"a", b"\xff"] * (many // 2), object),
    }
    outputs["score"][7] = np.nan
    by_rows = json.loads(rows_as_json(outputs))["predictions"]
    by_columns = json.loads(columns_as_json(outputs))["outputs"]
    assert len(by_rows) == many
    for name, value in outputs.items():
        for found in ([row[name] for row in by_rows], by_columns[name]):
            if (
                value.dtype != object
            ):  # Beside NaN floats are written in more digits than they need.
                np.testing.assert_array_equal(np.array(found, value.dtype), value)
    assert by_columns["text"][:2] == ["a", "\ufffd"]
    assert by_columns["raw_bytes"][:2] == [{"b64": "YQ=="}, {"b64": "/w=="}]
    assert np.float32(by_columns["score"][-2]) == outputs["score"][-2]
    only = {"ids": outputs["ids"]}
    assert json.loads(rows_as_json(only))["predictions"] == outputs["ids"].tolist()
    assert json.loads(columns_as_json(only))["outputs"] == outputs["ids"].tolist()


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 0)])
def test_packed_texts_are_the_texts(shape: tuple[int, ...]) -> None:
    array = np.empty(shape, object)
    array.flat = [b"x" * (i % 4) for i in range(array.size)]
    packed = PackedTexts(*PackedTexts.parts_of(array), shape)
    assert (packed.shape, packed.ndim, packed.size, len(packed)) == (
        shape,
        len(shape),
        array.size,
        5,
    )
    for part in (slice(0, 2), slice(2, 9), slice(4, 4)):
        assert packed[part].tolist() == array[part].tolist()
    assert np.asarray(packed).tolist() == array.tolist()


def large(**row: Any) -> bytes:
    asked = {"signature_name": "predict_columns", "instances": [row] * (400_000 // len(str(row)))}
    return json.dumps(asked).encode()


def test_a_process_reads_what_the_server_would() -> None:
    async def ask() -> None:
        reader = Reader()
        try:
            for body in (
                large(text="é", tags=["a", ""], age=1.5, count=-(2**63), flag=True),
                large(),
                json.dumps({"signature_name": "x", "examples": [{"a": 1}] * 60_000}).encode(),
            ):
                method = "classify" if b"examples" in body else "predict"
                expected = read(method, body, SIGNATURES)
                found = await reader.read(method, body, SIGNATURES)
                assert (found.signature, found.rows) == (expected.signature, expected.rows)
                assert equal(
                    {name: np.asarray(value) for name, value in found.inputs.items()},
                    expected.inputs,
                )
            for body in (b"[" * 400_000, large(age="x"), large(other=1)):
                expected = outcome(read, "predict", body, SIGNATURES)
                with pytest.raises(ServingError) as caught:
                    await reader.read("predict", body, SIGNATURES)
                assert str(caught.value) == expected
        finally:
            reader.close()

    asyncio.run(ask())


def test_reading_ends_with_its_request_and_begins_anew() -> None:
    async def ask() -> None:
        reader = Reader()
        body = large(age=1)
        try:
            await reader.read("predict", body, SIGNATURES)
            first = reader._process
            assert first is not None
            endless = b'{"a": ' + b"[" * 500 + b"0," * 4_000_000 + b"0" + b"]" * 500
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.read("predict", endless, SIGNATURES), 0.01)
            begun = time.monotonic()
            assert (await reader.read("predict", body, SIGNATURES)).rows
            assert first.wait(30) < 0
            assert reader._process is not first
            assert time.monotonic() - begun < 60
            reader._process.kill()  # As the system does when memory is short.
            reader._process.wait()
            assert (await reader.read("predict", body, SIGNATURES)).rows
        finally:
            reader.close()

    asyncio.run(ask())


@pytest.mark.parametrize("cut", [0, 1, 70_000, 150_000])
def test_all_members_of_a_gzipped_body_are_read(cut: int) -> None:
    body = os.urandom(150_000)
    packed = gzip.compress(body[:cut]) + gzip.compress(body[cut:]) + gzip.compress(b"")
    assert unpacked(packed, len(body)) == gzip.decompress(packed) == body
    for refused, why in (
        (packed + b"more", "not gzip"),
        (packed[:-1], "ends too early"),
        (packed + gzip.compress(b"x"), "larger than 150000 bytes"),
        (gzip.compress(b"") * 20_000, "gzip members; send one"),
    ):
        with pytest.raises(ServingError, match=why):
            unpacked(refused, len(body))
