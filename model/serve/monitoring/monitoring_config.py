"""TensorFlow Serving's MonitoringConfig, in its text format.

prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from skewless.model.serve.text_messages import message_class, read_message
from skewless.schemas.errors import UsageError

__all__ = ["DEFAULT_PATH", "load"]

DEFAULT_PATH = "/monitoring/prometheus/metrics"
_TAKEN = ("/v1/", "/v2/", "/explain", "/healthz", "/metrics", "/readyz")


def load(path: str | Path) -> str | None:
    """Reads where TensorFlow Serving's figures shall be.

    Returns:
      A path of the HTTP server, or None for nowhere.

    Raises:
      UsageError: If there is no such file, or it holds anything else, or the path is taken.
    """
    message = _message_class()()
    example = f'prometheus_config {{ enable: true path: "{DEFAULT_PATH}" }}'
    read_message(path, message, "a MonitoringConfig", f"its text format, {example}")
    if not message.prometheus_config.enable:
        return None
    place: str = message.prometheus_config.path or DEFAULT_PATH
    if not place.startswith("/") or place == "/" or any(c in place for c in "{}?#"):
        raise UsageError(f"{path}: expected a path that begins with /, got {place!r}")
    if any(place == taken or place.startswith(f"{taken.rstrip('/')}/") for taken in _TAKEN):
        raise UsageError(f"{path}: the path {place!r} is taken; choose another")
    return place


def _message_class() -> Any:
    """Returns TensorFlow Serving's message, which `tensorflow-serving-api` does not hold."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="skewless/monitoring_config.proto", package="skewless", syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    for name, number, kind in (("enable", 1, kinds.TYPE_BOOL), ("path", 2, kinds.TYPE_STRING)):
        prometheus.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    file.message_type.add(name="MonitoringConfig").field.add(
        name="prometheus_config",
        number=1,
        type=kinds.TYPE_MESSAGE,
        type_name=".skewless.PrometheusConfig",
        label=kinds.LABEL_OPTIONAL,
    )
    return message_class(file, "skewless.MonitoringConfig")
