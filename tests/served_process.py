"""A real server in a process of its own, on free ports, with clients of each kind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

ROOT = Path(__file__).parent.parent
_START_SECONDS = 540
_STOP_SECONDS = 120


@dataclass
class Server:
    """A running server.

    Attributes:
      process: What runs it.
      log_path: Where its lines go.
      http: A client of its REST API.
      grpc_address: Of its services.
    """

    process: subprocess.Popen
    log_path: Path
    url: str = ""
    grpc_address: str = ""
    http: httpx.Client = field(init=False)

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """Returns the lines of its log, or those of one event."""
        lines = self.log_path.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if event in (None, line["event"])]

    def wait_for(self, event: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Returns the first line of an event with these fields, once there are `count` of them."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            found = [line for line in self.log(event) if fields.items() <= line.items()]
            if len(found) >= count:
                return found[0]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {event} in the log:\n{self.log_path.read_text()}")

    def channel(self) -> grpc.Channel:
        """Returns a gRPC channel to it."""
        return grpc.insecure_channel(self.grpc_address)

    def predictions(self) -> prediction_service_pb2_grpc.PredictionServiceStub:
        """Returns a client of PredictionService."""
        return prediction_service_pb2_grpc.PredictionServiceStub(self.channel())

    def models(self) -> model_service_pb2_grpc.ModelServiceStub:
        """Returns a client of ModelService."""
        return model_service_pb2_grpc.ModelServiceStub(self.channel())

    def stop(self) -> int:
        """Asks it to stop; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)


@contextlib.contextmanager
def serving(
    model: Path | None, folder: Path, *options: str, modules: Sequence[Path] = ()
) -> Iterator[Server]:
    """Runs `skewless serve` until the block ends; without a model the options name some.

    Modules in the folders `modules` come before others of their names.
    """
    log_path = folder / f"server-{time.monotonic_ns()}.log"
    positional = [] if model is None else [str(model)]
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "skewless", "serve", *positional,
             "--port", "0", "--grpc-port", "0", *options],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [*modules, ROOT]))},
        )  # fmt: skip
        server = Server(process, log_path)
        try:
            told = server.wait_for("serving")
            server.url = told["http"].rstrip("/")
            server.grpc_address = told.get("grpc", "")
            with httpx.Client(base_url=server.url, timeout=120) as server.http:
                yield server
        finally:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
