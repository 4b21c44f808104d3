"""A client that sends nonsense: whatever it is, its mistake is 4xx or INVALID_ARGUMENT, never the server's."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from tests.served_process import Server

# Codes that say whose mistake it was, and that it was the client's.
CLIENTS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
PREDICT = "/v1/models/shop:predict"
COLUMNS = {"signature_name": "predict_columns"}
SERVICE = "/tensorflow.serving.PredictionService"


def post(server: Server, body: Any, path: str = PREDICT) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = server.http.post(path, content=content)
    assert response.status_code < 500, (content[:500], response.text)
    assert response.status_code == 200 or response.json().keys() == {"error"}, response.text
    return response


def call(server: Server, message: bytes, method: str = "Predict") -> tuple[str, str]:
    with server.channel() as channel:
        try:
            channel.unary_unary(f"{SERVICE}/{method}")(message, timeout=60)
        except grpc.RpcError as error:
            code, said = error.code().name, error.details() or ""
            assert code in CLIENTS, (code, said, message[:500])
            return code, said
    return "OK", ""


def nested(depth: int, inner: str = "1") -> bytes:
    return b'{"instances": ' + b"[" * depth + inner.encode() + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"\xff\xfe{}", 400, "JSON Parse error"),
        (b'{"signature_name": "a\xff"}', 400, "JSON Parse error"),
        (b"\x80abc", 400, "JSON Parse error"),
        (b'{"instances": [' + b"9" * 5000 + b"]}", 400, "JSON Parse error"),
        (nested(34), 400, "list at unexpected level: 33"),
        (nested(70), 400, "list at unexpected level: 33"),
        (nested(900), 400, "list at unexpected level: 33"),
        (nested(90_000), 400, "JSON Parse error"),
        (b"[" * 900 + b"]" * 900, 400, "Is not object"),
        ({"signature_name": "__saved_model_init_op", "inputs": {}}, 400, "not found in signature"),
        (b'{"signature_name": "\\ud800", "inputs": {}}', 400, "not found in signature"),
        (b'{"instances": [{"\\ud800": 1}]}', 400, "keys must be equal to: examples"),
        (b'{"instances": ["\\udfff"]}', 400, "is not Unicode text"),
        ({"instances": [{"b64": base64.b64encode(b"\xff\xfe\xfd").decode()}]}, 400, "parse example"),
        ({"instances": [{"b64": "é"}]}, 400, "Unable to base64 decode"),
        ({"instances": [{"b64": "AAAA"}, {"c64": "AAAA"}]}, 400, "got object at item 1"),
        ({"inputs": "x"}, 400, "expected 1 dimensions"),
        ({"inputs": [[]]}, 400, "expected 1 dimensions"),
        (COLUMNS | {"inputs": {}}, 400, "holds no row"),
        (COLUMNS | {"instances": [{"age": 1}, {"age": [1]}]}, 400, r"Expecting shape \[\] but got: \[1\]"),
        (COLUMNS | {"instances": [{"tags": ["a"]}, {"tags": ["a", "b"]}]}, 400, "Expecting shape"),
        (COLUMNS | {"instances": [{"age": True}]}, 400, "Type: True is not of expected type: float32"),
        (COLUMNS | {"instances": [{"age": 1}, {"age": 10**40}]}, 400, "element: 1 .*without loss"),
        (COLUMNS | {"instances": [{"age": 1}, {"age": 1e300}]}, 400, "element: 1 .*without loss"),
        (COLUMNS | {"instances": [{"age": 1}, {}]}, 400, "element: 1 .*keys must be equal to: age"),
        (COLUMNS | {"inputs": {"age": [[1]]}}, 400, "expected 1 dimensions"),
    ],
)  # fmt: skip
def test_nonsense_in_json_is_refused(
    body: Any, status: int, said: str, shop_server: Server
) -> None:
    response = post(shop_server, body)
    assert response.status_code == status
    (message,) = response.json().values()
    assert len(message) < 1000, "an error shows all of the request"
    assert re.search(said, message), message


def test_paths_that_are_nonsense(shop_server: Server) -> None:
    for path, status in (
        (f"/v1/models/shop/versions/{'9' * 5000}:predict", 400),
        (f"/v1/models/shop/versions/{'9' * 19}:predict", 400),
        ("/v1/models/%ff%fe:predict", 404),
        ("/v1/models/%00:predict", 404),
        ("/v1/models/%ed%a0%80:predict", 404),
        ("/v1/models/:predict", 400),
        ("/v1//:predict", 400),
    ):
        assert post(shop_server, b"{}", path).status_code == status, path
    assert shop_server.http.get(f"/v1/models/shop/versions/{'9' * 5000}").status_code == 400


def test_what_is_unusual_is_answered(shop_server: Server) -> None:
    missing = post(shop_server, COLUMNS | {"instances": [{}, {}]}).json()["predictions"]
    alone = post(shop_server, {"instances": [{"b64": ""}]}).json()["predictions"]
    np.testing.assert_allclose(missing, alone * 2, atol=1e-5)
    for text in ("NaN", "null"):
        answer = post(
            shop_server,
            f'{{"signature_name": "predict_columns", "instances": [{{"age": {text}}}]}}'.encode(),
        )
        assert (answer.status_code == 200) == (text == "NaN")
    twice = b'{"signature_name": "predict_columns", "instances": [{"age": "x", "age": 1}]}'
    assert post(shop_server, twice).status_code == 200


@pytest.mark.parametrize("number", [16777217, -16777219, 2**31 + 129, 2**53 + 1, 2**63, 10**20])
def test_whole_numbers_are_rounded_to_float32(number: int, shop_server: Server) -> None:
    asked = COLUMNS | {"instances": [{"age": number}]}
    rounded = COLUMNS | {"instances": [{"age": float(np.float32(number))}]}
    assert post(shop_server, asked).json() == post(shop_server, rounded).json()


def test_rows_of_people_that_are_nonsense(shop_server: Server) -> None:
    for row in (
        b'{"text": "\\ud800"}', b'{"age": "\\ud800"}', b'{"\\ud800": 1}', b'{"age": [[1]]}', b'{"text": {"a": 1}}',
        b'{"text": [1, {}]}', b'{"age": 1e400}', b'{"age": ' + b"9" * 400 + b"}", b"[]",
    ):  # fmt: skip
        assert post(shop_server, b'{"row": ' + row + b"}", "/explain").status_code == 400, row


def tensor(**fields: Any) -> tensor_pb2.TensorProto:
    sizes = fields.pop("shape", [1])
    found = tensor_pb2.TensorProto(**fields)
    for size in sizes:
        found.tensor_shape.dim.add(size=size)
    return found


def asking(name: str, value: tensor_pb2.TensorProto, signature: str = "predict_columns") -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "shop", signature
    request.inputs[name].CopyFrom(value)
    return request.SerializeToString()


def test_tensors_that_are_nonsense(shop_server: Server) -> None:
    floats, texts = tf.float32.as_datatype_enum, tf.string.as_datatype_enum
    for message, said in (
        (b"\xff\xff\xff", "cannot be decoded"),
        (b"\x0a\x05abc", "cannot be decoded"),
        (asking("age", tensor(dtype=floats, float_val=[1.0], shape=[10**12])), "more than 200000"),
        (asking("text", tensor(dtype=texts, string_val=[b""], shape=[2**31, 2**31])), "more than"),
        (asking("age", tensor(dtype=floats, shape=[0, 10**12])), "expected 1 dimensions"),
        (asking("age", tensor(dtype=floats, float_val=[1.0], shape=[-1])), "negative"),
        (asking("age", tensor(dtype=floats, float_val=[1.0], shape=[1] * 70)), "too many dimens"),
        (asking("age", tensor(dtype=floats, float_val=[1.0, 2.0], shape=[1])), "parsing error"),
        (asking("age", tensor(dtype=floats, tensor_content=b"abc", shape=[1])), "parsing error"),
        (asking("age", tensor(dtype=floats, float_val=[1.0], shape=[])), "expected 1 dimensions"),
        (asking("text", tensor(dtype=texts, string_val=[b"a"], shape=[1, 1])), "expected 1 dimens"),
        (asking("examples", tensor(dtype=texts, string_val=[b"\xff"]), "serving_default"), "parse"),
    ):  # fmt: skip
        code, found = call(shop_server, message)
        assert code == "INVALID_ARGUMENT", message
        assert said in found, found
    for kind in [0, *range(2, 40), *range(101, 140), 999]:
        code, _ = call(shop_server, asking("age", tensor(dtype=kind, resource_handle_val=[{}])))
        assert code == "INVALID_ARGUMENT", kind
    assert call(shop_server, asking("text", tensor(dtype=texts, string_val=[b"\xff"])))[0] == "OK"
    init = asking("age", tensor(dtype=floats, float_val=[1.0]), "__saved_model_init_op")
    assert call(shop_server, init)[0] == "FAILED_PRECONDITION"
    assert shop_server.log("error") == []


@pytest.mark.parametrize(
    ("method", "streams"),
    [
        ("/grpc.health.v1.Health/Check", (False, False)),
        ("/grpc.health.v1.Health/Watch", (False, True)),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", (True, True)),
        ("/inference.GRPCInferenceService/ModelInfer", (False, False)),
        ("/tensorflow.serving.ModelService/GetModelStatus", (False, False)),
    ],
)
def test_messages_that_cannot_be_decoded(
    method: str, streams: tuple[bool, bool], shop_server: Server
) -> None:
    with shop_server.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        if streams == (False, False):
            channel.unary_unary(method)(b"\xff\xff\xff", timeout=60)
        elif streams == (False, True):
            next(channel.unary_stream(method)(b"\xff\xff\xff", timeout=60))
        else:
            next(channel.stream_stream(method)(iter([b"\xff\xff\xff"]), timeout=60))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "cannot be decoded" in raised.value.details()
    assert shop_server.log("error") == []


NAMES = st.sampled_from(
    ["text", "user", "tags", "age", "price", "v1", "examples", "inputs", "b64", "?"]
)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("\ud800"),
    st.binary(max_size=8).map(lambda data: {"b64": base64.b64encode(data).decode()}),
)  # fmt: skip
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(
            ["predict_columns", "serving_default", "transform_features", "classify", "regress"]
        )
        | PLAIN,
        "instances": st.lists(VALUES, max_size=3) | VALUES,
        "inputs": VALUES,
        "examples": st.lists(VALUES, max_size=3) | VALUES,
        "context": VALUES,
        "row": VALUES,
    },
)
BYTES = st.binary(max_size=60)


@pytest.fixture(scope="module", autouse=True)
def nothing_failed(shop_server: Server) -> Any:
    """Nothing that a client of this module sent may be logged as an error of the server's own."""
    before = len(shop_server.log("error"))
    yield
    assert shop_server.log("error")[before:] == []


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, st.sampled_from(["predict", "classify", "regress"]))
@example({"signature_name": "classify", "examples": [{"text": []}]}, "classify")
def test_any_document_is_answered_or_refused(
    shop_server: Server, document: Any, method: str
) -> None:
    post(shop_server, document, f"/v1/models/shop:{method}")
    post(shop_server, document, "/explain")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.data())
def test_any_bytes_are_answered_or_refused(
    shop_server: Server, row: Any, data: st.DataObject
) -> None:
    body = bytearray(json.dumps(COLUMNS | {"instances": [row]}).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    post(shop_server, bytes(body))


KINDS = st.sampled_from([1, 3, 7, 9, 10, 2, 14, 20, 21, 6, 103, 999])
TENSORS = st.builds(
    tensor,
    dtype=KINDS,
    shape=st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**62]), max_size=3),
    float_val=st.lists(st.floats(width=32), max_size=3),
    int64_val=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    string_val=st.lists(st.binary(max_size=6), max_size=3),
    tensor_content=st.just(b"") | st.binary(max_size=12),
)


@settings(max_examples=150, deadline=None)
# No values, in a shape that NumPy cannot hold.
@example("examples", tensor(dtype=7, shape=[2**62, 2**62, 0]), "serving_default")
@example("age", tensor(dtype=1, shape=[2**62, 2**62, 0]), "predict_columns")
@given(NAMES, TENSORS, st.sampled_from(["predict_columns", "serving_default", "classify", "no"]))
def test_any_tensor_is_answered_or_refused(
    shop_server: Server, name: str, value: Any, signature: str
) -> None:
    call(shop_server, asking(name, value, signature))


@settings(max_examples=100, deadline=None)
@given(
    BYTES,
    st.sampled_from(["Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"]),
    st.data(),
)
def test_any_message_is_answered_or_refused(
    shop_server: Server, message: bytes, method: str, data: st.DataObject
) -> None:
    if method == "Predict" and data.draw(st.booleans()):
        message = asking("age", tensor(dtype=1, float_val=[1.0])) + message
    call(shop_server, message, method)
