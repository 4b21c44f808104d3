"""TensorFlow Serving's services as descriptors, for reflection.

The modules of `tensorflow-serving-api` that hold them cannot be imported with today's protobuf; those of
their messages can.
"""

from __future__ import annotations

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from skewless.model.serve.transport.reflection import described

__all__ = ["TENSORFLOW_SERVICES"]

TENSORFLOW_SERVICES = (
    described(
        "tensorflow_serving/apis/prediction_service.proto",
        "tensorflow.serving.PredictionService",
        {
            "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
            "Classify": (
                classification_pb2.ClassificationRequest,
                classification_pb2.ClassificationResponse,
            ),
            "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
            "MultiInference": (
                inference_pb2.MultiInferenceRequest,
                inference_pb2.MultiInferenceResponse,
            ),
            "GetModelMetadata": (
                get_model_metadata_pb2.GetModelMetadataRequest,
                get_model_metadata_pb2.GetModelMetadataResponse,
            ),
        },
    ),
    described(
        "tensorflow_serving/apis/model_service.proto",
        "tensorflow.serving.ModelService",
        {
            "GetModelStatus": (
                get_model_status_pb2.GetModelStatusRequest,
                get_model_status_pb2.GetModelStatusResponse,
            ),
            "HandleReloadConfigRequest": (
                model_management_pb2.ReloadConfigRequest,
                model_management_pb2.ReloadConfigResponse,
            ),
        },
    ),
)
