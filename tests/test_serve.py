"""The server: TensorFlow Serving's interfaces by real clients, against signatures called in process."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from skewless.model.serve.batching_parameters import load
from skewless.model.serve.models.registry import Models
from skewless.model.serve.monitoring import monitoring_config
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.model.serve.server import listening_at
from skewless.schemas.errors import UsageError
from tests.served_figures import figures
from tests.served_process import Server, serving
from tests.test_cli import run

ROWS: list[dict[str, Any]] = [
    {"text": "The great thing, Été 3", "user": "u4", "tags": ["a", "b"], "age": 33.0, "price": 1.5},
    {"text": "The awful thing", "user": "nobody", "tags": ["d"], "age": 70.0, "price": 0.25},
    {"text": "", "user": "u1", "v1": 0.5, "v2": -0.5},
    {},
]
_TOLERANCE = 1e-5
_THREADS = "model_server_batch_threads"


@pytest.fixture(scope="module")
def server(shop_server: Server) -> Server:
    return shop_server


@pytest.fixture(scope="module")
def in_process(shop_model: Path) -> Any:
    """The signatures, called without a server."""
    return tf.saved_model.load(str(shop_model)).signatures


def examples(rows: list[dict[str, Any]] = ROWS) -> list[bytes]:
    return [example(row).SerializeToString() for row in rows]


def example(row: dict[str, Any]) -> tf.train.Example:
    found = tf.train.Example()
    for name, value in row.items():
        values = value if isinstance(value, list) else [value]
        feature = found.features.feature[name]
        if isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(value.encode() for value in values)
    return found


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def post(
    server: Server, method: str, document: Any, path: str = "/v1/models/shop"
) -> httpx.Response:
    return server.http.post(f"{path}:{method}", content=json.dumps(document))


def refused(response: httpx.Response, status: int, said: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    (message,) = response.json().values()
    assert response.json().keys() == {"error"}
    assert re.search(said, message), message


def test_status_and_metadata_have_tensorflow_servings_shapes(server: Server) -> None:
    ok = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("", "/versions/1"):
        assert server.http.get(f"/v1/models/shop{path}").json() == {"model_version_status": [ok]}
    for path in ("/metadata", "/versions/1/metadata"):
        found = server.http.get(f"/v1/models/shop{path}").json()
        assert found["model_spec"] == {"name": "shop", "signature_name": "", "version": "1"}
        signatures = found["metadata"]["signature_def"]["signature_def"]
        assert signatures["serving_default"]["inputs"]["examples"]["dtype"] == "DT_STRING"
        assert signatures["classify"]["method_name"] == "tensorflow/serving/classify"


@pytest.mark.parametrize("signature", ["serving_default", "transform_features", "classify"])
def test_rows_and_columns_of_base64_examples(
    signature: str, server: Server, in_process: Any
) -> None:
    name = "inputs" if signature == "classify" else "examples"
    expected = in_process[signature](**{name: tf.constant(examples())})
    plain = [b64(row) for row in examples()]
    asked = {"signature_name": signature}
    for rows in (plain, [{name: row} for row in plain]):
        found = post(server, "predict", asked | {"instances": rows}).json()["predictions"]
        for output, values in expected.items():
            got = [row[output] if len(expected) > 1 else row for row in found]
            check(np.array(got), values.numpy())
    for columns in (plain, {name: plain}):
        found = post(server, "predict", asked | {"inputs": columns}).json()["outputs"]
        for output, values in expected.items():
            check(np.array(found[output] if len(expected) > 1 else found), values.numpy())


def check(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    if expected.dtype == object:
        assert found.tolist() == [[text.decode() for text in row] for row in expected.tolist()]
    elif expected.dtype.kind == "i":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, atol=_TOLERANCE)


def test_raw_columns_in_both_formats_say_what_examples_say(server: Server, in_process: Any) -> None:
    expected = in_process["serving_default"](examples=tf.constant(examples()))["predictions"]
    missing = {"text": "", "user": "", "tags": [""], "age": float("nan"), "price": float("nan")}
    missing |= {"v1": float("nan"), "v2": float("nan")}
    rows = [missing | row for row in ROWS]
    for row in rows:
        row["tags"] = (row["tags"] + ["", ""])[:2]
    asked = {"signature_name": "predict_columns"}
    found = post(server, "predict", asked | {"instances": rows})
    check(np.array(found.json()["predictions"]), expected.numpy())
    columns = {name: [row[name] for row in rows] for name in missing}
    found = post(server, "predict", asked | {"inputs": columns})
    check(np.array(found.json()["outputs"]), expected.numpy())
    absent = post(server, "predict", asked | {"instances": [{"text": "The great thing"}]})
    alone = in_process["serving_default"](
        examples=tf.constant(examples([{"text": "The great thing"}]))
    )
    check(np.array(absent.json()["predictions"]), alone["predictions"].numpy())


def test_classify_and_regress(server: Server, in_process: Any) -> None:
    asked = {"signature_name": "classify", "context": {"user": "u4"}, "examples": [
        {"text": b64(b"The great thing"), "age": 33.0}, {"tags": ["a", "b"]}]}  # fmt: skip
    rows = [{"text": "The great thing", "age": 33.0, "user": "u4"},
            {"tags": ["a", "b"], "user": "u4"}]  # fmt: skip
    found = post(server, "classify", asked).json()["results"]
    expected = in_process["classify"](inputs=tf.constant(examples(rows)))
    assert [[label for label, _ in row] for row in found] == [["0", "1"]] * 2
    check(np.array([[score for _, score in row] for row in found]), expected["scores"].numpy())
    found = post(server, "regress", asked | {"signature_name": "regress"}).json()["results"]
    expected = in_process["regress"](inputs=tf.constant(examples(rows)))
    check(np.array(found), expected["outputs"].numpy())


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("shop:predict", b"", 400, "JSON Parse error"),
        ("shop:predict", b'{"instances": [1', 400, "JSON Parse error"),
        ("shop:predict", b"[1]", 400, "Is not object"),
        ("shop:predict", b"{}", 400, "Missing 'inputs' or 'instances' key"),
        ("shop:predict", b'{"instances": [], "inputs": []}', 400, "only one of"),
        ("shop:predict", b'{"instances": []}', 400, "No values in 'instances' array"),
        ("shop:predict", b'{"instances": 1}', 400, "to be an list/array"),
        ("shop:predict", b'{"instances": [{"nope": "a"}]}', 400, "keys must be equal to: examples"),
        ("shop:predict", b'{"instances": ["a", ["b"]]}', 400, r"element: 1 .*Expecting shape \[\]"),
        ("shop:predict", b'{"instances": [1]}', 400, "Type: Number is not of expected type: string"),
        ("shop:predict", b'{"instances": [{"b64": "%"}]}', 400, "Unable to base64 decode"),
        ("shop:predict", b'{"instances": [{"b64": "AAAA"}]}', 400, "[Cc]ould not parse example"),
        ("shop:predict", b'{"instances": ["\\ud800"]}', 400, "is not Unicode text"),
        ("shop:predict", b'{"signature_name": 1, "inputs": []}', 400, "must be a string value"),
        ("shop:predict", b'{"signature_name": "no", "inputs": []}', 400, '"no" not found in signat'),
        ("shop:predict", b'{"inputs": {"nope": ["a"]}}', 400, "Missing named input: examples"),
        ("shop:predict", b'{"inputs": [["a"]]}', 400, "expected 1 dimensions"),
        ("shop:predict", b'{"inputs": []}', 400, "holds no row"),
        ("shop:predict", b'{"signature_name": "predict_columns", "inputs": {"age": ["1"]}}', 400,
         "Type: String is not of expected type: float32"),
        ("shop:predict", b'{"signature_name": "predict_columns", "inputs": {"age": [1e39]}}', 400,
         "without loss of precision"),
        ("shop:predict", b'{"signature_name": "predict_columns", "inputs": {"age": [1, 2], '
         b'"price": [1]}}', 400, "expected 2 rows of every input, got 1 of price"),
        ("shop:predict", b'{"signature_name": "predict_columns", "instances": ["a"]}', 400,
         "instances is a plain list"),
        ("shop:predict", b'{"signature_name": "predict_columns", "inputs": {"tags": [["a"], []]}}',
         400, "list at unexpected size: 0 at level: 1 expected size: 1"),
        ("shop:classify", b'{"examples": [{}]}', 400, "method_name to be tensorflow/serving/classify"),
        ("shop:regress", b'{"signature_name": "regress"}', 400, "key 'examples' is expected"),
        ("shop:regress", b'{"signature_name": "regress", "examples": []}', 400, "empty array"),
        ("shop:regress", b'{"signature_name": "regress", "examples": [{"age": [1, 2.5]}]}', 400,
         "Unexpected element type in feature: age"),
        ("shop:regress", b'{"signature_name": "regress", "examples": [{"age": null}]}', 400,
         "unexpected JSON type: Null"),
        ("other:predict", b"{}", 404, r"Servable not found for request: Latest\(other\)"),
        ("shop/versions/7:predict", b"{}", 404, r"not found for request: Specific\(shop, 7\)"),
        ("shop/versions/99999999999999999999:predict", b"{}", 400, "Failed to convert version"),
        ("shop/labels/stable:predict", b"{}", 400, "Unrecognized servable version label: stable"),
        ("shop:explode", b"{}", 400, "Malformed request: POST /v1/models/shop:explode"),
        ("shop:predict", b"x" * 200_001, 413, "larger than 200000 bytes"),
    ],
)  # fmt: skip
def test_refusals_have_tensorflow_servings_shape(
    path: str, body: bytes, status: int, said: str, server: Server
) -> None:
    refused(server.http.post(f"/v1/models/{path}", content=body), status, said)


def test_paths_that_are_not_there(server: Server) -> None:
    refused(server.http.get("/v1/models/other"), 404, "Could not find any versions of model other")
    refused(server.http.get("/v1/models/shop/versions/7"), 404, "Could not find version 7 of model")
    refused(server.http.get("/v1/models"), 400, "Malformed request: GET /v1/models")
    refused(server.http.delete("/v1/models/shop"), 400, "Malformed request: DELETE")
    refused(server.http.get("/nothing"), 404, "Not Found: GET /nothing")
    refused(server.http.post("/metrics"), 405, "Method Not Allowed")


def test_bodies_in_chunks_and_gzipped_are_limited_too(server: Server) -> None:
    body = json.dumps({"instances": [b64(row) for row in examples()]}).encode()
    url = "/v1/models/shop:predict"
    plain = server.http.post(url, content=body).json()
    packed = server.http.post(
        url, content=gzip.compress(body), headers={"Content-Encoding": "gzip"}
    )
    assert packed.json() == plain
    assert server.http.post(url, content=iter([body[:9], body[9:]])).json() == plain
    bomb = gzip.compress(b" " * 1_000_000)
    headers = {"Content-Encoding": "gzip"}
    refused(server.http.post(url, content=bomb, headers=headers), 413, "larger than 200000 bytes")
    refused(server.http.post(url, content=body, headers=headers), 400, "is not gzip")
    refused(server.http.post(url, content=bomb[:20], headers=headers), 400, "ends too early")
    chunks = iter([b"x" * 100_000] * 3)
    refused(server.http.post(url, content=chunks), 413, "larger than 200000 bytes")
    unknown = server.http.post(url, content=body, headers={"Content-Encoding": "br"})
    refused(unknown, 415, "expected gzip or none")


def predict_request(rows: list[bytes], **spec: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "shop"
    for name, value in spec.items():
        setattr(request.model_spec, name, value)
    request.inputs["examples"].CopyFrom(tf.make_tensor_proto(rows))
    return request


def test_a_grpc_client_predicts(server: Server, in_process: Any) -> None:
    stub = server.predictions()
    expected = in_process["serving_default"](examples=tf.constant(examples()))["predictions"]
    reply = stub.Predict(predict_request(examples()), timeout=60)
    assert (reply.model_spec.name, reply.model_spec.version.value) == ("shop", 1)
    assert reply.model_spec.signature_name == "serving_default"
    check(tf.make_ndarray(reply.outputs["predictions"]), expected.numpy())
    check(np.array(reply.outputs["predictions"].float_val), expected.numpy().ravel())
    request = predict_request(examples(), signature_name="transform_features")
    request.output_filter.extend(["text", "age"])
    request.model_spec.version.value = 1
    reply = stub.Predict(request, timeout=60)
    transformed = in_process["transform_features"](examples=tf.constant(examples()))
    assert reply.outputs.keys() == {"text", "age"}
    for name in ("text", "age"):
        check(tf.make_ndarray(reply.outputs[name]), transformed[name].numpy())


def test_a_grpc_client_sends_raw_columns(server: Server, in_process: Any) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "shop", "predict_columns"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["The great thing", "The awful thing"]))
    request.inputs["tags"].CopyFrom(tf.make_tensor_proto([["a", ""], ["b", "c"]]))
    reply = server.predictions().Predict(request, timeout=60)
    rows = [
        {"text": "The great thing", "tags": ["a"]},
        {"text": "The awful thing", "tags": ["b", "c"]},
    ]
    expected = in_process["serving_default"](examples=tf.constant(examples(rows)))["predictions"]
    check(tf.make_ndarray(reply.outputs["predictions"]), expected.numpy())


def test_a_grpc_client_classifies_and_regresses(server: Server, in_process: Any) -> None:
    stub = server.predictions()
    rows = [example(row) for row in ROWS]
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "shop", "classify"
    request.input.example_list.examples.extend(rows)
    reply = stub.Classify(request, timeout=60)
    expected = in_process["classify"](inputs=tf.constant(examples()))["scores"].numpy()
    found = [[entry.score for entry in row.classes] for row in reply.result.classifications]
    check(np.array(found), expected)
    assert [entry.label for entry in reply.result.classifications[0].classes] == ["0", "1"]
    asked = regression_pb2.RegressionRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "shop", "regress"
    asked.input.example_list_with_context.context.CopyFrom(example({"user": "u4"}))
    asked.input.example_list_with_context.examples.extend(rows[3:])
    reply = stub.Regress(asked, timeout=60)
    alone = in_process["regress"](inputs=tf.constant(examples([{"user": "u4"}])))["outputs"]
    check(np.array([entry.value for entry in reply.result.regressions]), alone.numpy())


def test_a_grpc_client_asks_two_signatures_at_once(server: Server, in_process: Any) -> None:
    def asked(*tasks: tuple[str, str, str]) -> inference_pb2.MultiInferenceRequest:
        request = inference_pb2.MultiInferenceRequest()
        for model, signature, method in tasks:
            task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
            task.model_spec.name, task.model_spec.signature_name = model, signature
        request.input.example_list.examples.extend(example(row) for row in ROWS)
        return request

    both = ("shop", "classify", "classify"), ("shop", "regress", "regress")
    stub = server.predictions()
    classes, values = stub.MultiInference(asked(*both)).results
    expected = in_process["classify"](inputs=tf.constant(examples()))["scores"]
    rows = classes.classification_result.classifications
    check(np.array([[found.score for found in row.classes] for row in rows]), expected.numpy())
    expected = in_process["regress"](inputs=tf.constant(examples()))["outputs"]
    found = np.array([row.value for row in values.regression_result.regressions])
    check(found, expected.numpy())
    assert classes.model_spec.version.value == 1
    for tasks, code in (
        ((), "INVALID_ARGUMENT"),
        ((both[0], both[0]), "INVALID_ARGUMENT"),
        ((both[0], ("other", "regress", "regress")), "INVALID_ARGUMENT"),
        ((("shop", "classify", "predict"),), "UNIMPLEMENTED"),
        ((("shop", "classify", "regress"),), "INVALID_ARGUMENT"),
        ((("gone", "classify", "classify"),), "NOT_FOUND"),
    ):
        with pytest.raises(grpc.RpcError) as refusal:
            stub.MultiInference(asked(*tasks))
        assert refusal.value.code().name == code, tasks


def test_a_grpc_client_asks_for_metadata_and_status(server: Server) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "shop"
    reply = server.predictions().GetModelMetadata(request, timeout=60)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(signatures)
    assert "examples" in signatures.signature_def["serving_default"].inputs
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "shop"
    (status,) = server.models().GetModelStatus(asked, timeout=60).model_version_status
    assert (status.version, status.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)


def test_grpc_refusals_have_tensorflow_servings_codes(server: Server) -> None:
    stub = server.predictions()
    missing = get_model_metadata_pb2.GetModelMetadataRequest()
    missing.model_spec.name = "shop"
    other = predict_request(examples())
    other.inputs["more"].CopyFrom(tf.make_tensor_proto(["a"]))
    filtered = predict_request(examples())
    filtered.output_filter.append("nope")
    numbers = predict_request([])
    numbers.inputs["examples"].CopyFrom(tf.make_tensor_proto([1.5]))
    garbled = predict_request([])
    garbled.inputs["examples"].CopyFrom(tf.make_tensor_proto(examples()))
    garbled.inputs["examples"].tensor_shape.dim[0].size = 3
    versioned = predict_request(examples())
    versioned.model_spec.version.value = 7
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name = "shop"
    large = predict_request([b"x" * 200_001])
    for call, request, code, said in (
        (stub.Predict, predict_request([], name="other"), "NOT_FOUND", r"Latest\(other\)"),
        (stub.Predict, versioned, "NOT_FOUND", r"Specific\(shop, 7\)"),
        (stub.Predict, predict_request([], signature_name="no"), "FAILED_PRECONDITION", '"no" not'),
        (stub.Predict, other, "INVALID_ARGUMENT", "Sent extra: {more}"),
        (stub.Predict, predict_request([b"x"]), "INVALID_ARGUMENT", "[Cc]ould not parse example"),
        (stub.Predict, filtered, "INVALID_ARGUMENT", "output tensor alias not found in signature"),
        (stub.Predict, numbers, "INVALID_ARGUMENT", "expected type: string got: float32"),
        (stub.Predict, garbled, "INVALID_ARGUMENT", "tensor parsing error: examples"),
        (stub.Predict, large, "RESOURCE_EXHAUSTED", "larger than max"),
        (stub.Classify, classify, "INVALID_ARGUMENT", "tensorflow/serving/predict"),
        (stub.GetModelMetadata, missing, "INVALID_ARGUMENT", "at least one metadata_field"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=60)
        assert caught.value.code().name == code, caught.value.details()
        assert re.search(said, caught.value.details()), caught.value.details()


def test_one_bad_row_fails_alone_when_many_are_sent_at_once(
    server: Server, in_process: Any
) -> None:
    rows = examples()
    expected = in_process["serving_default"](examples=tf.constant(rows))["predictions"].numpy()

    def ask(number: int) -> tuple[int, httpx.Response]:
        row = b64(b"not an example" if number % 5 == 4 else rows[number % 5])
        return number, post(server, "predict", {"instances": [row]})

    with ThreadPoolExecutor(16) as threads:
        for number, response in threads.map(ask, range(200)):
            if number % 5 == 4:
                refused(response, 400, "[Cc]ould not parse example")
            else:
                check(np.array(response.json()["predictions"]), expected[number % 5][None])


def test_large_replies_come_gzipped_to_those_who_take_it(server: Server) -> None:
    body = json.dumps({"instances": [b64(examples()[0])] * 300})
    packed, plain = (
        server.http.post(
            "/v1/models/shop:predict", content=body, headers={"Accept-Encoding": taken}
        )
        for taken in ("gzip", "identity")
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 4
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert len(plain.json()["predictions"]) == 300
    small = post(server, "predict", {"instances": [b64(examples()[0])]})
    assert "content-encoding" not in small.headers


def test_health_figures_and_log(server: Server) -> None:
    assert server.http.get("/healthz").json() == {"status": "ok"}
    assert server.http.get("/readyz").json() == {"status": "ok", "version": "1"}
    before = len(server.log("request"))
    post(server, "predict", {"instances": [b64(examples()[0])] * 3})
    post(server, "predict", {"instances": []})
    server.wait_for("request", before + 2)
    good, bad = server.log("request")[before : before + 2]
    assert good.items() >= {
        "level": "info", "protocol": "rest", "method": "predict", "code": "OK", "http": "POST",
        "path": "/v1/models/shop:predict", "status": 200, "rows": 3, "version": 1}.items()  # fmt: skip
    assert good["ms"] > 0
    assert bad.items() >= {"code": "INVALID_ARGUMENT", "status": 400}.items()
    figures = server.http.get("/metrics").text
    assert figures.count("\n") > 20
    found = dict(re.findall(r"^(skewless\S+) (\S+)$", figures, re.MULTILINE))
    rejected = 'skewless_requests_total{code="INVALID_ARGUMENT",method="predict",protocol="rest"}'
    assert float(found[rejected]) >= 1
    assert float(found['skewless_model_version{model="shop"}']) == 1
    assert float(found["skewless_queued_rows"]) == 0
    assert float(found['skewless_request_seconds_count{method="predict",protocol="rest"}']) >= 2
    assert float(found["skewless_batch_rows_sum"]) >= 3


def test_figures_have_tensorflow_servings_names(server: Server) -> None:
    row, served = b64(examples()[0]), ":tensorflow:serving"
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = "shop", "classify"
    classify.input.example_list.examples.extend(example(row) for row in ROWS)
    before = figures(server)
    post(server, "predict", {"instances": [row] * 3})
    post(server, "predict", {"instances": []})
    post(server, "predict", {"instances": [row]}, "/v1/models/made-up")
    server.http.get("/v1/models/shop")
    server.predictions().Predict(predict_request(examples()), timeout=60)
    server.predictions().Classify(classify, timeout=60)
    after = figures(server)

    def more(name: str, **labels: str) -> float:
        key = f"{served}:{name}", frozenset(labels.items())
        return after.get(key, 0) - before.get(key, 0)

    assert more("request_count", model_name="shop", status="OK") == 4
    assert more("request_count", model_name="shop", status="INVALID_ARGUMENT") == 1
    assert more("request_count", model_name="", status="NOT_FOUND") == 1
    assert not any("made-up" in dict(labels).values() for _, labels in after)
    for api, entrypoint, count in (
        ("predict", "REST", 1),
        ("", "REST", 1),
        ("Predict", "GRPC", 1),
        ("Classify", "GRPC", 1),
    ):
        labels = {"model_name": "shop", "API": api, "entrypoint": entrypoint}
        assert more("request_latency_count", **labels) == count
        # In microseconds: no answer takes less than 10 or more than a minute.
        assert 10 < more("request_latency_sum", **labels) < 60e6
        bounds = [
            float(dict(found)["le"])
            for name, found in after
            if name.endswith("request_latency_bucket") and labels.items() <= dict(found).items()
        ]
        assert bounds[:-1] == [float(f"{10 * 1.8**power:g}") for power in range(33)]
        assert bounds[-1] == float("inf")
    for api, count in (("Predict", 2), ("Classify", 1), ("Regress", 0)):
        labels = {"model_name": "shop", "API": api, "runtime": "TF2"}
        assert more("runtime_latency_count", **labels) == count
    assert more("request_example_counts_count", model="shop") == 1
    assert more("request_example_counts_sum", model="shop") == len(ROWS)
    assert more("request_example_count_total", model="shop") == len(ROWS)
    assert more("batching_session:wrapped_run_count") == 3
    assert more("batching_session:processed_batch_size_sum") == 3 + 2 * len(ROWS)
    assert more("batching_session:queuing_latency_count", thread_pool_name=_THREADS) == 3
    loads = {name: value for (name, _), value in after.items() if "saved_model:load" in name}
    assert loads[":tensorflow:cc:saved_model:load_attempt_count"] == 1
    assert 1e4 < loads[":tensorflow:cc:saved_model:load_latency"] < 600e6


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/figures" }', "/figures"),
        ('prometheus_config { path: "/figures" }', None),
        ("", None),
    ],
)
def test_monitoring_config(text: str, path: str | None, tmp_path: Path) -> None:
    file = tmp_path / "monitoring.txt"
    file.write_text(text)
    assert monitoring_config.load(file) == path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prometheus { enable: true }", "cannot be read as a MonitoringConfig"),
        ("prometheus_config { enable: true path: 'figures' }", "begins with /, got 'figures'"),
        ("prometheus_config { enable: true path: '/metrics' }", "'/metrics' is taken"),
        ("prometheus_config { enable: true path: '/v1/models' }", "'/v1/models' is taken"),
    ],
)
def test_monitoring_config_is_checked(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "monitoring.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        monitoring_config.load(file)


@pytest.mark.slow
def test_a_new_version_takes_over_without_dropping_a_request(
    shop_model: Path, tmp_path: Path
) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    with serving(versions, tmp_path, "--model-name", "shop", "--poll", "0.1") as server:
        refused(server.http.get("/v1/models/shop"), 404, "Could not find any versions")
        assert server.http.get("/readyz").status_code == 503
        appear(shop_model, versions, "1")
        server.wait_for("loaded", version=1)
        done = threading.Event()
        answers: list[tuple[int, str]] = []

        def ask(_: int) -> None:
            body = json.dumps({"instances": [b64(examples()[0])]})
            with httpx.Client(base_url=server.url, timeout=120) as client:
                while not done.is_set():
                    answer = client.post("/v1/models/shop:predict", content=body)
                    answers.append((answer.status_code, answer.text))

        def ask_by_grpc(_: int) -> None:
            stub = server.predictions()
            while not done.is_set():
                reply = stub.Predict(predict_request(examples()[:1]), timeout=120)
                answers.append((200, str(reply.model_spec.version.value)))

        with ThreadPoolExecutor(6) as threads:
            jobs = [threads.submit(ask, i) for i in range(4)]
            jobs += [threads.submit(ask_by_grpc, i) for i in range(2)]
            appear(shop_model, versions, "12")
            server.wait_for("loaded", version=12)
            server.wait_for("unloaded", version=1)
            broken = tmp_path / "broken"
            broken.mkdir()
            (broken / "saved_model.pb").write_bytes(b"no model")
            broken.rename(versions / "13")
            server.wait_for("not loaded", version=13)
            counted = len(answers)
            while len(answers) < counted + 50 and not any(job.done() for job in jobs):
                time.sleep(0.05)
            done.set()
            for job in jobs:
                job.result()
        assert {status for status, _ in answers} == {200}
        assert {"1", "12"} <= {text for _, text in answers}
        found = server.http.get("/v1/models/shop").json()["model_version_status"]
        assert {entry["version"]: entry["state"] for entry in found} == {
            "13": "END", "12": "AVAILABLE", "1": "END"}  # fmt: skip
        assert (
            "is not" in found[0]["status"]["error_message"] or found[0]["status"]["error_message"]
        )
        assert found[0]["status"]["error_code"] == "UNKNOWN"
        body = {"instances": [b64(examples()[0])]}
        assert post(server, "predict", body, "/v1/models/shop/versions/12").status_code == 200
        refused(post(server, "predict", body, "/v1/models/shop/versions/1"), 404, "Specific")
        shutil.rmtree(versions / "12")
        server.wait_for("loaded", 2, version=1)
        assert server.http.get("/readyz").json()["version"] == "1"


def appear(model: Path, versions: Path, number: str) -> None:
    """Lets a version appear whole, as `export` does."""
    shutil.copytree(model, versions / f".{number}.partial")
    (versions / f".{number}.partial").rename(versions / number)


@pytest.mark.slow
def test_requests_in_flight_are_answered_when_it_stops(shop_model: Path, tmp_path: Path) -> None:
    batching = tmp_path / "batching.txt"
    batching.write_text("max_batch_size { value: 8 }\nbatch_timeout_micros { value: 3000000 }\n")
    options = ("--batching-parameters-file", str(batching))
    with serving(shop_model, tmp_path, *options) as server, ThreadPoolExecutor(2) as threads:
        body = {"instances": [b64(row) for row in examples()]}
        by_rest = threads.submit(post, server, "predict", body)
        by_grpc = threads.submit(server.predictions().Predict, predict_request(examples()[:3]), 120)
        while "skewless_queued_rows 7.0" not in server.http.get("/metrics").text:
            time.sleep(0.01)
        server.process.terminate()
        server.wait_for("stopping")
        assert by_rest.result().status_code == 200
        assert len(by_grpc.result().outputs["predictions"].float_val) == 3
        assert server.process.wait(120) == 0
        assert server.log()[-1]["event"] == "stopped"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")


@pytest.mark.slow
def test_slow_requests_end_with_the_timeout(shop_model: Path, tmp_path: Path) -> None:
    batching = tmp_path / "batching.txt"
    batching.write_text("max_batch_size { value: 8 } batch_timeout_micros { value: 600000000 }")
    options = ("--batching-parameters-file", str(batching), "--timeout", "0.5")
    with serving(shop_model, tmp_path, *options) as server:
        body = {"instances": [b64(examples()[0])]}
        refused(post(server, "predict", body), 504, "no answer within 0.5 seconds")
        with pytest.raises(grpc.RpcError) as caught:
            server.predictions().Predict(predict_request(examples()[:1]), timeout=60)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as trickle:
            trickle.sendall(
                b"POST /v1/models/shop:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"
            )
            assert trickle.recv(4096).startswith(b"HTTP/1.1 504")
        eight = {"instances": [b64(examples()[0])] * 8}
        assert post(server, "predict", eight).status_code == 200


@pytest.mark.slow
def test_more_than_may_wait_is_refused(shop_model: Path, tmp_path: Path) -> None:
    batching = tmp_path / "batching.txt"
    batching.write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 600000000 }\n"
        "max_enqueued_batches { value: 1 } num_batch_threads { value: 1 } "
        "allowed_batch_sizes: 2 allowed_batch_sizes: 4"
    )
    monitoring = tmp_path / "monitoring.txt"
    monitoring.write_text('prometheus_config { enable: true path: "/figures" }')
    options = ("--batching-parameters-file", str(batching), "--no-grpc")
    options += ("--monitoring_config_file", str(monitoring))
    with serving(shop_model, tmp_path, *options) as server, ThreadPoolExecutor(1) as threads:
        assert server.grpc_address == ""
        assert server.http.get("/monitoring/prometheus/metrics").status_code == 404
        assert figures(server, "/figures")
        rows = [b64(row) for row in examples()]
        waiting = threads.submit(post, server, "predict", {"instances": rows[:3]})
        while "skewless_queued_rows 3.0" not in server.http.get("/metrics").text:
            time.sleep(0.01)
        refused(post(server, "predict", {"instances": rows[:2]}), 503, "queue is full: 3 rows wait")
        last = post(server, "predict", {"instances": rows[3:]})
        whole = waiting.result().json()["predictions"] + last.json()["predictions"]
        split = post(server, "predict", {"instances": rows * 3}).json()["predictions"]
        np.testing.assert_allclose(split, whole * 3, atol=_TOLERANCE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size: 4", "cannot be read as batching parameters"),
        ("max_batch_sizes { value: 4 }", "cannot be read as batching parameters"),
        ("max_batch_size { value: 0 }", "max_batch_size: expected at least 1, got 0"),
        ("allowed_batch_sizes: 8", "expected growing sizes that end with max_batch_size"),
    ],
)
def test_batching_parameters_are_checked(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "batching.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load(path)


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found no directory; `skewless export"):
        Models.one(tmp_path / "gone", Metrics())


def test_an_address_that_is_taken_is_named(shop_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", str(shop_model), "--port", port)
    assert done.returncode == 2
    assert f"--port {port}: cannot listen there" in done.stderr


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with (
        listening_at("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
