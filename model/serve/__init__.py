"""Serving: TensorFlow Serving's REST and gRPC interfaces on an exported model, and a page for people.

    request -> rest | prediction_service -> inference -> batching -> models/servable
                                                         models/: which servable

What TensorFlow Serving answers, to its messages and error codes, is what is answered here, so that
clients of one work with the other.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from skewless.model import serve_arguments
from skewless.schemas.ending import run_module
from skewless.schemas.errors import UsageError

__all__ = ["execute", "run"]


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code.

    Raises:
      UsageError: If there is no such model, an address is taken, or an option is out of its range.
      DataError: If the model cannot be loaded.
    """
    # Here, since the process that reads large bodies imports this package, and needs none of it.
    try:
        from skewless.model.serve.batching_parameters import BatchingParameters, load
        from skewless.model.serve.monitoring.monitoring_config import DEFAULT_PATH
        from skewless.model.serve.monitoring.monitoring_config import load as monitoring_path
        from skewless.model.serve.server import Options, serve
        from skewless.model.serve.transport.tls import load_tls
        from skewless.model.serve.transport.tokens import Tokens
    except ImportError as error:
        raise UsageError(
            f"serve needs {error.name}; install it with: pip install 'skewless[serve]'"
        ) from error
    file, monitoring = known.batching_parameters_file, known.monitoring_config_file
    options = Options(
        model=None if known.model is None else Path(known.model),
        model_name=known.model_name,
        model_config_file=None
        if known.model_config_file is None
        else Path(known.model_config_file),
        config_poll=known.model_config_file_poll_wait_seconds,
        labels_for_unavailable=known.allow_version_labels_for_unavailable_models,
        host=known.host,
        port=known.port,
        grpc_port=None if known.no_grpc else known.grpc_port,
        poll=known.poll,
        monitoring_path=DEFAULT_PATH if monitoring is None else monitoring_path(monitoring),
        batching=BatchingParameters() if file is None else load(file),
        max_body_bytes=known.max_body_bytes,
        max_connections=known.max_connections,
        timeout=known.timeout,
        tls=None if known.ssl_config_file is None else load_tls(known.ssl_config_file),
        tokens=None if known.token_file is None else Tokens(known.token_file),
    )
    asyncio.run(serve(options))
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.model.serve", serve_arguments.serve, execute, argv, description=__doc__
    )
