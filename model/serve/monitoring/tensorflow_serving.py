"""The figures of TensorFlow Serving, under its names, so that its dashboards and alerts go on.

TensorFlow Serving writes `/tensorflow/serving/request_count` as `:tensorflow:serving:request_count`, without the
`_total` that Prometheus's own clients append to counters; latencies are in microseconds. Of its figures those
are here that are true of this server too.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric

__all__ = ["CONTENT_TYPE", "TensorFlowServingMetrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CORE, _SERVING = ":tensorflow:cc:saved_model:", ":tensorflow:serving:"
_RUNTIME, _THREADS = "TF2", "model_server_batch_threads"
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def _exponential(first: float, growth: float, buckets: int) -> tuple[float, ...]:
    return tuple(first * growth**power for power in range(buckets))


_LATENCY = _exponential(10, 1.8, 33)
_QUEUING = _exponential(100, 1.2, 52)
_EXAMPLES = _exponential(1, 2, 15)
_BATCHES = _exponential(1, 2, 14)


class TensorFlowServingMetrics:
    """The figures of one server."""

    def __init__(self) -> None:
        """Makes them anew, apart from those of other servers in the process."""
        self._registry = CollectorRegistry()
        self._names: dict[str, str] = {}
        self._make_requests()
        self._make_batches()
        self._make_loads()

    def _make_requests(self) -> None:
        model_name = ("model_name",)
        self._requests = self._counter(
            _SERVING, "request_count", "The total number of requests.", (*model_name, "status")
        )
        self._request_latency = self._histogram(
            "request_latency",
            "Distribution of wall time (in microseconds) for requests that were answered.",
            (*model_name, "API", "entrypoint"),
            _LATENCY,
        )
        self._runtime_latency = self._histogram(
            "runtime_latency",
            "Distribution of wall time (in microseconds) for TensorFlow's runtime, with waiting for it.",
            (*model_name, "API", "runtime"),
            _LATENCY,
        )
        self._examples = self._histogram(
            "request_example_counts",
            "The number of tf.Examples per request.",
            ("model",),
            _EXAMPLES,
        )
        self._examples_total = self._counter(
            _SERVING, "request_example_count_total", "The total number of tf.Examples.", ("model",)
        )

    def _make_batches(self) -> None:
        self._queuing_latency = self._histogram(
            "batching_session:queuing_latency",
            "Distribution of wall time (in microseconds) spent in queuing.",
            ("thread_pool_name",),
            _QUEUING,
        )
        self._input_rows = self._histogram(
            "batching_session:input_batch_size", "Rows of the inputs of a batch.", (), _BATCHES
        )
        self._batch_rows = self._histogram(
            "batching_session:processed_batch_size",
            "Rows of a batch, padding included.",
            (),
            _BATCHES,
        )
        self._batches = self._counter(
            _SERVING, "batching_session:wrapped_run_count", "Batches computed.", ()
        )

    def _make_loads(self) -> None:
        self._loads = self._counter(
            _CORE, "load_attempt_count", "Loads of a model.", ("model_path", "status")
        )
        self._warmup_latency = self._histogram(
            "model_warmup_latency",
            "Distribution of wall time (in microseconds) for warming up a model.",
            ("model_path", "status"),
            _LATENCY,
        )
        self._warmup_records = self._counter(
            _SERVING,
            "model_warmup_records_read",
            "Warm-up requests answered.",
            ("model_path", "status"),
        )
        self._load_latency = self._counter(
            _CORE, "load_latency", "Microseconds of loads that succeeded.", ("model_path",)
        )

    def requested(self, model: str, api: str, entrypoint: str, code: str, seconds: float) -> None:
        """Counts a request as ended.

        Args:
          model: Its name; empty if there is no such model, since clients may ask for any.
          api: Predict, Classify, Regress by gRPC; by REST the word of the path, or nothing.
          entrypoint: GRPC or REST.
          code: OK, or TensorFlow's error code.
          seconds: From its head to its answer.
        """
        self._requests.labels(model, code).inc()
        if code == "OK":
            self._request_latency.labels(model, api, entrypoint).observe(1e6 * seconds)

    def computed(self, model: str, api: str, seconds: float) -> None:
        """Counts what a request had computed; `api` is Predict, Classify or Regress."""
        self._runtime_latency.labels(model, api, _RUNTIME).observe(1e6 * seconds)

    def examples(self, model: str, count: int) -> None:
        """Counts the tf.Examples of a request."""
        self._examples.labels(model).observe(count)
        self._examples_total.labels(model).inc(count)

    def batched(self, inputs: list[int], rows: int, waited: list[float]) -> None:
        """Counts a batch: the rows of each request in it, all with padding, and seconds of waiting."""
        self._batches.inc()
        self._batch_rows.observe(rows)
        for size, seconds in zip(inputs, waited, strict=True):
            self._input_rows.observe(size)
            self._queuing_latency.labels(_THREADS).observe(1e6 * seconds)

    def loaded(self, path: str, seconds: float | None) -> None:
        """Counts a load of a model in so many seconds, or one that failed."""
        self._loads.labels(path, "fail" if seconds is None else "success").inc()
        if seconds is not None:
            self._load_latency.labels(path).inc(1e6 * seconds)

    def warmed_up(self, path: str, requests: int, seconds: float) -> None:
        """Counts a model's warm-up."""
        self._warmup_latency.labels(path, "OK").observe(1e6 * seconds)
        self._warmup_records.labels(path, "OK").inc(requests)

    def page(self) -> bytes:
        """Returns the figures in Prometheus's text format."""
        lines: list[str] = []
        for family in self._registry.collect():
            if family.name in self._names:
                name = self._names[family.name]
                lines += (f"# HELP {name} {family.documentation}", f"# TYPE {name} {family.type}")
                lines += _samples(family, name)
        return "".join(f"{line}\n" for line in lines).encode()

    def _counter(self, root: str, name: str, help_: str, labels: tuple[str, ...]) -> Counter:
        self._names[f"{root}{name}".removesuffix("_total")] = f"{root}{name}"
        return Counter(f"{root}{name}", help_, labels, registry=self._registry)

    def _histogram(
        self, name: str, help_: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Histogram:
        self._names[f"{_SERVING}{name}"] = f"{_SERVING}{name}"
        return Histogram(
            f"{_SERVING}{name}", help_, labels, registry=self._registry, buckets=buckets
        )


def _samples(family: Metric, name: str) -> Iterator[str]:
    for sample in family.samples:
        suffix = sample.name.removeprefix(family.name)
        if suffix == "_created":
            continue
        labels = ",".join(
            f'{label}="{_bound(value) if label == "le" else value.translate(_ESCAPED)}"'
            for label, value in sample.labels.items()
        )
        written = name if suffix == "_total" else f"{name}{suffix}"
        yield f"{written}{{{labels}}} {sample.value:.15g}"


def _bound(value: str) -> str:
    """Returns a bucket's bound in six digits, as TensorFlow Serving writes it."""
    return value if value == "+Inf" else f"{float(value):g}"
