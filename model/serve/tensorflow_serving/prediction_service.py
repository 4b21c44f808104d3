"""TensorFlow Serving's PredictionService, and what adds the gRPC services to a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from skewless.model.serve import inference
from skewless.model.serve.batching import Batcher
from skewless.model.serve.models.registry import Models
from skewless.model.serve.models.servable import Arrays, Servable
from skewless.model.serve.monitoring.observing import Observer
from skewless.model.serve.reading.requests import DEFAULT_SIGNATURE
from skewless.model.serve.reading.tensor_protos import arrays_of
from skewless.model.serve.status import ServingError
from skewless.model.serve.tensorflow_serving.model_service import ModelService
from skewless.model.serve.tensorflow_serving.replies import SIGNATURES, model_spec, signatures_of
from skewless.model.serve.transport.rpc import Service, version_of

__all__ = ["add_services"]

# Tensors of so many bytes are read without leaving the event loop.
_AT_ONCE = 64 * 1024
_CLASSIFY, _REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
# By NumPy's letter for a type: TensorFlow's number, and where a TensorProto holds its values; clients read
# these fields as they are.
_FIELDS = {
    np.dtype(kind.as_numpy_dtype).char: (kind.as_datatype_enum, field)
    for kind, field in {
        tf.float32: "float_val",
        tf.float64: "double_val",
        tf.int32: "int_val",
        tf.int64: "int64_val",
        tf.bool: "bool_val",
        tf.string: "string_val",
    }.items()
}


def add_services(
    server: grpc.aio.Server,
    models: Models,
    batcher: Batcher,
    observer: Observer,
    timeout: float,
    max_body_bytes: int,
) -> None:
    """Adds both services to a server that is not yet started."""
    predictions = _PredictionService(models, batcher, observer, timeout, max_body_bytes)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(predictions, server)
    states = ModelService(models, observer, timeout)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(states, server)


class _PredictionService(Service, prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(
        self,
        models: Models,
        batcher: Batcher,
        observer: Observer,
        timeout: float,
        max_bytes: int,
    ) -> None:
        self._models, self._batcher, self._max_bytes = models, batcher, max_bytes
        self._observer, self._timeout = observer, timeout

    async def _arrays(self, request: predict_pb2.PredictRequest) -> Arrays:
        if request.ByteSize() <= _AT_ONCE:
            return arrays_of(request.inputs, self._max_bytes)
        return await asyncio.to_thread(arrays_of, request.inputs, self._max_bytes)

    async def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: grpc.aio.ServicerContext
    ) -> predict_pb2.PredictResponse:
        async def work(told: dict[str, Any]) -> predict_pb2.PredictResponse:
            servable = _servable(self._models, request.model_spec, told)
            signature = _signature(request.model_spec)
            if signature not in servable.signatures:
                raise ServingError(
                    "FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.'
                )
            outputs = await inference.predict(
                self._batcher,
                servable,
                signature,
                await self._arrays(request),
                list(request.output_filter),
            )
            told["rows"] = max(map(len, outputs.values()))
            reply = predict_pb2.PredictResponse(
                model_spec=model_spec(servable, request.model_spec.name, signature)
            )
            for name, value in outputs.items():
                _fill(reply.outputs[name], value)
            return reply

        return await self.answer(context, "predict", work)

    async def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: grpc.aio.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        async def work(told: dict[str, Any]) -> classification_pb2.ClassificationResponse:
            servable = _servable(self._models, request.model_spec, told)
            signature = _signature(request.model_spec)
            examples = _examples(request.input)
            told["rows"] = len(examples)
            found = await inference.classify(self._batcher, servable, signature, examples)
            reply = classification_pb2.ClassificationResponse(
                model_spec=model_spec(servable, request.model_spec.name, signature)
            )
            for row in found:
                classes = reply.result.classifications.add().classes
                for label, score in row:
                    classes.add(label=label.decode("utf-8", "replace"), score=score)
            return reply

        return await self.answer(context, "classify", work)

    async def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: grpc.aio.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        async def work(told: dict[str, Any]) -> regression_pb2.RegressionResponse:
            servable = _servable(self._models, request.model_spec, told)
            signature = _signature(request.model_spec)
            examples = _examples(request.input)
            told["rows"] = len(examples)
            found = await inference.regress(self._batcher, servable, signature, examples)
            reply = regression_pb2.RegressionResponse(
                model_spec=model_spec(servable, request.model_spec.name, signature)
            )
            for value in found.tolist():
                reply.result.regressions.add(value=value)
            return reply

        return await self.answer(context, "regress", work)

    async def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        async def work(told: dict[str, Any]) -> inference_pb2.MultiInferenceResponse:
            _check_tasks(request.tasks)
            examples = _examples(request.input)
            told["rows"] = len(examples)
            reply = inference_pb2.MultiInferenceResponse()
            # Held from before the first task to after the last, so that one version answers all.
            servable = _servable(self._models, request.tasks[0].model_spec, told)
            for task in request.tasks:
                signature = _signature(task.model_spec)
                result = reply.results.add(
                    model_spec=model_spec(servable, task.model_spec.name, signature)
                )
                if task.method_name == _CLASSIFY:
                    rows = await inference.classify(self._batcher, servable, signature, examples)
                    for row in rows:
                        classes = result.classification_result.classifications.add().classes
                        for label, score in row:
                            classes.add(label=label.decode("utf-8", "replace"), score=score)
                else:
                    values = await inference.regress(self._batcher, servable, signature, examples)
                    for value in values.tolist():
                        result.regression_result.regressions.add(value=value)
            return reply

        return await self.answer(context, "multi_inference", work)

    async def GetModelMetadata(  # noqa: N802
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        async def work(
            told: dict[str, Any],
        ) -> get_model_metadata_pb2.GetModelMetadataResponse:
            if not request.HasField("model_spec"):
                raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
            if not request.metadata_field:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    "GetModelMetadataRequest must specify at least one metadata_field",
                )
            for field in request.metadata_field:
                if field != SIGNATURES:
                    raise ServingError(
                        "INVALID_ARGUMENT", f"Metadata field {field} is not supported"
                    )
            servable = _servable(self._models, request.model_spec, told)
            reply = get_model_metadata_pb2.GetModelMetadataResponse(
                model_spec=model_spec(servable, request.model_spec.name)
            )
            reply.metadata[SIGNATURES].Pack(signatures_of(servable))
            return reply

        return await self.answer(context, "metadata", work)


def _check_tasks(tasks: Sequence[inference_pb2.InferenceTask]) -> None:
    """Refuses tasks that one version of one model cannot answer together."""
    if not tasks:
        raise ServingError("INVALID_ARGUMENT", "Inference request must have at least one task")
    first = tasks[0].model_spec
    signatures = set()
    for task in tasks:
        spec = task.model_spec
        if not spec.name:
            raise ServingError("INVALID_ARGUMENT", "Found ModelSpec with an empty model name.")
        if (spec.name, spec.version, spec.version_label) != (
            first.name,
            first.version,
            first.version_label,
        ):
            raise ServingError(
                "INVALID_ARGUMENT",
                "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
            )
        if task.method_name not in (_CLASSIFY, _REGRESS):
            raise ServingError(
                "UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}"
            )
        signature = _signature(spec)
        if signature in signatures:
            raise ServingError(
                "INVALID_ARGUMENT", f"Duplicate evaluation of signature: {signature}"
            )
        signatures.add(signature)


def _servable(models: Models, spec: model_pb2.ModelSpec, told: dict[str, Any]) -> Servable:
    told["model"] = models.known(spec.name)
    servable = models.get(spec.name, version_of(spec), spec.version_label)
    told["version"] = servable.version
    return servable


def _signature(spec: model_pb2.ModelSpec) -> str:
    return spec.signature_name or DEFAULT_SIGNATURE


def _examples(given: input_pb2.Input) -> list[bytes]:
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        rows = given.example_list_with_context.examples
        return [context + row.SerializeToString() for row in rows]
    return [row.SerializeToString() for row in given.example_list.examples]


def _fill(tensor: tensor_pb2.TensorProto, value: np.ndarray) -> None:
    """Puts values into a tensor's own field for them, as TensorFlow Serving sends it."""
    tensor.dtype, field = _FIELDS[value.dtype.char]
    for size in value.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, field).extend(value.ravel().tolist())
