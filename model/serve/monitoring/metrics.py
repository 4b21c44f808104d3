"""What Prometheus is told."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from skewless.model.serve.monitoring.tensorflow_serving import TensorFlowServingMetrics

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Metrics:
    """The figures of one server.

    Attributes:
      tensorflow_serving: Those that TensorFlow Serving has, under its names.
    """

    def __init__(self) -> None:
        """Makes them anew, apart from those of other servers in the process."""
        self.tensorflow_serving = TensorFlowServingMetrics()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "skewless_requests",
            "Requests answered, by protocol (rest, grpc), method and TensorFlow's error code.",
            ("protocol", "method", "code"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "skewless_request_seconds",
            "Time from a request's head to its answer.",
            ("protocol", "method"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "skewless_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.queued_rows = Gauge(
            "skewless_queued_rows", "Rows that wait for a batch thread.", registry=self.registry
        )
        self.batch_rows = Histogram(
            "skewless_batch_rows", "Rows of a batch.", buckets=_ROWS, registry=self.registry
        )
        self.batch_seconds = Histogram(
            "skewless_batch_seconds",
            "Time to compute a batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.model_version = Gauge(
            "skewless_model_version",
            "The newest version that is loaded; 0 while there is none.",
            ("model",),
            registry=self.registry,
        )
        self.loads = Counter(
            "skewless_model_loads",
            "Versions loaded, by model and outcome (ok, failed).",
            ("model", "outcome"),
            registry=self.registry,
        )

    def page(self) -> bytes:
        """Returns the figures in Prometheus's text format."""
        return generate_latest(self.registry)
