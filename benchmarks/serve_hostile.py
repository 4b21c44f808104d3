"""The server under attack: right answers within a second, whatever others send meanwhile.

    python -m benchmarks.serve_hostile [--quick] [--json FILE] [--model DIR --records DIR]

Valid clients (REST with tf.Example and with columns, gRPC) ask for one row at a time, first alone, then while
`benchmarks.hostile_clients` sends bodies of 16 MiB, holds 200 slow connections, floods headers and sends
5,000 garbage requests. All run on the same cores. Exits with 1 if a valid answer is missing, wrong by more
than 1e-5, or (unless quick) later than a second at p99.9; or if garbage was the server's fault (500).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.hostile_clients import attack
from benchmarks.load_generator import Load, generate

__all__ = ["main"]

_ROWS = 16
_CLIENTS = 2
_LARGE = 16 * 1024 * 1024
_TOLERANCE = 1e-5
_SECONDS_AT_MOST = 1.0


def main(argv: list[str] | None = None) -> int:
    """Runs it; returns 1 if the server did not hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short, little data")
    parser.add_argument("--model", type=Path, help="what `skewless export` left")
    parser.add_argument("--records", type=Path, help="the records of that model")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(argv)
    seconds = 8.0 if asked.quick else 60.0
    with tempfile.TemporaryDirectory() as folder:
        model, records = asked.model, asked.records
        if model is None or records is None:
            from benchmarks.serving import exported

            model, records = exported(Path(folder), 2_000)
        result = measured(model, records, Path(folder), seconds)
    late = [
        f"{way}: p99.9 of {figures['p99.9_ms']:,} ms"
        for way, figures in result["phases"]["under attack"].items()
        if figures["p99.9_ms"] > 1e3 * _SECONDS_AT_MOST
    ]
    result["faults"] += [] if asked.quick else late
    _print(result)
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if result["faults"] else 0


def measured(model: Path, records: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """Returns the figures of valid clients alone and under attack, and what went wrong.

    Args:
      model: What `skewless export` left.
      records: Its records.
      folder: For the server's log.
      seconds: How long each phase lasts.
    """
    # The clients' processes import this module as well, and need no TensorFlow.
    import tensorflow as tf

    from benchmarks.serve import requests_of, server
    from benchmarks.serving import column_arguments, raw_batch
    from skewless.schemas.rows.row_encoding import examples
    from skewless.schemas.spec.spec import load

    spec = load(model / "assets.extra" / "spec.yaml")
    batch = raw_batch(records, spec, _ROWS)
    rows = list(examples(batch, spec))
    signature = tf.saved_model.load(str(model)).signatures["serving_default"]
    expected = signature(examples=tf.constant(rows))["predictions"].numpy()
    result: dict[str, Any] = {"phases": {}, "faults": []}
    pool = multiprocessing.get_context("spawn").Pool
    with server(model, folder) as (name, http, rpc), pool(5) as others:
        every = requests_of(name, rows, column_arguments(batch, spec, model))
        process = _server_process(int(http.split(":")[1]))
        for phase in ("alone", "under attack"):
            attacked = phase != "alone"
            length = seconds if attacked else seconds / 4
            asking = {
                way: others.apply_async(
                    generate,
                    (
                        "grpc" if "gRPC" in way else "rest",
                        rpc if "gRPC" in way else http,
                        requests,
                        _CLIENTS,
                        length,
                    ),
                )
                for way, requests in every.items()
            }
            health = others.apply_async(watched_health, (http, length))
            if attacked:
                told = others.apply(attack, (http, name, _LARGE, length))
                result["told"] = {kind: dict(found) for kind, found in told.items()}
            figures = {}
            for way, job in asking.items():
                found = job.get()
                figures[way] = _figures(found.latencies)
                result["faults"] += _faults(way, found, expected)
            figures["/healthz"] = _figures(health.get())
            result["phases"][phase] = figures
            result["memory"] = _memory(process)
        result["faults"] += [
            f"{kind}: {count} answers of 500"
            for kind, found in result["told"].items()
            for status, count in found.items()
            if status == "500"
        ]
    return result


def watched_health(address: str, seconds: float) -> list[float]:
    """Returns how long each of many questions for /healthz took, over one connection."""

    async def watch() -> list[float]:
        found = []
        reader, writer = await asyncio.open_connection(*address.split(":"))
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"}")
            found.append(time.perf_counter() - begun)
            await asyncio.sleep(0.01)
        writer.close()
        return found

    return asyncio.run(watch())


def _faults(way: str, found: Load, expected: np.ndarray) -> list[str]:
    from benchmarks.serve import difference

    faults = [f"{way}: {failure}" for failure in found.failures]
    worst = difference(way, found, expected)
    if worst > _TOLERANCE:
        faults.append(f"{way}: an answer differs by {worst:g}")
    return faults


def _figures(latencies: list[float]) -> dict[str, Any]:
    milliseconds = 1e3 * np.array(latencies or [np.inf])
    quantiles = np.quantile(milliseconds, [0.5, 0.99, 0.999, 1.0]).round(1).tolist()
    names = ("p50_ms", "p99_ms", "p99.9_ms", "longest_ms")
    return {"requests": len(latencies), **dict(zip(names, quantiles, strict=True))}


def _server_process(port: int) -> psutil.Process:
    return next(
        child
        for child in psutil.Process().children()
        if any(found.laddr.port == port for found in child.net_connections())
    )


def _memory(process: psutil.Process) -> dict[str, int]:
    readers = sum(child.memory_info().rss for child in process.children(recursive=True))
    return {"server_mb": process.memory_info().rss >> 20, "reader_mb": readers >> 20}


def _print(result: dict[str, Any]) -> None:
    print(f"{'':<34}{'requests':>9}{'p50 ms':>9}{'p99 ms':>9}{'p99.9 ms':>10}{'longest':>9}")
    for phase, figures in result["phases"].items():
        for way, found in figures.items():
            print(
                f"{phase + ': ' + way:<34}{found['requests']:>9,}{found['p50_ms']:>9,}"
                f"{found['p99_ms']:>9,}{found['p99.9_ms']:>10,}{found['longest_ms']:>9,}"
            )
    for kind, found in result["told"].items():
        print(f"{kind:<34}" + ", ".join(f"{count:,} x {said}" for said, count in found.items()))
    print(
        f"memory: {result['memory']['server_mb']:,} MB, reader {result['memory']['reader_mb']:,} MB"
    )
    print("faults: " + ("; ".join(result["faults"]) or "none"))


if __name__ == "__main__":
    raise SystemExit(main())
