"""Replies that REST and gRPC share, as TensorFlow Serving's messages."""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from skewless.model.serve.models.servable import Servable
from skewless.model.serve.models.versions import VersionStatus

__all__ = ["SIGNATURES", "model_spec", "signatures_of", "status_reply"]

SIGNATURES = "signature_def"
_UNKNOWN = 2


def status_reply(
    statuses: Mapping[int, VersionStatus],
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of versions."""
    reply = get_model_status_pb2.GetModelStatusResponse()
    states = get_model_status_pb2.ModelVersionStatus.State
    for version, status in statuses.items():
        entry = reply.model_version_status.add(version=version, state=states.Value(status.state))
        entry.status.error_code = _UNKNOWN if status.error else 0
        entry.status.error_message = status.error or status.note
    return reply


def model_spec(servable: Servable, name: str, signature: str = "") -> model_pb2.ModelSpec:
    """Returns which model, version and signature answered."""
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    spec.version.value = servable.version
    return spec


def signatures_of(servable: Servable) -> get_model_metadata_pb2.SignatureDefMap:
    """Returns what a model can be asked for."""
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        found.signature_def[name].CopyFrom(signature)
    return found
