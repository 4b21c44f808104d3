"""Warm-up requests beside a model, written as TensorFlow Serving's guide says, by tf.io and its protos."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from skewless.model.serve.models.servable import Servable
from skewless.model.serve.models.warmup import REQUESTS, warm_up
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.schemas.errors import DataError
from tests.test_serve import ROWS, example, examples

Log = prediction_log_pb2.PredictionLog


def predict_log(rows: list[bytes], signature: str = "") -> Log:
    log = Log()
    request = log.predict_log.request
    # TensorFlow Serving asks the model beside which the file lies, whatever name stands here.
    request.model_spec.name, request.model_spec.signature_name = "any", signature
    request.inputs["examples"].CopyFrom(tf.make_tensor_proto(rows, tf.string))
    return log


def classify_log(signature: str) -> Log:
    log = Log()
    log.classify_log.request.model_spec.signature_name = signature
    log.classify_log.request.input.example_list.examples.extend(example(row) for row in ROWS)
    return log


def sound_logs() -> list[Log]:
    regress, several = Log(), Log()
    regress.regress_log.request.model_spec.signature_name = "regress"
    given = regress.regress_log.request.input.example_list_with_context
    given.context.CopyFrom(example({"user": "u4"}))
    given.examples.extend(example(row) for row in ROWS[3:])
    for method in ("classify", "regress"):
        task = several.multi_inference_log.request.tasks.add()
        task.method_name = f"tensorflow/serving/{method}"
        task.model_spec.signature_name = method
    several.multi_inference_log.request.input.example_list.examples.add()
    return [predict_log(examples()), classify_log("classify"), regress, several, Log()]


def write(path: Path, logs: list[Log]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


@pytest.fixture(scope="module")
def servable(shop_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Servable:
    root = tmp_path_factory.mktemp("warm") / "1"
    shutil.copytree(shop_model, root)
    return Servable(root, 1)


def asked(servable: Servable, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Returns the signatures that are asked for from now on, with their rows."""
    found: list[tuple[str, int]] = []
    call = servable.call

    def noted(signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found.append((signature, max(map(len, inputs.values()))))
        return call(signature, inputs)

    monkeypatch.setattr(servable, "call", noted)
    return found


def test_each_request_is_answered(servable: Servable, monkeypatch: pytest.MonkeyPatch) -> None:
    write(servable.model.directory / REQUESTS, sound_logs())
    calls, metrics = asked(servable, monkeypatch), Metrics()
    warm_up(servable, metrics)
    assert calls == [
        ("serving_default", 4),
        ("classify", 4),
        ("regress", 1),
        ("classify", 1),
        ("regress", 1),
    ]
    page = metrics.tensorflow_serving.page().decode()
    path = f'model_path="{servable.model.directory}",status="OK"'
    assert f":tensorflow:serving:model_warmup_records_read{{{path}}} 5\n" in page
    assert f":tensorflow:serving:model_warmup_latency_count{{{path}}} 1\n" in page
    # Nobody asked the server for anything.
    assert ":tensorflow:serving:runtime_latency_count" not in page


def streamed() -> Log:
    log = Log()
    log.session_run_log.SetInParent()
    return log


def vast() -> Log:
    log = predict_log([b""])
    log.predict_log.request.inputs["examples"].tensor_shape.dim[0].size = 2**40
    return log


def wide() -> Log:
    """One value that stands for 128 MiB: few enough values, too many bytes."""
    log = predict_log(examples())
    one = tf.make_tensor_proto([1], tf.int64)
    one.tensor_shape.dim[0].size = 2**24
    log.predict_log.request.inputs["n"].CopyFrom(one)
    return log


def handle() -> Log:
    log = predict_log(examples())
    log.predict_log.request.inputs["h"].dtype = tf.resource.as_datatype_enum
    return log


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        (lambda: [predict_log(examples()), predict_log([b"x"])], "(?s)record 1: .*parse example"),
        (lambda: [predict_log(examples(), "no")], 'record 0: Serving signature key "no" not found'),
        (lambda: [predict_log([])], "record 0: the request holds no row"),
        (lambda: [classify_log("regress")], "record 0: Expected classification signature"),
        (lambda: [streamed()], "record 0: Unsupported log_type for warmup: session_run_log"),
        (lambda: [vast()], "record 0: .*: examples: the tensors hold more than 67108864 bytes"),
        (lambda: [wide()], "record 0: .*: n: the tensors hold more than 67108864 bytes"),
        (lambda: [handle()], "record 0: .*: h: type resource is none of string, bool"),
        (lambda: [Log()] * 1001, r"warmup records exceeds the maximum \(1000\)"),
    ],
)
def test_a_request_that_fails_is_told(
    logs: Callable[[], list[Log]], said: str, servable: Servable
) -> None:
    path = servable.model.directory / REQUESTS
    write(path, logs())
    with pytest.raises(DataError, match=said) as failure:
        warm_up(servable, Metrics())
    assert str(path) in str(failure.value)


def record(log: bytes) -> bytes:
    return struct.pack("<QI", len(log), 0) + log + bytes(4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no records at all", "past the file's end"),
        (b"short", "it ends in the head of record 0"),
        (struct.pack("<QI", 2**62, 0), "says 4611686018427387904 bytes, past the file's end"),
        (record(b"a") + record(b"abc")[:-1], "record 1 says 3 bytes, past the file's end"),
        (record(b""), "[Cc]orrupted record.*verify your warmup data is in TFRecord format"),
    ],
)
def test_a_file_of_something_else_is_told(content: bytes, said: str, servable: Servable) -> None:
    path = servable.model.directory / REQUESTS
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as failure:
        warm_up(servable, Metrics())
    assert "{{" not in str(failure.value)


def test_a_record_that_is_no_log_is_told(servable: Servable) -> None:
    path = servable.model.directory / REQUESTS
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff\xff\xff")
    with pytest.raises(DataError, match="record 0: "):
        warm_up(servable, Metrics())


def test_without_requests_nothing_is_asked(
    servable: Servable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (servable.model.directory / REQUESTS).unlink(missing_ok=True)
    calls = asked(servable, monkeypatch)
    warm_up(servable, Metrics())
    assert calls == []
