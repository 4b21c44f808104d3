"""Warm-up: requests that lie beside a model and are answered before it is served.

    MODEL/assets.extra/tf_serving_warmup_requests    a TFRecord file of PredictionLogs, as TensorFlow Serving reads

They are data, run through the model's own signatures as a client's requests are. A version whose requests
are not answered, each of them, is not served.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import input_pb2, model_pb2, prediction_log_pb2

from skewless.model.serve import inference
from skewless.model.serve.batching import Batcher
from skewless.model.serve.batching_parameters import BatchingParameters
from skewless.model.serve.models.servable import Arrays, Servable, of_tensorflow
from skewless.model.serve.monitoring.event_log import log
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.model.serve.reading.tensor_protos import arrays_of
from skewless.model.serve.status import ServingError
from skewless.schemas.errors import DataError
from skewless.schemas.records.layout import EXTRA

__all__ = ["REQUESTS", "warm_up"]

REQUESTS = f"{EXTRA}/tf_serving_warmup_requests"
_MOST_RECORDS = 1000
_MOST_BYTES = 64 * 1024 * 1024
# Of a record: its length, and a checksum of that; after the record, one of it.
_HEAD, _FOOT = 12, 4
_CLASSIFY = "tensorflow/serving/classify"


def warm_up(servable: Servable, metrics: Metrics) -> None:
    """Answers the requests that lie beside a model; without any, does nothing.

    Raises:
      DataError: If the file is no TFRecord file, or too large, or a request in it fails.
    """
    path = servable.model.directory / REQUESTS
    if not path.is_file():
        return
    begun = time.perf_counter()
    count = asyncio.run(_replay(servable, path))
    seconds = time.perf_counter() - begun
    metrics.tensorflow_serving.warmed_up(str(servable.model.directory), count, seconds)
    log(
        "warmed up",
        model=servable.name,
        version=servable.version,
        requests=count,
        seconds=round(seconds, 3),
    )


async def _replay(servable: Servable, path: Path) -> int:
    at_once = _AtOnce(BatchingParameters(), Metrics())
    count = 0
    for record in _records(path):
        try:
            await _answer(at_once, servable, record)
        except (DecodeError, ServingError) as error:
            raise DataError(
                f"{path}: record {count}: {error}; a version is served when each of its warm-up "
                "requests is answered: correct the file or remove it"
            ) from error
        count += 1
    return count


class _AtOnce(Batcher):
    """Computes each request by itself, on the thread that asks."""

    async def run(
        self, servable: Servable, signature: str, inputs: Arrays, rows: int, api: str = "Predict"
    ) -> Arrays:
        return servable.call(signature, inputs)


async def _answer(batcher: Batcher, servable: Servable, record: bytes) -> None:
    logged = prediction_log_pb2.PredictionLog.FromString(record)
    kind = logged.WhichOneof("log_type")
    if kind == "predict_log":
        predict = logged.predict_log.request
        signature = _signature(predict.model_spec)
        if signature not in servable.signatures:
            raise ServingError(
                "FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.'
            )
        wanted = list(predict.output_filter)
        arrays = arrays_of(predict.inputs, _MOST_BYTES, "warm-up")
        await inference.predict(batcher, servable, signature, arrays, wanted)
    elif kind == "classify_log":
        classify = logged.classify_log.request
        rows = _examples(classify.input)
        await inference.classify(batcher, servable, _signature(classify.model_spec), rows)
    elif kind == "regress_log":
        regress = logged.regress_log.request
        rows = _examples(regress.input)
        await inference.regress(batcher, servable, _signature(regress.model_spec), rows)
    elif kind == "multi_inference_log":
        several = logged.multi_inference_log.request
        rows = _examples(several.input)
        for task in several.tasks:
            ask = inference.classify if task.method_name == _CLASSIFY else inference.regress
            await ask(batcher, servable, _signature(task.model_spec), rows)
    elif kind is not None:
        raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}")


def _signature(spec: model_pb2.ModelSpec) -> str:
    return spec.signature_name or inference.DEFAULT_SIGNATURE


def _examples(given: input_pb2.Input) -> Sequence[bytes]:
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        rows = given.example_list_with_context.examples
        return [context + row.SerializeToString() for row in rows]
    return [row.SerializeToString() for row in given.example_list.examples]


def _records(path: Path) -> Iterator[bytes]:
    """Yields the records of a file, whose sizes are checked before any is read."""
    _check_sizes(path)
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise _no_records(path, str(of_tensorflow(error))) from error


def _check_sizes(path: Path) -> None:
    size = path.stat().st_size
    at = count = 0
    with path.open("rb") as file:
        while at < size:
            head = file.read(_HEAD)
            if len(head) < _HEAD:
                raise _no_records(path, f"it ends in the head of record {count}")
            (length,) = struct.unpack("<Q", head[:8])
            at += _HEAD + length + _FOOT
            if at > size:
                raise _no_records(path, f"record {count} says {length} bytes, past the file's end")
            if length > _MOST_BYTES:
                raise DataError(
                    f"{path}: record {count} has {length} bytes; expected at most {_MOST_BYTES}"
                )
            count += 1
            if count > _MOST_RECORDS:
                raise DataError(
                    f"{path}: Number of warmup records exceeds the maximum ({_MOST_RECORDS}); "
                    "keep fewer"
                )
            file.seek(at)


def _no_records(path: Path, why: str) -> DataError:
    return DataError(f"{path}: {why}. Please verify your warmup data is in TFRecord format.")
