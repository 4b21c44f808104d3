"""The server: latency and requests a second at 1, 8 and 64 clients, beside the signature in process.

    python -m benchmarks.serve [--quick] [--json FILE] [--model DIR --records DIR]

The model is the demo's (schemas/examples/reviews.yaml), made by the real jobs, or taken from `--model`
and `--records`. Every request is for one row: REST with a base64 tf.Example, REST with the raw columns
in JSON, and gRPC with a tf.Example, all by clients that send ready-made bytes; gRPC by its Python client
too, which takes several times the CPU of those. The server runs as `skewless serve` does by default, its clients in
a third process on the same cores. The share is of the calls a second that one thread of one process
makes of the same signature, measured before and after. Exits with 1 if an answer is missing, or is not
what the signature gives in process to 1e-5.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from benchmarks.load_generator import Load, generate
from benchmarks.serving import column_arguments, exported, raw_batch
from skewless.schemas.rows.row_encoding import examples
from skewless.schemas.spec.spec import load

__all__ = ["main"]

_RESULTS = Path(__file__).parent / "results" / "serve.json"
_PYTHON_CLIENT = "gRPC, by its Python client"
_ROWS = 64
_CLIENTS = (1, 8, 64)
_TOLERANCE = 1e-5
_START_SECONDS = 300


@contextlib.contextmanager
def server(model: Path, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Runs `skewless serve`; gives the model's name and both addresses."""
    log = folder / "serve.log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "skewless", "serve", str(model)]
        process = subprocess.Popen([*command, "--port", "0", "--grpc-port", "0"], stderr=file)
        try:
            told = _told(process, log)
            yield told["model"], told["http"].split("/")[2], told["grpc"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _told(process: subprocess.Popen, log: Path) -> dict[str, Any]:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        for line in log.read_text().splitlines():
            if '"event": "serving"' in line:
                found: dict[str, Any] = json.loads(line)
                return found
        time.sleep(0.1)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def rest_request(name: str, document: dict[str, Any]) -> bytes:
    """Returns a whole HTTP request."""
    body = json.dumps(document).encode()
    head = (
        f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def requests_of(name: str, rows: list[bytes], columns: dict[str, tf.Tensor]) -> dict[str, Any]:
    """Returns the requests for each row, by protocol and form."""
    by_grpc = []
    for row in rows:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.inputs["examples"].CopyFrom(tf.make_tensor_proto([row]))
        by_grpc.append(request.SerializeToString())
    lists = {column: value.numpy().tolist() for column, value in columns.items()}
    return {
        "REST, tf.Example": [
            rest_request(name, {"instances": [{"b64": base64.b64encode(row).decode()}]})
            for row in rows
        ],
        "REST, columns": [
            rest_request(
                name,
                {
                    "signature_name": "predict_columns",
                    "instances": [{column: _plain(lists[column][row]) for column in lists}],
                },
            )
            for row in range(len(rows))
        ],
        "gRPC, tf.Example": by_grpc,
        _PYTHON_CLIENT: by_grpc,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def in_process(signature: Any, rows: list[bytes], seconds: float) -> float:
    """Returns calls a second of one row each."""
    tensors = [tf.constant([row]) for row in rows]
    for tensor in tensors[:5]:
        signature(examples=tensor)["predictions"].numpy()
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        signature(examples=tensors[calls % len(tensors)])["predictions"].numpy()
        calls += 1
    return calls / (time.perf_counter() - begun)


def difference(way: str, load: Load, expected: np.ndarray) -> float:
    """Returns the largest difference of an answer from what the signature gives in process."""
    worst = 0.0
    for place, bodies in load.answers.items():
        for body in bodies:
            if way.startswith("gRPC"):
                reply = predict_pb2.PredictResponse.FromString(body)
                found = tf.make_ndarray(reply.outputs["predictions"])
            else:
                found = np.array(json.loads(body)["predictions"])
            worst = max(worst, float(np.abs(found[0] - expected[place]).max()))
    return worst


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if an answer is wrong or missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short: results count, not times")
    parser.add_argument("--model", type=Path, help="what `skewless export` left")
    parser.add_argument("--records", type=Path, help="the records of that model")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help=f"default: {_RESULTS.name}, unless --quick"
    )
    asked = parser.parse_args(argv)
    seconds = 0.5 if asked.quick else 8.0
    output = asked.json or (None if asked.quick else _RESULTS)
    ways: dict[str, Any] = {}
    worst, failures = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        model, records = asked.model, asked.records
        if model is None or records is None:
            model, records = exported(Path(folder), 2_000 if asked.quick else 25_000)
        spec = load(model / "assets.extra" / "spec.yaml")
        batch = raw_batch(records, spec, _ROWS)
        rows = list(examples(batch, spec))
        signature = tf.saved_model.load(str(model)).signatures["serving_default"]
        expected = signature(examples=tf.constant(rows))["predictions"].numpy()
        calls = [in_process(signature, rows, seconds)]
        spawning = multiprocessing.get_context("spawn")
        with server(model, Path(folder)) as (name, http, rpc), spawning.Pool(1) as pool:
            every = requests_of(name, rows, column_arguments(batch, spec, model))
            for clients in _CLIENTS:
                for way, requests in every.items():
                    protocol, address = ("grpc", rpc) if way.startswith("gRPC") else ("rest", http)
                    if way == _PYTHON_CLIENT:
                        protocol = "grpcio"
                    pool.apply(generate, (protocol, address, requests, clients, seconds / 8))
                    load_ = pool.apply(generate, (protocol, address, requests, clients, seconds))
                    worst = max(worst, difference(way, load_, expected))
                    failures += len(load_.failures)
                    ways[f"{way}, {clients} clients"] = _figures(load_)
        calls.append(in_process(signature, rows, seconds))
    rate = float(np.mean(calls))
    print(f"in process: {rate:,.0f} calls a second ({' and '.join(f'{c:,.0f}' for c in calls)})")
    print(f"{'':<32}{'p50 ms':>9}{'p99 ms':>9}{'requests/s':>12}{'share':>8}")
    for name, way in ways.items():
        way["share_of_in_process"] = round(way["requests_per_second"] / rate, 3)
        print(
            f"{name:<32}{way['p50_ms']:>9}{way['p99_ms']:>9}{way['requests_per_second']:>12,}"
            f"{way['share_of_in_process']:>8.2f}"
        )
    print(f"largest difference {worst:g}; {failures} clients failed")
    if output:
        result = {
            "in_process_calls_per_second": [round(found) for found in calls],
            "difference": worst,
            "failures": failures,
            "ways": ways,
        }
        output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if worst <= _TOLERANCE and not failures else 1


def _figures(load_: Load) -> dict[str, Any]:
    milliseconds = 1e3 * np.array(load_.latencies or [float("nan")])
    return {
        "p50_ms": round(float(np.quantile(milliseconds, 0.5)), 2),
        "p99_ms": round(float(np.quantile(milliseconds, 0.99)), 2),
        "requests_per_second": round(len(load_.latencies) / load_.seconds),
    }


if __name__ == "__main__":
    raise SystemExit(main())
