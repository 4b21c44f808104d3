"""A pool of Beam's Python workers: what `--environment_type=EXTERNAL` asks for them.

Beam's own `apache_beam.runners.worker.worker_pool_main` does not serve two TaskManagers: it knows
workers by their id, TaskManagers number theirs from 1 each, and so one that lets its worker 1 go
ends the other's, which that one then waits for without end. It also listens on every interface,
starts whatever `python` is on PATH, and its workers know neither the pipeline's options nor a
place for their logs. This pool listens on loopback, boots workers with `beam_worker.py` and lets
them end by themselves, which they do when their TaskManager closes the connection or is gone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.utils import thread_pool_executor

BOOT = Path(__file__).with_name("beam_worker.py")


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts a process for each worker asked for."""

    def StartWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Boots a worker for the TaskManager that asks."""
        command = [
            sys.executable,
            str(BOOT),
            f"--id={request.worker_id}",
            f"--provision_endpoint={request.provision_endpoint.url}",
            f"--logging_endpoint={request.logging_endpoint.url}",
            f"--control_endpoint={request.control_endpoint.url}",
        ]
        try:
            worker = subprocess.Popen(command)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=str(error))
        name = f"worker {request.worker_id} of {request.control_endpoint.url}: {worker.pid}"
        print(f"{name} begins", flush=True)
        threading.Thread(target=self._reap, args=(worker, name), daemon=True).start()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Leaves it to the worker: the request does not say whose worker is meant."""
        return beam_fn_api_pb2.StopWorkerResponse()

    def _reap(self, worker: subprocess.Popen[bytes], name: str) -> None:
        print(f"{name} ended: {worker.wait()}", flush=True)


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    server = grpc.server(thread_pool_executor.shared_unbounded_instance())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(WorkerPool(), server)
    if server.add_insecure_port(f"localhost:{port}") != port:
        sys.exit(f"port {port} is taken")
    server.start()
    print(f"Python workers: localhost:{port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
