"""The Open Inference Protocol, by Triton's own clients, beside TensorFlow Serving's `:predict`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from skewless.model.serve.oip.messages import DESCRIPTOR, message
from tests.served_process import Server, serving

COLUMNS: dict[str, tuple[str, Any]] = {
    "text": ("BYTES", np.array([b"The great thing, \xc3\x89t\xc3\xa9 3", b"The awful thing", b""], object)),
    "tags": ("BYTES", np.array([[b"a", b"b"], [b"d", b""], [b"", b""]], object)),
    "age": ("FP32", np.array([33.0, 70.0, np.nan], np.float32)),
    "price": ("FP32", np.array([1.5, 0.25, 0.1], np.float32)),
}  # fmt: skip
_ROWS = 3


@pytest.fixture(scope="module")
def server(shop_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--max-body-bytes", "200000")
    with serving(shop_model, tmp_path_factory.mktemp("oip"), *options) as running:
        yield running


@pytest.fixture(scope="module")
def expected(server: Server) -> np.ndarray:
    """What `:predict` says of the same columns."""
    plain = {
        name: [float(value) for value in values] if kind == "FP32" else _texts(values)
        for name, (kind, values) in COLUMNS.items()
    }
    body = json.dumps({"signature_name": "predict_columns", "inputs": plain})
    found = server.http.post("/v1/models/shop:predict", content=body).json()
    return np.array(found["outputs"], np.float32)


def _texts(values: np.ndarray) -> Any:
    return np.vectorize(lambda value: value.decode(), otypes=[object])(values).tolist()


def inputs(client: Any, names: tuple[str, ...] = tuple(COLUMNS), **options: Any) -> list[Any]:
    made = []
    for name in names:
        kind, values = COLUMNS[name]
        made.append(client.InferInput(name, list(values.shape), kind))
        made[-1].set_data_from_numpy(values, **options)
    return made


def test_the_messages_are_those_of_the_protocol() -> None:
    theirs = service_pb2.DESCRIPTOR
    for method in DESCRIPTOR.methods:
        other = theirs.services_by_name["GRPCInferenceService"].methods_by_name[method.name]
        for mine, its in (
            (method.input_type, other.input_type),
            (method.output_type, other.output_type),
        ):
            assert mine.full_name == its.full_name
            assert _fields(mine) == _fields(its)
    assert len(DESCRIPTOR.methods) == 6


def _fields(descriptor: Any) -> dict[str, tuple]:
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            field.containing_oneof and field.containing_oneof.name,
            field.message_type and (field.message_type.full_name, _fields(field.message_type)),
        )
        for field in descriptor.fields
    }


def test_a_rest_client_asks_and_predicts(server: Server, expected: np.ndarray) -> None:
    with triton_http.InferenceServerClient(server.url.removeprefix("http://")) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("shop") and client.is_model_ready("shop", "1")
        assert not client.is_model_ready("shop", "2") and not client.is_model_ready("other")
        told = client.get_server_metadata()
        assert (told["name"], told["extensions"]) == ("skewless", ["binary_tensor_data"])
        _check_metadata(client.get_model_metadata("shop"))
        for binary_in in (True, False):
            # JSON has no NaN.
            names = tuple(COLUMNS) if binary_in else ("text", "tags", "price")
            asked = inputs(triton_http, names, binary_data=binary_in)
            for outputs in (None, [triton_http.InferRequestedOutput("predictions", False)]):
                result = client.infer("shop", asked, "1", outputs=outputs, request_id="7")
                found = result.as_numpy("predictions")
                assert found.dtype == np.float32
                assert found.tobytes() == expected.tobytes() or not binary_in
                assert found.shape == expected.shape
                answer = result.get_response()
                assert (answer["model_name"], answer["model_version"]) == ("shop", "1")
                assert answer["id"] == "7"
        packed = client.infer("shop", inputs(triton_http), request_compression_algorithm="gzip")
        assert packed.as_numpy("predictions").tobytes() == expected.tobytes()
        with pytest.raises(InferenceServerException, match="not found for request: Latest"):
            client.infer("other", inputs(triton_http))


def test_a_grpc_client_asks_and_predicts(server: Server, expected: np.ndarray) -> None:
    with triton_grpc.InferenceServerClient(server.grpc_address) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("shop") and client.is_model_ready("shop", "1")
        assert not client.is_model_ready("shop", "2") and not client.is_model_ready("other")
        assert client.get_server_metadata(as_json=True)["name"] == "skewless"
        _check_metadata(client.get_model_metadata("shop", as_json=True))
        result = client.infer("shop", inputs(triton_grpc), "1", request_id="7")
        assert result.as_numpy("predictions").tobytes() == expected.tobytes()
        answer = result.get_response()
        assert (answer.model_name, answer.model_version, answer.id) == ("shop", "1", "7")
        only = client.infer("shop", inputs(triton_grpc, ("text",)))
        assert only.as_numpy("predictions").shape == expected.shape
        wrong = triton_grpc.InferInput("age", [1], "FP64")
        wrong.set_data_from_numpy(np.array([1.0]))
        nowhere = [triton_grpc.InferRequestedOutput("nope")]
        for asked, options, code in (
            ("other", {}, "NOT_FOUND"),
            ("shop", {"model_version": "2"}, "NOT_FOUND"),
            ("shop", {"model_version": "x"}, "INVALID_ARGUMENT"),
            ("shop", {"outputs": nowhere}, "INVALID_ARGUMENT"),
        ):
            with pytest.raises(InferenceServerException) as caught:
                client.infer(asked, inputs(triton_grpc), **options)
            assert caught.value.status() == f"StatusCode.{code}"
        with pytest.raises(InferenceServerException, match="expected the datatype FP32"):
            client.infer("shop", [wrong])


def _check_metadata(told: dict[str, Any]) -> None:
    assert (told["name"], told["versions"]) == ("shop", ["1"])
    found = {
        entry["name"]: (entry["datatype"], [int(size) for size in entry["shape"]])
        for entry in told["inputs"]
    }
    assert found["text"] == ("BYTES", [-1])
    assert found["tags"] == ("BYTES", [-1, -1])
    assert found["age"] == ("FP32", [-1])
    assert [entry["name"] for entry in told["outputs"]] == ["predictions"]


def test_values_may_come_in_grpcs_own_fields(server: Server, expected: np.ndarray) -> None:
    request = service_pb2.ModelInferRequest(model_name="shop")
    for name, (kind, values) in COLUMNS.items():
        tensor = request.inputs.add(name=name, datatype=kind, shape=values.shape)
        field = {"BYTES": "bytes_contents", "FP32": "fp32_contents"}[kind]
        getattr(tensor.contents, field).extend(values.ravel().tolist())
    with server.channel() as channel:
        reply = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
        assert not reply.raw_output_contents
        found = np.array(reply.outputs[0].contents.fp32_contents, np.float32)
        assert found.tobytes() == expected.tobytes()
        request.raw_input_contents.append(b"")
        with pytest.raises(grpc.RpcError) as caught:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert message("ModelInferRequest") is not service_pb2.ModelInferRequest


def one(name: str = "age", datatype: str = "FP32", shape: Any = (1,), **more: Any) -> Any:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, **more}]}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "expected the request to be a JSON object"),
        ({}, "expected 'inputs' to be a list"),
        (one(data=[1.5, 2.5]), "expected 1 values for the shape .1., got 2"),
        (one(data=["1.5"]), "expected values of FP32, got '1.5'"),
        (one(data=[True]), "expected values of FP32, got True"),
        (one(data=[1e39]), "beyond the range of FP32"),
        (one(data=[[1.5]]), "expected values of FP32, got"),
        (one(shape=[1, 1], data=[[1.5]]), "expected 1 dimensions"),
        (one(shape=[-1], data=[1.5]), "is less than 0"),
        (one(shape=[2**62, 2**62, 0], data=[]), "expected at most 1152921504606846975 values"),
        (one(shape=[1.0], data=[1.5]), "a shape of whole numbers"),
        (one(shape=[10**12], data=[1.5]), "expected 1000000000000 values"),
        (one(datatype="FP64", data=[1.5]), "expected the datatype FP32, got 'FP64'"),
        (one(datatype="FP8", data=[1.5]), "datatype 'FP8' is none"),
        (one(name="nope", data=[1.5]), "unexpected input 'nope'; the model takes age"),
        (one(), "expected 'data' to be a list"),
        (one(parameters={"binary_data_size": 4}), "the body ends within its bytes"),
        (one(parameters={"binary_data_size": -4}), "expected a number of bytes"),
        (one(data=[1.5]) | {"outputs": [{"name": "nope"}]}, "output tensor alias not found"),
        (one(data=[1.5]) | {"inputs": one(data=[1.5])["inputs"] * 2}, "is there twice"),
    ],
)
def test_refusals(document: Any, said: str, server: Server) -> None:
    answer = server.http.post("/v2/models/shop/infer", content=json.dumps(document))
    _refused(answer, said)


def _refused(answer: httpx.Response, said: str) -> None:
    assert answer.status_code == 400, answer.text
    assert answer.json().keys() == {"error"}
    assert re.search(said, answer.json()["error"]), answer.text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x05\x00\x00\x00abc", "its bytes end within element 0"),
        (b"\x01\x00\x00\x00ab", "its bytes end within element 1"),
        (b"", "expected 1 values for the shape .1., got 0"),
    ],
)
def test_binary_strings_that_end_early(data: bytes, said: str, server: Server) -> None:
    head = json.dumps(one("text", "BYTES", parameters={"binary_data_size": len(data)})).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    _refused(server.http.post("/v2/models/shop/infer", content=head + data, headers=headers), said)


def test_bodies_that_are_not_as_long_as_they_say(server: Server) -> None:
    data = b"\x01\x00\x00\x00a"
    head = json.dumps(one("text", "BYTES", parameters={"binary_data_size": len(data)})).encode()
    for size, body, said in (
        (len(head), head + data + b"x", "bytes of JSON and tensors, got"),
        (99_999, head + data, "at most, got 99999"),
        ("ten", head + data, "expected a number of bytes, got ten"),
    ):
        headers = {"Inference-Header-Content-Length": str(size)}
        answer = server.http.post("/v2/models/shop/infer", content=body, headers=headers)
        _refused(answer, said)
    assert server.http.get("/v2/nothing").status_code == 404
