"""A pool of Beam's Python workers: what `--environment_type=EXTERNAL` asks for them.

Beam's own `apache_beam.runners.worker.worker_pool_main` listens on every interface, starts
whatever `python` is on PATH, and starts workers that know neither the pipeline's options nor a
place for their logs. This one listens on loopback only and boots each worker with
`beam_worker.py`.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils import thread_pool_executor

BOOT = Path(__file__).with_name("beam_worker.py")


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    # The boot script's first line asks for python3; it must be this one.
    os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    server = grpc.server(thread_pool_executor.shared_unbounded_instance())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(
        BeamFnExternalWorkerPoolServicer(use_process=True, container_executable=str(BOOT)), server
    )
    if server.add_insecure_port(f"localhost:{port}") != port:
        sys.exit(f"port {port} is taken")
    server.start()
    print(f"Python workers: localhost:{port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
