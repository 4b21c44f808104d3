"""TensorFlow Serving's figures of a running server, read by Prometheus's own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.served_process import Server

__all__ = ["KINDS", "PATH", "figures"]

PATH = "/monitoring/prometheus/metrics"
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]

# By name: its kind, and the labels that TensorFlow Serving's util.cc, saved_model_warmup_util.cc,
# batching_session.cc and TensorFlow's loader.cc give it.
KINDS = {
    ":tensorflow:cc:saved_model:load_attempt_count": ("counter", {"model_path", "status"}),
    ":tensorflow:cc:saved_model:load_latency": ("counter", {"model_path"}),
    ":tensorflow:serving:batching_session:input_batch_size": ("histogram", set()),
    ":tensorflow:serving:batching_session:processed_batch_size": ("histogram", set()),
    ":tensorflow:serving:batching_session:queuing_latency": ("histogram", {"thread_pool_name"}),
    ":tensorflow:serving:batching_session:wrapped_run_count": ("counter", set()),
    ":tensorflow:serving:model_warmup_latency": ("histogram", {"model_path", "status"}),
    ":tensorflow:serving:model_warmup_records_read": ("counter", {"model_path", "status"}),
    ":tensorflow:serving:request_count": ("counter", {"model_name", "status"}),
    ":tensorflow:serving:request_example_count_total": ("counter", {"model"}),
    ":tensorflow:serving:request_example_counts": ("histogram", {"model"}),
    ":tensorflow:serving:request_latency": ("histogram", {"model_name", "API", "entrypoint"}),
    ":tensorflow:serving:runtime_latency": ("histogram", {"model_name", "API", "runtime"}),
}


def figures(server: Server, path: str = PATH) -> Figures:
    """Returns each sample by its name and labels; names, kinds and labels are checked."""
    response = server.http.get(path)
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    typed = [line.split() for line in response.text.splitlines() if line.startswith("# TYPE ")]
    assert {name: kind for _, _, name, kind in typed} == {
        name: kind for name, (kind, _) in KINDS.items()
    }
    samples: Figures = {}
    for family in text_string_to_metric_families(response.text):
        name = family.name if family.name in KINDS else f"{family.name}_total"
        kind, labels = KINDS[name]
        for sample in family.samples:
            # The parser gives every counter the ending that Prometheus's own clients write.
            written = name if kind == "counter" else sample.name
            assert f"\n{written}{{" in response.text
            assert set(sample.labels) - {"le"} == labels
            samples[written, frozenset(sample.labels.items())] = sample.value
    return samples
