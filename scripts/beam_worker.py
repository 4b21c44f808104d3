#!/usr/bin/env python3
"""Boots one Python worker as Beam's containers do, without a container.

It asks the runner for the pipeline's options, then becomes Beam's own worker program, with its
log going to the runner. Packages are not installed: the worker is this interpreter, with what is
installed for it, so the same project must be importable here as where the job was submitted.
Serves `worker_pool.py`, and `--environment_type=PROCESS` with
`--environment_config='{"command": "/path/to/scripts/beam_worker.py"}'`.
"""

from __future__ import annotations

import argparse
import os
import sys

import grpc
from apache_beam.portability.api import (
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from google.protobuf import json_format, text_format


def main() -> None:
    """Becomes the worker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", required=True)
    for endpoint in ("logging", "artifact", "provision", "control"):
        parser.add_argument(f"--{endpoint}_endpoint", default="")
    known = parser.parse_args()
    channel = grpc.intercept_channel(
        grpc.insecure_channel(known.provision_endpoint), _WithWorkerId(known.id)
    )
    stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
    info = stub.GetProvisionInfo(
        beam_provision_api_pb2.GetProvisionInfoRequest(), timeout=60, wait_for_ready=True
    ).info
    logging = info.logging_endpoint.url or known.logging_endpoint
    control = info.control_endpoint.url or known.control_endpoint
    environment = {
        **os.environ,
        "WORKER_ID": known.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": _descriptor(logging),
        "CONTROL_API_SERVICE_DESCRIPTOR": _descriptor(control),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    # Nobody reads the pipe that the pool makes of standard output: once full, it would block.
    os.dup2(2, 1)
    module = ["-m", "apache_beam.runners.worker.sdk_worker_main"]
    os.execve(sys.executable, [sys.executable, *module], environment)


class _WithWorkerId(grpc.UnaryUnaryClientInterceptor):
    """Says which worker asks, as the runner's services want it."""

    def __init__(self, worker: str) -> None:
        self._metadata = [("worker_id", worker)]

    def intercept_unary_unary(self, continuation, details, request):  # type: ignore[no-untyped-def]
        return continuation(details._replace(metadata=self._metadata), request)


def _descriptor(url: str) -> str:
    return text_format.MessageToString(
        endpoints_pb2.ApiServiceDescriptor(url=url), as_one_line=True
    )


if __name__ == "__main__":
    main()
